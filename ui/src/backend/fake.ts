import type { Backend } from './backend';
import type { Command } from './types/Command';
import type { Film } from './types/Film';
import type { Screen } from './types/Screen';
import type { Settings } from './types/Settings';

const GB = 1e9;

const settings: Settings = {
  language: 'en', theme: 'system', folder: '/home/viewer/Videos/Nearcast', limit: 20 * GB, share: true, upload: 1.25e6,
  download: null, trackers: ['/ip4/203.0.113.5/tcp/4401'], own_tracker: false, trusted: [], neighbours: true, map_ports: true, give_way: true, on_close: 'ask', resume: true,
  history: true, volume: 0.8, muted: false, keep_controls: false,
};

const film: Film = {
  id: 'a'.repeat(52), title: 'Big Buck Bunny', link: `nearcast://${'a'.repeat(52)}/big-buck-bunny.mp4?size=454000000`,
  state: 'playing', position_ms: 184_000, duration_ms: 600_000, rate: 1,
  audio: [
    { id: 'a1', language: 'en', label: 'English 5.1', chosen: true },
    { id: 'a2', language: 'zh', label: '中文', chosen: false },
  ],
  subtitles: [
    { id: 's1', language: 'en', label: null, chosen: false },
    { id: 's2', language: 'zh', label: null, chosen: false },
  ],
  held: [[0, 0.42], [0.55, 0.61], [0.99, 1]], wait: null, error: null,
  sources: {
    own_group: { peers: 5, rate: 1_100_000, bytes: 201_000_000 },
    other_groups: { peers: 1, rate: 40_000, bytes: 6_000_000 },
    publisher: { peers: 1, rate: 0, bytes: 3_000_000 },
    web: { peers: 1, rate: 0, bytes: 2_000_000 },
    sent: { peers: 0, rate: 320_000, bytes: 48_000_000 },
    size: 454_000_000, held: 212_000_000,
  },
  resumed_at_ms: null, figures: { first_picture_ms: 412, seek_picture_ms: null, stalls: 0, stalled_ms: 0 },
};

function poster(hue: number): string {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="480" height="270"><defs><linearGradient id="g" x1="0" y1="0" x2="1" y2="1"><stop stop-color="hsl(${hue} 60% 62%)"/><stop offset="1" stop-color="hsl(${hue + 60} 55% 28%)"/></linearGradient></defs><rect width="480" height="270" fill="url(#g)"/><circle cx="340" cy="90" r="46" fill="#fff" opacity=".5"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

const recent: Screen['recent'] = [
  ['Big Buck Bunny', 184_000, 600_000, 454e6, 212e6, 48e6, false],
  ['A very long name of a film that nobody would ever print on a ticket, part two', 0, 5_400_000, 2.1e9, 2.1e9, 9.4e9, false],
  ['流浪地球：飞跃2020特别版（导演剪辑加长版，含花絮与访谈）', 3_100_000, 8_100_000, 4.2e9, 3.9e9, 1.2e9, false],
  ['holiday', 20_000, 400_000, 8e8, 0, 0, true],
].map(([title, position_ms, duration_ms, size, held, shared, local], at) => ({
  id: `film-${at}`, title, position_ms, duration_ms, size, held, shared, local, poster: at === 3 ? null : poster(at * 70),
  watched_at_ms: 1.79e12,
})) as Screen['recent'];

const shares: Screen['shares'] = [
  { id: 4, title: 'Lecture 12, part two', path: '/home/viewer/Videos/lecture 12b.mkv', size: 1.4e9, peers: 0, sent: 0, state: { is: 'waiting' } },
  { id: 3, title: 'Lecture 12, part one', path: '/home/viewer/Videos/lecture 12a.mkv', size: 2.1e9, peers: 0, sent: 0, state: { is: 'reading', done: 0.9e9, left_ms: 14_000 } },
  {
    id: 2, title: '我们的假期', path: '/home/viewer/Videos/我们的假期.mp4', size: 454e6, peers: 3, sent: 1.2e9,
    state: { is: 'shared', link: `nearcast://${'a'.repeat(52)}/%E6%88%91%E4%BB%AC.mp4?size=454000000&tracker=/ip4/203.0.113.5/tcp/4401` },
  },
  {
    id: 1, title: 'notes', path: '/home/viewer/Videos/notes.mp4', size: 12e3, peers: 0, sent: 0,
    state: { is: 'failed', message: { code: 'not_a_film', detail: '/home/viewer/Videos/notes.mp4 holds nothing that can be played' } },
  },
];

function scene(name: string | null, screen: Screen): Screen {
  switch (name) {
    case 'first-start':
      return { ...screen, first_start: true, film: null, recent: [], settings: { ...screen.settings, folder: '' } };
    case 'player':
    case 'sources':
    case 'statistics':
      return { ...screen, film: { ...film, state: 'paused' } };
    case 'waiting':
      return { ...screen, film: { ...film, state: 'waiting', wait: { code: 'slow', rate: 480_000, needed: 760_000 } } };
    case 'failed':
      return {
        ...screen,
        film: { ...film, state: 'failed', error: { code: 'missing_codec', detail: 'a decoder for H.265 is missing on this machine' } },
      };
    case 'empty':
      return { ...screen, recent: [] };
    case 'question':
      return {
        ...screen,
        question: {
          kind: 'link', title: 'Big Buck Bunny', size: 454_000_000, trackers: ['/ip4/192.168.1.9/tcp/4401'],
          private: ['/ip4/192.168.1.9/tcp/4401'], can_trust: true,
        },
      };
    case 'share':
      return screen;
    case 'shares':
      return { ...screen, shares };
    case 'shares-own':
      return {
        ...screen, shares: shares.slice(2), settings: { ...screen.settings, trackers: [], share: false },
      };
    case 'close':
      return { ...screen, question: { kind: 'close', tray: false } };
    case 'notices':
      return { ...screen, notices: [{ id: 1, message: { code: 'bad_link', detail: 'the resource id has 5 characters, not 52' } }] };
    default:
      return screen;
  }
}

/** The screen in a plain browser: `?scene=player&lang=zh-CN&theme=dark`. Commands change it as the app would. */
export function fake(query: URLSearchParams): Backend {
  let show: (screen: Screen) => void = () => {};
  let fullscreen = false;
  let screen = scene(query.get('scene'), {
    first_start: false,
    settings: {
      ...settings,
      language: query.get('lang') === 'zh-CN' ? 'zh-CN' : 'en',
      theme: query.get('theme') === 'dark' ? 'dark' : 'light',
    },
    machine: {
      version: '0.1.0', default_folder: '/home/viewer/Videos/Nearcast', tray: true,
      languages: [query.get('lang') ?? 'en'],
    },
    question: null, film: null, recent,
    storage: { used: 6.2 * GB, free: 131 * GB },
    sharing: { online: true, paused_until_ms: null, today: 1.24e9, rate: 320_000, films: 3, reached: 'by_introduction' },
    shares: [], notices: [],
  });
  const update = (change: Partial<Screen>) => {
    screen = { ...screen, ...change };
    show(screen);
  };
  const updateFilm = (change: Partial<Film>) => {
    if (screen.film) update({ film: { ...screen.film, ...change } });
  };
  const choose = (tracks: Film['audio'], id: string | null) => tracks.map((track) => ({ ...track, chosen: track.id === id }));

  function act(command: Command) {
    switch (command.do) {
      case 'begin': return update({ first_start: false, settings: command.settings });
      case 'set': return update({ settings: command.settings });
      case 'set_volume':
        return update({ settings: { ...screen.settings, volume: command.volume, muted: command.muted } });
      case 'open':
      case 'open_recent': return update({ film });
      case 'close_film': return update({ film: null });
      case 'play': return updateFilm({ state: 'playing' });
      case 'pause': return updateFilm({ state: 'paused' });
      case 'seek': return updateFilm({ position_ms: command.to_ms });
      case 'set_rate': return updateFilm({ rate: command.rate });
      case 'choose_audio': return updateFilm({ audio: choose(screen.film?.audio ?? [], command.id) });
      case 'choose_subtitles': return updateFilm({ subtitles: choose(screen.film?.subtitles ?? [], command.id) });
      case 'answer_link': return update({ question: null, film: command.answer === 'no' ? null : film });
      case 'answer_close': return update({ question: null });
      case 'remove': return update({ recent: screen.recent.filter((one) => one.id !== command.id) });
      case 'share': return update({ shares });
      case 'stop_sharing': return update({ shares: screen.shares.filter((one) => one.id !== command.id) });
      case 'pause_sharing':
        return update({
          sharing: { ...screen.sharing, paused_until_ms: command.minutes ? Date.now() + command.minutes * 60_000 : null },
        });
      case 'dismiss': return update({ notices: screen.notices.filter((notice) => notice.id !== command.id) });
    }
  }

  return {
    connect: async (shows) => {
      show = shows;
      show(screen);
    },
    act: async (command) => act(command),
    openDialog: async () => update({ film }),
    shareDialog: async () => update({ shares }),
    chooseFolder: async () => '/media/films',
    setFullscreen: async (on) => {
      fullscreen = on;
    },
    isFullscreen: async () => fullscreen,
    copy: async () => {},
    quit: async () => {},
  };
}
