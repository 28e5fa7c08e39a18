"""Text that can be encoded, shown and kept: what models, tools and file names hold need not be such text.

A Python `str` may hold halves of surrogate pairs (JSON escapes, cut emoji, file names that are not UTF-8). UTF-8 has no
form for them, so one of them breaks whatever writes, sends or prints it later; NUL ends the text in many other places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Halves", "duration", "printable", "well_formed", "well_formed_value"]

REPLACEMENT = "\ufffd"


def well_formed(text: str) -> str:
    """The text as UTF-8 can hold it: halves of a pair that stand together are joined, lone ones and NUL replaced."""
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def well_formed_value(value: Any) -> Any:
    """A JSON value with all its texts well formed, those in keys too; the same object where nothing has to change.

    Raises `RecursionError` for a value that is nested too deeply.
    """
    if isinstance(value, str):
        return well_formed(value)
    if type(value) in _WITHOUT_TEXT:
        return value
    if isinstance(value, Mapping):
        changed = {well_formed_value(key): well_formed_value(item) for key, item in value.items()}
        return value if _same(changed.items(), value.items()) else changed
    if isinstance(value, list | tuple):
        items = [well_formed_value(item) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    return value


#: Asked for first: whether a number is a mapping takes ten times as long to find out, and lists may hold a million.
_WITHOUT_TEXT = frozenset({int, float, bool, type(None)})


def _same(new: Any, old: Any) -> bool:
    """Whether two sequences of pairs hold the same objects."""
    return len(new) == len(old) and all(
        key is other and item is another for (key, item), (other, another) in zip(new, old, strict=True)
    )


class Halves:
    """Makes the pieces of a text well formed one by one; a pair whose halves come in two pieces is joined."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        """What can be passed on of the text so far; the first half of a pair is held back."""
        text, self._half = self._half + piece, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return well_formed(text)

    def rest(self) -> str:
        """What was held back, at the end of the text."""
        half, self._half = self._half, ""
        return well_formed(half)


def duration(seconds: float) -> str:
    """Seconds as people say them: "0.4s", "12s", "3m 05s", "1h 02m"."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def printable(text: str) -> str:
    """Text of a model without what could drive a terminal (escape codes, direction overrides, line breaks)."""
    return "".join(char if char.isprintable() else " " for char in text)
