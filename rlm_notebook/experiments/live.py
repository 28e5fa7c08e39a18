"""The rows of an experiment as a view shows them while they run: all of them once, then what has changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from ..core.text import cut, printable
from .progress import time_left
from .rows_shown import Steered

__all__ = ["LiveRows", "Watched"]

#: The rows that a view is sent, and the characters of a cell.
MOST_ROWS = 20_000
CELL_CHARACTERS = 160

#: The number of a row, its state, its input, its answer or error, its cost, tokens and seconds.
LiveRow = tuple[int, str, str, str, float | None, int, float]


class Watched(Steered, Protocol):
    """An experiment, as far as a view reads it."""

    @property
    def summary(self) -> Any: ...
    @property
    def keys(self) -> list[str]: ...
    @property
    def can_run_again(self) -> bool: ...
    def arms(self) -> list[dict[str, Any]]: ...
    def run(self, row: int, /) -> Any: ...
    def live_run(self, row: int, /) -> Any: ...
    def title_of(self, row: int, /) -> str: ...
    def inputs(self, count: int) -> Iterator[str]: ...


class LiveRows:
    """What a view of an experiment shows. Used on the experiment's event loop."""

    def __init__(self, experiment: Watched) -> None:
        self._experiment = experiment
        self._keys = experiment.keys[:MOST_ROWS]
        self._inputs = [_cut(text) for text in experiment.inputs(MOST_ROWS)]
        self._numbers: dict[str, list[int]] = {}
        for number, key in enumerate(self._keys):
            self._numbers.setdefault(key, []).append(number)
        #: What was reused at the start, rather than run.
        runs = experiment.internals
        self._reused = {key for key in self._numbers if runs.store.state(key) == "done"} if runs.reused else set()
        self._seen = 0

    @property
    def hidden(self) -> int:
        """How many rows are too many for a view."""
        return len(self._experiment.keys) - len(self._keys)

    def all(self) -> list[LiveRow]:
        """Every row as it is now."""
        self._seen = len(self._experiment.internals.log)
        return [self._row(number) for number in range(len(self._keys))]

    def changed(self) -> list[LiveRow]:
        """The rows that have begun or ended since the last look."""
        log = self._experiment.internals.log
        keys, self._seen = dict.fromkeys(log[self._seen :]), len(log)
        return [self._row(number) for key in keys for number in self._numbers.get(key, ())]

    def head(self) -> dict[str, Any]:
        """The state of the whole."""
        experiment = self._experiment
        summary, runs = experiment.summary, experiment.internals
        limit = runs.budget.usd
        return {
            "title": _cut(runs.store.path.name.partition(".")[0]) if runs.store.path else "in memory only",
            "status": summary.status,
            **{name: summary[name] for name in ("rows", "done", "failed", "reused", "calls", "tokens")},
            "cost": summary.cost_usd,
            "limit": f" of ${limit:g}" if limit is not None else "",
            "left": time_left(runs).strip(", ") if summary.status == "running" else f"{summary.seconds:.1f} s",
            "note": _cut(summary.note, 400),
            "hidden": self.hidden,
            "arms": experiment.arms(),
        }

    def _row(self, number: int) -> LiveRow:
        key = self._keys[number]
        runs = self._experiment.internals
        if runs.run_of(key) is not None:
            return number, "running", self._inputs[number], "", None, 0, 0.0
        state, why = runs.state(key)
        record = runs.store.record(key) if state != "pending" and why is None else None
        if record is None:
            return number, state, self._inputs[number], _cut(why or ""), None, 0, 0.0
        shown = "reused" if state == "done" and key in self._reused else state
        text = _cut((record.answer if state == "done" else record.error) or "")
        usage = record.usage
        return number, shown, self._inputs[number], text, usage.cost_usd, usage.total_tokens, round(record.seconds, 3)


def _cut(text: str, most: int = CELL_CHARACTERS) -> str:
    plain = " ".join(printable(text[: 4 * most]).split())
    return cut(plain, most)
