/**
 * Markdown as elements, from the tokens of marked's lexer. Text from models and from the web only
 * ever becomes text nodes: nothing here can carry markup into the page.
 */
import { createContext, h, type ComponentChildren } from "preact";
import { useContext } from "preact/hooks";
import { Lexer, type MarkedToken, type Token, type Tokens } from "marked";
import { clip } from "./format";
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

const SAFE_LINK = /^(https?:\/\/|mailto:)/i;

/** Headings of the text go below those of the page. */
const HEADING_SHIFT = 2;

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

/** What a text can lead to: nodes of the run, by their ids. */
export interface References {
  /** The title of a node; undefined when there is none of that id. */
  title(id: string): string | undefined;
  open(id: string): void;
}

const NO_REFERENCES: References = { title: () => undefined, open: () => undefined };

const ReferenceContext = createContext(NO_REFERENCES);

const REFERENCE = /\[(0(?:\.\d+)*)\]/;

function Reference({ id }: { id: string }) {
  const references = useContext(ReferenceContext);
  const title = references.title(id);
  if (title === undefined) return <>[{id}]</>;
  return (
    <button type="button" class="rn-reference" title={clip(title)} aria-label={`Task ${id}: ${clip(title)}`} onClick={() => references.open(id)}>
      [{id}]
    </button>
  );
}

/** Text in which "[0.2]" leads to the node 0.2. */
function textElements(text: string): ComponentChildren {
  // Splitting at a group keeps it: every second part is an id.
  const parts = text.split(REFERENCE);
  return parts.length === 1 ? text : parts.map((part, index) => (index % 2 === 1 ? <Reference id={part} /> : part));
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

/** Loading an image would reveal the reader to its server, so its description links to it. */
function ImageLink({ token }: { token: Tokens.Image }) {
  return <Link address={token.href}>[image: {decodeEntities(token.text) || token.href}]</Link>;
}

function List({ token, depth }: { token: Tokens.List; depth: number }) {
  const items = token.items.map((item) => (
    <li class={item.task ? "rn-task" : undefined}>{elements(item.tokens, depth)}</li>
  ));
  return token.ordered ? <ol start={Number(token.start) || 1}>{items}</ol> : <ul>{items}</ul>;
}

function Cell({ cell, tag, depth }: { cell: Tokens.TableCell; tag: "th" | "td"; depth: number }) {
  return h(tag, { style: cell.align ? { textAlign: cell.align } : undefined }, elements(cell.tokens, depth));
}

function Table({ token, depth }: { token: Tokens.Table; depth: number }) {
  return (
    <div class="rn-table" tabIndex={0} role="group" aria-label="Table">
      <table>
        <thead>
          <tr>{token.header.map((cell) => <Cell cell={cell} tag="th" depth={depth} />)}</tr>
        </thead>
        <tbody>
          {token.rows.map((row) => (
            <tr>{row.map((cell) => <Cell cell={cell} tag="td" depth={depth} />)}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function CodeBlock({ text }: { text: string }) {
  return (
    <pre tabIndex={0} role="group" aria-label="Code">
      <code>{text}</code>
    </pre>
  );
}

/** Without extensions the lexer makes no tokens but marked's own. */
function element(generic: Token, depth: number): ComponentChildren {
  const token = generic as MarkedToken;
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "code":
      return <CodeBlock text={token.text} />;
    case "heading":
      return h(`h${Math.min(6, token.depth + HEADING_SHIFT)}`, null, elements(token.tokens, depth));
    case "table":
      return <Table token={token} depth={depth} />;
    case "hr":
      return <hr />;
    case "blockquote":
      return <blockquote>{elements(token.tokens, depth)}</blockquote>;
    case "list":
      return <List token={token} depth={depth} />;
    case "checkbox":
      return token.checked ? "☑ " : "☐ ";
    case "paragraph":
      return <p>{elements(token.tokens, depth)}</p>;
    case "strong":
      return <strong>{elements(token.tokens, depth)}</strong>;
    case "em":
      return <em>{elements(token.tokens, depth)}</em>;
    case "del":
      return <del>{elements(token.tokens, depth)}</del>;
    case "codespan":
      return <code>{token.text}</code>;
    case "br":
      return <br />;
    case "link":
      return <Link address={token.href}>{elements(token.tokens, depth)}</Link>;
    case "image":
      return <ImageLink token={token} />;
    case "html":
      return token.raw;
    case "text":
      return token.tokens ? elements(token.tokens, depth) : textElements(decodeEntities(token.text));
    case "escape":
      return token.text;
    default:
      return token.raw;
  }
}

function elements(tokens: readonly Token[] | undefined, depth: number): ComponentChildren {
  return (tokens ?? []).map((token) => (depth < DEEPEST ? element(token, depth + 1) : token.raw));
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

export const Markdown = memo(({ text, references = NO_REFERENCES }: { text: string; references?: References }) => {
  const tokens = parse(text);
  if (!tokens) return <PlainText text={text} />;
  return (
    <ReferenceContext.Provider value={references}>
      <div class="rn-markdown">{elements(tokens, 0)}</div>
    </ReferenceContext.Provider>
  );
});
