import type { Command } from './backend/types/Command';
import type { Screen } from './backend/types/Screen';
import type { Word } from './words/words';

/** What an action works on. */
export interface Stage {
  screen: Screen;
  /** ms into the film, as shown just now. */
  position: number;
  act(command: Command): void;
  toggle(panel: Panel): void;
  fullscreen(on?: boolean): void;
  escape(): void;
  openFile(): void;
  openLink(): void;
  quit(): void;
}

export type Panel = 'sources' | 'statistics' | 'help' | 'settings' | 'shares';

/** One thing a viewer can do by key. Menus, the cheat sheet and its test come from the table below. */
export interface Action {
  id: string;
  /** `Ctrl+` and `Shift+`, then the name of the key: a `KeyboardEvent.code` without `Key`, or a sign. */
  keys: string[];
  label: Word;
  /** Whether it needs a film. */
  film: boolean;
  run(stage: Stage): void;
}

// Pictures that stand by themselves may be ten seconds apart: the nearest one to five seconds on can lie behind.
const seek = (by: number, exact = false) => (stage: Stage) =>
  stage.act({ do: 'seek', to_ms: Math.max(0, Math.round(stage.position + by)), exact });

const volume = (by: number) => (stage: Stage) => {
  const level = Math.min(1, Math.max(0, stage.screen.settings.volume + by));
  stage.act({ do: 'set_volume', volume: Math.round(level * 100) / 100, muted: false });
};

const speed = (change: (rate: number) => number) => (stage: Stage) => {
  const rate = Math.min(8, Math.max(0.1, change(stage.screen.film?.rate ?? 1)));
  stage.act({ do: 'set_rate', rate: Math.round(rate * 100) / 100 });
};

function nextSubtitles(stage: Stage) {
  const tracks = stage.screen.film?.subtitles ?? [];
  const next = tracks[tracks.findIndex((track) => track.chosen) + 1];
  stage.act({ do: 'choose_subtitles', id: next?.id ?? null });
}

function toggleSubtitles(stage: Stage) {
  const tracks = stage.screen.film?.subtitles ?? [];
  const on = tracks.some((track) => track.chosen);
  stage.act({ do: 'choose_subtitles', id: on ? null : (tracks[0]?.id ?? null) });
}

function nextAudio(stage: Stage) {
  const tracks = stage.screen.film?.audio ?? [];
  const next = tracks[(tracks.findIndex((track) => track.chosen) + 1) % tracks.length];
  if (next) stage.act({ do: 'choose_audio', id: next.id });
}

function playOrPause(stage: Stage) {
  const state = stage.screen.film?.state;
  stage.act({ do: state === 'paused' || state === 'ended' ? 'play' : 'pause' });
}

const film = (id: string, keys: string[], label: Word, run: Action['run']): Action => ({ id, keys, label, film: true, run });
const always = (id: string, keys: string[], label: Word, run: Action['run']): Action => ({ id, keys, label, film: false, run });

export const actions: Action[] = [
  film('play', ['Space', 'K'], 'key_play', playOrPause),
  film('back', ['ArrowLeft'], 'key_back', seek(-5000, true)),
  film('forward', ['ArrowRight'], 'key_forward', seek(5000, true)),
  film('back-exact', ['Shift+ArrowLeft'], 'key_back_exact', seek(-1000, true)),
  film('forward-exact', ['Shift+ArrowRight'], 'key_forward_exact', seek(1000, true)),
  film('back-long', ['Ctrl+ArrowLeft'], 'key_back_long', seek(-60_000)),
  film('forward-long', ['Ctrl+ArrowRight'], 'key_forward_long', seek(60_000)),
  film('start', ['Home'], 'key_start', (stage) => stage.act({ do: 'seek', to_ms: 0, exact: false })),
  film('louder', ['ArrowUp', '0'], 'key_louder', volume(0.05)),
  film('quieter', ['ArrowDown', '9'], 'key_quieter', volume(-0.05)),
  film('mute', ['M'], 'key_mute', (stage) => {
    const { volume, muted } = stage.screen.settings;
    stage.act({ do: 'set_volume', volume, muted: !muted });
  }),
  always('fullscreen', ['F', 'F11'], 'key_fullscreen', (stage) => stage.fullscreen()),
  always('escape', ['Escape'], 'key_escape', (stage) => stage.escape()),
  film('slower', ['['], 'key_slower', speed((rate) => rate - 0.1)),
  film('faster', [']'], 'key_faster', speed((rate) => rate + 0.1)),
  film('half', ['{'], 'key_half', speed((rate) => rate / 2)),
  film('double', ['}'], 'key_double', speed((rate) => rate * 2)),
  film('normal', ['Backspace'], 'key_normal', speed(() => 1)),
  film('next-picture', ['.'], 'key_next_picture', (stage) => stage.act({ do: 'step', forward: true })),
  film('last-picture', [','], 'key_last_picture', (stage) => stage.act({ do: 'step', forward: false })),
  film('subtitles', ['J'], 'key_subtitles', nextSubtitles),
  film('subtitles-toggle', ['V'], 'key_subtitles_toggle', toggleSubtitles),
  film('audio', ['#'], 'key_audio', nextAudio),
  film('sources', ['P'], 'key_sources', (stage) => stage.toggle('sources')),
  film('statistics', ['I'], 'key_statistics', (stage) => stage.toggle('statistics')),
  always('help', ['?', 'F1'], 'key_help', (stage) => stage.toggle('help')),
  always('open', ['Ctrl+O'], 'key_open', (stage) => stage.openFile()),
  always('link', ['Ctrl+U'], 'key_link', (stage) => stage.openLink()),
  always('share', ['Ctrl+S'], 'key_share', (stage) => stage.toggle('shares')),
  always('settings', ['Ctrl+,'], 'key_settings', (stage) => stage.toggle('settings')),
  always('quit', ['Ctrl+Q'], 'key_quit', (stage) => stage.quit()),
];

const byKey = new Map(actions.flatMap((action) => action.keys.map((key) => [key, action] as const)));

type Press = Pick<KeyboardEvent, 'code' | 'key' | 'ctrlKey' | 'metaKey' | 'shiftKey' | 'altKey'>;

/** The action of a key press. Letters go by their place, so that an input method that is on doesn't eat them. */
export function actionOf(press: Press): Action | undefined {
  if (press.altKey) return undefined;
  const ctrl = press.ctrlKey || press.metaKey ? 'Ctrl+' : '';
  const letter = /^Key([A-Z])$/.exec(press.code)?.[1];
  if (letter) return press.shiftKey ? undefined : byKey.get(ctrl + letter);
  // Signs lie elsewhere on each keyboard, and carry their shift.
  if (press.key.length === 1 && press.key !== ' ') return byKey.get(ctrl + press.key);
  return byKey.get(ctrl + (press.shiftKey ? 'Shift+' : '') + press.code);
}

const names: Record<string, string> = { ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓', Escape: 'Esc' };

/** A key as it is shown to people. */
export function shownKey(key: string): string {
  return key.replace(/[A-Za-z0-9]+$/, (name) => names[name] ?? name).replace(/\+(?=.)/g, ' + ');
}
