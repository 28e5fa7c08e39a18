"""Users' values as text for a model: the complete value, or an error that says what cannot be written.

`str()` and `repr()` of tables and arrays leave out the middle, and those of most objects contain an address. A model
that reads such a text sees other data than the user has, and a change in the middle goes unnoticed. So a table becomes
CSV, all else becomes JSON, and any other value is refused. Table and array libraries are recognised by the methods of
their values; none is imported.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, MappingView, Sequence, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from itertools import count, islice
from numbers import Rational
from pathlib import PurePath
from types import NoneType, SimpleNamespace
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from .core.content import TextValue

__all__ = [
    "MOST_ITEMS",
    "NoText",
    "is_table",
    "json_text",
    "spoken_text",
    "table_columns",
    "table_text",
    "typed_text",
    "unspoken_text",
]

#: The deepest nesting, which also ends values that contain themselves.
MOST_LEVELS = 200
#: The most items that are collected from an iterator, which may never end.
MOST_ITEMS = 1_000_000


class NoText(ValueError):
    """A value cannot be written completely; the message names the part and the reason."""


def is_table(value: Any) -> bool:
    """Whether a value is a table, which is written as CSV."""
    return _writer(value) is not None


def table_text(value: Any) -> str | None:
    """A table (of pandas, polars or a similar library) as CSV with every row, column and cell; `None` for other values.

    Raises `NoText` for a table that cannot be written, or with a cell that cannot.
    """
    write = _writer(value)
    if write is None:
        return None
    try:
        written = _with_plain_cells(value, write)()
    except NoText:
        raise
    except Exception as error:
        raise NoText(f"a {type(value).__name__} that cannot be written as CSV ({error})") from None
    if not isinstance(written, str):
        raise NoText(f"a {type(value).__name__} whose CSV is no text")
    return written


def table_columns(value: Any) -> dict[str, list[Any]] | None:
    """A table as lists by column name, of plain values: numbers, booleans and text; a missing value is `None`.

    `None` for a value that is no table, or that gives no columns.
    """
    if not is_table(value) or not hasattr(value, "columns"):
        return None
    columns: dict[str, list[Any]] = {}
    try:
        for place, name in enumerate(value.columns):
            series = value.iloc[:, place] if hasattr(value, "iloc") else value[name]
            items = series.tolist() if hasattr(series, "tolist") else series.to_list()
            # A table may have several columns of one name.
            names = (str(name) if number == 1 else f"{name}_{number}" for number in count(1))
            columns[next(each for each in names if each not in columns)] = [_plain_cell(item) for item in items]
    except NoText:
        raise
    except Exception as error:
        raise NoText(f"a {type(value).__name__} whose columns cannot be read ({error})") from None
    return columns


def _plain_cell(item: Any) -> Any:
    kind = type(item)
    if kind is str or kind is int or kind is bool or item is None:
        return item
    if kind is float:
        return None if item != item else item
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    try:
        return json.loads(json_text(item))
    except NoText:
        return str(item)


def _writer(value: Any) -> Any:
    try:
        found = (getattr(value, name, None) for name in ("to_csv", "write_csv"))
        return None if isinstance(value, type) else next(filter(callable, found), None)
    except Exception:  # code of the object: looking up an attribute may raise anything
        return None


def json_text(value: Any, *, indent: int | None = None, collecting: bool = False, spoken: bool = False) -> str:
    """A value as JSON; tables in it are CSV, sets are sorted, NaN and the infinities are strings.

    `collecting`: iterators are consumed, up to a million items. `spoken`: an object that defines `__str__` becomes that
    text. Raises `NoText` for a value that cannot be written, contains itself, or is nested more than 200 levels deep.
    """
    return _written(_Plain(collecting=collecting, spoken=spoken).of(value, 0), indent)


def typed_text(value: Any, table: str | None = None) -> str:
    """A text that differs for different values: JSON with the types that JSON does not distinguish.

    For digests, not for models: it tells apart the keys `1` and `"1"`, or a date and its text. `table` is the value's
    `table_text`, if it is at hand: a large table takes a while to write.
    """
    plain = _Plain(typed=True)
    return _written(plain.of(value, 0) if table is None else plain.of_table(value, table), None)


def unspoken_text(value: Any) -> str:
    """The `typed_text` of a value that its JSON does not fully describe; "" for any other value."""
    plain = _Plain(typed=True)
    typed = plain.of(value, 0)
    return _written(typed, None) if plain.noted else ""


def spoken_text(value: Any) -> str:
    """The text of an object's own `__str__`. Raises `NoText` if it has none, or if the text looks like an excerpt."""
    named = f"a {type(value).__name__}"
    own: Any = type(value).__str__
    if isinstance(value, type) or callable(value) or own in _NO_STR:
        raise NoText(f"{named}, which has no text of its own")
    text = str(value)
    if "..." in text or "…" in text or _ADDRESS.search(text):
        raise NoText(f"{named}, whose text leaves something out")
    return text


_NO_STR: list[Any] = [object.__str__]
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


def _written(plain: Any, indent: int | None) -> str:
    try:
        return json.dumps(plain, ensure_ascii=False, indent=indent)
    except (ValueError, RecursionError) as error:
        raise NoText(f"a value that cannot be written as JSON ({error})") from None


class _Plain:
    """Reduces a value to JSON types: dicts, lists, strings, numbers, true, false and null.

    `typed`: each converted value is wrapped together with the name of its type.
    """

    def __init__(self, *, collecting: bool = False, spoken: bool = False, typed: bool = False) -> None:
        self._collecting = collecting
        self._spoken = spoken
        self._typed = typed
        self._above: set[int] = set()
        #: Whether anything was converted.
        self.noted = False

    def of(self, value: Any, level: int) -> Any:
        kind = type(value)
        if value is None or kind is str or kind is bool or kind is int:
            return value
        if kind is float:
            return value if math.isfinite(value) else self._noted("float", _NOT_FINITE.get(value, "NaN"))
        if level > MOST_LEVELS or id(value) in self._above:
            raise NoText(f"a value that holds itself, or is nested deeper than {MOST_LEVELS}")
        self._above.add(id(value))
        try:
            return self._reduced(value, level + 1)
        except (NoText, RecursionError, MemoryError):
            raise
        except Exception as error:  # code of the object may raise anything
            raise NoText(f"a {kind.__name__} that cannot be read ({type(error).__name__}: {error})") from None
        finally:
            self._above.discard(id(value))

    def _reduced(self, value: Any, level: int) -> Any:
        kind = type(value).__name__
        if isinstance(value, dict):
            return self._mapping(value, level)
        if isinstance(value, list | tuple):
            return self._each(value, level)
        if isinstance(value, Enum):
            return self._noted(kind, self.of(value.value, level))
        if isinstance(value, str | TextValue):
            return str.__str__(value) if isinstance(value, str) else value.content
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return self._noted(kind, self.of(float(value), level))
        if isinstance(value, MappingView):
            return self._noted(kind, self._each(value, level))
        if isinstance(value, Set):
            return self._noted(
                kind, sorted(self._each(value, level), key=lambda item: json.dumps(item, sort_keys=True))
            )
        if isinstance(value, PurePath):
            return self._noted("Path", str(value))
        if isinstance(value, bytes | bytearray | memoryview):
            data = bytes(value)
            return self._noted(kind, data.hex() if self._typed else data.decode("utf-8", "backslashreplace"))
        if (table := table_text(value)) is not None:
            return self.of_table(value, table)
        if (items := _array_items(value)) is not _NO_ARRAY:
            # A list does not tell the type of its numbers, nor the shape of an empty array.
            dtype, shape = getattr(getattr(value, "dtype", None), "kind", ""), list(getattr(value, "shape", ()))
            return self._noted(f"{kind} {dtype} {shape}", self.of(items, level))
        if isinstance(value, BaseModel) or is_dataclass(value) or hasattr(type(value), "__attrs_attrs__"):
            return self._record(value, level)
        if isinstance(value, Mapping):
            return self._noted(kind, self._mapping(value, level))
        if isinstance(value, Sequence):
            return self._noted(kind, self._each(value, level))
        if isinstance(value, SimpleNamespace):
            return self._noted(kind, self._mapping(vars(value), level))
        if isinstance(value, io.IOBase):
            raise NoText("an open file; read it, or pass its Path")
        if isinstance(value, Iterator):
            return self._collected(value, level)
        return self._noted(kind, self._scalar(value))

    def of_table(self, table: Any, text: str) -> Any:
        """A table whose CSV is `text`."""
        kind = type(table).__name__
        return self._noted(f"{kind} {self._unsaid(table)}" if self._typed else kind, text)

    def _each(self, values: Any, level: int) -> list[Any]:
        if isinstance(values, range) and len(values) > MOST_ITEMS:
            raise NoText(f"a range of more than {MOST_ITEMS:,} items; give fewer")
        return [self.of(value, level) for value in values]

    def _mapping(self, values: Mapping[Any, Any], level: int) -> Any:
        if all(type(key) is str for key in values):
            return {key: self.of(value, level) for key, value in values.items()}
        if not self._typed:
            named = {self._key(key): self.of(value, level) for key, value in values.items()}
            if len(named) < len(values):
                raise NoText(f"a {type(values).__name__} in which two keys read the same in JSON")
            return named
        pairs = [[type(key).__name__, self._key(key), self.of(value, level)] for key, value in values.items()]
        return self._noted("keys", pairs)

    def _key(self, key: Any) -> str:
        plain = self.of(key.value if isinstance(key, Enum) else key, 1)
        return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)

    def _record(self, value: Any, level: int) -> Any:
        """The fields of a model or a dataclass, as its own serializers write them if it has any."""
        kind = type(value).__name__
        if isinstance(value, type):
            raise NoText(f"the class {value.__name__}; an instance of it may have a text")
        if hasattr(value, "__pydantic_serializer__"):
            rest = partial(self.of, level=level)
            try:
                written = to_jsonable_python(value, fallback=rest, inf_nan_mode="strings", **_WITH_FIELDS_OF_SUBCLASSES)
            except NoText:
                raise
            except Exception as error:
                if isinstance(cause := error.__cause__ or error.__context__, NoText):
                    raise NoText(str(cause)) from None
                raise NoText(f"a {kind} that cannot be written as JSON ({error})") from None
            return self._noted(kind, _sorted_sets(written, value))
        if is_dataclass(value):
            return self._noted(kind, {each.name: self.of(getattr(value, each.name), level) for each in fields(value)})
        names = [each.name for each in type(value).__attrs_attrs__]
        return self._noted(kind, {name: self.of(getattr(value, name), level) for name in names})

    def _collected(self, values: Iterator[Any], level: int) -> Any:
        kind = type(values).__name__
        if not self._collecting:
            raise NoText(f"a {kind}, which can be read only once; make a list of it")
        items = list(islice(values, MOST_ITEMS + 1))
        if len(items) > MOST_ITEMS:
            raise NoText(f"a {kind} of more than {MOST_ITEMS:,} items; give fewer")
        return self._each(items, level)

    def _unsaid(self, table: Any) -> str:
        """What CSV does not distinguish: `1` and `"1"`, a missing and an empty cell, a list and its JSON."""
        dtypes: Any = getattr(table, "dtypes", None)
        found = dtypes.tolist() if hasattr(dtypes, "tolist") else dtypes if isinstance(dtypes, list) else [dtypes]
        # Of the columns: numbers, dates, texts.
        kinds = "".join(str(getattr(each, "kind", each)) for each in found)
        if not _is_of_pandas(table):
            return kinds
        columns = [table] if table.ndim == 1 else [table.iloc[:, at] for at in range(table.shape[1])]
        labels = [level for axis in ["columns", "index"][-table.ndim :] for level in _levels(getattr(table, axis))]
        # Most tables have only strings in object columns, strings as column labels and numbers as row labels.
        cells = [(at, self._kinds(each)) for at, each in enumerate(columns) if each.dtype.kind == "O"]
        named = [
            (at, self._kinds(each) if each.dtype.kind == "O" else each.dtype.kind) for at, each in enumerate(labels)
        ]
        unsaid = [[at, kind] for at, kind in cells if kind != "str"]
        unsaid += [[f"label {at}", kind] for at, kind in named if kind != ("i" if at == len(named) - 1 else "str")]
        return f"{kinds} {_written(unsaid, None)}" if unsaid else kinds

    def _kinds(self, cells: Iterable[Any]) -> Any:
        """The types of the cells, with the content of nested ones; a single type if all are equal."""
        cells = list(cells)
        if len(types := set(map(type, cells))) == 1 and not any(map(_is_nested_type, types)):
            return types.pop().__name__
        typed = _Plain(typed=True, spoken=True)
        found = [typed.of(cell, 1) if _is_nested(cell) else type(cell).__name__ for cell in cells]
        return found[0] if found and all(each == found[0] for each in found) else found

    def _scalar(self, value: Any) -> Any:
        """Dates, decimals, paths and all else that pydantic writes as text; other objects by their own `__str__`."""
        pandas = _pandas()
        if pandas is not None and (value is pandas.NaT or value is pandas.NA):
            return None
        if isinstance(value, BaseException):
            within = value.exceptions if isinstance(value, BaseExceptionGroup) else ()
            return "; ".join([f"{type(value).__name__}: {value}", *map(self._scalar, within)])
        if type(value).__module__.partition(".")[0] == "pandas":
            # Times with nanoseconds, which pydantic would truncate, periods, intervals.
            return value.isoformat() if hasattr(value, "isoformat") else spoken_text(value)
        if isinstance(value, Rational):
            return str(value)  # pydantic before 2.13 writes no fractions
        if isinstance(value, type) or callable(value):
            raise NoText(f"{value.__name__ if hasattr(value, '__name__') else type(value).__name__}, which is code")
        try:
            return to_jsonable_python(value)
        except (PydanticSerializationError, ValueError, TypeError):
            if self._spoken:
                return spoken_text(value)
        raise NoText(f"a {type(value).__name__}, which cannot be written as JSON")

    def _noted(self, kind: str, plain: Any) -> Any:
        self.noted = True
        return {"": [kind, plain]} if self._typed else plain


#: Without this, fields that a subclass adds are left out; older versions of pydantic always write them.
_WITH_FIELDS_OF_SUBCLASSES: Any = (
    {"polymorphic_serialization": True}
    if "polymorphic" in str(getattr(to_jsonable_python, "__text_signature__", ""))
    else {}
)
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
_NO_ARRAY: Any = object()
_AS_LIST = ("tolist", "to_pylist", "to_list")


def _array_items(value: Any) -> Any:
    """The items of an array of any library as nested lists, or its only number; `_NO_ARRAY` for any other value."""
    if isinstance(value, type):
        return _NO_ARRAY
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic | numpy.ndarray):
        kind = value.dtype.kind
        if value.dtype.names:
            rows = value.tolist()
            named = [dict(zip(value.dtype.names, row, strict=True)) for row in rows] if value.ndim == 1 else rows
            return named if value.ndim else dict(zip(value.dtype.names, rows, strict=True))
        if kind in "mM" or value.dtype.char in "gG":
            # `tolist` would give times as plain integers, and would round numbers that Python floats cannot hold.
            return value.astype(str).tolist()
        return value.tolist()
    if hasattr(value, "dims") and hasattr(value, "coords") and callable(getattr(value, "to_dict", None)):
        return value.to_dict()
    if hasattr(value, "toarray"):  # a sparse matrix, whose text leaves out the middle
        if math.prod(value.shape) > MOST_ITEMS:
            raise NoText(f"a {type(value).__name__} of more than {MOST_ITEMS:,} items; give fewer")
        return value.toarray().tolist()
    give = next((found for name in _AS_LIST if callable(found := getattr(value, name, None))), None)
    return give() if give is not None else _NO_ARRAY


def _with_plain_cells(value: Any, write: Any) -> Any:
    """The method that writes a table; in a pandas table, nested cells and labels become JSON, not their `str()`."""
    if not _is_of_pandas(value):
        return write
    if isinstance(value, _pandas().Series):
        plain = value.map(_cell) if value.dtype.kind == "O" else value
        return _with_plain_labels(plain).to_csv
    objects = [at for at, dtype in enumerate(value.dtypes) if dtype.kind == "O"]
    nested = [at for at in objects if _has_nested(value.iloc[:, at])]
    plain = value
    if nested:
        # By position, because labels may not be unique.
        columns = [value.iloc[:, at].map(_cell) if at in nested else value.iloc[:, at] for at in range(value.shape[1])]
        plain = _pandas().concat(columns, axis=1)
        plain.columns = value.columns
    return _with_plain_labels(plain).to_csv


def _pandas() -> Any:
    return sys.modules.get("pandas")


def _is_of_pandas(value: Any) -> bool:
    return _pandas() is not None and isinstance(value, _pandas().DataFrame | _pandas().Series)


def _with_plain_labels(table: Any) -> Any:
    for axis in ["index", "columns"][: table.ndim]:
        labels = getattr(table, axis)
        if any(level.dtype.kind == "O" and _has_nested(level) for level in _levels(labels)):
            table = table.copy(deep=False)
            several = labels.nlevels > 1
            plain = labels.set_levels([level.map(_cell) for level in labels.levels]) if several else labels.map(_cell)
            setattr(table, axis, plain)
    return table


def _levels(labels: Any) -> list[Any]:
    return list(labels.levels) if labels.nlevels > 1 else [labels]


def _is_nested(cell: Any) -> bool:
    return cell is not None and not isinstance(cell, str | int | float | bool)


def _is_nested_type(kind: type) -> bool:
    return not issubclass(kind, str | int | float | bool | NoneType)


def _has_nested(cells: Iterable[Any]) -> bool:
    # By type: long columns have few types.
    return any(map(_is_nested_type, set(map(type, cells))))


def _cell(cell: Any) -> Any:
    if not _is_nested(cell):
        return cell
    plain = _Plain(spoken=True).of(cell, 1)
    return plain if plain is None or isinstance(plain, str | int | float) else _written(plain, None)


def _sorted_sets(written: Any, value: Any) -> Any:
    """The output of a model's serializer, with its sets in an order that is the same in every process."""
    if isinstance(value, Set) and isinstance(written, list):
        return sorted(written, key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, list | tuple) and isinstance(written, list) and len(written) == len(value):
        return [_sorted_sets(one, other) for one, other in zip(written, value, strict=True)]
    if isinstance(written, dict):
        held = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
        return {key: _sorted_sets(one, held.get(key)) for key, one in written.items()}
    return written
