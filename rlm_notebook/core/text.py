"""Text that can be encoded, displayed and stored; text of models, tools and file names may be neither.

A Python `str` may hold halves of surrogate pairs (JSON escapes, cut emoji, file names that are not UTF-8). UTF-8 cannot
encode them, so one of them breaks whatever writes, sends or prints it later; NUL ends the text in many other places.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

__all__ = [
    "Halves",
    "amount",
    "counted",
    "cut",
    "duration",
    "end_of",
    "pretty",
    "printable",
    "repeated",
    "well_formed",
    "well_formed_value",
]

REPLACEMENT = "\ufffd"


def repeated(alternatives: str) -> str:
    """The expression for any number of these, as many as there are, without a way back.

    Python before 3.11.5 matches a possessive group wrongly (python/cpython#106052). An atomic one means the same; it
    remembers each repetition until its end, which costs memory in long texts.
    """
    return f"(?:{alternatives})*+" if sys.version_info >= (3, 11, 5) else f"(?>(?:{alternatives})*)"


def end_of(pattern: re.Pattern[str], text: str, start: int = 0, limit: int = sys.maxsize) -> int:
    """Where the match at `start` ends, of an expression that matches everywhere, if only the empty text."""
    found = pattern.match(text, start, limit)
    assert found is not None, pattern.pattern
    return found.end()


def well_formed(text: str) -> str:
    """The text as UTF-8 can encode it: adjacent halves of a pair are joined, lone ones and NUL are replaced."""
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
    """A JSON value with all its texts well formed, keys included; the same object where nothing has to change.

    Raises `RecursionError` for a value that is nested too deeply.
    """
    if isinstance(value, str):
        return well_formed(value)
    if type(value) in _WITHOUT_TEXT:
        return value
    if isinstance(value, Mapping):
        changed = {well_formed_value(key): well_formed_value(item) for key, item in value.items()}
        same = len(changed) == len(value) and all(
            key is other and item is another
            for (key, item), (other, another) in zip(changed.items(), value.items(), strict=True)
        )
        return value if same else changed
    if isinstance(value, list | tuple):
        if _WITHOUT_TEXT.issuperset(map(type, value)):
            return value
        items = [well_formed_value(item) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    return value


#: Tested first: `isinstance(1, Mapping)` takes ten times as long, and lists may hold a million numbers.
_WITHOUT_TEXT = frozenset({int, float, bool, type(None)})


class Halves:
    """Makes the pieces of a text well formed one by one; a pair whose halves come in two pieces is joined."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        """The text that is complete so far; the first half of a pair is held back until the second arrives."""
        text, self._half = self._half + piece, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return well_formed(text)

    def rest(self) -> str:
        """The half that is still held back, when the text has ended."""
        half, self._half = self._half, ""
        return well_formed(half)


def duration(seconds: float) -> str:
    """Seconds in words: "0.4s", "12s", "3m 05s", "1h 02m"."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def cut(text: str, width: int) -> str:
    """The text with at most `width` characters; the last one is "…" if there are more."""
    return text if len(text) <= width else text[: width - 1] + "…"


def pretty(value: object, printer: Any, cycle: bool) -> None:
    """The `_repr_pretty_` of a class whose `str()` is for people: IPython calls it to show a value."""
    printer.text(str(value))


def counted(count: float, noun: str, plural: str = "") -> str:
    """A count with its noun: "1 call", "1,200 calls", "2 copies" with its plural."""
    return f"{amount(count)} {noun if count == 1 else plural or noun + 's'}"


def amount(number: float) -> str:
    """A number in words: "1,000,000" for one that is whole, "0.25" for another."""
    return f"{number:,.0f}" if number % 1 == 0 else f"{number:g}"


def printable(text: str) -> str:
    """The text in one line, with a space for each control character, direction override and line break."""
    return "".join(char if char.isprintable() else " " for char in text)
