"""PDF, page by page, with pypdfium2. Scripts and forms of a document are not loaded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from ...host.installation import install_command
from ..extraction import Extraction, Unreadable, of_passages
from ..images import LONGEST_SIDE, encoded

__all__ = ["draw", "read"]

#: PDFium must not be called by two threads at once.
_LOCK = threading.Lock()
MOST_PAGES = 50_000
#: PDFium marks a hyphen at the end of a line with one of these.
_HYPHENS = str.maketrans({"\x02": "-", "\ufffe": "-", "\0": None, "\r": None})


def read(content: bytes) -> Extraction:
    with _opened(content) as (document, error):
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
                    with closing(document[number]) as page, closing(page.get_textpage()) as text_page:
                        text = str(text_page.get_text_bounded()).translate(_HYPHENS)
                except error:
                    broken.append(number + 1)
                    text = ""
                if not text.strip() and number + 1 not in broken[-1:]:
                    empty.append(number + 1)
                yield f"p.{number + 1}", text

        extraction = of_passages(pages())
        # `of_passages` has gone through all pages by now.
        if len(broken) == count:
            raise Unreadable(f"it is damaged: none of its {count} pages can be read")
        notes = [f"{len(empty)} of {count} pages hold no text"] if empty else []
        notes += [f"{len(broken)} of {count} pages cannot be read"] if broken else []
        return Extraction(extraction.text, extraction.spans, notes=tuple(notes))


def draw(content: bytes, anchor: str) -> bytes:
    """A page as an image, of `LONGEST_SIDE` pixels. Raises `Unreadable`."""
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise Unreadable(f"drawing a page needs Pillow: {install_command('sources')}") from None
    with _opened(content) as (document, error):
        number = int(anchor.removeprefix("p."))
        if not 1 <= number <= len(document):
            raise Unreadable(f"there is no page {number}; it has {len(document):,}")
        try:
            with closing(document[number - 1]) as page:
                # A page may be of any size: only the pixels are bounded.
                scale = LONGEST_SIDE / max(*page.get_size(), 1.0)
                with closing(page.render(scale=scale, may_draw_forms=False)) as bitmap:
                    return encoded(bitmap.to_pil())
        except (error, ValueError) as problem:
            raise Unreadable(f"page {number} cannot be drawn: {problem}") from None


@contextmanager
def _opened(content: bytes) -> Iterator[tuple[Any, type[Exception]]]:
    """The document, for this thread alone, and the class of its errors."""
    import pypdfium2

    with _LOCK:
        try:
            document = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            message = str(error).casefold()
            if "password" in message or "security" in message:
                raise Unreadable("it is encrypted; save a copy without a password, and give that") from None
            raise Unreadable("it is damaged, or no PDF") from None
        with closing(document):
            yield document, pypdfium2.PdfiumError
