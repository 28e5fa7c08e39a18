/**
 * Markdown as elements, from the tokens of marked's lexer. Text from models and from the web only
 * ever becomes text nodes: nothing here can carry markup into the page.
 */
import { h, type ComponentChildren } from "preact";
import { useContext } from "preact/hooks";
import { Lexer, type MarkedToken, type Token, type Tokens } from "marked";
import { extractFormulas, FormulaElement, restoreFormulas, splitAtFormulas, type Formula } from "./formulas";
import { clip } from "./format";
import { linkedText, TextContext, type TextSetting } from "./linked_text";
import { memo } from "./memo";
import { hasEndlessWord, PlainText } from "./plain_text";

/**
 * Beyond this, reading and laying out Markdown would freeze the page; plain text does not. Reports of a
 * hundred pages stay below: so many characters, lines that begin a block, cells, and signs that mean something.
 */
const LONGEST_MARKDOWN = 100_000;
const MOST_BLOCKS = 2000;
const MOST_SIGNS = 4000;
const MOST_CELLS = 3000;
const BLOCK = /^[ \t>]*(?:[-+*#>|=]|\d+[.)]|```|~~~|$)/gm;
const SIGN = /[*_~]+|[[<`\\&@!]|:\/\//g;
const CELL = /\|/g;

/** Nested containers, by marks or indentation: the lexer reads them again for each level. */
const TOO_DEEP = /^[ \t]*(?:(?:[-+*>]|\d{1,9}[.)])[ \t]*){24}|^[ \t]{64,}(?:[-+*>]|\d{1,9}[.)])/m;

/** Deeper than anyone writes; also what keeps hostile text from exhausting the stack. */
const DEEPEST = 40;

/** A thousand marks in one paragraph, or many thousands in many: a tenth of a second. */
const MOST_EFFORT = 1000 ** 2;

const QUOTE = /^⟦([^]*?)(?:\|([^|]*?))?(?:\|(verified|moved|altered|not found))?⟧$/;
const WRONG = new Set(["altered", "not found"]);

const SAFE_LINK = /^(https?:\/\/|mailto:)/i;

/** Headings of the text go below that of the pane, which follows whatever heading the notebook has before it. */
const PANE_HEADING = 2;

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

function decodeEntity(entity: string, name: string): string {
  if (!name.startsWith("#")) return Object.hasOwn(ENTITIES, name) ? (ENTITIES[name] as string) : entity;
  const hexadecimal = name[1] === "x" || name[1] === "X";
  const point = Number.parseInt(name.slice(hexadecimal ? 2 : 1), hexadecimal ? 16 : 10);
  return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : entity;
}

/** The lexer leaves entities for an HTML renderer to pass on; as text they must be characters. */
export function decodeEntities(text: string): string {
  return text.replace(/&(#[xX]?[0-9a-fA-F]+|[a-z]+);/g, decodeEntity);
}

/** The address if it leads to the web or to mail, else null. */
export function safeLink(address: string): string | null {
  const plain = decodeEntities(address).trim();
  return SAFE_LINK.test(plain) ? plain : null;
}

function Link({ address, children }: { address: string; children: ComponentChildren }) {
  const target = safeLink(address);
  if (target === null) return <span>{children}</span>;
  return (
    <a href={target} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

/** What the elements of one text are made with. */
interface Reading {
  readonly depth: number;
  readonly formulas: readonly Formula[];
  readonly setting: TextSetting;
  /** The depths of the headings above the place that was read last. */
  readonly outline: number[];
}

/** Whatever depths a text uses, no level is left out: screen readers announce levels. */
function headingLevel(depth: number, outline: number[]): number {
  while ((outline.at(-1) ?? 0) >= depth) outline.pop();
  outline.push(depth);
  return Math.min(6, PANE_HEADING + outline.length);
}

/** Text in which a formula is drawn, "[0.2]" leads to the node 0.2, and what was searched for is marked. */
function textElements(text: string, { formulas, setting }: Reading): ComponentChildren {
  const parts = splitAtFormulas(text);
  if (parts.length === 1) return linkedText(text, setting);
  return parts.map((part, index) => {
    if (index % 2 === 0) return linkedText(part, setting);
    const formula = formulas[Number(part)];
    return formula && (formula.tex === "" ? quotation(formula.raw, setting) : <FormulaElement formula={formula} />);
  });
}

/** `⟦"words"|place|state⟧`: the words, and behind them a footnote that leads to the passage. */
function quotation(raw: string, { cite }: TextSetting): ComponentChildren {
  const [, quoted = "", place = "", state = "not checked"] = QUOTE.exec(raw) ?? [];
  const words = quoted.replace(/\s+/g, " ").replace(/^[\s"'“”„«»]+|[\s"'“”„«»]+$/g, "");
  const name = `${place.trim()}, ${state}`;
  return (
    <span class={`rn-quote${WRONG.has(state) ? " rn-wrong" : ""}`}>
      “{words}”
      <button type="button" class="rn-reference" aria-label={`Source: ${clip(name)}`} title={clip(name)} onClick={() => cite(words)}>
        {WRONG.has(state) ? state : clip(place.trim(), 40)}
      </button>
    </span>
  );
}

/** Loading an image would reveal the reader to its server, so its description links to it. */
function imageLink(token: Tokens.Image, reading: Reading): ComponentChildren {
  const address = restoreFormulas(token.href, reading.formulas);
  return <Link address={address}>[image: {decodeEntities(restoreFormulas(token.text, reading.formulas)) || address}]</Link>;
}

/** Parts of a text that say nothing about its direction. */
const NEUTRAL = /`[^`]*`|\]\([^)\s]*\)|https?:\S*|\ufdd0\d+\ufdd1|&\w+;/g;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdfd\ufe70-\ufefc]/;

/**
 * The direction in which a text begins; none for numbers alone, which follow what is around them. (`dir="auto"` would
 * make those left-to-right, and sees nothing in what has directions inside.)
 */
function directionOf(text: string): "rtl" | "ltr" | undefined {
  const letter = /\p{L}/u.exec(text.slice(0, 2000).replace(NEUTRAL, " "))?.[0];
  return letter === undefined ? undefined : RIGHT_TO_LEFT.test(letter) ? "rtl" : "ltr";
}

function list(token: Tokens.List, reading: Reading): ComponentChildren {
  const items = token.items.map((item) => (
    <li class={item.task ? "rn-task" : undefined}>{elements(item.tokens, reading)}</li>
  ));
  const dir = directionOf(token.items[0]?.text ?? "");
  return token.ordered ? (
    <ol start={Number(token.start) || 1} dir={dir}>
      {items}
    </ol>
  ) : (
    <ul dir={dir}>{items}</ul>
  );
}

function cells(row: readonly Tokens.TableCell[], tag: "th" | "td", reading: Reading): ComponentChildren {
  return (
    <tr>
      {row.map(({ align, text, tokens }) =>
        h(tag, { dir: directionOf(text), style: align ? { textAlign: align } : undefined }, elements(tokens, reading)),
      )}
    </tr>
  );
}

function table({ header, rows, raw }: Tokens.Table, reading: Reading): ComponentChildren {
  return (
    <div class="rn-table" tabIndex={0} role="group" aria-label="Table" dir={directionOf(raw.replace(/[|:-]/g, " "))}>
      <table>
        <thead>{cells(header, "th", reading)}</thead>
        <tbody>{rows.map((row) => cells(row, "td", reading))}</tbody>
      </table>
    </div>
  );
}

function CodeBlock({ text }: { text: string }) {
  return (
    <pre tabIndex={0} role="group" aria-label="Code" dir="ltr">
      <code>{text}</code>
    </pre>
  );
}

/** Without extensions the lexer makes no tokens but marked's own. */
function element(generic: Token, reading: Reading): ComponentChildren {
  const token = generic as MarkedToken;
  const asItWas = (text: string): string => restoreFormulas(text, reading.formulas);
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "code":
      return <CodeBlock text={asItWas(token.text)} />;
    case "heading":
      return h(`h${headingLevel(token.depth, reading.outline)}`, { dir: directionOf(token.text) }, elements(token.tokens, reading));
    case "table":
      return table(token, reading);
    case "hr":
      return <hr />;
    case "blockquote":
      return <blockquote dir={directionOf(token.text)}>{elements(token.tokens, reading)}</blockquote>;
    case "list":
      return list(token, reading);
    case "checkbox":
      return token.checked ? "☑ " : "☐ ";
    case "paragraph":
      return <p dir={directionOf(token.text)}>{elements(token.tokens, reading)}</p>;
    case "strong":
      return <strong>{elements(token.tokens, reading)}</strong>;
    case "em":
      return <em>{elements(token.tokens, reading)}</em>;
    case "del":
      return <del>{elements(token.tokens, reading)}</del>;
    case "codespan":
      return <code>{asItWas(token.text)}</code>;
    case "br":
      return <br />;
    case "link":
      return <Link address={asItWas(token.href)}>{elements(token.tokens, reading)}</Link>;
    case "image":
      return imageLink(token, reading);
    case "text":
      return token.tokens ? elements(token.tokens, reading) : textElements(decodeEntities(token.text), reading);
    case "escape":
      return token.text;
    default:
      return asItWas(token.raw);
  }
}

function elements(tokens: readonly Token[] | undefined, { depth, ...reading }: Reading): ComponentChildren {
  return (tokens ?? []).map((token) =>
    depth < DEEPEST ? element(token, { ...reading, depth: depth + 1 }) : restoreFormulas(token.raw, reading.formulas),
  );
}

/**
 * Emphasis that does not close takes marked a time that grows with the square of the marks in a
 * paragraph or cell. Texts that people write stay far below the bound; what is beyond it stays plain.
 */
class BoundedLexer extends Lexer {
  #effort = 0;

  override inlineTokens(text: string, tokens: Token[] = []): Token[] {
    this.#effort += (text.match(/[*_~]+/g)?.length ?? 0) ** 2;
    if (this.#effort <= MOST_EFFORT) return super.inlineTokens(text, tokens);
    tokens.push({ type: "text", raw: text, text });
    return tokens;
  }
}

function isTooMuch(text: string): boolean {
  const count = (pattern: RegExp): number => text.match(pattern)?.length ?? 0;
  if (text.length > LONGEST_MARKDOWN || TOO_DEEP.test(text)) return true;
  return count(BLOCK) > MOST_BLOCKS || count(SIGN) > MOST_SIGNS || count(CELL) > MOST_CELLS;
}

/** What cannot be read as Markdown (nested too deep for the lexer, too much) is shown as it is. */
function parse(text: string): readonly Token[] | null {
  if (isTooMuch(text) || hasEndlessWord(text)) return null;
  try {
    return new BoundedLexer({ gfm: true }).lex(text);
  } catch {
    return null;
  }
}

const Laid = memo(({ text, setting }: { text: string; setting: TextSetting }) => {
  const { text: prose, formulas } = text.length > LONGEST_MARKDOWN ? { text, formulas: [] } : extractFormulas(text);
  const tokens = parse(prose);
  if (!tokens) return <PlainText text={text} />;
  return <div class="rn-markdown">{elements(tokens, { depth: 0, formulas, setting, outline: [] })}</div>;
});

export function Markdown({ text }: { text: string }) {
  return <Laid text={text} setting={useContext(TextContext)} />;
}
