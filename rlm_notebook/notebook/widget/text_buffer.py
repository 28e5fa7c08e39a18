"""The text of one node while it streams, stored in pieces, because it may become long."""

from __future__ import annotations

__all__ = ["StreamedText"]


class StreamedText:
    """A text that grows by pieces; gives its end, or the part that is new since the last `take`."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._taken = 0
        #: The length of the taken part in UTF-16 code units, as JavaScript counts.
        self._units = 0

    def add(self, piece: str) -> None:
        self._pieces.append(piece)

    def __str__(self) -> str:
        return "".join(self._pieces)

    def tail(self, characters: int) -> str:
        """The last `characters` characters of the text."""
        found: list[str] = []
        missing = characters
        for piece in reversed(self._pieces):
            found.append(piece)
            missing -= len(piece)
            if missing <= 0:
                break
        return "".join(reversed(found))[-characters:]

    def take(self) -> tuple[int, str] | None:
        """The offset of the new part in UTF-16 code units, and the new part; `None` if nothing is new."""
        if self._taken == len(self._pieces):
            return None
        new = "".join(self._pieces[self._taken :])
        offset, self._taken = self._units, len(self._pieces)
        self._units += len(new) + sum(char > "\uffff" for char in new)
        return offset, new

    def rewind(self) -> None:
        """The next `take` starts at the beginning of the text."""
        self._taken = self._units = 0
