import type { Command } from './types/Command';
import type { Screen } from './types/Screen';

/** What the screen talks to: the app, or a fake of it in a plain browser. */
export interface Backend {
  /** Calls back with the whole screen, at once and at each change. */
  connect(show: (screen: Screen) => void): Promise<void>;
  /** Does what the viewer says; what goes wrong arrives as a notice on the screen. */
  act(command: Command): Promise<void>;
  /** Lets the viewer choose a film with the system's dialog, and opens it. */
  openDialog(): Promise<void>;
  /** Lets the viewer choose videos with the system's dialog, and shares them. */
  shareDialog(): Promise<void>;
  /** Lets the viewer choose a folder with the system's dialog. */
  chooseFolder(): Promise<string | null>;
  /** Fills the screen, or doesn't. */
  setFullscreen(on: boolean): Promise<void>;
  /** Whether the window fills the screen. */
  isFullscreen(): Promise<boolean>;
  /** Puts a text on the clipboard. */
  copy(text: string): Promise<void>;
  /** Ends the program. */
  quit(): Promise<void>;
}
