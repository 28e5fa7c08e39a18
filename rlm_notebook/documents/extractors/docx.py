"""DOCX with python-docx: a section per heading, with its tables and footnotes. Macros and links are not followed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from ..anchors import section_anchors
from ..extraction import Extraction, Unreadable, of_passages

__all__ = ["read"]

#: Of all parts together; a small file may unpack to any size.
MOST_UNPACKED = 500_000_000
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"


def read(content: bytes) -> Extraction:
    if content.startswith(_OLD_OFFICE):
        raise Unreadable("it is encrypted, or in the format before DOCX; save it as DOCX without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise Unreadable("it is damaged, or no DOCX") from None
    if unpacked > MOST_UNPACKED:
        raise Unreadable(f"it unpacks to {unpacked / 1e6:,.0f} MB; at most {MOST_UNPACKED / 1e6:,.0f} MB are read")
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from lxml.etree import LxmlError

    try:
        document = docx.Document(io.BytesIO(content))
        sections = list(_sections(document))
    except (PackageNotFoundError, zipfile.BadZipFile, LxmlError, KeyError, ValueError, AttributeError) as error:
        raise Unreadable(f"it is damaged, or no DOCX ({type(error).__name__})") from None
    if not any(text.strip() for _, text in sections):
        raise Unreadable("it holds no text; a scan in it needs OCR first")
    anchors = section_anchors(title for title, _ in sections)
    return of_passages((anchor, text) for anchor, (_, text) in zip(anchors, sections, strict=True))


def _sections(document: Any) -> Iterator[tuple[str, str]]:
    """Titles and texts, the title included; the text before the first heading has none."""
    notes = {kind: _notes(document, kind) for kind in ("footnote", "endnote")}
    # Their names are the same in all languages.
    styles = ((style.style_id, style.name.casefold()) for style in document.styles if style.name and style.style_id)
    headings = frozenset(style for style, name in styles if name.startswith("heading ") or name == "title")
    title, lines = "", list[str]()
    for block in _blocks(document.element.body):
        style = block.find(f"{_W}pPr/{_W}pStyle") if block.tag == f"{_W}p" else None
        is_heading = style is not None and style.get(f"{_W}val", "") in headings
        if is_heading and (text := _paragraph(block)).strip():
            if any(line.strip() for line in lines):
                yield title, "\n".join(lines)
            title, lines = text, [text, *_cited(block, notes)]
        elif block.tag == f"{_W}p":
            lines += [_paragraph(block), *_cited(block, notes)]
        else:
            lines += [*_table(block), *_cited(block, notes)]
    if any(line.strip() for line in lines):
        yield title, "\n".join(lines)


def _blocks(element: Any) -> Iterator[Any]:
    """The paragraphs and tables of a body or a cell, also those in content controls."""
    waiting = list(reversed(element))
    while waiting:
        child = waiting.pop()
        if child.tag in (f"{_W}p", f"{_W}tbl"):
            yield child
        elif child.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml"):
            waiting += reversed(child)


def _paragraph(element: Any) -> str:
    """The text of a paragraph as it is read: insertions and links included, deletions not."""
    pieces: list[str] = []
    waiting = [element]
    while waiting:
        each = waiting.pop()
        if each.tag == f"{_W}t":
            pieces.append(each.text or "")
        elif each.tag == f"{_W}tab":
            pieces.append("\t")
        elif each.tag in (f"{_W}br", f"{_W}cr") or (each.tag == f"{_W}p" and pieces):
            pieces.append("\n")
        elif each.tag in (f"{_W}noBreakHyphen", f"{_W}softHyphen"):
            pieces.append("-" if each.tag == f"{_W}noBreakHyphen" else "")
        elif each.tag == f"{_W}footnoteReference" or each.tag == f"{_W}endnoteReference":
            pieces.append(f"[^{_number(each)}]")
        # Of a shape, Word writes a second form for older versions.
        if each.tag not in (f"{_W}del", f"{_W}moveFrom", f"{_W}pPr", f"{_W}rPr", _FALLBACK):
            waiting += reversed(each)
    return "".join(pieces)


def _table(table: Any, depth: int = 0) -> Iterator[str]:
    """A line per row, its cells between bars; a cell over several columns once."""
    for row in table.iter(f"{_W}tr"):
        if next(row.iterancestors(f"{_W}tbl")) is not table:
            continue
        cells = []
        for cell in row.iter(f"{_W}tc"):
            if next(cell.iterancestors(f"{_W}tr")) is row:
                within = (
                    _paragraph(each)
                    if each.tag == f"{_W}p"
                    else "; ".join(_table(each, depth + 1) if depth < 5 else ())
                    for each in _blocks(cell)
                )
                cells.append(" ".join(" ".join(within).split()))
        yield " | ".join(cells)


def _cited(element: Any, notes: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """The notes that a paragraph or a table refers to, each in a line."""
    for kind, texts in notes.items():
        for reference in element.iter(f"{_W}{kind}Reference"):
            number = _number(reference)
            if number in texts:
                yield f"[^{number}]: {texts[number]}"


def _number(element: Any) -> str:
    return str(element.get(f"{_W}id", ""))


def _notes(document: Any, kind: str) -> dict[str, str]:
    """The texts of the footnotes or endnotes by their ids."""
    from docx.oxml import parse_xml

    for relation in document.part.rels.values():
        if relation.reltype.endswith(f"/{kind}s") and not relation.is_external:
            root = parse_xml(relation.target_part.blob)
            return {_number(note): " ".join(_paragraph(note).split()) for note in root.iter(f"{_W}{kind}")}
    return {}
