"""Displays values of the types that cells name with `--type` as tables; other types are unchanged."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

__all__ = ["TypedTables"]


class TypedTables:
    """The types of one session whose values display as tables."""

    def __init__(self, shell: Any) -> None:
        self._formatter: Any = shell.display_formatter.formatters["text/html"]
        self._known: set[type] = set()

    def show(self, wanted: Any) -> None:
        """Displays values of the type, and lists of its records, as tables from now on."""
        classes = _types_in(wanted)
        records = {each for each in classes if hasattr(each, "model_fields") or hasattr(each, "__dataclass_fields__")}
        for each in records - self._known:
            if not hasattr(each, "_repr_html_"):
                self._formatter.for_type(each, _as_html)
        if records - {wanted}:
            self._formatter.for_type(list, self._list_as_html)
        self._known |= records

    def forget(self) -> None:
        """Restores the previous display of all types."""
        for each in (*self._known, list):
            self._formatter.type_printers.pop(each, None)
        self._known.clear()

    def _list_as_html(self, value: list[Any]) -> str | None:
        return _as_html(value) if value and all(type(each) in self._known for each in value) else None


def _types_in(wanted: Any) -> Iterator[type]:
    """The classes within a type: `Book` in `list[Book]`."""
    if isinstance(wanted, type) and not typing.get_args(wanted):
        yield wanted
    for part in typing.get_args(wanted):
        yield from _types_in(part)


def _as_html(value: Any) -> str | None:
    from ...views.rendering import table_of

    table = table_of(value)
    return table._repr_html_() if table is not None else None
