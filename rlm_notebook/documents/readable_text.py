"""A text that the code of a code node reads, instead of a copy of it."""

from __future__ import annotations

from itertools import islice

from .expressions import compiled

__all__ = ["ReadableText"]

SEARCH_SECONDS = 10.0
MOST_OF_A_LINE = 500


class ReadableText:
    """A long text that code reads piece by piece; positions count characters."""

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def size(self) -> int:
        return len(self._text)

    def read(self, start: int = 0, end: int | None = None) -> str:
        """The text from `start` to `end`, as a slice of it."""
        return self._text[start:end]

    def search(self, pattern: str, limit: int = 100) -> list[tuple[int, str]]:
        """Position and line of the first matches of a regular expression. Raises `ValueError`."""
        found, wanted = [], compiled(pattern)
        try:
            for match in islice(wanted.matches(self._text, SEARCH_SECONDS), max(0, limit)):
                start = max(self._text.rfind("\n", 0, match.start()) + 1, match.start() - MOST_OF_A_LINE)
                end = self._text.find("\n", match.start(), match.start() + MOST_OF_A_LINE)
                found.append((match.start(), self._text[start : end if end >= 0 else match.start() + MOST_OF_A_LINE]))
        except TimeoutError:
            raise ValueError(f"searching for {pattern!r} takes too long; use a simpler expression") from None
        return found

    def chunks(self, length: int) -> list[tuple[int, int]]:
        """(start, end) of consecutive pieces of at most `length` characters that end at line ends where possible."""
        if length < 1:
            raise ValueError(f"chunks({length}): expected a length of at least 1")
        pieces, start = [], 0
        while start < len(self._text):
            end = min(start + length, len(self._text))
            if end < len(self._text):
                end = self._text.rfind("\n", start, end) + 1 or end
            pieces.append((start, end))
            start = end
        return pieces
