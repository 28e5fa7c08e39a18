/** Which words of two texts differ: the longest common subsequence of words, within bounds. */

export interface Piece {
  readonly text: string;
  readonly changed: boolean;
}

/** The product of words that are compared one with each other; beyond it, what differs is one piece. */
const MOST_STEPS = 4_000_000;

const wordsIn = (text: string): string[] => text.match(/\s+|[^\s]+/g) ?? [];

function commonStart(first: readonly string[], second: readonly string[]): number {
  let length = 0;
  while (length < first.length && length < second.length && first[length] === second[length]) length += 1;
  return length;
}

function commonEnd(first: readonly string[], second: readonly string[], from: number): number {
  let length = 0;
  const most = Math.min(first.length, second.length) - from;
  while (length < most && first.at(-1 - length) === second.at(-1 - length)) length += 1;
  return length;
}

/** For each word, whether it is in the longest common subsequence. */
function kept(first: readonly string[], second: readonly string[]): [boolean[], boolean[]] {
  const marks: [boolean[], boolean[]] = [first.map(() => false), second.map(() => false)];
  if (first.length * second.length > MOST_STEPS) return marks;
  const width = second.length + 1;
  const lengths = new Uint16Array((first.length + 1) * width);
  for (let row = first.length - 1; row >= 0; row -= 1) {
    for (let column = second.length - 1; column >= 0; column -= 1) {
      const below = lengths[(row + 1) * width + column] ?? 0;
      const right = lengths[row * width + column + 1] ?? 0;
      const diagonal = lengths[(row + 1) * width + column + 1] ?? 0;
      lengths[row * width + column] = first[row] === second[column] ? diagonal + 1 : Math.max(below, right);
    }
  }
  for (let row = 0, column = 0; row < first.length && column < second.length; ) {
    if (first[row] === second[column]) {
      marks[0][row] = marks[1][column] = true;
      row += 1;
      column += 1;
    } else if ((lengths[(row + 1) * width + column] ?? 0) >= (lengths[row * width + column + 1] ?? 0)) row += 1;
    else column += 1;
  }
  return marks;
}

function piecesOf(words: readonly string[], start: number, end: number, marks: readonly boolean[]): Piece[] {
  const pieces: Piece[] = [];
  words.forEach((text, index) => {
    const changed = index >= start && index < words.length - end && marks[index - start] !== true;
    const last = pieces.at(-1);
    if (last && last.changed === changed) pieces[pieces.length - 1] = { text: last.text + text, changed };
    else pieces.push({ text, changed });
  });
  return pieces;
}

export function changedWords(old: string, now: string): readonly [Piece[], Piece[]] {
  const [first, second] = [wordsIn(old), wordsIn(now)];
  const start = commonStart(first, second);
  const end = commonEnd(first, second, start);
  const [ours, theirs] = kept(first.slice(start, first.length - end), second.slice(start, second.length - end));
  return [piecesOf(first, start, end, ours), piecesOf(second, start, end, theirs)];
}
