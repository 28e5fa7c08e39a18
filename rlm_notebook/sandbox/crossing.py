"""What crosses between a cell and the host: plain values, in limited amounts, and the text of errors.

A cell chooses what it sends. A short program can make a list that refers to itself, or one of a thousand references to
a list of a thousand references, and so on: a small value in the sandbox, and more than any memory where it is written
out. So every value is copied by `plain`, which counts.

This module and `output` import only the standard library: the confined process loads them, too.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["MOST_CHARACTERS", "MOST_ITEMS", "MOST_LEVELS", "error_report", "plain", "portable_error", "rebuilt_error"]

#: The most that one value may hold, in characters and bytes.
MOST_CHARACTERS = 16_000_000
#: The most numbers, texts and containers that one value may hold.
MOST_ITEMS = 300_000
MOST_LEVELS = 100
#: Longer integers are not written as decimal digits: that takes quadratic time, and Python refuses it.
MOST_BITS = 10_000
#: Frames that an error shows: the outermost one and the last ones.
MOST_FRAMES = 6

#: The exceptions that exist under the same name in all sessions, and that can be made from a text.
_ERRORS: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (
        ArithmeticError, AssertionError, AttributeError, Exception, FileNotFoundError, ImportError, IndexError,
        KeyError, LookupError, MemoryError, NameError, NotImplementedError, OSError, OverflowError, PermissionError,
        RecursionError, RuntimeError, TimeoutError, TypeError, ValueError, ZeroDivisionError,
    )
}  # fmt: skip


def plain(value: Any) -> Any:
    """A copy of a value that consists of `None`, bool, int, float, str, bytes, lists, tuples and dicts with text keys.

    Sets become lists, dates and decimal numbers become text, arrays and tables become lists and columns, and exceptions
    become their text. Raises `TypeError` for anything else, `ValueError` for too many items, characters or levels.
    """
    return _Copy().of(value, 0)


class _Copy:
    def __init__(self) -> None:
        self._items = 0
        self._characters = 0

    def of(self, value: Any, level: int) -> Any:
        self._items += 1
        if self._items > MOST_ITEMS:
            raise ValueError(f"the value has more than {MOST_ITEMS:,} parts; pass less at once")
        if level > MOST_LEVELS:
            raise ValueError(f"the value is nested more than {MOST_LEVELS} levels deep, or contains itself")
        # Exact types first: a subclass may have code of its own.
        kind = type(value)
        if value is None or kind is bool or kind is float:
            return value
        if kind is int:
            if value.bit_length() > MOST_BITS:
                raise ValueError(f"an integer of {value.bit_length():,} bits is too large to pass")
            return value
        if kind is str or kind is bytes:
            return self._counted(value)
        if kind is list:
            return [self.of(item, level + 1) for item in value]
        if kind is tuple:
            return tuple(self.of(item, level + 1) for item in value)
        if isinstance(value, str):
            return self._counted(str.__str__(value))
        if isinstance(value, Mapping):
            return {self._key(key): self.of(item, level + 1) for key, item in value.items()}
        if isinstance(value, set | frozenset | Sequence) and not isinstance(value, bytearray | memoryview):
            return [self.of(item, level + 1) for item in value]
        if isinstance(value, BaseException):
            return self._counted("{}: {}".format(*portable_error(value)))
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        if isinstance(value, decimal.Decimal | datetime.timedelta):
            return str(value)
        # Arrays, tables and their scalars, recognised by what they can do.
        for convert in (getattr(value, "tolist", None), getattr(value, "item", None)):
            if callable(convert):
                return self.of(convert(), level + 1)
        if hasattr(value, "columns") and callable(to_dict := getattr(value, "to_dict", None)):
            return self.of(to_dict("list"), level + 1)
        raise TypeError(f"a value of type {kind.__name__} cannot be passed; pass text, numbers, lists or dicts")

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return str(self._counted(str.__str__(key)))
        if key is None or isinstance(key, bool | int | float):
            return str(key)
        raise TypeError(f"a dict with keys of type {type(key).__name__} cannot be passed; use text as keys")

    def _counted(self, text: str | bytes) -> str | bytes:
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS:
            raise ValueError(f"the value has more than {MOST_CHARACTERS:,} characters; pass less at once")
        if isinstance(text, str) and not text.isascii():
            # Half of a surrogate pair cannot be encoded.
            return text.encode("utf-8", "replace").decode("utf-8")
        return text


def portable_error(error: BaseException) -> tuple[str, str]:
    """The name and the text with which the other side makes its exception of an error."""
    name = type(error).__name__
    name = name if name in _ERRORS else "RuntimeError"
    text = error.args[0] if len(error.args) == 1 and isinstance(error.args[0], str) else None
    if text is None:
        try:
            text = str(error) or type(error).__name__
        except Exception:
            text = type(error).__name__
    return name, text.encode("utf-8", "replace").decode("utf-8")


def rebuilt_error(name: str, text: str) -> Exception:
    """An exception of that name, or a `RuntimeError`."""
    return _ERRORS.get(name, RuntimeError)(text)


def error_report(frames: Sequence[tuple[int, str, str]], error: str) -> str:
    """What a model reads of an error: its frames as (line, function, source), innermost last, then type and text."""
    shown = [*frames[:1], *frames[1:][-(MOST_FRAMES - 1) :]]
    lines = [
        f"line {line}{'' if function == '<module>' else f', in {function}'}: {source.strip()[:200]}"
        for line, function, source in shown
    ]
    if len(frames) > len(shown):
        lines.insert(1, f"[… {len(frames) - len(shown):,} calls left out …]")
    return "\n".join([*lines, error])
