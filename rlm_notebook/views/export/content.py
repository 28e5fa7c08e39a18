"""What documents are made of: the blocks of a model's Markdown, as plain values.

`blocks_of` reads a text through the gate, so links are harmless, formulas have no commands that do more than typeset,
and HTML is text. A writer has one duty left: to escape what is text, so that it stays text in its format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.plain_text import terminal_text
from ...core.text import well_formed
from ..formulas import bare_formula, harmless_formula, pieces_between
from ..gate import TooMuch, parsed

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

__all__ = [
    "Block",
    "Break",
    "Citation",
    "Code",
    "CodeBlock",
    "Emphasis",
    "Formula",
    "Heading",
    "Inline",
    "Items",
    "Link",
    "Paragraph",
    "Quote",
    "Rule",
    "Table",
    "Text",
    "blocks_of",
    "inlines_in",
    "text_of",
]


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    text: str


@dataclass(frozen=True, slots=True)
class Formula:
    """TeX without its delimiters; `display` for one that stands in a line of its own."""

    tex: str
    display: bool


@dataclass(frozen=True, slots=True)
class Citation:
    """A reference such as [0.2] to a node of the run."""

    node: str


@dataclass(frozen=True, slots=True)
class Break:
    """The end of a line within a paragraph."""


@dataclass(frozen=True, slots=True)
class Emphasis:
    """`kind` is "em", "strong" or "s" (struck out)."""

    kind: str
    inner: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A link to http, https, mailto or a place in the document (#)."""

    address: str
    inner: tuple[Inline, ...]


Inline = Text | Code | Formula | Citation | Break | Emphasis | Link


@dataclass(frozen=True, slots=True)
class Paragraph:
    inner: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    inner: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class CodeBlock:
    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list; `start` is the number of its first item, or `None` for bullets."""

    start: int | None
    items: tuple[tuple[Block, ...], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, the first of them the head; `alignments` are "left", "center", "right" or "", one a column."""

    alignments: tuple[str, ...]
    rows: tuple[tuple[tuple[Inline, ...], ...], ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across the page."""


Block = Paragraph | Heading | CodeBlock | Quote | Items | Table | Rule

_BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)
_CITATION = re.compile(r"\[(0(?:\.\d+)*)\]")


def blocks_of(text: str, scale: int = 20) -> tuple[Block, ...]:
    """The blocks of a text in Markdown; of JSON, and of what is `scale` times too large for a page, a block of code."""
    text = terminal_text(well_formed(re.sub(r"\r\n?", "\n", text)))
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict | list):
            return (CodeBlock(json.dumps(value, ensure_ascii=False, indent=2), "json"),)
    try:
        tree, formulas = parsed(text, scale)
        return _Reader(formulas).blocks(tree.children)
    except (TooMuch, RecursionError):
        return (CodeBlock(text),)


def text_of(inner: Sequence[Inline]) -> str:
    """Inline elements as plain text."""
    text = ""
    for each in _all(inner):
        match each:
            case Text() | Code():
                text += each.text
            case Formula():
                text += each.tex
            case Citation():
                text += f"[{each.node}]"
            case Break():
                text += " "
    return text


def inlines_in(blocks: Sequence[Block]) -> Iterator[Inline]:
    """All inline elements of some blocks, with those that others hold."""
    for block in blocks:
        match block:
            case Paragraph() | Heading():
                yield from _all(block.inner)
            case Quote():
                yield from inlines_in(block.blocks)
            case Items():
                for item in block.items:
                    yield from inlines_in(item)
            case Table():
                for row in block.rows:
                    for cell in row:
                        yield from _all(cell)


def _all(inner: Sequence[Inline]) -> Iterator[Inline]:
    """The elements, each followed by those that it holds."""
    for each in inner:
        yield each
        if isinstance(each, Emphasis | Link):
            yield from _all(each.inner)


class _Reader:
    """Turns a parsed text into blocks."""

    def __init__(self, formulas: Sequence[str]) -> None:
        self._formulas = formulas

    def blocks(self, nodes: Sequence[SyntaxTreeNode]) -> tuple[Block, ...]:
        return tuple(self._block(node) for node in nodes)

    def _block(self, node: SyntaxTreeNode) -> Block:
        match node.type:
            case "paragraph":
                return Paragraph(self._content(node))
            case "heading":
                return Heading(int(node.tag[1]), self._content(node))
            case "blockquote":
                return Quote(self.blocks(node.children))
            case "bullet_list" | "ordered_list":
                start = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
                return Items(start, tuple(self.blocks(item.children) for item in node.children))
            case "hr":
                return Rule()
            case "table":
                rows = [row for part in node.children for row in part.children]
                alignments = (str(cell.attrs.get("style", "")).removeprefix("text-align:") for cell in rows[0].children)
                cells = (tuple(self._content(cell) for cell in row.children) for row in rows)
                return Table(tuple(alignments), tuple(cells))
            case "fence":
                return CodeBlock(
                    self._raw(node.content).removesuffix("\n"), node.info.split()[0] if node.info.split() else ""
                )
        return CodeBlock(self._raw(node.content).removesuffix("\n"))

    def _content(self, node: SyntaxTreeNode) -> tuple[Inline, ...]:
        return self._inlines(node.children[0].children) if node.children else ()

    def _inlines(self, nodes: Sequence[SyntaxTreeNode], linked: bool = False) -> tuple[Inline, ...]:
        found: list[Inline] = []
        text = ""
        for node in nodes:
            if node.type in ("text", "text_special"):
                text += node.content
                continue
            found.extend(self._text(text, linked))
            text = ""
            match node.type:
                case "softbreak":
                    text = "\n"
                case "hardbreak":
                    found.append(Break())
                case "code_inline":
                    found.append(Code(self._raw(node.content).replace("\n", " ")))
                case "em" | "strong" | "s":
                    found.append(Emphasis(node.type, self._inlines(node.children, linked)))
                case "link" | "image":
                    inner = self._inlines(node.children, linked=True)
                    if node.type == "image":
                        inner = (Text("image: " if inner else "image"), *inner)
                    address = str(node.attrs["href" if node.type == "link" else "src"])
                    # A link without an address would lead to the document itself.
                    found.extend(inner if linked or not address else (Link(address, inner),))
                case _:
                    text = self._raw(node.content)
        return (*found, *self._text(text, linked))

    def _text(self, text: str, linked: bool) -> Iterator[Inline]:
        for formula, piece in pieces_between(text, self._formulas):
            if formula:
                yield Formula(*bare_formula(harmless_formula(piece)))
                continue
            for at, line in enumerate(_BREAK.split(piece)):
                if at:
                    yield Break()
                # Every second part is the node of a citation; a link holds no other link.
                for nr, part in enumerate(_CITATION.split(line) if not linked else (line,)):
                    if nr % 2:
                        yield Citation(part)
                    elif part:
                        yield Text(part)

    def _raw(self, text: str) -> str:
        return "".join(piece for _, piece in pieces_between(text, self._formulas))
