"""Blocks as static HTML: without scripts, styles of their own, images and requests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

from ..gate import html_text
from .content import (
    Block,
    Break,
    Citation,
    Code,
    CodeBlock,
    Emphasis,
    Formula,
    Heading,
    Inline,
    Items,
    Link,
    Paragraph,
    Quote,
    Rule,
    Table,
    Text,
)
from .report import Report

__all__ = ["anchor", "html_of", "report_html"]


def html_of(blocks: Sequence[Block], *, cited: Collection[str] = (), shift: int = 0, typeset: bool = False) -> str:
    """The blocks as HTML.

    A citation of a node in `cited` links to its `anchor`. Headings are `shift` levels lower. With `typeset`, formulas
    keep their dollars, for a notebook that draws them; else their TeX is shown as code.
    """
    return _Writer(cited, shift, typeset).blocks(blocks)


def report_html(report: Report, *, typeset: bool = False) -> str:
    """The whole report: title, facts, notes, answer, and the nodes that it cites."""
    parts = [f'<h1 dir="auto">{html_text(report.title)}</h1>', f"<p><small>{html_text(report.facts)}</small></p>"]
    parts += [f"<p><em>{html_text(note)}</em></p>" for note in report.notes]
    parts.append(html_of(report.blocks, cited=report.cited, shift=1, typeset=typeset))
    if report.sections:
        parts.append("<h2>Nodes that the answer cites</h2>")
    for section in report.sections:
        title = html_text(f"[{section.node}] {section.title}")
        parts.append(f'<h3 id="{anchor(section.node)}" dir="auto">{title}</h3>')
        parts.append(f"<p><small>{html_text(section.facts)}</small></p>")
        parts.append(html_of(section.blocks, cited=report.cited, typeset=typeset))
    return "\n".join(parts)


def anchor(node: str) -> str:
    """The identifier of a node in a document."""
    return f"node-{node.replace('.', '-')}"


class _Writer:
    def __init__(self, cited: Collection[str], shift: int, typeset: bool) -> None:
        self._cited = cited
        self._shift = shift
        self._typeset = typeset

    def blocks(self, blocks: Sequence[Block]) -> str:
        return "\n".join(map(self._block, blocks))

    def _block(self, block: Block) -> str:
        match block:
            case Paragraph():
                return f'<p dir="auto">{self._inlines(block.inner)}</p>'
            case Heading():
                tag = f"h{min(6, block.level + self._shift)}"
                return f'<{tag} dir="auto">{self._inlines(block.inner)}</{tag}>'
            case CodeBlock():
                return f"<pre><code>{html_text(block.text)}</code></pre>"
            case Quote():
                return f"<blockquote>{self.blocks(block.blocks)}</blockquote>"
            case Items():
                items = ""
                for item in block.items:
                    begins, rest = "", item
                    if item and isinstance(item[0], Paragraph):
                        # Without an element of its own, which would add space.
                        begins, rest = self._inlines(item[0].inner), item[1:]
                    items += f'<li dir="auto">{begins}{self.blocks(rest)}</li>'
                if block.start is None:
                    return f"<ul>{items}</ul>"
                return f'<ol start="{block.start}">{items}</ol>' if block.start != 1 else f"<ol>{items}</ol>"
            case Table():
                rows = []
                for at, row in enumerate(block.rows):
                    tag = "td" if at else "th"
                    cells = (
                        f'<{tag} style="text-align:{align or "left"}" dir="auto">{self._inlines(cell)}</{tag}>'
                        for cell, align in zip(row, block.alignments, strict=False)
                    )
                    rows.append(f"<tr>{''.join(cells)}</tr>")
                return f"<table><thead>{rows[0]}</thead><tbody>{''.join(rows[1:])}</tbody></table>"
            case Rule():
                return "<hr>"

    def _inlines(self, inner: Sequence[Inline]) -> str:
        return "".join(map(self._inline, inner))

    def _inline(self, inline: Inline) -> str:
        match inline:
            case Text():
                return html_text(inline.text)
            case Code():
                return f"<code>{html_text(inline.text)}</code>"
            case Formula():
                if self._typeset:
                    mark = "$$" if inline.display else "$"
                    return f"{mark}{escape(inline.tex)}{mark}"
                return f"<code>{html_text(inline.tex)}</code>"
            case Citation():
                text = html_text(f"[{inline.node}]")
                return f'<a href="#{anchor(inline.node)}">{text}</a>' if inline.node in self._cited else text
            case Break():
                return "<br>"
            case Emphasis():
                return f"<{inline.kind}>{self._inlines(inline.inner)}</{inline.kind}>"
            case Link():
                address = escape(inline.address)
                return f'<a href="{address}" rel="noopener noreferrer">{self._inlines(inline.inner)}</a>'
