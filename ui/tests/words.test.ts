import { describe, expect, it } from 'vitest';
import { actionOf, actions, shownKey } from '../src/actions';
import type { Wait } from '../src/backend/types/Wait';
import { bytes, clock, rate } from '../src/format';
import { sentence } from '../src/waits';
import { en } from '../src/words/en';
import { preferred, speaker, tables, type Word } from '../src/words/words';
import { zh } from '../src/words/zh';

describe('the words', () => {
  const holes = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((hole) => hole[1]).sort();
  it.each(Object.keys(en) as Word[])('%s is said in each language, with the same holes', (word) => {
    for (const words of Object.values(tables)) {
      expect(words[word].trim()).not.toBe('');
      expect(holes(words[word])).toEqual(holes(en[word]));
    }
  });
  it('has nothing that English lacks', () => expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort()));
  it('follows the system', () => {
    expect(preferred(['zh-TW', 'en'])).toBe('zh-CN');
    expect(preferred(['de-DE', 'en-GB', 'zh-CN'])).toBe('en');
    expect(preferred([])).toBe('en');
  });
  it('fills holes in', () => expect(speaker('en')('resume_at', { time: '1:02' })).toBe('Go on at 1:02'));
});

describe('the action table', () => {
  it('has no key twice', () => {
    const keys = actions.flatMap((action) => action.keys);
    expect(keys.length).toBe(new Set(keys).size);
  });
  const press = (code: string, key: string, more = {}) =>
    actionOf({ code, key, ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, ...more })?.id;
  it('finds letters by their place, whatever an input method makes of them', () => {
    expect(press('KeyF', 'Process')).toBe('fullscreen');
    expect(press('KeyK', 'л')).toBe('play');
  });
  it('finds signs by what they are, and arrows with their modifiers', () => {
    expect(press('BracketLeft', '[')).toBe('slower');
    expect(press('Digit8', '[', { altKey: false })).toBe('slower');
    expect(press('BracketLeft', '{', { shiftKey: true })).toBe('half');
    expect(press('Slash', '?', { shiftKey: true })).toBe('help');
    expect(press('Comma', ',', { ctrlKey: true })).toBe('settings');
    expect(press('ArrowLeft', 'ArrowLeft')).toBe('back');
    expect(press('ArrowLeft', 'ArrowLeft', { shiftKey: true })).toBe('back-exact');
    expect(press('ArrowLeft', 'ArrowLeft', { ctrlKey: true })).toBe('back-long');
    expect(press('Space', ' ')).toBe('play');
  });
  it('never quits by a bare letter, nor by escape', () => {
    const quit = actions.find((action) => action.id === 'quit');
    expect(quit?.keys).toEqual(['Ctrl+Q']);
    expect(press('KeyQ', 'q')).toBeUndefined();
  });
  it('shows keys as people know them', () => {
    expect(shownKey('Ctrl+ArrowLeft')).toBe('Ctrl + ←');
    expect(shownKey('Ctrl+,')).toBe('Ctrl + ,');
  });
});

describe('figures', () => {
  it('are short and right', () => {
    expect([clock(0), clock(61_999), clock(3_723_000), clock(-5)]).toEqual(['0:00', '1:01', '1:02:03', '0:00']);
    expect([bytes(0), bytes(999), bytes(22_718_619), bytes(999_600), bytes(4e12)]).toEqual(['0 B', '999 B', '22.7 MB', '1.0 MB', '4.0 TB']);
    expect([rate(125_000), rate(1e4), rate(12.5e6)]).toEqual(['1.0 Mbit/s', '80 kbit/s', '100 Mbit/s']);
  });
});

describe('a wait', () => {
  const waits: Wait[] = [
    { code: 'finding_peers' }, { code: 'nobody_holds' }, { code: 'nobody_reached', listed: 3 }, { code: 'no_tracker' },
    { code: 'tracker_silent', tracker: '/ip4/1.2.3.4/tcp/1' }, { code: 'part_missing', peers: 2 }, { code: 'buffering' },
    { code: 'slow', rate: 1e5, needed: 8e5 }, { code: 'slow', rate: 1e5, needed: null },
  ];
  it.each(waits)('$code is one full sentence', (wait) => {
    for (const language of ['en', 'zh-CN'] as const) {
      const said = sentence(wait, speaker(language));
      expect(said).not.toMatch(/[{}]|undefined|null/);
      expect(said).toMatch(/[.。…]$/);
    }
  });
});
