"""One extractor per kind of file, chosen by the file's suffix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import PurePath
from typing import Any

from ..extraction import Extractor
from ..image_kinds import image_kind

__all__ = ["NOT_READ", "extractor_by", "extractor_for"]


def _function(place: str) -> Any:
    """A function of a module beside this one ("pdf:read"), which is imported when the function is called first."""
    module, _, name = place.partition(":")

    def call(*arguments: Any) -> Any:
        return getattr(import_module(f".{module}", __name__), name)(*arguments)

    return call


_PLAIN = Extractor("text", "1", _function("text:read_lines"), plain=True)
_MARKDOWN = Extractor("Markdown", "1", _function("text:read_markdown"), plain=True)
_CSV = Extractor("CSV", "1", _function("tables:read_csv"), plain=True)
_TSV = Extractor("TSV", "1", _function("tables:read_tsv"), plain=True)
_JSONL = Extractor("JSONL", "1", _function("tables:read_jsonl"), plain=True)
_NOTEBOOK = Extractor("notebook", "1", _function("notebook:read"))
_PDF = Extractor("PDF", "1", _function("pdf:read"), package="pypdfium2", draw=_function("pdf:draw"))
_DOCX = Extractor("DOCX", "1", _function("docx:read"), package="python-docx")
_IMAGE = Extractor("image", "1", _function("picture:read"), draw=_function("picture:draw"))
_HTML = Extractor("HTML", "1", _function("html:read"), package="selectolax")

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
        return replace(_IMAGE, kind=kind)
    found = _BY_SUFFIX.get(PurePath(name).suffix.lower())
    return found or (_PDF if head.startswith(b"%PDF-") else _PLAIN)


def extractor_by(function: Callable[..., Any]) -> Extractor:
    """The extractor that calls a function of the user's with the path of the file."""
    extractor: Extractor = _function("custom:extractor")(function)
    return extractor
