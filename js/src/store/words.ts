/**
 * What is typed into the search, as words: a node is found that has all of them, in any order. Words in double quotes
 * belong together, and "[0.2]" is the node 0.2.
 */

const WORD = /"([^"]+)"|(\S+)/g;
const NODE_ID = /^\[?(\d+(?:\.\d+)*)\]?$/;
const MOST_WORDS = 20;

export function wordsOf(query: string): string[] {
  const words = [...query.toLowerCase().matchAll(WORD)].map(([, phrase, word]) => (phrase ?? word ?? "").trim());
  return [...new Set(words.filter((word) => word !== "" && word !== '"'))].slice(0, MOST_WORDS);
}

/** The id that a word is, with or without brackets; null for any other word. */
export const idOf = (word: string): string | null => NODE_ID.exec(word)?.[1] ?? null;

/** Matches any of the words, in one group; null for none. */
export function patternOf(words: readonly string[]): RegExp | null {
  if (words.length === 0) return null;
  const longestFirst = [...words].sort((first, second) => second.length - first.length);
  return new RegExp(`(${longestFirst.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "giu");
}
