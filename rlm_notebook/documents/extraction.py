"""What extractors give: the text of a file, and where its passages are in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from .anchors import ranged

__all__ = ["MOST_CHARACTERS", "Extraction", "Extractor", "Span", "Unreadable", "of_passages"]

#: A file with more text is refused: a small file may hold any amount of it, compressed.
MOST_CHARACTERS = 200_000_000
#: Between passages that do not follow each other in a text file.
_BREAK = "\n\n"


class Unreadable(Exception):
    """A file cannot be read; the message says why and what to do, as the end of a sentence about the file."""


class Span(NamedTuple):
    """A passage: its anchor and its place in the text. `first` is the number of its first line or row, else 0."""

    anchor: str
    start: int
    end: int
    first: int = 0


@dataclass(frozen=True)
class Extraction:
    """The text of one file.

    `unit`: "line" or "row" where anchors are ranges of them, else "". `header`: the columns of a table. `notes` say
    what could not be read, a sentence each.
    """

    text: str
    spans: Sequence[Span]
    unit: str = ""
    header: str = ""
    notes: tuple[str, ...] = ()
    #: The number of each row within a passage of rows that has line breaks in its cells: offsets where rows begin.
    rows: Callable[[str], Sequence[int]] | None = field(default=None, repr=False, compare=False)

    @cached_property
    def has_text(self) -> bool:
        return bool(self.text.strip())

    @cached_property
    def _starts(self) -> list[int]:
        return [span.start for span in self.spans]

    def span_at(self, position: int) -> Span | None:
        """The passage at a position of the text."""
        at = bisect_right(self._starts, position) - 1
        return self.spans[at] if at >= 0 else None

    def anchor_of(self, start: int, end: int) -> str:
        """The anchor of a piece of the text, as precise as the unit allows: "line 57", "row 17", "p.12"."""
        first, last = self.span_at(start), self.span_at(max(start, end - 1))
        if first is None or last is None:
            return ""
        if self.unit:
            return ranged(self.unit, self._number(first, start), self._number(last, max(start, end - 1)))
        return first.anchor if first is last else f"{first.anchor} to {last.anchor}"

    def _number(self, span: Span, position: int) -> int:
        """The number of the line or row at a position."""
        if self.rows is None:
            return span.first + self.text.count("\n", span.start, position)
        begins = self.rows(self.text[span.start : span.end])
        return span.first + max(0, bisect_right(begins, position - span.start) - 1)


@dataclass(frozen=True)
class Extractor:
    """How files of a kind are read.

    `read` gets the bytes, `read_path` the path instead; both raise `Unreadable`. `version` is part of the content keys:
    raise it when the text becomes another one. `package`: the library that it imports, of the extra `sources`. `plain`:
    the file is a text, whose digest alone identifies it. `draw` gives the passage at an anchor as an image.
    """

    kind: str
    version: str
    read: Callable[[bytes], Extraction] | None = None
    read_path: Callable[[Path], Extraction] | None = None
    package: str = ""
    plain: bool = False
    draw: Callable[[bytes, str], bytes] | None = None


def of_passages(passages: Iterable[tuple[str, str]], notes: Iterable[str] = ()) -> Extraction:
    """The extraction of passages that are not consecutive pieces of one text. Raises `Unreadable` if it is too long."""
    pieces: list[str] = []
    spans: list[Span] = []
    position = 0
    for anchor, text in passages:
        if pieces:
            pieces.append(_BREAK)
            position += len(_BREAK)
        pieces.append(text)
        spans.append(Span(anchor, position, position + len(text)))
        position += len(text)
        if position > MOST_CHARACTERS:
            raise Unreadable(f"it holds more than {MOST_CHARACTERS:,} characters of text; give a part of it")
    return Extraction("".join(pieces), spans, notes=tuple(notes))
