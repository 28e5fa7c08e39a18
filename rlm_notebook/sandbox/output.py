"""What a cell prints, shortened while it is printed: a cell may print without end."""

from __future__ import annotations

__all__ = ["KeptOutput", "shortened"]


def shortened(text: str, limit: int) -> str:
    """The text if it has at most `limit` characters, else its beginning and its end, with what was left out said."""
    kept = KeptOutput(limit)
    kept.write(text)
    return kept.text


class KeptOutput:
    """Keeps at most `limit` characters of what is written to it: the first and the last half of them."""

    def __init__(self, limit: int) -> None:
        self._head_room = limit - limit // 2
        self._tail_room = limit // 2
        self._head: list[str] = []
        self._tail = ""
        self._written = 0

    def write(self, text: str) -> None:
        self._written += len(text)
        if self._head_room:
            self._head.append(text[: self._head_room])
            text = text[self._head_room :]
            self._head_room -= len(self._head[-1])
        if text:
            self._tail = (self._tail + text[-self._tail_room :] if self._tail_room else "")[-self._tail_room :]

    @property
    def text(self) -> str:
        head = "".join(self._head)
        left_out = self._written - len(head) - len(self._tail)
        return f"{head}\n[… {left_out:,} characters left out …]\n{self._tail}" if left_out else head + self._tail
