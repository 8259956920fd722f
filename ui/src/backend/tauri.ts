import { Channel, invoke } from '@tauri-apps/api/core';
import type { Backend } from './backend';
import type { Screen } from './types/Screen';

type Ask =
  | { ask: 'open_dialog' | 'share_dialog' | 'choose_folder' | 'is_fullscreen' | 'quit' }
  | { ask: 'fullscreen'; on: boolean }
  | { ask: 'copy'; text: string };

/** The app behind the window. */
export function tauri(): Backend {
  const window = <T>(ask: Ask) => invoke<T>('window', { ask });
  return {
    connect: (show) => {
      const channel = new Channel<Screen>();
      channel.onmessage = show;
      return invoke('connect', { channel });
    },
    act: (command) => invoke('act', { command }),
    openDialog: () => window({ ask: 'open_dialog' }),
    shareDialog: () => window({ ask: 'share_dialog' }),
    chooseFolder: () => window<string | null>({ ask: 'choose_folder' }),
    setFullscreen: (on) => window({ ask: 'fullscreen', on }),
    isFullscreen: () => window<boolean>({ ask: 'is_fullscreen' }),
    copy: (text) => window({ ask: 'copy', text }),
    quit: () => window({ ask: 'quit' }),
  };
}
