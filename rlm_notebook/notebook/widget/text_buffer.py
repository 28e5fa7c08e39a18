"""The text of one node while a model writes it: kept in pieces, because it may become long."""

from __future__ import annotations

__all__ = ["StreamedText"]


class StreamedText:
    """Grows piece by piece; gives its end, or what came since it was last taken."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._taken = 0
        #: The length of what was taken, as the browser counts: in UTF-16 code units.
        self._units = 0

    def add(self, piece: str) -> None:
        self._pieces.append(piece)

    def __str__(self) -> str:
        return "".join(self._pieces)

    def tail(self, characters: int) -> str:
        """The end of the text, at most so long."""
        found: list[str] = []
        missing = characters
        for piece in reversed(self._pieces):
            found.append(piece)
            missing -= len(piece)
            if missing <= 0:
                break
        return "".join(reversed(found))[-characters:]

    def take(self) -> tuple[int, str] | None:
        """Where the text goes on, in UTF-16 code units, and what is new; `None` if nothing is."""
        if self._taken == len(self._pieces):
            return None
        new = "".join(self._pieces[self._taken :])
        offset, self._taken = self._units, len(self._pieces)
        self._units += len(new) + sum(char > "\uffff" for char in new)
        return offset, new

    def rewind(self) -> None:
        """Take it from the start again."""
        self._taken = self._units = 0
