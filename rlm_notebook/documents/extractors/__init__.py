"""One extractor per kind of file, chosen by the file's suffix."""

from __future__ import annotations

from pathlib import PurePath

from ..extraction import Extractor
from ..images import image_kind
from . import docx, html, notebook, pdf, picture, tables, text

__all__ = ["NOT_READ", "extractor_for"]

_PLAIN = Extractor("text", "1", text.read_lines, plain=True)
_MARKDOWN = Extractor("Markdown", "1", text.read_markdown, plain=True)
_CSV = Extractor("CSV", "1", tables.read_csv, plain=True)
_TSV = Extractor("TSV", "1", tables.read_tsv, plain=True)
_JSONL = Extractor("JSONL", "1", tables.read_jsonl, plain=True)
_NOTEBOOK = Extractor("notebook", "1", notebook.read)
_PDF = Extractor("PDF", "1", pdf.read, package="pypdfium2", draw=pdf.draw)
_DOCX = Extractor("DOCX", "1", docx.read, package="python-docx")
_HTML = Extractor("HTML", "1", html.read, package="selectolax")

_BY_SUFFIX = {
    ".md": _MARKDOWN,
    ".markdown": _MARKDOWN,
    ".csv": _CSV,
    ".tsv": _TSV,
    ".jsonl": _JSONL,
    ".ndjson": _JSONL,
    ".ipynb": _NOTEBOOK,
    ".pdf": _PDF,
    ".docx": _DOCX,
    ".html": _HTML,
    ".htm": _HTML,
    ".xhtml": _HTML,
}

#: Formats that hold text and need an extractor of the user's.
NOT_READ = frozenset((".doc", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".ods", ".odp", ".rtf", ".epub"))


def extractor_for(name: str, head: bytes) -> Extractor:
    """The extractor for a file of this name that begins with `head`; any other text is read by lines."""
    if kind := image_kind(head)[0]:
        return Extractor(kind, "1", picture.read, draw=picture.draw)
    found = _BY_SUFFIX.get(PurePath(name).suffix.lower())
    return found or (_PDF if head.startswith(b"%PDF-") else _PLAIN)
