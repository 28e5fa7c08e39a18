"""A model's text as harmless Markdown and HTML: no elements of its own, no requests, no links except to the web.

Notebooks trust the outputs of a kernel, so a model's text has to be harmless before it is sent. Its Markdown is parsed
and rewritten from the parsed tree, because parsers differ (markdown-it, marked, mistune; JupyterLab extracts formulas
before parsing): the rewritten form is plain enough to mean the same to all of them.

- Raw HTML is text, except for `<br>`. An image becomes a link to it. A link leads to `http`, `https`, `mailto` or `#`;
  any other stays text. Characters are escaped as entities: after an address, some parsers include a backslash in it.
- Formulas stay formulas, between delimiters that all notebooks know and without the commands that make links, styles,
  identifiers or requests. A dollar or backslash outside of them is an element of its own, so that it delimits nothing.
- Code at the top level and in lists stays in its fence, with blank lines around it, which end any formula. In block
  quotes, code that could have a meaning outside its fence is written with a numeric entity for each character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from ..core.plain_text import terminal_text
from .footnotes import BRACKETS, footnoted
from .formulas import for_notebooks, harmless_formula, has_formulas, put_apart, put_back, taken_out, tamed

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

__all__ = ["LONGEST", "TooMuch", "code_block", "html_text", "markdown", "parsed", "plain", "rewritten", "shortened"]

#: The most characters of an answer that a cell shows; more would freeze the page.
LONGEST = 100_000
#: More than a long report has, and what a page can lay out in time; a text that exceeds one is shown as plain text.
MOST_BLOCKS = 1_500
MOST_HEADINGS = 300
MOST_SIGNS = 4_000
MOST_FORMULAS = 500
#: Dollars in prose, each of which becomes an element.
MOST_DOLLARS = 4_000
#: The most characters of such a plain text.
LONGEST_PLAIN = 50_000
#: Emphasis that does not close costs a parser the square of the number of marks in a paragraph.
MOST_EFFORT = 1_000**2
#: Parsers differ in how they treat deeper nesting.
DEEPEST = 24

_LINK = re.compile(r"(?:https?://|mailto:|#)[^\x00-\x20]*", re.IGNORECASE)
#: What could become an element, a link, an image or a definition if it were not read as code.
_RISKY = re.compile(r"<[A-Za-z!/?]|!\[|\][(:\[]|(?<!http)(?<!https)://|\\|\$.*\"|@@", re.IGNORECASE | re.DOTALL)
#: Parts of a diagram (Mermaid) that configure, style by address, link or load, instead of drawing.
_UNSAFE_IN_DIAGRAMS = re.compile(
    r"<(?!br ?/?>|-)|[@\\]|[&#]\w+;|&#|//|\$\$|%%\{|\A\s*---|url\s*\(|image|src\s*\(|(?:^|;)\s*(?:click|links?)\b",
    re.IGNORECASE | re.MULTILINE,
)
_LANGUAGE = re.compile(r"[\w+#.-]{1,40}", re.ASCII)
#: The beginning of a line that could begin a block: a list, a heading, a quote, a table, a fence, an underline.
_BLOCK_START = re.compile(r"\A(?:[-+*#>=~|:]|\[(?![ xX]\] )|\d{1,9}(?=[.)]))")
_MARKS = re.compile(r"[*_~]+")
#: What could be the end of a link's text, the beginning of an image, code, or an escape; at the end of a text, too.
_SIGNS = re.compile(r"\](?=[(:\[]|$)|!(?=\[|$)|`|(?<!\\)\\$")
#: No text that follows in another element begins with what makes a link, and no definitions are left that one could
#: refer to: a citation, [0.2], stays as it is.
_SIGNS_FOR_PEOPLE = re.compile(r"\](?=[(:\[])|!(?=\[|$)|`|(?<!\\)\\$")
_CITATION = re.compile(r"\[\d[\d.]*\](?![ \t]*:)")
#: One that could delimit a formula, or refer to one.
_DELIMITING_BACKSLASH = re.compile(r"\\(?=[()\[\]$\ufdd0]|begin|end|ref|eqref|\Z)", re.IGNORECASE)


def markdown(text: str) -> str:
    """The text as harmless Markdown; of a very long text the beginning, and how to get the rest."""
    text = _cleaned(text)
    if len(text) < 2_000 and not re.search(rf"[<\[&`~@$\\{BRACKETS}]|://", text):
        return text
    shown, note = _beginning(text, LONGEST)
    try:
        written = rewritten(shown)
    except (TooMuch, RecursionError):
        return _fence(shortened(text, LONGEST_PLAIN), "text")
    return f"{written}\n\n___\n\n{note}" if note else written


def rewritten(text: str, scale: int = 1, shift: int = 0, *, for_people: bool = False) -> str:
    """The whole text as harmless Markdown, with headings `shift` levels lower.

    `for_people`: for a file whose source is read, too, with the escapes that people write. Else for notebooks, whose
    parsers differ: with entities, and with what keeps them from seeing formulas in prose.

    Raises `TooMuch` for a text that is `scale` times too large for a page, or nested too deeply.
    """
    text = _cleaned(text)
    tree, formulas = parsed(text, scale)
    dollars = sum(node.content.count("$") for node in tree.walk() if node.type in ("text", "text_special"))
    if dollars > scale * MOST_DOLLARS:
        raise TooMuch
    guarded = for_people or bool(formulas) or dollars > 1
    writer = _Writer(has_formulas(text), formulas, shift, guarded=guarded, for_people=for_people)
    harmless = [for_notebooks(harmless_formula(each)) for each in formulas]
    return put_back(put_apart(writer.blocks(tree.children)), harmless)


def plain(text: str) -> str:
    """The text for a terminal: as it was written, with its quotes in quotation marks and with footnotes."""
    if not any(bracket in text for bracket in BRACKETS):
        return terminal_text(text)
    return terminal_text(footnoted(text, _code_lines(_parser(), text), as_markdown=False))


def parsed(text: str, scale: int = 1) -> tuple[SyntaxTreeNode, list[str]]:
    """The Markdown of a text as a tree without HTML, in which links are harmless; and its formulas, for which
    placeholders are in the tree (`formulas.put_back`).

    Raises `TooMuch` for a text that is `scale` times too large for a page, or nested too deeply.
    """
    from markdown_it.tree import SyntaxTreeNode

    text = _cleaned(text)
    if not _cheap(text, scale):
        raise TooMuch
    parser = _parser()
    if any(bracket in text for bracket in BRACKETS):
        text = footnoted(text, _code_lines(parser, text))
    formulas: list[str] = []
    if has_formulas(text):
        text = taken_out(text, _code_lines(parser, text), formulas)
    # On each use, because the parser is shared and these depend on the formulas of this text.
    normalize = type(parser).normalizeLink
    parser.validateLink = lambda url: _LINK.fullmatch(url) is not None  # type: ignore[method-assign]
    parser.normalizeLink = lambda url: normalize(parser, put_back(url, formulas))  # type: ignore[method-assign]
    tokens = parser.parse(text)
    if (
        len(formulas) > scale * MOST_FORMULAS
        or len(tokens) > 6 * scale * MOST_BLOCKS
        or any(token.level >= DEEPEST for token in tokens)
    ):
        raise TooMuch
    return SyntaxTreeNode(tokens), formulas


def _cleaned(text: str) -> str:
    """The text without carriage returns, NUL, and the characters that mark placeholders."""
    return re.sub(r"\r\n?", "\n", text).replace("\ufdd0", "\ufffd").replace("\ufdd1", "\ufffd").replace("\0", "\ufffd")


def code_block(code: str, language: str = "", longest: int = LONGEST) -> str:
    """The code as Markdown; a diagram keeps its language, and is drawn, only if it is harmless."""
    return _fence(shortened(code, longest), _safe_language(language, code))


def shortened(text: str, longest: int = LONGEST) -> str:
    """Of a very long text the beginning, and how to get the rest."""
    shown, note = _beginning(text, longest)
    return f"{shown}\n\n{note}" if note else text


def html_text(text: str) -> str:
    """The text as escaped HTML, without formulas, which notebooks detect in any text with dollars or backslashes."""
    return escape(text).replace("$", "<span>$</span>").replace("\\", "<span>\\</span>")


def _beginning(text: str, longest: int) -> tuple[str, str]:
    """What is shown of a text, and how to get the rest; "" for a text that is not too long."""
    if len(text) <= longest:
        return text, ""
    shown = text[: max(text.rfind("\n", longest // 2, longest), 0) or longest]
    note = f"({len(shown):,} of {len(text):,} characters are shown; `.content` of the output is the whole text.)"
    return shown, note


class TooMuch(Exception):
    """The text has more than a page can lay out, or deeper nesting than parsers agree on."""


class _Writer:
    """Rewrites one parsed text; `typeset` if anything in it could be read as a formula, `guarded` if its dollars could
    pair."""

    def __init__(
        self, typeset: bool, formulas: Sequence[str], shift: int, *, guarded: bool, for_people: bool = False
    ) -> None:
        self._typeset = typeset
        self._guarded = guarded
        self._for_people = for_people
        self._formulas = formulas
        self._shift = shift

    # --- blocks. `inside` holds one letter for each container: "l" for a list and "q" for a quote.

    def blocks(self, nodes: Sequence[SyntaxTreeNode], inside: str = "", between: str = "\n\n") -> str:
        return between.join(filter(None, (self._block(node, inside) for node in nodes)))

    def _block(self, node: SyntaxTreeNode, inside: str) -> str:
        match node.type:
            case "paragraph":
                return self._lines(node)
            case "heading":
                text = self._lines(node).replace("\\\n", " ").replace("\n", " ")
                # Trailing "#" would be read as the end of the heading.
                closing = re.search(r"#+\s*$", text)
                if closing is not None:
                    text = f"{text[: closing.start()]}\\{closing[0]}"
                return f"{'#' * min(6, int(node.tag[1]) + self._shift)} {text}"
            case "fence" | "code_block":
                code = self._raw(node.content)
                name = _safe_language(node.info if node.type == "fence" else "", code)
                if "q" in inside and _RISKY.search(code):
                    css_class = f' class="language-{name}"' if name else ""
                    return f"<pre><code{css_class}>{_entities(code, '')}</code></pre>"
                return _fence(code, name)
            case "blockquote":
                return _prefixed(self.blocks(node.children, inside + "q"), "> ", "> ")
            case "bullet_list" | "ordered_list":
                return self._list(node, inside + "l")
            case "hr":
                return "___"
            case "table":
                rows = [row for part in node.children for row in part.children]
                lines = [f"| {' | '.join(self._lines(cell, cell=True) for cell in row.children)} |" for row in rows]
                aligned = (_ALIGNED.get(str(cell.attrs.get("style", "")), "---") for cell in rows[0].children)
                return "\n".join([lines[0], f"| {' | '.join(aligned)} |", *lines[1:]])
        return _fence(self._raw(node.content), "text")

    def _lines(self, node: SyntaxTreeNode, cell: bool = False) -> str:
        inline = node.children[0].children if node.children else []
        return self._inline(inline, cell=cell, begins=not cell)

    def _list(self, node: SyntaxTreeNode, inside: str) -> str:
        blocks = [block for item in node.children for block in item.children]
        paragraphs = [block for block in blocks if block.type == "paragraph"]
        code = [block for block in blocks if block.type in ("fence", "code_block")]
        is_tight = bool(paragraphs) and all(block.hidden for block in paragraphs)
        loose = not is_tight or any(_RISKY.search(block.content) for block in code)
        number = int(node.attrs.get("start", 1))
        items = []
        for item in node.children:
            marker = f"{number}{node.markup}" if node.type == "ordered_list" else node.markup
            text = self.blocks(item.children, inside, "\n\n" if loose else "\n")
            items.append(_prefixed(text, f"{marker} ", " " * (len(marker) + 1)))
            number += 1
        return ("\n\n" if loose else "\n").join(items)

    # --- inline elements

    def _inline(
        self, nodes: Sequence[SyntaxTreeNode], *, cell: bool, begins: bool = False, linked: bool = False
    ) -> str:
        written: list[str] = []
        plain: list[SyntaxTreeNode] = []
        for node in nodes:
            if node.type in ("text", "text_special"):
                plain.append(node)
                continue
            written.append(self._plain(plain, cell, begins))
            plain = []
            begins = node.type in ("softbreak", "hardbreak") and not cell
            written.append(self._span(node, cell, linked))
        return "".join([*written, self._plain(plain, cell, begins)])

    def _span(self, node: SyntaxTreeNode, cell: bool, linked: bool) -> str:
        match node.type:
            case "softbreak":
                return "\n"
            case "hardbreak":
                return "\\\n"
            case "code_inline":
                code = self._raw(node.content).replace("\n", " ")
                if _RISKY.search(code) or (cell and "|" in code) or not code.strip() or "`" in code:
                    return f"<code>{_entities(code, ' ')}</code>"
                return f"`{code}`" if not (code[0] == " " and code[-1] == " ") else f"` {code} `"
            case "em" | "strong" | "s":
                return f"{node.markup}{self._inline(node.children, cell=cell, linked=linked)}{node.markup}"
            case "link":
                text = self._inline(node.children, cell=cell, linked=True)
                return text if linked else self._linked(text, str(node.attrs["href"]))
            case "image":
                alt = "".join(
                    child.content for child in node.walk() if child.type in ("text", "text_special", "code_inline")
                )
                text = self._escaped(f"image: {alt}" if alt else "image", cell)
                return text if linked else self._linked(text, str(node.attrs["src"]))
        return self._escaped(self._raw(node.content), cell)

    def _plain(self, nodes: Sequence[SyntaxTreeNode], cell: bool, begins: bool) -> str:
        """Adjacent text nodes, of which some were written as entities or with a backslash."""
        # Pairs of text and escaped form ("" if not escaped); a backslash before a letter escapes nothing.
        pieces: list[tuple[str, str]] = []
        for node in nodes:
            escaped = node.markup if node.type == "text_special" and node.markup != node.content else ""
            if node.content in "<[]()!`" and escaped:
                escaped = self._sign(node.content)
            if not escaped and pieces and not pieces[-1][1]:
                pieces[-1] = (pieces[-1][0] + node.content, "")
            else:
                pieces.append((node.content, escaped))
        written = ""
        for text, escaped in tamed(pieces) if self._typeset else pieces:
            if escaped and self._typeset and text[0] in "$\\":
                written += self._guard(text)
            else:
                written += escaped or self._escaped(text, cell)
        return _BLOCK_START.sub(self._escaped_block_start, written, count=1) if begins else written

    def _escaped(self, text: str, cell: bool) -> str:
        """The text with everything escaped that any parser could read as markup."""
        text = re.sub(r"&(?=#|[A-Za-z])", "&amp;", text)
        text = re.sub(r"<(?!br ?/?>)(?=[A-Za-z!/?]|$)", "&lt;", text)
        if self._typeset:
            text = self._guard(text)
        text = (_SIGNS_FOR_PEOPLE if self._for_people else _SIGNS).sub(lambda found: self._sign(found[0]), text)
        text = re.sub(r"(?<!http)(?<!https)://", lambda found: self._sign(":") + "//", text, flags=re.IGNORECASE)
        if self._typeset and not self._for_people:
            # A parser that puts formulas back after making links would put the quotes of a formula into an address.
            text = text.replace('"', "&quot;")
        return re.sub(r"(?<!\\)\|", r"\\|", text) if cell else text

    def _guard(self, text: str) -> str:
        """The text with the signs that could delimit a formula in elements of their own."""
        if self._for_people:
            return _DELIMITING_BACKSLASH.sub(r"\\\\", text).replace("$", "\\$")
        text = _DELIMITING_BACKSLASH.sub("<span>&#92;</span>", text)
        return text.replace("$", "<span>&#36;</span>") if self._guarded else text

    def _sign(self, char: str) -> str:
        """The character, which no parser reads as markup."""
        return f"\\{char}" if self._for_people and char != "<" else f"&#{ord(char)};"

    def _linked(self, text: str, address: str) -> str:
        """A link; without an address it stays text, because a click on it would load the page itself again."""
        if not address:
            return f"{self._sign('[')}{text}{self._sign(']')}()"
        # Percent-encoded: what would end the address, or be read as a formula or as HTML.
        encoded = re.sub(
            r"[\"'$\\`<>()\[\]{}|*^\x00-\x20\x7f]|@@",
            lambda found: "".join(f"%{ord(char):02X}" for char in found[0]),
            address,
        )
        return f"[{text}]({encoded.replace('&', '&amp;')})"

    def _escaped_block_start(self, found: re.Match[str]) -> str:
        if found[0].isdigit():
            return f"{found[0]}\\"
        if self._for_people and _CITATION.match(found.string):
            return found[0]
        # Some parsers look for the end of a link definition beyond the paragraph.
        return self._sign("[") if found[0] == "[" else f"\\{found[0]}"

    def _raw(self, text: str) -> str:
        """Code as it was before formulas were replaced by placeholders."""
        return put_back(text, self._formulas)


_ALIGNED = {"text-align:left": ":--", "text-align:right": "--:", "text-align:center": ":-:"}


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt(
        "js-default", {"html": False, "linkify": False, "typographer": False, "maxNesting": DEEPEST + 2}
    )
    return parser.disable("text_join")


def _code_lines(parser: MarkdownIt, text: str) -> Iterator[tuple[int, int]]:
    """The ranges of lines that are code: first line, and the line after the last."""
    env: dict[str, Any] = {}
    tokens: list[Any] = []
    parser.block.parse(text, parser, env, tokens)
    return ((token.map[0], token.map[1]) for token in tokens if token.type in ("fence", "code_block") and token.map)


def _cheap(text: str, scale: int) -> bool:
    """Whether a page can lay out the text, and a parser find its emphasis, in time."""
    blocks = len(re.findall(r"\n[ \t>]*(?:[-+*>|\n]|\d+[.)])", text))
    headings = len(re.findall(r"^[ \t>]*(?:#|=|--)", text, re.MULTILINE))
    signs = len(re.findall(r"[*_~]+|[\[<`&@!|]|://", text))
    if blocks > scale * MOST_BLOCKS or headings > scale * MOST_HEADINGS or signs > scale * MOST_SIGNS:
        return False
    effort = sum(len(_MARKS.findall(part)) ** 2 for part in re.split(r"\n(?=\s*(?:\n|[|#>+*-]|\d+[.)]))", text))
    return effort <= scale * MOST_EFFORT


def _prefixed(text: str, first: str, others: str) -> str:
    first_line, *lines = text.split("\n")
    prefixed = [(first, first_line), *((others, line) for line in lines)]
    return "\n".join(prefix + line if line else prefix.rstrip() for prefix, line in prefixed)


def _safe_language(info: str, code: str) -> str:
    """The language of a code block, or "text" for a diagram that would do more than draw."""
    found = _LANGUAGE.match(info.strip())
    language = found[0] if found else ""
    is_diagram = language.lower().startswith("mermaid")
    return "text" if is_diagram and _UNSAFE_IN_DIAGRAMS.search(code) else language


def _fence(code: str, language: str) -> str:
    ticks = "`" * max(3, 1 + max(map(len, re.findall(r"`+", code)), default=0))
    return "\n".join([f"{ticks}{language}", *([code.removesuffix("\n")] if code else []), ticks])


def _entities(code: str, allowed: str) -> str:
    """The code with a numeric entity for each character that is no letter, no digit and not `allowed`."""
    return "".join(char if char.isalnum() or char in allowed else f"&#{ord(char)};" for char in code)
