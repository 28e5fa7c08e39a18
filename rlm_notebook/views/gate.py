"""Text of a model as Markdown and HTML that do nothing: no element of its own, no request, no link but to the web.

Outputs that a kernel sends are trusted by notebooks, so what a model wrote must be harmless before it is sent. Its
Markdown is parsed and written anew from what was understood, because readers differ (markdown-it, marked, mistune; in
JupyterLab, formulas are taken out before): what is written here is plain enough to mean the same to all of them.

- Raw HTML is text, but for `<br>`. An image is a link to it. A link leads to `http`, `https`, `mailto` or `#`, else it
  stays text. Signs are escaped as entities: after an address, some readers take a backslash for a part of it.
- Formulas stay as they are, without the commands that make links, styles, identifiers or requests.
- Code at the top and in lists stays in its fence, with blank lines around it, which end any formula. In quotes, code
  that could mean something outside its fence is written with a numbered entity for each sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from .formulas import harmless_formula, has_formulas, put_back, taken_out, tamed

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

__all__ = ["LONGEST", "code_block", "html_text", "markdown", "shortened"]

#: So many characters of an answer are shown in a cell; more would freeze the page.
LONGEST = 100_000
#: What a page lays out in time, of an ordinary long report and more; a text with more of it is shown as it is.
MOST_BLOCKS = 1_500
MOST_HEADINGS = 300
MOST_SIGNS = 4_000
MOST_FORMULAS = 500
#: So many characters of such a text are shown.
LONGEST_PLAIN = 50_000
#: Emphasis that does not close costs a reader the square of the marks in a paragraph.
MOST_EFFORT = 1_000**2
#: Deeper than anyone writes; readers differ in what they make of more.
DEEPEST = 24

_LINK = re.compile(r"(?:https?://|mailto:|#)[^\x00-\x20]*", re.IGNORECASE)
#: What could become an element, a link, an image or a definition, if it were not taken for code.
_RISKY = re.compile(r"<[A-Za-z!/?]|!\[|\][(:\[]|(?<!http)(?<!https)://|\\|\$.*\"|@@", re.IGNORECASE | re.DOTALL)
#: What configures, styles by address, links or loads in a diagram (Mermaid), rather than draws.
_UNSAFE_IN_DIAGRAMS = re.compile(
    r"<(?!br ?/?>|-)|[@\\]|[&#]\w+;|&#|//|\$\$|%%\{|\A\s*---|url\s*\(|image|src\s*\(|(?:^|;)\s*(?:click|links?)\b",
    re.IGNORECASE | re.MULTILINE,
)
_LANGUAGE = re.compile(r"[\w+#.-]{1,40}", re.ASCII)
#: The beginning of a line that could begin a block: of a list, a heading, a quote, a table, a fence, an underlining.
_BLOCK_START = re.compile(r"\A(?:[-+*#>=~|:]|\[(?![ xX]\] )|\d{1,9}(?=[.)]))")
_MARKS = re.compile(r"[*_~]+")


def markdown(text: str) -> str:
    """The text as Markdown that does nothing but show it; of a very long one the beginning, and how to get the rest."""
    text = re.sub(r"\r\n?", "\n", text).replace("\ufdd0", "\ufffd").replace("\ufdd1", "\ufffd").replace("\0", "\ufffd")
    if len(text) < 2_000 and not re.search(r"[<\[&`~@$\\]|://", text):
        return text
    shown = text if len(text) <= LONGEST else text[: _end_of_beginning(text, LONGEST)]
    try:
        written = _Writer(shown).whole()
    except (_TooMuch, RecursionError):
        return _fence(shortened(text, LONGEST_PLAIN), "text")
    return written if shown is text else f"{written}\n\n___\n\n{_account(shown, text)}"


def code_block(code: str, language: str = "") -> str:
    """The code as Markdown; a diagram is drawn if it can do nothing else."""
    name = _LANGUAGE.match(language.strip())
    return _fence(shortened(code), _drawn_as(name[0] if name else "", code))


def shortened(text: str, longest: int = LONGEST) -> str:
    """Of a very long text the beginning, and how to get the rest."""
    if len(text) <= longest:
        return text
    shown = text[: _end_of_beginning(text, longest)]
    return f"{shown}\n\n{_account(shown, text)}"


def html_text(text: str) -> str:
    """The text in HTML: escaped, and no formula, which notebooks find in any text with dollars or backslashes."""
    return escape(text).replace("$", "<span>$</span>").replace("\\", "<span>\\</span>")


def _end_of_beginning(text: str, longest: int) -> int:
    return max(text.rfind("\n", longest // 2, longest), 0) or longest


def _account(shown: str, text: str) -> str:
    return f"({len(shown):,} of {len(text):,} characters are shown; `.content` of the output is the whole text.)"


class _TooMuch(Exception):
    """More than a page can lay out, or than readers agree on."""


class _Writer:
    """Writes one text anew."""

    def __init__(self, text: str) -> None:
        if not _cheap(text):
            raise _TooMuch
        self._typeset = has_formulas(text)
        self._formulas: list[str] = []
        self._text = text

    def whole(self) -> str:
        from markdown_it.tree import SyntaxTreeNode

        parser = _parser()
        text = self._text
        if self._typeset:
            text = taken_out(text, _code_lines(parser, text), self._formulas)
        tokens = _parsed(parser, text, self._formulas)
        if (
            len(self._formulas) > MOST_FORMULAS
            or len(tokens) > 6 * MOST_BLOCKS
            or any(token.level >= DEEPEST for token in tokens)
        ):
            raise _TooMuch
        blocks = self._blocks(SyntaxTreeNode(tokens).children, "")
        formulas = [harmless_formula(each) for each in self._formulas]
        return put_back(blocks, formulas)

    # --- blocks. `inside` are the containers: one letter each, "l" for a list and "q" for a quote.

    def _blocks(self, nodes: Sequence[SyntaxTreeNode], inside: str, between: str = "\n\n") -> str:
        return between.join(filter(None, (self._block(node, inside) for node in nodes)))

    def _block(self, node: SyntaxTreeNode, inside: str) -> str:
        match node.type:
            case "paragraph":
                return self._lines(node)
            case "heading":
                return self._heading(node)
            case "fence" | "code_block":
                return self._code(node, inside)
            case "blockquote":
                return _prefixed(self._blocks(node.children, inside + "q"), "> ", "> ")
            case "bullet_list" | "ordered_list":
                return self._list(node, inside + "l")
            case "hr":
                return "___"
            case "table":
                return self._table(node)
        return _fence(self._raw(node.content), "text")

    def _heading(self, node: SyntaxTreeNode) -> str:
        text = self._lines(node).replace("\\\n", " ").replace("\n", " ")
        closing = re.search(r"#+\s*$", text)
        if closing is not None:
            text = f"{text[: closing.start()]}\\{closing[0]}"
        return f"{node.markup if node.markup.startswith('#') else '#' * int(node.tag[1])} {text}"

    def _lines(self, node: SyntaxTreeNode, cell: bool = False) -> str:
        inline = node.children[0].children if node.children else []
        return self._inline(inline, cell=cell, begins=not cell)

    def _code(self, node: SyntaxTreeNode, inside: str) -> str:
        code = self._raw(node.content)
        language = _LANGUAGE.match(node.info.strip()) if node.type == "fence" else None
        name = _drawn_as(language[0] if language else "", code)
        if "q" in inside and _RISKY.search(code):
            of = f' class="language-{name}"' if name else ""
            return f"<pre><code{of}>{_entities(code, '')}</code></pre>"
        return _fence(code, name)

    def _list(self, node: SyntaxTreeNode, inside: str) -> str:
        loose = not _is_tight(node) or _holds_risky_code(node)
        number = int(node.attrs.get("start", 1))
        items = []
        for item in node.children:
            marker = f"{number}{node.markup}" if node.type == "ordered_list" else node.markup
            text = self._blocks(item.children, inside, "\n\n" if loose else "\n")
            items.append(_prefixed(text, f"{marker} ", " " * (len(marker) + 1)))
            number += 1
        return ("\n\n" if loose else "\n").join(items)

    def _table(self, node: SyntaxTreeNode) -> str:
        rows = [row for part in node.children for row in part.children]
        lines = [f"| {' | '.join(self._lines(cell, cell=True) for cell in row.children)} |" for row in rows]
        aligned = (_ALIGNED.get(str(cell.attrs.get("style", "")), "---") for cell in rows[0].children)
        return "\n".join([lines[0], f"| {' | '.join(aligned)} |", *lines[1:]])

    # --- what is in a line

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
                return _code_span(self._raw(node.content).replace("\n", " "), cell)
            case "em" | "strong" | "s":
                return f"{node.markup}{self._inline(node.children, cell=cell, linked=linked)}{node.markup}"
            case "link":
                return self._link(node, cell, linked)
            case "image":
                return self._image(node, cell, linked)
        return self._escaped(self._raw(node.content), cell)

    def _link(self, node: SyntaxTreeNode, cell: bool, linked: bool) -> str:
        text = self._inline(node.children, cell=cell, linked=True)
        return text if linked else _linked(text, str(node.attrs["href"]))

    def _image(self, node: SyntaxTreeNode, cell: bool, linked: bool) -> str:
        said = "".join(child.content for child in node.walk() if child.type in ("text", "text_special", "code_inline"))
        text = self._escaped(f"image: {said}" if said else "image", cell)
        return text if linked else _linked(text, str(node.attrs["src"]))

    def _plain(self, nodes: Sequence[SyntaxTreeNode], cell: bool, begins: bool) -> str:
        """Neighbouring texts, of which some were written as entities or with a backslash."""
        if not nodes:
            return ""
        pieces = _pieces(nodes)
        if self._typeset:
            pieces = tamed(pieces)
        written = "".join(escaped or self._escaped(text, cell) for text, escaped in pieces)
        return _BLOCK_START.sub(_begun, written, count=1) if begins else written

    def _escaped(self, text: str, cell: bool) -> str:
        """Text that means nothing more, to any reader."""
        text = re.sub(r"&(?=#|[A-Za-z])", "&amp;", text)
        text = re.sub(r"<(?!br ?/?>)(?=[A-Za-z!/?]|$)", "&lt;", text)
        text = re.sub(r"\](?=[(:\[]|$)|!(?=\[|$)|`|\\$", _as_entity, text)
        text = re.sub(r"(?<!http)(?<!https)://", "&#58;//", text, flags=re.IGNORECASE)
        if self._typeset:
            # A reader that puts formulas back after it made links would put quotes of a formula into an address.
            text = text.replace('"', "&quot;")
        return re.sub(r"(?<!\\)\|", r"\\|", text) if cell else text

    def _raw(self, text: str) -> str:
        """Code, as it was before formulas were taken out of the text."""
        return put_back(text, self._formulas)


_ALIGNED = {"text-align:left": ":--", "text-align:right": "--:", "text-align:center": ":-:"}


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt(
        "js-default", {"html": False, "linkify": False, "typographer": False, "maxNesting": DEEPEST + 2}
    )
    return parser.disable("text_join")


def _parsed(parser: MarkdownIt, text: str, formulas: Sequence[str]) -> list[Any]:
    normalize = type(parser).normalizeLink
    parser.validateLink = lambda url: _LINK.fullmatch(url) is not None  # type: ignore[method-assign]
    parser.normalizeLink = lambda url: normalize(parser, put_back(url, formulas))  # type: ignore[method-assign]
    return parser.parse(text)


def _code_lines(parser: MarkdownIt, text: str) -> Iterator[tuple[int, int]]:
    """The lines that are code, from and to."""
    env: dict[str, Any] = {}
    tokens: list[Any] = []
    parser.block.parse(text, parser, env, tokens)
    return ((token.map[0], token.map[1]) for token in tokens if token.type in ("fence", "code_block") and token.map)


def _cheap(text: str) -> bool:
    """Whether a page can lay out the text, and a reader find its emphasis in time."""
    blocks = len(re.findall(r"\n[ \t>]*(?:[-+*>|\n]|\d+[.)])", text))
    headings = len(re.findall(r"^[ \t>]*(?:#|=|--)", text, re.MULTILINE))
    signs = len(re.findall(r"[*_~]+|[\[<`&@!|]|://", text))
    if blocks > MOST_BLOCKS or headings > MOST_HEADINGS or signs > MOST_SIGNS:
        return False
    effort = sum(len(_MARKS.findall(part)) ** 2 for part in re.split(r"\n(?=\s*(?:\n|[|#>+*-]|\d+[.)]))", text))
    return effort <= MOST_EFFORT


def _pieces(nodes: Sequence[SyntaxTreeNode]) -> list[tuple[str, str]]:
    """Texts as they read, and as they are escaped ("" if they are not); a backslash before a letter escapes nothing."""
    pieces: list[tuple[str, str]] = []
    for node in nodes:
        escaped = node.markup if node.type == "text_special" and node.markup != node.content else ""
        if node.content in "<[]()!`" and escaped:
            escaped = f"&#{ord(node.content)};"
        if not escaped and pieces and not pieces[-1][1]:
            pieces[-1] = (pieces[-1][0] + node.content, "")
        else:
            pieces.append((node.content, escaped))
    return pieces


def _is_tight(node: SyntaxTreeNode) -> bool:
    return all(block.hidden for item in node.children for block in item.children if block.type == "paragraph") and (
        any(block.type == "paragraph" for item in node.children for block in item.children)
    )


def _holds_risky_code(node: SyntaxTreeNode) -> bool:
    return any(
        block.type in ("fence", "code_block") and _RISKY.search(block.content)
        for item in node.children
        for block in item.children
    )


def _prefixed(text: str, first: str, others: str) -> str:
    lines = text.split("\n")
    return "\n".join(
        f"{first if at == 0 else others}{line}".rstrip() if not line else f"{first if at == 0 else others}{line}"
        for at, line in enumerate(lines)
    )


def _drawn_as(language: str, code: str) -> str:
    """Readers draw what they take for a diagram, with whatever it leads to."""
    is_diagram = language.lower().startswith("mermaid")
    return "text" if is_diagram and _UNSAFE_IN_DIAGRAMS.search(code) else language


def _fence(code: str, language: str) -> str:
    ticks = "`" * max(3, 1 + max(map(len, re.findall(r"`+", code)), default=0))
    return "\n".join([f"{ticks}{language}", *([code.removesuffix("\n")] if code else []), ticks])


def _code_span(code: str, cell: bool) -> str:
    if _RISKY.search(code) or (cell and "|" in code) or not code.strip() or "`" in code:
        return f"<code>{_entities(code, ' ')}</code>"
    return f"`{code}`" if not (code[0] == " " and code[-1] == " ") else f"` {code} `"


def _entities(code: str, kept: str) -> str:
    """Each sign as a number, which is a character to every reader, wherever it stands."""
    return "".join(char if char.isalnum() or char in kept else f"&#{ord(char)};" for char in code)


def _linked(text: str, address: str) -> str:
    """A link; without an address it would lead to the page itself, which a click loads again, so it stays text."""
    return f"[{text}]({_address(address)})" if address else f"&#91;{text}&#93;()"


def _address(url: str) -> str:
    """No sign in it ends the address, and none means something to a reader of formulas or of HTML."""
    return re.sub(r"[\"'$\\`<>()\[\]{}|*^\x00-\x20\x7f]|@@", lambda found: _percent(found[0]), url).replace(
        "&", "&amp;"
    )


def _percent(signs: str) -> str:
    return "".join(f"%{ord(sign):02X}" for sign in signs)


def _begun(found: re.Match[str]) -> str:
    if found[0].isdigit():
        return f"{found[0]}\\"
    # Some readers look for the end of a definition beyond the paragraph.
    return "&#91;" if found[0] == "[" else f"\\{found[0]}"


def _as_entity(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
