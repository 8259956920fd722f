import type { Language } from '../backend/types/Language';
import { en } from './en';
import { zh } from './zh';

/** The words of one language. A missing one is a type error. */
export type Words = Record<keyof typeof en, string>;
export type Word = keyof typeof en;
/** Says a word in the present language, with what is to be filled in. */
export type Say = (word: Word, fill?: Record<string, string | number>) => string;

export const tables: Record<Language, Words> = { en, 'zh-CN': zh };

/** The speaker of a language. */
export function speaker(language: Language): Say {
  const words = tables[language];
  return (word, fill = {}) => words[word].replace(/\{(\w+)\}/g, (hole, name: string) => String(fill[name] ?? hole));
}

/** The best of our languages for what the system asks for. */
export function preferred(asked: string[]): Language {
  for (const tag of asked) {
    if (tag.toLowerCase().startsWith('zh')) return 'zh-CN';
    if (tag.toLowerCase().startsWith('en')) return 'en';
  }
  return 'en';
}
