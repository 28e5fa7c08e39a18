"""The task of each row: a text in which `{{column}}` stands for the row's value."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from enum import Enum
from functools import partial
from typing import Any

from ..exceptions import ConfigurationError

__all__ = ["RowTemplate", "is_missing", "text_of"]

_PLACE = re.compile(r"(\\?)\{\{[ \t]*([^{}\n]*?)[ \t]*\}\}")


class RowTemplate:
    """A task with places for the values of a row.

    `{{name}}` is the value of the column with this name, `{{row}}` (or the name given as `row`) the whole row: a text,
    or JSON of all columns. `\\{{` is a literal `{{`. `columns` are the positions of the columns that the task uses.
    Raises `ConfigurationError` for a name that is no column, and for a task that uses none.
    """

    def __init__(self, task: str, names: Sequence[str], *, row: str = "row", plain: bool = False) -> None:
        if not isinstance(task, str) or not task.strip():
            raise ConfigurationError(
                f"the task is {'empty' if task == '' else repr(task)[:40]}: write a text with {{{{column}}}}"
            )
        position = {name: at for at, name in enumerate(names)}
        self._names = names
        #: Texts, and between them the positions of columns; `None` is the whole row.
        self._parts: list[str | int | None] = []
        at = 0
        for match in _PLACE.finditer(task):
            name = match[2]
            if match[1]:
                found: str | int | None = match[0][1:]
            elif name in position:
                found = position[name]
            elif name == row or not names:
                # A list without rows names no columns.
                found = 0 if plain else None
            elif name.isidentifier():
                raise _unknown(name, names, row)
            else:
                continue
            self._parts += [task[at : match.start()], found]
            at = match.end()
        self._parts.append(task[at:])
        if all(isinstance(part, str) for part in self._parts):
            listed = ", ".join(f"{{{{{name}}}}}" for name in names[:20])
            raise ConfigurationError(
                f"the task is the same for every row, because it names no column; there are {listed}"
            )
        whole = None in self._parts
        used = {part for part in self._parts if isinstance(part, int)}
        self.columns: list[int] = list(range(len(names))) if whole else sorted(used)
        self._at = {column: place for place, column in enumerate(self.columns)}

    def render(self, values: Sequence[Any]) -> str:
        """The task for a row, given the values of `columns` in this order."""
        texts = []
        for part in self._parts:
            if isinstance(part, str):
                texts.append(part)
            elif part is None:
                texts.append(json.dumps(dict(zip(self._names, map(_json, values), strict=True)), ensure_ascii=False))
            else:
                texts.append(text_of(values[self._at[part]]))
        return "".join(texts).strip("\n")


def _unknown(name: str, names: Sequence[str], row: str) -> ConfigurationError:
    close = difflib.get_close_matches(name, names, n=1)
    there = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    hint = f"did you mean {{{{{close[0]}}}}}?" if close else f"there are: {there}, and {{{{{row}}}}} for the whole row"
    return ConfigurationError(f"{{{{{name}}}}} names no column; {hint} (a literal {{{{ is written \\{{{{)")


def is_missing(value: Any) -> bool:
    """Whether a value of a table stands for no value: None, NaN, NaT, NA."""
    if value is None:
        return True
    kind = type(value)
    if kind is str or kind is int:
        return False
    if isinstance(value, float):
        return math.isnan(value)
    return kind.__name__ in ("NAType", "NaTType")


def text_of(value: Any) -> str:
    """A value as the same text, whatever kind of table it comes from; "" if it is missing.

    Whole numbers have no fraction, because some tables hold integers as floats; dates are ISO 8601; lists, dicts and
    arrays are JSON.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return str(value)
    if is_missing(value):
        return ""
    plain = _json(value)
    return plain if isinstance(plain, str) else str(plain) if not isinstance(plain, list | dict) else _dumped(plain)


_dumped = partial(json.dumps, ensure_ascii=False)


def _json(value: Any) -> Any:
    """A value as JSON holds it."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str | bool | int) or value is None:
        return value
    if is_missing(value):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else float(value)
    if isinstance(value, datetime):
        # Some tables hold a date as midnight of that day.
        midnight = value.tzinfo is None and value.time() == time() and not getattr(value, "nanosecond", 0)
        return value.date().isoformat() if midnight else value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _json(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(each) for each in value]
    if hasattr(value, "to_list") or hasattr(value, "tolist"):
        return _json(value.to_list() if hasattr(value, "to_list") else value.tolist())
    return str(value)
