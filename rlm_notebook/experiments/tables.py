"""The rows of an experiment: tables of any library, lists, and files; and the results as columns beside them.

Frames of pandas, polars and pyarrow are read through narwhals, which has one interface for all of them and is imported
only where such a frame is given.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from ..core.error_text import await_hint
from ..core.text import counted
from ..exceptions import ConfigurationError
from ..host.installation import install_command
from ..views.table import Table
from .template import text_of

__all__ = ["Column", "Records", "RowTable", "in_kind_of", "table_of", "write_table"]

#: Values, and the name of their type in narwhals; without one it is inferred.
Column = tuple[list[Any], str]


class RowTable(Protocol):
    """The rows of an experiment. `plain`: each row is one text, and the table has one column."""

    names: list[str]
    plain: bool

    def __len__(self) -> int: ...
    def values(self, columns: Sequence[int]) -> Iterator[Sequence[Any]]:
        """The values of these columns, row by row."""
        ...

    def head(self, count: int) -> RowTable:
        """The first rows alone."""
        ...

    def with_columns(self, columns: Mapping[str, Column]) -> Any:
        """The input with further columns, in its own kind of table; columns of the same name are replaced."""
        ...


class Records(list[dict[str, Any]]):
    """A list of rows, each a dict; `records["name"]` is a column, as a list."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return [row[key] for row in self]
        found = super().__getitem__(key)
        return Records(found) if isinstance(key, slice) else found

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self for name in row))

    def _repr_html_(self) -> str:
        names = self.columns
        rows = tuple(tuple(text_of(row.get(name)) for name in names) for row in self[:20])
        note = counted(len(self), "row") + (", of which 20 are shown" if len(self) > 20 else "")
        return Table(tuple(names), rows, note)._repr_html_()


class RecordTable:
    """A list of dicts, or of texts."""

    def __init__(self, rows: Sequence[Any], *, plain: bool) -> None:
        self.plain = plain
        self._rows = rows
        if plain:
            self._columns: list[Any] = ["row"] if rows else []
        else:
            self._columns = list(dict.fromkeys(name for row in rows for name in row))
        self.names = list(map(str, self._columns))

    def __len__(self) -> int:
        return len(self._rows)

    def values(self, columns: Sequence[int]) -> Iterator[Sequence[Any]]:
        if self.plain:
            return ([row] * len(columns) for row in self._rows)
        wanted = [self._columns[at] for at in columns]
        return ([row.get(name) for name in wanted] for row in self._rows)

    def head(self, count: int) -> RecordTable:
        return RecordTable(self._rows[:count], plain=self.plain)

    def with_columns(self, columns: Mapping[str, Column]) -> Records:
        rows = ({"row": row} if self.plain else {name: row.get(name) for name in self._columns} for row in self._rows)
        added = zip(*(values for values, _ in columns.values()), strict=True)
        return Records({**row, **dict(zip(columns, new, strict=True))} for row, new in zip(rows, added, strict=True))


class FrameTable:
    """A frame of pandas, polars, pyarrow or another library that narwhals reads."""

    plain = False

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self._columns = list(frame.columns)
        self.names = list(map(str, self._columns))
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ConfigurationError(f"the column {twice!r} is there twice; rename one of them")

    def __len__(self) -> int:
        return len(self._frame)

    def values(self, columns: Sequence[int]) -> Iterator[Sequence[Any]]:
        # Column by column: a selection of rows would convert mixed types to a common one.
        lists = [self._frame.get_column(self._columns[at]).to_list() for at in columns]
        return zip(*lists, strict=True) if lists else iter([()] * len(self))

    def head(self, count: int) -> FrameTable:
        return FrameTable(self._frame.head(count))

    def with_columns(self, columns: Mapping[str, Column]) -> Any:
        return self._frame.with_columns(*self._series(columns).values()).to_native()

    def made_of(self, columns: Mapping[str, Column]) -> Any:
        """A new frame of the same library."""
        return (
            import_module("narwhals").from_dict(self._series(columns), backend=self._frame.implementation).to_native()
        )

    def _series(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        narwhals = import_module("narwhals")
        library = self._frame.implementation

        def dtype(values: list[Any], kind: str) -> Any:
            # Ordinary integers of pandas hold no missing value.
            kind = "Float64" if kind == "Int64" and library.is_pandas_like() and None in values else kind
            return getattr(narwhals, kind)() if kind else None

        return {
            name: narwhals.new_series(name, values, dtype(values, kind), backend=library)
            for name, (values, kind) in columns.items()
        }


def in_kind_of(table: RowTable, columns: Mapping[str, Column]) -> Any:
    """New columns as a table of the same kind as the one given."""
    if isinstance(table, FrameTable):
        return table.made_of(columns)
    rows = zip(*(values for values, _ in columns.values()), strict=True)
    return Records(dict(zip(columns, row, strict=True)) for row in rows)


def table_of(data: Any) -> RowTable:
    """The rows of `data`: a frame or series (pandas, polars, pyarrow), a list of dicts or of texts, or the path of a
    CSV, JSONL or Parquet file. Raises `ConfigurationError` for anything else."""
    if isinstance(data, str | Path):
        return _from_file(Path(data))
    if isinstance(data, list | tuple):
        return _from_list(data)
    return _from_frame(data)


def _from_list(rows: Sequence[Any]) -> RowTable:
    if all(isinstance(row, str) for row in rows):
        return RecordTable(rows, plain=True)
    if all(isinstance(row, Mapping) for row in rows):
        return RecordTable(rows, plain=False)
    kinds = ", ".join(sorted({type(row).__name__ for row in rows}))
    hint = next(filter(None, map(await_hint, rows)), "")
    raise ConfigurationError(f"the rows are {kinds}; give a list of texts, or a list of dicts{hint}")


def _from_frame(data: Any) -> RowTable:
    if type(data).__module__.partition(".")[0] not in _LIBRARIES and not hasattr(data, "__narwhals_dataframe__"):
        raise ConfigurationError(
            f"{type(data).__name__}: expected a table (pandas, polars, pyarrow), a list of dicts, a list of texts, or "
            f"the path of a CSV, JSONL or Parquet file{await_hint(data)}"
        )
    try:
        narwhals = import_module("narwhals")
    except ImportError:
        command = install_command("experiments")
        raise ConfigurationError(f"reading a table needs narwhals: {command}; a list of dicts needs nothing") from None
    try:
        frame = narwhals.from_native(data, eager_only=True, allow_series=True)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        hint = "call .collect() first" if "azy" in type(data).__name__ else "give a table of rows"
        raise ConfigurationError(f"{type(data).__name__} cannot be read as a table ({reason}); {hint}") from None
    if isinstance(frame, narwhals.Series):
        frame = (frame if frame.name else frame.rename("row")).to_frame()
    return FrameTable(frame)


_LIBRARIES = ("pandas", "polars", "pyarrow", "modin", "cudf", "narwhals")


# -- files -------------------------------------------------------------------------------------------------------------


def _from_file(path: Path) -> RowTable:
    readers: dict[str, Callable[[Path], RowTable]] = {
        ".csv": lambda path: _from_separated(path, ","),
        ".tsv": lambda path: _from_separated(path, "\t"),
        ".jsonl": _from_json_lines,
        ".ndjson": _from_json_lines,
        ".parquet": _from_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(
            f"{path}: expected a file that ends in {', '.join(readers)}; or read it and give the table"
        )
    try:
        return reader(path)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"cannot read {path}: it is not UTF-8 text (byte {error.start}); read it and give the table"
        ) from None


def _from_separated(path: Path, delimiter: str) -> RowTable:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        csv.field_size_limit(2**31 - 1)
        first = lines.readline()
        lines.seek(0)
        # As spreadsheets write it where the comma is in numbers.
        rows = csv.reader(lines, delimiter=";" if delimiter == "," and ";" in first and "," not in first else delimiter)
        names = next(rows, [])
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ConfigurationError(f"cannot read {path}: two columns are named {twice[0]!r}; give each its own name")
        found = []
        for row in rows:
            if not row:
                continue
            if len(row) != len(names):
                raise ConfigurationError(
                    f"cannot read {path}: the row that ends on line {rows.line_num} has {len(row)} values, "
                    f"the header {len(names)}"
                )
            found.append(row)
    columns = [_typed(list(values)) for values in zip(*found, strict=True)] if found else [[] for _ in names]
    return _in_some_library(dict(zip(names, columns, strict=True)))


def _typed(texts: list[str]) -> list[Any]:
    """The values of a column of a text file: numbers or truth values if all of them are written as such, else texts."""
    for read in (_truth, _whole, _number):
        try:
            return [read(text) if text else None for text in texts]
        except ValueError:
            continue
    return [text if text else None for text in texts]


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _whole(text: str) -> int:
    # Only what is written again in the same way: 007 and +1 are texts.
    if str(found := int(text)) != text or abs(found) >= 2**63:
        raise ValueError
    return found


def _number(text: str) -> float:
    found = float(text)
    if not math.isfinite(found) or (repr(found) != text and str(int(found)) != text):
        raise ValueError
    return found


def _from_json_lines(path: Path) -> RowTable:
    rows = []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ConfigurationError(f"cannot read {path}: line {number} is not JSON ({error})") from None
            rows.append(row)
    table = _from_list(rows)
    if table.plain:
        return table
    return _in_some_library({name: [row.get(name) for row in rows] for name in table.names})


def _from_parquet(path: Path) -> RowTable:
    library = (_installed("pyarrow") and (_installed("pandas") or "pyarrow")) or _installed("polars")
    if not library or not _installed("narwhals"):
        raise ConfigurationError(
            f"cannot read {path}: Parquet needs narwhals, and pyarrow or polars; "
            f"{install_command('experiments')} pyarrow"
        )
    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory")
    return FrameTable(import_module("narwhals").read_parquet(str(path), backend=library))


def _in_some_library(columns: Mapping[str, list[Any]]) -> RowTable:
    """The columns as a frame of pandas, polars or pyarrow, the first that is installed; else as a list of dicts.

    A list of dicts also for nested values, and for a column of several types, which no frame holds unchanged.
    """
    library = _installed("pandas") or _installed("polars") or _installed("pyarrow")
    if library and _installed("narwhals") and all(map(_fits_a_frame, columns.values())):
        return FrameTable(import_module("narwhals").from_dict(columns, backend=library))
    rows = zip(*columns.values(), strict=True)
    return RecordTable([dict(zip(columns, row, strict=True)) for row in rows], plain=False)


def _fits_a_frame(values: list[Any]) -> bool:
    kinds = {type(value) for value in values if value is not None}
    return kinds <= {int, float} or (len(kinds) == 1 and kinds <= {str, bool})


def _installed(library: str) -> str:
    return library if find_spec(library) is not None else ""


def write_table(columns: Mapping[str, list[Any]], path: Path) -> Path:
    """Write columns of equal length as CSV, JSONL or Parquet. Raises `ConfigurationError` and `OSError`."""
    kind = path.suffix.lower()
    if kind == ".parquet":
        if not _installed("pyarrow"):
            raise ConfigurationError(f"cannot write {path}: Parquet needs pyarrow; or name a .csv or .jsonl file")
        pyarrow = import_module("pyarrow")
        import_module("pyarrow.parquet").write_table(pyarrow.table(dict(columns)), path)
        return path
    if kind not in (".csv", ".jsonl"):
        raise ConfigurationError(f"cannot write {path}: expected a name that ends in .csv, .jsonl or .parquet")
    rows = zip(*columns.values(), strict=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        if kind == ".jsonl":
            for row in rows:
                file.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False, default=text_of) + "\n")
        else:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(map(text_of, row) for row in rows)
    return path
