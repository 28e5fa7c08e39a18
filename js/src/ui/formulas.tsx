/**
 * Formulas in Markdown: found before it is read, because the backslashes and underscores of a formula mean nothing to
 * Markdown, and drawn by a part of the widget that the kernel sends when there is something to draw.
 */
import { createContext, h, type ComponentChildren } from "preact";
import { useContext, useEffect } from "preact/hooks";

export interface Formula {
  /** As it is written, with its delimiters. */
  readonly raw: string;
  readonly tex: string;
  readonly display: boolean;
}

/** A text of MathML, or an element with attributes and content. */
export type MathTree = string | readonly [tag: string, attributes: Readonly<Record<string, string>>, content: readonly MathTree[]];

/** Gives null for a formula that has errors, or is too much to draw. */
export type Typesetter = (tex: string, display: boolean) => readonly MathTree[] | null;

/** What draws formulas, once it is there, and how to ask for it. */
export interface FormulaPort {
  readonly typeset: Typesetter | null;
  request(): void;
}

export const FormulaContext = createContext<FormulaPort>({ typeset: null, request: () => undefined });

/** A placeholder is the number of a formula between two characters that no text has. */
const PLACE = /\ufdd0(\d+)\ufdd1/;
const EVERY_PLACE = new RegExp(PLACE, "g");

const MOST_FORMULAS = 300;
const LONGEST_FORMULA = 4000;

/** Delimiters, and what no formula has inside: an empty line, code. A backslash takes the next character along. */
const MARK = /⟦[^⟦⟧]{1,4000}⟧|\\\\[()[\]]|\\(?:begin|end)\{[a-z]+\*?\}|\\.|\$\$?|\n[ \t>]*\n|`+|~~~/gi;
const CLOSING: Readonly<Record<string, string>> = { "$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]", "\\\\(": "\\\\)", "\\\\[": "\\\\]" };
const ENVIRONMENT = /^\\begin\{((?:equation|align(?:at|ed)?|gather(?:ed)?|multline|eqnarray|split|array|cases|[a-z]*matrix)\*?)\}$/i;
/** Escaped brackets around words, or square ones around a number, are brackets. */
const PLAIN = /^[\p{L}\p{N}_\s.,;:'?!-]*$/u;
const WORDS = /\p{L}{2}\s+\p{L}{2}/u;
const NUMBER = /^[\d\s.,]*$/;
const NO_FORMULA = /^(?:\n|`|~)/;

interface Opening {
  readonly sign: string;
  readonly at: number;
  readonly closing: string;
}

function opening(sign: string, at: number, text: string): Opening | null {
  const environment = ENVIRONMENT.exec(sign)?.[1];
  const closing = environment === undefined ? CLOSING[sign] : `\\end{${environment}}`;
  if (closing === undefined || (sign === "$" && !/\S/.test(text[at + 1] ?? " "))) return null;
  return { sign, at, closing };
}

/** "$5 and $10" are prices: a dollar that ends a formula follows a sign, and no digit follows it. */
const closesDollar = (text: string, at: number): boolean => /\S/.test(text[at - 1] ?? " ") && !/\d/.test(text[at + 1] ?? "");

const isProse = (text: string, sign: string): boolean =>
  (sign === "\\[" && NUMBER.test(text)) || (/^\\[([]$/.test(sign) && PLAIN.test(text) && WORDS.test(text));

function formulaOf(raw: string, { sign, closing }: Opening): Formula {
  const environment = sign.startsWith("\\begin");
  const inner = environment ? raw : raw.slice(sign.length, raw.length - closing.length);
  // In a quote, each line of a formula begins like the quote.
  const tex = inner.replace(/\n[ \t]*>[ \t]?/g, "\n");
  return { raw, tex, display: environment || /[$[]$/.test(sign) && sign !== "$" };
}

export interface Extracted {
  readonly text: string;
  readonly formulas: readonly Formula[];
}

/** The text with a placeholder for each formula; in one pass, however many delimiters do not close. */
export function extractFormulas(whole: string): Extracted {
  const text = whole.replace(/[\ufdd0\ufdd1]/g, "\ufffd");
  const formulas: Formula[] = [];
  const written: string[] = [];
  let done = 0;
  let open: Opening | null = null;
  for (const { 0: sign, index: at } of text.matchAll(MARK)) {
    if (sign.startsWith("⟦")) {
      // A quote, whose words are no Markdown either.
      if (formulas.length < MOST_FORMULAS) {
        written.push(text.slice(done, at), `\ufdd0${formulas.length}\ufdd1`);
        formulas.push({ raw: sign, tex: "", display: false });
        done = at + sign.length;
      }
      open = null;
    } else if (open === null) {
      open = opening(sign, at, text);
    } else if (NO_FORMULA.test(sign)) {
      open = null;
    } else if (sign === open.closing && (sign !== "$" || closesDollar(text, at))) {
      const end = at + sign.length;
      const inner = text.slice(open.at + open.sign.length, at);
      if (end - open.at <= LONGEST_FORMULA && formulas.length < MOST_FORMULAS && inner !== "" && !isProse(inner, open.sign)) {
        written.push(text.slice(done, open.at), `\ufdd0${formulas.length}\ufdd1`);
        formulas.push(formulaOf(text.slice(open.at, end), open));
        done = end;
      }
      open = null;
    } else if (open.closing === "$" && /^\$|^\\[([]$/.test(sign)) {
      // The dollar before was none of a formula: no other begins inside one.
      open = opening(sign, at, text);
    }
  }
  return { text: written.join("") + text.slice(done), formulas };
}

/** Text that is no Markdown after all (code, an address) is as it was. */
export const restoreFormulas = (text: string, formulas: readonly Formula[]): string =>
  formulas.length === 0 ? text : text.replace(EVERY_PLACE, (_, index) => formulas[Number(index)]?.raw ?? "");

/** The parts of a text: every second one is the number of a formula. */
export const splitAtFormulas = (text: string): string[] => text.split(PLACE);

const mathElements = (trees: readonly MathTree[]): ComponentChildren =>
  trees.map((tree) => (typeof tree === "string" ? tree : h(tree[0], tree[1], mathElements(tree[2]))));

/** Longer formulas may be wider than the text, and scroll. */
const LONG = 60;

export function FormulaElement({ formula }: { formula: Formula }) {
  const { typeset, request } = useContext(FormulaContext);
  useEffect(request, [request]);
  const trees = typeset?.(formula.tex, formula.display);
  if (!trees) return <code class="rn-tex">{formula.raw}</code>;
  const look = formula.display ? " rn-display" : formula.tex.length > LONG ? " rn-long" : "";
  const content = mathElements(trees);
  if (look === "") return <span class="rn-formula">{content}</span>;
  return (
    <span class={`rn-formula${look}`} tabIndex={0} role="group" aria-label="Formula">
      {content}
    </span>
  );
}
