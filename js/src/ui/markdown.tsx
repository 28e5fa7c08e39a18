/**
 * Markdown as elements, from the tokens of marked's lexer. Text from models and from the web only
 * ever becomes text nodes: nothing here can carry markup into the page.
 */
import { h, type ComponentChildren } from "preact";
import { Lexer, type MarkedToken, type Token, type Tokens } from "marked";
import { memo } from "./memo";

/** Beyond this, laying out Markdown would freeze the page; plain text does not. */
const LONGEST_MARKDOWN = 200_000;

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

function Link({ address, children }: { address: string; children: ComponentChildren }) {
  const target = safeLink(address);
  if (target === null) return <span>{children}</span>;
  return (
    <a href={target} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

/** Loading an image would tell its server who reads this, so its description links to it. */
function ImageLink({ token }: { token: Tokens.Image }) {
  return <Link address={token.href}>[image: {decodeEntities(token.text) || token.href}]</Link>;
}

function List({ token }: { token: Tokens.List }) {
  const items = token.items.map((item) => (
    <li class={item.task ? "rn-task" : undefined}>{blocks(item.tokens)}</li>
  ));
  return token.ordered ? <ol start={Number(token.start) || 1}>{items}</ol> : <ul>{items}</ul>;
}

function Cell({ cell, tag }: { cell: Tokens.TableCell; tag: "th" | "td" }) {
  return h(tag, { style: cell.align ? { textAlign: cell.align } : undefined }, inline(cell.tokens));
}

function Table({ token }: { token: Tokens.Table }) {
  return (
    <div class="rn-table" tabIndex={0} role="group" aria-label="Table">
      <table>
        <thead>
          <tr>{token.header.map((cell) => <Cell cell={cell} tag="th" />)}</tr>
        </thead>
        <tbody>
          {token.rows.map((row) => (
            <tr>{row.map((cell) => <Cell cell={cell} tag="td" />)}</tr>
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
function element(generic: Token): ComponentChildren {
  const token = generic as MarkedToken;
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "code":
      return <CodeBlock text={token.text} />;
    case "heading":
      return h(`h${Math.min(6, token.depth + HEADING_SHIFT)}`, null, inline(token.tokens));
    case "table":
      return <Table token={token} />;
    case "hr":
      return <hr />;
    case "blockquote":
      return <blockquote>{blocks(token.tokens)}</blockquote>;
    case "list":
      return <List token={token} />;
    case "checkbox":
      return token.checked ? "☑ " : "☐ ";
    case "paragraph":
      return <p>{inline(token.tokens)}</p>;
    case "strong":
      return <strong>{inline(token.tokens)}</strong>;
    case "em":
      return <em>{inline(token.tokens)}</em>;
    case "del":
      return <del>{inline(token.tokens)}</del>;
    case "codespan":
      return <code>{token.text}</code>;
    case "br":
      return <br />;
    case "link":
      return <Link address={token.href}>{inline(token.tokens)}</Link>;
    case "image":
      return <ImageLink token={token} />;
    case "html":
      return token.raw;
    case "text":
      return token.tokens ? inline(token.tokens) : decodeEntities(token.text);
    case "escape":
      return token.text;
    default:
      return token.raw;
  }
}

function inline(tokens: readonly Token[] | undefined): ComponentChildren {
  return (tokens ?? []).map(element);
}

const blocks = inline;

/** What cannot be read as Markdown (nested too deep for the lexer, too long) is shown as it is. */
function parse(text: string): readonly Token[] | null {
  if (text.length > LONGEST_MARKDOWN) return null;
  try {
    return new Lexer({ gfm: true }).lex(text);
  } catch {
    return null;
  }
}

export function PlainText({ text }: { text: string }) {
  return <div class="rn-plain">{text}</div>;
}

export const Markdown = memo(({ text }: { text: string }) => {
  const tokens = parse(text);
  return tokens ? <div class="rn-markdown">{blocks(tokens)}</div> : <PlainText text={text} />;
});
