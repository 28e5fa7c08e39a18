"""Answers small questions about a table: its columns and rows, totals and means, extremes, look-ups.

Answers are exact or missing: each states which rows it covers, and a question that names something which is not in the
table is not answered. `table_text` reads a table from text.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt

from .language import STOP_WORDS, stem, words
from .table_text import Row, Table, number, read_table

__all__ = ["Table", "answer_from", "read_table"]

Function = Callable[[list[float]], float]
Measure = tuple[str, Function]

_MEASURES: dict[str, Measure] = {
    **dict.fromkeys(("average", "mean"), ("average", statistics.fmean)),
    "median": ("median", statistics.median),
    **dict.fromkeys(("total", "sum"), ("total", sum)),
    **dict.fromkeys(("minimum", "min", "lowest", "smallest", "cheapest", "earliest"), ("minimum", min)),
    **dict.fromkeys(("maximum", "expensive", "max", "highest", "largest", "biggest"), ("maximum", max)),
}
#: "Which region sold most units?": of the totals per region, the largest.
_MOST: dict[str, Measure] = {"most": ("most", max), "best": ("most", max)}
_MOST |= {"least": ("least", min), "fewest": ("least", min), "worst": ("least", min)}


@dataclass(frozen=True, slots=True)
class _Question:
    """A question about a table: the columns that it names, and the rows that it covers."""

    text: str
    table: Table
    columns: tuple[int, ...]
    rows: tuple[Row, ...]
    #: The restrictions in words: "region North", "price over 1.4".
    only: tuple[str, ...]

    @property
    def lowered(self) -> str:
        return self.text.lower()

    @property
    def over(self) -> str:
        """The rows that an answer covers, in words."""
        count, whole = len(self.rows), len(self.table.rows)
        return f"{count:,} of {whole:,} rows: {', '.join(self.only)}" if self.only else f"all {whole:,} rows"

    def numbers(self, column: int) -> list[float]:
        return Table(self.table.columns, self.rows).numbers(column)

    def is_numeric(self, column: int) -> bool:
        return bool(self.table.numbers(column))


def answer_from(table: Table, instruction: str) -> str | None:
    """The answer to a question about a table, or `None`."""
    columns = _named_columns(table, [stem(word) for word in words(instruction)])
    rows, only = list(table.rows), []
    for column, test, condition in [*_values_named(table, instruction), *_bounds(table, instruction)]:
        rows = [row for row in rows if test(row[column])]
        only.append(condition)
    question = _Question(instruction, table, tuple(columns), tuple(rows), tuple(only))
    if re.search(r"which columns|what columns|list the columns|column names|how many columns", question.lowered):
        return f"The table has {len(table.columns)} columns: {', '.join(table.columns)}."
    if _names_more(question):
        return None
    return next((found for rule in _RULES if (found := rule(question)) is not None), None)


def _named_columns(table: Table, stems_of_text: Sequence[str]) -> list[int]:
    """The columns that the instruction names, in the order in which it names them."""
    places = {}
    for index, name in enumerate(table.columns):
        stems = [stem(word) for word in words(name.replace("_", " "))]
        if stems and all(each in stems_of_text for each in stems):
            places[index] = stems_of_text.index(stems[0])
    return sorted(places, key=lambda index: places[index])


# -- which rows ----------------------------------------------------------------------------------------------------

Restriction = tuple[int, Callable[[str], bool], str]


def _values_named(table: Table, instruction: str) -> Iterator[Restriction]:
    """The values that the instruction names, column by column: "in the North", "of Pears"."""
    lowered = _spelled(instruction)
    names = {_spelled(name.replace("_", " ")).strip() for name in table.columns}
    for column, name in enumerate(table.columns):
        # A number in a question is a bound or a year, hardly ever the value of a cell.
        is_numeric = name.lower() not in ("year", "id") and bool(table.numbers(column))
        spelled_name = r"[\s_]+".join(map(re.escape, words(name.replace("_", " ")))) or r"\Z\A"
        values = set()
        for cell in set(table.values(column)):
            spelled = _spelled(cell)
            word = spelled.strip()
            is_named = bool(word) and word not in STOP_WORDS and spelled in lowered
            if not is_named and cell.strip():
                # With its column: "port A", "where port is A", which is not an article.
                with_column = rf"(?i:\b{spelled_name}\s*(?:is|=|:)?)\s+{re.escape(cell.strip())}(?!\w)"
                is_named = re.search(with_column, instruction) is not None
            if is_named and word not in names and not (is_numeric and number(cell) is not None):
                values.add(cell)
        if values:
            yield column, values.__contains__, f"{name} {' or '.join(sorted(values))}"


_BOUND = re.compile(
    r"\b(?P<more>over|above|more than|greater than|at least|from)"
    r"|\b(?P<less>under|below|less than|fewer than|at most|up to)"
)


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    **dict.fromkeys(("over", "above", "more than", "greater than"), gt),
    **dict.fromkeys(("at least", "from"), ge),
    **dict.fromkeys(("under", "below", "less than", "fewer than"), lt),
    **dict.fromkeys(("at most", "up to"), le),
}


def _bounds(table: Table, instruction: str) -> Iterator[Restriction]:
    """ "price over 1.4", "with at least 10 units"."""
    pattern = rf"(?:{_BOUND.pattern})\s+(?P<number>[-+$€£]?\d[\d.,]*)(?:\s+(?P<unit>\w+))?"
    for match in re.finditer(pattern, instruction.lower()):
        # The numeric column that is named directly after the number ("10 units"), or else the last one before it.
        texts = (instruction.lower()[: match.start()], match["unit"] or "")
        named = [each for text in texts for each in _named_columns(table, [stem(word) for word in words(text)])]
        numeric = [each for each in named if table.numbers(each)]
        bound = number(match["number"].rstrip(".,"))
        if not numeric or bound is None:
            continue
        column, comparison = numeric[-1], match["more"] or match["less"]
        yield column, _within(comparison, bound), f"{table.columns[column]} {comparison} {_shown(bound)}"


def _within(comparison: str, bound: float) -> Callable[[str], bool]:
    compare = _COMPARISONS[comparison]

    def test(cell: str) -> bool:
        value = number(cell)
        return value is not None and compare(value, bound)

    return test


def _names_more(question: _Question) -> bool:
    """Whether the question names something that is not in the table: a number, or a capitalised word."""
    known = {stem(word) for name in question.table.columns for word in words(name.replace("_", " "))}
    known |= {stem(word) for condition in question.only for word in words(condition)}
    tokens = words(question.text)
    named = [word for at, word in enumerate(tokens) if word[0].isdigit() or (at > 0 and word[0].isupper())]
    return any(stem(word) not in known and word.lower() not in STOP_WORDS and word not in _ACRONYMS for word in named)


_ACRONYMS = frozenset(("CSV", "TSV", "JSON"))


# -- the rules -----------------------------------------------------------------------------------------------------


def _most(question: _Question) -> str | None:
    """ "Which region sold most units?" """
    extreme = next((_MOST[word] for word in re.findall(r"[a-z]+", question.lowered) if word in _MOST), None)
    by = next((index for index in question.columns if not question.is_numeric(index)), None)
    column = next((index for index in question.columns if question.is_numeric(index)), None)
    if extreme is None or by is None or column is None or not question.rows:
        return None
    totals = {group: sum(numbers) for group, numbers in _groups(question, column, by).items()}
    name, function = extreme
    value = function(list(totals.values()))
    winners = ", ".join(group for group, total in totals.items() if total == value)
    columns = question.table.columns
    return (
        f"{winners}: {_shown(value)}, the {name} of the totals of {columns[column]} by {columns[by]} ({question.over})."
    )


def _measured(question: _Question) -> str | None:
    measure = next((_MEASURES[word] for word in re.findall(r"[a-z]+", question.lowered) if word in _MEASURES), None)
    numeric = [index for index in question.columns if question.is_numeric(index)]
    if measure is None and numeric and re.search(r"\bhow (?:many|much)\b", question.lowered):
        # "How many units did we sell": the units are counted in the column, not the rows.
        measure = _MEASURES["total"]
    numeric = numeric or _likely(question)
    if measure is None or not numeric:
        return None
    column, (name, function) = numeric[0], measure
    by = next((index for index in question.columns if index != column and _is_grouping(question, index)), None)
    if by is not None:
        lines = [f"| {group} | {_shown(function(found))} |" for group, found in _groups(question, column, by).items()]
        columns = question.table.columns
        return "\n".join(
            [f"| {columns[by]} | {name} of {columns[column]} |\n|---|---|", *lines, f"\n({question.over})"]
        )
    numbers = question.numbers(column)
    if not numbers:
        return f"No number of {question.table.columns[column]} is there ({question.over})."
    value = function(numbers)
    covered = question.over
    if name in {"minimum", "maximum"}:
        row = next(row for row in question.rows if number(row[column]) == value)
        covered = f"in the row: {_row(question.table, row)}; {covered}"
    return f"The {name} of {question.table.columns[column]} is {_shown(value)} ({covered})."


def _is_grouping(question: _Question, column: int) -> bool:
    name = re.escape(question.table.columns[column].lower().replace("_", " "))
    return bool(re.search(rf"\b(?:by|per|each|every) (?:\w+ )?{name}", question.lowered.replace("_", " ")))


def _likely(question: _Question) -> list[int]:
    """The implied column of a question that names none: the price for "cheapest", or the only numeric one."""
    names = question.table.columns
    numeric = [index for index in range(len(names)) if question.is_numeric(index)]
    if re.search(r"cheap|expensive", question.lowered):
        return [index for index in numeric if re.search(r"price|cost|amount|fee", names[index], re.I)][:1]
    return numeric if len(numeric) == 1 else []


def _groups(question: _Question, column: int, by: int) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for row in question.rows:
        if (value := number(row[column])) is not None:
            groups[row[by]].append(value)
    return groups


_HOW_MANY = re.compile(r"how many|number of|\bcount\b")


def _rows_counted(question: _Question) -> str | None:
    """ "How many rows have at least 9 units?" """
    if not _HOW_MANY.search(question.lowered) or not re.search(r"rows|lines|records|entries", question.lowered):
        return None
    return f"{question.over}." if question.only else f"The table has {len(question.table.rows):,} rows."


def _counted(question: _Question) -> str | None:
    """The number of different values of a column, or of rows that match."""
    if not _HOW_MANY.search(question.lowered):
        return None
    by = next((index for index in question.columns if not question.is_numeric(index)), None)
    if by is not None and not question.only:
        different = len({row[by] for row in question.rows if row[by]})
        return f"{different:,} different values of {question.table.columns[by]} ({question.over})."
    return f"{question.over}." if question.only else None


def _listed(question: _Question) -> str | None:
    """ "List the regions", "which different products are there"."""
    if not re.match(r"\s*(?:please )?(?:list|which|what|name|show)\b", question.lowered) or len(question.columns) != 1:
        return None
    (column,) = question.columns
    name = question.table.columns[column]
    is_given = any(condition.startswith(f"{name} ") for condition in question.only)
    if is_given or len(question.rows) < 2 or (question.is_numeric(column) and not question.only):
        return None
    values = dict.fromkeys(row[column] for row in question.rows if row[column])
    return f"{len(values):,} different values of {name} ({question.over}): {', '.join(values)}."


def _described(question: _Question) -> str | None:
    return describe(question.table) if re.search(r"summar|describe|overview|profile", question.lowered) else None


def _looked_up(question: _Question) -> str | None:
    """The rows that match the named values; for a single row and a single named column, that cell."""
    if not question.only:
        return None
    if not question.rows:
        return f"No row has all of this: {', '.join(question.only)}."
    wanted = [index for index in question.columns if f"{question.table.columns[index]} " not in " ".join(question.only)]
    if len(question.rows) == 1 and len(wanted) == 1:
        row = question.rows[0]
        return f"{question.table.columns[wanted[0]]}: {row[wanted[0]]} (in the row: {_row(question.table, row)})"
    shown = markdown(Table(question.table.columns, question.rows[:_MOST_ROWS]))
    more = len(question.rows) - _MOST_ROWS
    return f"{shown}\n\n({question.over}{f'; {more:,} more are not shown' if more > 0 else ''})"


_MOST_ROWS = 20
_RULES: tuple[Callable[[_Question], str | None], ...] = (
    _rows_counted,
    _most,
    _measured,
    _counted,
    _described,
    _listed,
    _looked_up,
)


# -- in words ------------------------------------------------------------------------------------------------------


def _spelled(text: str) -> str:
    return f" {' '.join(words(text)).lower()} "


def _shown(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.6g}"


def _row(table: Table, row: Row) -> str:
    return ", ".join(f"{name} {cell}" for name, cell in zip(table.columns, row, strict=True))


def markdown(table: Table) -> str:
    """The table as Markdown."""
    lines = [table.columns, ("---",) * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def describe(table: Table) -> str:
    """Size, and per column the range and mean of numbers or the most frequent values."""
    lines = [f"A table of {len(table.rows):,} rows and {len(table.columns)} columns.\n"]
    for index, name in enumerate(table.columns):
        if numbers := table.numbers(index):
            low, mean, high = map(_shown, (min(numbers), statistics.fmean(numbers), max(numbers)))
            lines.append(f"- **{name}**: numbers from {low} to {high}, mean {mean}")
        else:
            counted = Counter(cell for cell in table.values(index) if cell)
            frequent = ", ".join(f"{cell} ({count})" for cell, count in counted.most_common(3))
            lines.append(f"- **{name}**: {len(counted)} different values, most often {frequent}")
    return "\n".join(lines)
