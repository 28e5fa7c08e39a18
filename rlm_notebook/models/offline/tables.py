"""Small questions over a CSV or Markdown table that stands in the task: columns, rows, totals, look-ups."""

from __future__ import annotations

import csv
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .language import STOP_WORDS, stem, words

__all__ = ["Table", "answer_from", "read_table"]

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
        numbers = [_number(cell) for cell in cells]
        return [number for number in numbers if number is not None] if cells and None not in numbers else []


def _number(cell: str) -> float | None:
    bare = cell.replace(",", "").strip().lstrip("$€£").rstrip("%").strip()
    return float(bare) if re.fullmatch(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", bare) else None


def read_table(text: str) -> Table | None:
    """The table that a text consists of; `None` if its lines do not all have the same few cells."""
    lines = [line for line in text.strip().splitlines() if line.strip() and not line.strip().startswith("```")]
    if len(lines) < 2:
        return None
    if all(line.strip().startswith("|") for line in lines):
        return _table([_markdown_cells(line) for line in lines if not re.fullmatch(r"[\s|:-]+", line)])
    for delimiter in (",", "\t", ";"):
        cells = lines[0].count(delimiter)
        if cells and all(delimiter in line for line in lines[:50]) and not _is_prose(lines):
            return _table(_csv_rows(lines, delimiter))
    return None


def _is_prose(lines: Sequence[str]) -> bool:
    return any(re.search(r"[a-z][.!?](?:\s|$)", line) for line in lines[:5]) or len(lines[0]) > 500


def _markdown_cells(line: str) -> Row:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def _csv_rows(lines: Sequence[str], delimiter: str) -> list[Row]:
    try:
        return [tuple(cell.strip() for cell in row) for row in csv.reader(lines, delimiter=delimiter)]
    except csv.Error:
        return []


def _table(rows: Sequence[Row]) -> Table | None:
    if len(rows) < 2 or len({len(row) for row in rows}) != 1 or len(rows[0]) < 2 or not all(rows[0]):
        return None
    return Table(rows[0], tuple(rows[1:]))


_MEASURES: dict[str, tuple[str, Callable[[list[float]], float]]] = {
    "average": ("average", statistics.fmean),
    "mean": ("average", statistics.fmean),
    "median": ("median", statistics.median),
    "total": ("total", sum),
    "sum": ("total", sum),
    "minimum": ("minimum", min),
    "min": ("minimum", min),
    "lowest": ("minimum", min),
    "smallest": ("minimum", min),
    "cheapest": ("minimum", min),
    "maximum": ("maximum", max),
    "expensive": ("maximum", max),
    "max": ("maximum", max),
    "highest": ("maximum", max),
    "largest": ("maximum", max),
    "biggest": ("maximum", max),
}


def answer_from(table: Table, instruction: str) -> str | None:
    """The answer to a question about a table; `None` if the question names nothing in it."""
    asked = [stem(word) for word in words(instruction)]
    lowered = instruction.lower()
    if re.search(r"how many (?:rows|lines|records|entries)|number of (?:rows|records|entries)|count the rows", lowered):
        return f"The table has {len(table.rows):,} rows."
    if re.search(r"which columns|what columns|list the columns|column names|how many columns", lowered):
        return f"The table has {len(table.columns)} columns: {', '.join(table.columns)}."
    measure = next((_MEASURES[word] for word in re.findall(r"[a-z]+", lowered) if word in _MEASURES), None)
    columns = _named_columns(table, asked)
    if measure and (found := _measured(table, measure, columns, lowered)):
        return found
    if re.search(r"summar|describe|overview|profile", lowered):
        return describe(table)
    return _looked_up(table, instruction, columns)


def _named_columns(table: Table, asked: Sequence[str]) -> list[int]:
    """The columns that the instruction names, in the order in which it names them."""
    places = {}
    for index, name in enumerate(table.columns):
        stems = [stem(word) for word in words(name.replace("_", " "))]
        if stems and all(each in asked for each in stems):
            places[index] = asked.index(stems[0])
    return sorted(places, key=lambda index: places[index])


def _measured(
    table: Table, measure: tuple[str, Callable[[list[float]], float]], columns: Sequence[int], lowered: str
) -> str | None:
    numeric = [index for index in columns if table.numbers(index)] or _likely(table, lowered)
    if not numeric:
        return None
    column, (name, function) = numeric[0], measure
    by = next((index for index in columns if index != column and f" {table.columns[index].lower()}" in lowered), None)
    if by is not None and re.search(r"\b(?:by|per|for each|for every|in each)\b", lowered):
        return _grouped(table, column, by, name, function)
    value = function(table.numbers(column))
    return f"The {name} of {table.columns[column]} is {_shown(value)}{_where(table, column, name, value)}."


def _likely(table: Table, lowered: str) -> list[int]:
    """The column that is meant without being named: the price of the cheapest, or the only one with numbers."""
    numeric = [index for index in range(len(table.columns)) if table.numbers(index)]
    if re.search(r"cheap|expensive", lowered):
        return [index for index in numeric if re.search(r"price|cost|amount|fee", table.columns[index], re.I)][:1]
    return numeric if len(numeric) == 1 else []


def _where(table: Table, column: int, name: str, value: float) -> str:
    """For an extreme, the row that has it."""
    if name not in {"minimum", "maximum"}:
        return f" (over {len(table.numbers(column)):,} rows)"
    row = next(row for row in table.rows if _number(row[column]) == value)
    return f" (in the row: {_row(table, row)})"


def _grouped(table: Table, column: int, by: int, name: str, function: Callable[[list[float]], float]) -> str:
    groups: dict[str, list[float]] = defaultdict(list)
    for row in table.rows:
        if (number := _number(row[column])) is not None:
            groups[row[by]].append(number)
    lines = [f"| {group} | {_shown(function(numbers))} |" for group, numbers in groups.items()]
    head = f"| {table.columns[by]} | {name} of {table.columns[column]} |\n|---|---|"
    return "\n".join([head, *lines])


def _shown(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.6g}"


def _row(table: Table, row: Row) -> str:
    return ", ".join(f"{name} {cell}" for name, cell in zip(table.columns, row, strict=True))


def _looked_up(table: Table, instruction: str, columns: Sequence[int]) -> str | None:
    """The rows with a cell that the instruction names; of them the columns that it names."""
    lowered = f" {' '.join(words(instruction)).lower()} "
    rows = [row for row in table.rows if any(_is_named(cell, lowered) for cell in row)]
    if not rows or len(rows) == len(table.rows):
        return None
    wanted = [index for index in columns if not all(_is_named(row[index], lowered) for row in rows)]
    if len(rows) == 1 and len(wanted) == 1:
        return f"{table.columns[wanted[0]]}: {rows[0][wanted[0]]} (in the row: {_row(table, rows[0])})"
    return markdown(Table(table.columns, tuple(rows[:20])))


def _is_named(cell: str, lowered: str) -> bool:
    spelled = " ".join(words(cell)).lower()
    return bool(spelled) and spelled not in STOP_WORDS and f" {spelled} " in lowered


def markdown(table: Table) -> str:
    """The table as Markdown."""
    lines = [table.columns, ("---",) * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def describe(table: Table) -> str:
    """Size, and per column the range and mean of numbers or the most frequent values."""
    head = f"A table of {len(table.rows):,} rows and {len(table.columns)} columns.\n"
    return "\n".join([head, *(f"- {_describe_column(table, index)}" for index in range(len(table.columns)))])


def _describe_column(table: Table, index: int) -> str:
    name, numbers = table.columns[index], table.numbers(index)
    if numbers:
        low, mean, high = map(_shown, (min(numbers), statistics.fmean(numbers), max(numbers)))
        return f"**{name}**: numbers from {low} to {high}, mean {mean}"
    counted = Counter(cell for cell in table.values(index) if cell)
    frequent = ", ".join(f"{cell} ({count})" for cell, count in counted.most_common(3))
    return f"**{name}**: {len(counted)} different values, most often {frequent}"
