/**
 * Text that is shown wherever the tree shows text: "[0.2]" leads to the node 0.2, and words that were searched for are
 * marked. What surrounds the text says which nodes there are, and which words.
 */
import { createContext, type ComponentChildren } from "preact";
import { useContext } from "preact/hooks";
import { clip } from "./format";

export interface TextSetting {
  /** The title of a node; undefined when there is none of that id. */
  title(id: string): string | undefined;
  open(id: string): void;
  /** Shows the passage of a quote. */
  cite(words: string): void;
  /** Matches the words that were searched for, in one group. */
  readonly words: RegExp | null;
}

/** Of a text that leads nowhere: in a dialog, which covers the tree. */
export const PLAIN_SETTING: TextSetting = { title: () => undefined, open: () => undefined, cite: () => undefined, words: null };

export const TextContext = createContext(PLAIN_SETTING);

/** In code, `answers[0]` is the first of them. */
const REFERENCE = /(?<![\w)\]](?=\[0\]))\[(0(?:\.\d+)*)\]/;

function reference(id: string, { title, open }: TextSetting): ComponentChildren {
  const name = title(id);
  if (name === undefined) return `[${id}]`;
  return (
    <button type="button" class="rn-reference" title={clip(name)} aria-label={`Task ${id}: ${clip(name)}`} onClick={() => open(id)}>
      [{id}]
    </button>
  );
}

/** Splitting at a group keeps it: every second part is what matched. */
export function markedText(text: string, words: RegExp | null): ComponentChildren {
  const parts = words ? text.split(words) : [text];
  return parts.length === 1 ? text : parts.map((part, index) => (index % 2 === 1 ? <mark>{part}</mark> : part));
}

export function linkedText(text: string, setting: TextSetting): ComponentChildren {
  const parts = text.split(REFERENCE);
  if (parts.length === 1) return markedText(text, setting.words);
  return parts.map((part, index) => (index % 2 === 1 ? reference(part, setting) : markedText(part, setting.words)));
}

export function LinkedText({ text }: { text: string }) {
  return <>{linkedText(text, useContext(TextContext))}</>;
}
