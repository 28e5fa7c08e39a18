"""Reads a table from text: CSV with one of three delimiters, Markdown, or a JSON list of records. Cells stay text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Row", "Table", "number", "read_table"]

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Column names and rows, all as text, each row as long as the names."""

    columns: Row
    rows: tuple[Row, ...]

    def values(self, column: int) -> list[str]:
        return [row[column] for row in self.rows]

    def numbers(self, column: int) -> list[float]:
        """The column's numbers, or none if any filled cell is not one."""
        cells = [cell for cell in self.values(column) if cell]
        numbers = [number(cell) for cell in cells]
        return [number for number in numbers if number is not None] if cells and None not in numbers else []


_PLAIN = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


def number(cell: str) -> float | None:
    """The number in a cell: "1,234.5", "$3", "12 %", "1,5"; `None` if it holds something else."""
    bare = cell.strip().lstrip("$€£").rstrip("%€ ").strip()
    if _THOUSANDS.fullmatch(bare):
        bare = bare.replace(",", "")
    elif _DECIMAL_COMMA.fullmatch(bare):
        bare = bare.replace(",", ".")
    return float(bare) if _PLAIN.fullmatch(bare) and len(bare) < 50 else None


def read_table(text: str, kind: str = "") -> Table | None:
    """The table that a text consists of, or `None`. `kind` is the kind of the reference that holds the text."""
    if kind.startswith("table") or kind.lower().endswith((".csv", ".tsv")):
        return _csv(text)
    if text.lstrip()[:1] == "[":
        # A JSON list of flat objects.
        try:
            data: Any = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(data, list) or not all(isinstance(each, dict) for each in data):
            return None
        columns = list(dict.fromkeys(str(key) for each in data for key in each))
        rows = [tuple(_cell(each.get(column)) for column in columns) for each in data]
        return _table([tuple(columns), *rows])
    lines = [line for line in text.strip().splitlines() if line.strip() and not line.strip().startswith("```")]
    if len(lines) < 2:
        return None
    if all(line.strip().startswith("|") for line in lines):
        return _table(
            [
                tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
                for line in lines
                if not re.fullmatch(r"[\s|:-]+", line)
            ]
        )
    is_prose = len(lines[0]) > 500 or any(re.search(r"[a-z]{3}[.!?](?:\s|$)", line) for line in lines[:5])
    if is_prose or not any(all(sign in line for line in lines[:50]) for sign in DELIMITERS):
        return None
    return _csv("\n".join(lines))


DELIMITERS = (",", "\t", ";")


def _csv(text: str) -> Table | None:
    """The table by the delimiter that gives all rows the same, largest number of cells."""
    found = []
    for delimiter in DELIMITERS:
        try:
            read = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            rows = [tuple(" ".join(cell.split()) for cell in row) for row in read if row]
        except csv.Error:
            continue
        if (table := _table(rows)) is not None:
            found.append(table)
    return max(found, key=lambda table: len(table.columns), default=None)


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(rows: Sequence[Row]) -> Table | None:
    if len(rows) < 2 or len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
        return None
    names, body = rows[0], rows[1:]
    if not names[0]:
        # The index column of a data frame has no name; a plain row number is dropped.
        counts = [row[0] for row in body] == [str(at) for at in range(len(body))]
        names, body = (names[1:], [row[1:] for row in body]) if counts else (("index", *names[1:]), body)
    return Table(names, tuple(body)) if names and all(names) else None
