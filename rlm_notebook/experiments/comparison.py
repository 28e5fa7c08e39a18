"""The results of a study: the table of arms, and a comparison of two of them; as text, HTML, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..core.text import counted, pretty, printable
from ..views.gate import html_text
from .display import html_table, shown, text_table
from .row_record import RowRecord
from .statistics import Difference, Interval, difference, holm, mean_interval
from .template import text_of

#: A difference is shown if chance alone would give one as large less often than this.
ALPHA = 0.05

__all__ = ["Compared", "Comparison", "MetricTable", "compared", "table_of_arms"]


@dataclass(frozen=True)
class MetricTable:
    """A table of a study; `rows` are in the order of `columns`, `records` the same as dicts with numbers for intervals.

    Displays as a table in notebooks; `str()` is text.
    """

    columns: list[str]
    rows: list[list[Any]]
    notes: list[str]
    records: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([text_table(self.columns, self.rows, 60), *map(printable, self.notes)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f'<div style="padding:2px 10px">{html_text(note)}</div>' for note in self.notes)
        return html_table(self.columns, self.rows) + notes

    def to_latex(self) -> str:
        """The table as LaTeX, with the rules of booktabs; the notes are comments."""
        numeric = [all(isinstance(row[at], int | float | None) for row in self.rows) for at in range(len(self.columns))]
        lines = [
            rf"\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
            r"\toprule",
            " & ".join(map(_latex, self.columns)) + r" \\",
            r"\midrule",
            *(" & ".join(_latex(shown(value)) for value in row) + r" \\" for row in self.rows),
            r"\bottomrule",
            r"\end{tabular}",
            *("% " + printable(note).replace("\n", " ") for note in self.notes),
        ]
        return "\n".join(lines) + "\n"

    def to_csv(self, path: str | Path | None = None) -> str:
        """The table as CSV, or the `path` that it was written to."""
        rows = [list(record.values()) for record in self.records] or self.rows
        names = list(self.records[0]) if self.records else self.columns
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(names)
        writer.writerows(map(text_of, row) for row in rows)
        if path is None:
            return text.getvalue()
        Path(path).write_text(text.getvalue(), encoding="utf-8", newline="")
        return str(path)


class Compared(Protocol):
    """What is compared: by its label, with the one whose label is its `baseline`."""

    @property
    def label(self) -> str: ...
    @property
    def baseline(self) -> str: ...


A = TypeVar("A", bound=Compared)


def table_of_arms(
    arms: Sequence[A],
    values: Callable[[Sequence[A], str], list[list[float]]],
    costs: Callable[[A], tuple[list[RowRecord], int, int]],
    metrics: Sequence[str],
) -> MetricTable:
    """The table of a study, and below it what the tree of each arm cost and whether it paid.

    `values` gives the scores of each row, over all arms it is given; `costs` the records of an arm, the number of its
    failed runs, and of all that ran.
    """
    rows, records, notes = [], [], []
    used: dict[str, dict[str, float | None]] = {}
    for arm in arms:
        found, failed, count = costs(arm)
        used[arm.label] = a_row = _per_row(found)
        intervals: dict[str, Interval] = {metric: mean_interval(values([arm], metric)) for metric in metrics}
        label = f"{arm.label} (baseline)" if arm.baseline == arm.label else arm.label
        rows.append([label, count, failed, *map(str, intervals.values()), *a_row.values()])
        record: dict[str, Any] = {"arm": arm.label, "runs": count, "failed": failed}
        for metric, interval in intervals.items():
            record |= {metric: interval.value, f"{metric}_low": interval.low, f"{metric}_high": interval.high}
        records.append(record | a_row)
        notes += [f"{arm.label}, {metric}: {each.note}" for metric, each in intervals.items() if each.note]
    known = {arm.label: arm for arm in arms}
    gaps = {
        arm: difference(values([known[arm.baseline]], metrics[0]), values([arm], metrics[0]))
        for arm in arms
        if arm.baseline != arm.label and metrics
    }
    chances = dict(zip(gaps, holm([1.0 if gap.p is None else gap.p for gap in gaps.values()]), strict=True))
    for arm, gap in gaps.items():
        notes.append(_whether_it_paid(arm, metrics[0], gap, chances[arm], used[arm.baseline], used[arm.label]))
    columns = ["arm", "runs", "failed", *metrics, "cost_usd", "tokens", "seconds", "calls"]
    return MetricTable(columns, rows, notes, records)


def _per_row(records: Sequence[RowRecord]) -> dict[str, float | None]:
    """Means a run; the cost is `None` if one is unknown."""
    count = len(records)
    costs = [record.usage.cost_usd for record in records]
    known = [cost for cost in costs if cost is not None]
    return {
        "cost_usd": sum(known) / count if count and len(known) == count else None,
        "tokens": sum(record.usage.total_tokens for record in records) / count if count else None,
        "seconds": sum(record.seconds for record in records) / count if count else None,
        "calls": sum(record.usage.calls for record in records) / count if count else None,
    }


def _whether_it_paid(
    arm: Compared,
    metric: str,
    gap: Difference,
    chance: float,
    plain: Mapping[str, float | None],
    tree: Mapping[str, float | None],
) -> str:
    """One sentence: what the arm used compared to its baseline, and what it gained.

    `chance` is the p value, adjusted for the number of arms.
    """
    unit = next((name for name in ("cost_usd", "tokens", "calls") if plain[name] and tree[name]), None)
    share = f"{(tree[unit] or 0) / (plain[unit] or 1):.2g} times the {_UNITS[unit]}" if unit else "an unknown cost"
    start = f"{arm.label} against one call: {share}, {metric}"
    if gap.value is None:
        return f"{start}: {gap.note}"
    if gap.low is None or gap.high is None:
        return f"{start} {gap.value:+.3g}: {gap.note}"
    verdict = "no gain is shown"
    if chance < ALPHA:
        verdict = "it paid" if gap.low > 0 else "it did harm" if gap.high < 0 else verdict
    return f"{start} {gap.value:+.3g} [{gap.low:+.3g}, {gap.high:+.3g}] in {gap.rows} rows: {verdict}"


_UNITS = {"cost_usd": "cost", "tokens": "tokens", "calls": "calls"}


@dataclass(frozen=True)
class Comparison:
    """Arm `b` compared to arm `a`, paired by row: `difference` (b minus a), its 95 % interval `low` to `high`, `p`, `n`
    rows, in how many of them `b` was better (`wins`), equal (`ties`) or worse (`losses`).

    `None` stands for what the data do not give; `sentence` says why, and what the numbers mean.
    """

    a: str
    b: str
    metric: str
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    wins: int
    ties: int
    losses: int
    test: str
    left_out: int
    note: str
    #: All comparisons that the study was asked for, this one included.
    family: Mapping[tuple[str, str, str], Comparison] = field(repr=False, compare=False, default_factory=dict)

    @property
    def p_adjusted(self) -> float | None:
        """The p value by Holm's method, over all comparisons that the study has been asked for so far."""
        if self.p is None:
            return None
        tested = {key: each for key, each in self.family.items() if each.p is not None}
        tested[self.a, self.b, self.metric] = self
        adjusted = holm([each.p or 0.0 for each in tested.values()])
        return adjusted[list(tested).index((self.a, self.b, self.metric))]

    @property
    def sentence(self) -> str:
        """What was seen, in words."""
        missing = counted(self.left_out, "row without a score of both is", "rows without a score of both are")
        missing = f" {missing} left out." if self.left_out else ""
        counts = f"better in {self.wins}, equal in {self.ties}, worse in {self.losses} of {self.n} rows"
        if self.difference is None:
            return f"{self.metric}: {self.b} and {self.a} cannot be compared: {self.note}.{missing}"
        start = f"{self.metric}: {self.b} minus {self.a} is {self.difference:+.3g}"
        if self.low is None or self.high is None:
            tested = "" if self.p is None else f" ({self.test}, p = {_p(self.p)})"
            return f"{start}: {self.note}{tested}.{missing}"
        family = len({*self.family, (self.a, self.b, self.metric)})
        adjusted = f", {_p(self.p_adjusted)} adjusted for {family} comparisons" if family > 1 else ""
        if self.low > 0 or self.high < 0:
            side = "better" if self.low > 0 else "worse"
            meaning = f"the difference is larger than chance explains; {self.b} is {side}"
            if (self.p_adjusted or 0.0) >= ALPHA:
                meaning = f"the interval excludes 0, but the test does not: {self.b} is not shown to be {side}"
        else:
            meaning = (
                f"neither is shown to be better; differences from {self.low:+.2g} to {self.high:+.2g} fit these data"
            )
        return (
            f"{start}, 95 % interval [{self.low:+.3g}, {self.high:+.3g}], {counts} ({self.test}, p = {_p(self.p)}"
            f"{adjusted}): {meaning}.{missing}"
        )

    def __str__(self) -> str:
        return printable(self.sentence)

    def _repr_html_(self) -> str:
        return f'<div style="max-width:60em">{html_text(self.sentence)}</div>'

    _repr_pretty_ = pretty


def compared(
    a: str,
    b: str,
    metric: str,
    one: list[list[float]],
    other: list[list[float]],
    family: Mapping[tuple[str, str, str], Comparison],
) -> Comparison:
    """The comparison of the scores of two arms, by row."""
    gap = difference(one, other)
    return Comparison(
        a, b, metric, gap.value, gap.low, gap.high, gap.p, gap.rows, gap.wins, gap.ties, gap.losses, gap.test,
        len(one) - gap.rows, gap.note, family,
    )  # fmt: skip


def _p(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "not given"
    return "less than 0.0001" if value < 0.0001 else f"{value:.2g}"


_ESCAPED = {
    **{each: rf"\{each}" for each in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def _latex(text: str) -> str:
    return "".join(_ESCAPED.get(character, character) for character in printable(text).replace("\n", " "))
