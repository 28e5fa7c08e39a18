/**
 * Titles that all start alike, told apart: where there is no room, "Summarise the chapter about X" and
 * "... about Y" are cut in the middle, where they are the same, and not at the end, where they differ.
 */

/** A shorter beginning is left as it is. */
const SHORTEST_PREFIX = 24;
/** The most characters of the common beginning that remain. */
const KEPT = 16;
/** The number of siblings whose titles are compared. */
const MOST_COMPARED = 100;

const WORD_END = /\s+\S*$/;

/** What all titles begin with, up to the end of a word. */
export function commonPrefix(titles: readonly string[]): string {
  const [first = "", ...others] = titles;
  let length = first.length;
  for (const title of others) {
    while (!title.startsWith(first.slice(0, length))) length -= 1;
  }
  return others.length === 0 ? "" : first.slice(0, length).replace(WORD_END, " ").trimStart();
}

/** The length of the beginning that siblings share; 0 if they would not differ without it. */
export function sharedLength(titles: readonly string[]): number {
  const compared = titles.slice(0, MOST_COMPARED);
  if (compared.every((title) => title === compared[0])) return 0;
  const { length } = commonPrefix(compared);
  return length >= SHORTEST_PREFIX ? length : 0;
}

/** A title as its beginning, what may be left out where there is no room, and what tells it apart; null for one whole. */
export function titleParts(title: string, shared: number): readonly [start: string, common: string, rest: string] | null {
  if (shared === 0 || title.length <= shared) return null;
  const start = title.slice(0, KEPT).replace(WORD_END, "");
  return [start, title.slice(start.length, shared), title.slice(shared)];
}
