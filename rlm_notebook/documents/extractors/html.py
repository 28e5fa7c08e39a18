"""HTML with selectolax: the text that a reader sees, a section per heading. No script runs, nothing is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..anchors import section_anchors
from ..extraction import Extraction, Unreadable, of_passages
from .text import decoded

__all__ = ["read"]

_UNSEEN = frozenset(
    ("script", "style", "noscript", "template", "svg", "math", "iframe", "object", "head", "select", "textarea")
)
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl", "dt"),
        *("fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "legend", "li", "main", "nav", "ol"),
        *("p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul"),
        *(f"h{level}" for level in range(1, 7)),
    )
)
_HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w-]{1,40})", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,20})")
_FORMATS = frozenset(("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"))
#: Elements without content, and those that close each other.
_NEVER_DEEP = frozenset(
    (
        *(
            "area",
            "base",
            "br",
            "col",
            "embed",
            "hr",
            "img",
            "input",
            "link",
            "meta",
            "param",
            "source",
            "track",
            "wbr",
        ),
        *("p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "colgroup", "option", "optgroup"),
        *("html", "head", "body"),
    )
)
_DEEPEST = 2_000
_MOST_NODES = 5_000_000
_WHITE = re.compile(r"\s+")
#: An empty line follows them.
_PARAGRAPHS = ("p", "table", "ul", "ol", "pre", "blockquote")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def read(content: bytes) -> Extraction:
    from selectolax.lexbor import LexborHTMLParser

    text, notes = _decoded(content)
    _require_flat(text)
    root = LexborHTMLParser(text).body
    # Titles and lines; the lines before the first heading have no title.
    sections: list[tuple[str, list[str]]] = [("", [])]
    for tag, line in _lines(root) if root is not None else ():
        lines = sections[-1][1]
        if tag in _HEADINGS and line:
            sections.append((line, [line]))
        elif line or (lines and lines[-1]):
            lines.append(line)
    found = [(title, "\n".join(lines)) for title, lines in sections if any(line.strip() for line in lines)]
    if not found:
        raise Unreadable("it holds no text outside of scripts; save the page as its browser shows it")
    anchors = section_anchors(title for title, _ in found)
    return of_passages(((anchor, body) for anchor, (_, body) in zip(anchors, found, strict=True)), notes)


def _decoded(content: bytes) -> tuple[str, tuple[str, ...]]:
    declared = _CHARSET.search(content[:4_096])
    if declared is not None:
        try:
            return content.decode(declared[1].decode()), ()
        except (LookupError, UnicodeDecodeError):
            pass
    return decoded(content)


def _require_flat(text: str) -> None:
    """Raises `Unreadable` for a page whose tree would take a parser minutes, or the memory of this machine."""
    depth = formats = deepest = most_formats = count = 0
    for closing, name in _TAG.findall(text):
        tag, step = name.lower(), -1 if closing else 1
        count += 1
        if tag in _FORMATS:
            formats = max(0, formats + step)
            most_formats = max(most_formats, formats)
        if tag not in _NEVER_DEEP:
            depth = max(0, depth + step)
            deepest = max(deepest, depth)
    # Each paragraph begins with all formats that are still open.
    if deepest > _DEEPEST or most_formats * count > _MOST_NODES:
        raise Unreadable(f"its elements are nested {deepest:,} deep; save the page as its browser shows it")


def _lines(root: Any) -> Iterator[tuple[str, str]]:
    """The lines of the page and the innermost block that each is in; an empty line at the end of a paragraph.

    Without recursion: elements may be nested more deeply than Python's stack.
    """
    waiting, blocks, pieces = [(root, False)], [""], list[str]()
    while waiting:
        node, leaving = waiting.pop()
        tag = node.tag or ""
        if tag == "-text":
            text = node.text_content or ""
            pieces.append(text if "pre" in blocks else _WHITE.sub(" ", text))
        elif tag == "br":
            pieces.append("\n")
        elif leaving and tag in ("td", "th"):
            pieces.append(" | " if node.next is not None else "")
        elif tag in _BLOCKS and (leaving or _is_seen(node)):
            if line := _line(pieces):
                yield blocks[-1], line
            pieces = []
            if leaving:
                blocks.pop()
                yield from [("", "")] if tag in _PARAGRAPHS else ()
            else:
                blocks.append(tag)
        if not leaving and _is_seen(node):
            # It is left once its children are done.
            waiting += [(node, True)] if tag in _BLOCKS or tag in ("td", "th") else []
            children, child = [], node.child
            while child is not None:
                children.append((child, False))
                child = child.next
            waiting += reversed(children)


def _is_seen(node: Any) -> bool:
    tag = node.tag or "-"
    if tag.startswith("-") or tag in _UNSEEN:
        return False
    attributes = node.attributes
    return not attributes or not ("hidden" in attributes or _HIDDEN.search(attributes.get("style") or ""))


def _line(pieces: list[str]) -> str:
    """The text of a block without the spaces around its lines; those of preformatted text stay."""
    lines = (line.rstrip() for line in "".join(pieces).split("\n"))
    return "\n".join(line[1:] if line.startswith(" ") and not line.startswith("  ") else line for line in lines).strip(
        "\n"
    )
