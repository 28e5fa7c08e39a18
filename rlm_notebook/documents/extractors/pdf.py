"""PDF, page by page, with pypdfium2. Scripts and forms of a document are not loaded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from ..extraction import Extraction, Unreadable, of_passages

__all__ = ["read"]

#: PDFium must not be called by two threads at once.
_LOCK = threading.Lock()
MOST_PAGES = 50_000
#: PDFium marks a hyphen at the end of a line with one of these.
_HYPHENS = str.maketrans({"\x02": "-", "\ufffe": "-", "\0": None, "\r": None})


def read(content: bytes) -> Extraction:
    import pypdfium2

    with _LOCK:
        try:
            document = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            raise _refusal(str(error)) from None
        try:
            return _read(document, pypdfium2.PdfiumError)
        finally:
            document.close()


def _read(document: Any, error: type[Exception]) -> Extraction:
    count = len(document)
    if not count:
        raise Unreadable("it is a PDF without pages")
    if count > MOST_PAGES:
        raise Unreadable(f"it has {count:,} pages; at most {MOST_PAGES:,} are read: give a part of it")
    broken: list[int] = []
    empty: list[int] = []

    def pages() -> Iterator[tuple[str, str]]:
        for number in range(count):
            try:
                text = _page_text(document, number)
            except error:
                broken.append(number + 1)
                text = ""
            if not text.strip() and number + 1 not in broken[-1:]:
                empty.append(number + 1)
            yield f"p.{number + 1}", text

    extraction = of_passages(pages())
    if len(empty) + len(broken) == count:
        raise _nothing_in(count, len(broken))
    # `of_passages` has gone through all pages by now.
    notes = [f"{len(empty)} of {count} pages hold no text"] if empty else []
    notes += [f"{len(broken)} of {count} pages cannot be read"] if broken else []
    return Extraction(extraction.text, extraction.spans, notes=tuple(notes))


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    try:
        text_page = page.get_textpage()
        try:
            return str(text_page.get_text_bounded()).translate(_HYPHENS)
        finally:
            text_page.close()
    finally:
        page.close()


def _nothing_in(count: int, broken: int) -> Unreadable:
    if broken:
        return Unreadable(f"it is damaged: none of its {count} pages can be read")
    pages = f"{count} of {count} pages hold" if count > 1 else "its page holds"
    return Unreadable(f"{pages} no text: it is a scan; run OCR first (ocrmypdf, say), and give the result")


def _refusal(message: str) -> Unreadable:
    if "password" in message.casefold() or "security" in message.casefold():
        return Unreadable("it is encrypted; save a copy without a password, and give that")
    return Unreadable("it is damaged, or no PDF")
