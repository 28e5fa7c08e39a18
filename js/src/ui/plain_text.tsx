/**
 * Text as it is, of any length. A browser takes a time that grows with the square of a line that it
 * cannot break (16 s for 100,000 characters), so such lines are cut into pieces; and pieces out of
 * sight are not laid out at all. Of a very long text a portion is shown, and the rest on request.
 */
import { useContext, useState } from "preact/hooks";
import { linkedText, TextContext } from "./linked_text";

/** Up to this length a text is one piece, and a line is not cut. */
const PIECE_LENGTH = 2000;

/** The text in pieces that each end at the end of a line, where lines are not endless. */
export function pieces(text: string): string[] {
  const found: string[] = [];
  for (let start = 0; start < text.length || start === 0; ) {
    const limit = start + PIECE_LENGTH;
    const newline = limit >= text.length ? -1 : text.lastIndexOf("\n", limit);
    const end = newline > start ? newline : Math.min(limit, text.length);
    found.push(text.slice(start, end));
    // The end of a piece is the end of a line already.
    start = newline > start ? newline + 1 : end;
    if (end >= text.length) break;
  }
  return found;
}

/** Whether some word is so long that only pieces of it can be laid out. */
export function hasEndlessWord(text: string): boolean {
  let begin = 0;
  for (const { index } of text.matchAll(/\s/g)) {
    if (index - begin > PIECE_LENGTH) return true;
    begin = index + 1;
  }
  return text.length - begin > PIECE_LENGTH;
}

/** For a field in which pieces are not possible: it does not break lines then. */
export const wrapOf = (text: string): "soft" | "off" => (hasEndlessWord(text) ? "off" : "soft");

/** So many characters are added at a time: a few milliseconds. */
export const PORTION = 100_000;

export function PlainText({ text }: { text: string }) {
  const [length, setLength] = useState(PORTION);
  const setting = useContext(TextContext);
  const left = text.length - length;
  const shown = left > 0 ? text.slice(0, length) : text;
  const parts = pieces(shown);
  return (
    <>
      <div class="rn-plain" dir="auto">
        {parts.length === 1
          ? linkedText(shown, setting)
          : parts.map((part) => (
              <div class="rn-piece" dir="auto">
                {linkedText(part, setting)}
              </div>
            ))}
      </div>
      {left > 0 && (
        <button type="button" class="rn-button rn-more" onClick={() => setLength(length + PORTION)}>
          Show more ({left.toLocaleString("en")} characters are left)
        </button>
      )}
    </>
  );
}
