"""A comparison of ways to solve a task: arms over the rows of a table, scores with intervals, paired differences."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from ..core.choices import RunMode
from ..core.keys import digest
from ..core.limits import Budget, Usage
from ..core.text import pretty
from ..exceptions import ConfigurationError
from ..host import current_host
from ..output_type import OutputType
from ..runtime.engine_view import MakeEngine
from ..runtime.recorded_run import RecordedRun
from ..scorers import Judge
from ..types import Output
from .arms import Arm, matching, paired
from .best_of import voted
from .comparison import Comparison, MetricTable, compared, table_of_arms
from .methods import methods_text
from .plot import Plot, scatter
from .row_adoption import with_rows_beside
from .row_record import RowRecord
from .row_runs import Job, RowRuns
from .row_store import RowStore
from .scoring import check_scorers, scores_of
from .tables import Column, Records, RowTable, in_kind_of, write_table
from .template import RowTemplate, text_of

__all__ = ["Cell", "Study"]


class Cell:
    """One row in one arm with one seed: its keys (several with `best_of`), and once it has run its record and its
    scores."""

    __slots__ = ("agrees", "arm", "is_read", "keys", "record", "row", "scores", "seed")

    def __init__(self, row: int, arm: Arm, seed: int, keys: tuple[str, ...]) -> None:
        self.row, self.arm, self.seed, self.keys = row, arm, seed, keys
        self.record: RowRecord | None = None
        self.scores: dict[str, float | None] = {}
        #: It has ended, and `record` and `scores` say how.
        self.is_read = False
        #: Of several calls, at least two gave the answer.
        self.agrees = True


class Study:
    """Arms over the rows of a table; given by `rlm_notebook.study`. Await it until all have ended: it gives itself.

    `frame` is the long table of row, arm and seed; `table()`, `compare(...)` and `plot()` are computed from it.
    """

    def __init__(
        self,
        table: RowTable,
        arms: list[Arm],
        scorers: Mapping[str, Any],
        seeds: int,
        store: RowStore,
        given_type: Any,
        budget: Budget | None,
        concurrency: int,
        mode: RunMode,
        make_engine: MakeEngine,
    ) -> None:
        self.arms = arms
        self.seeds = seeds
        self._table, self._scorers, self._store = table, scorers, store
        self._given_type = given_type
        self._output_type = OutputType(given_type) if given_type is not None else None
        self._budget, self._concurrency = budget, concurrency
        self._mode: RunMode = mode
        self._make_engine = make_engine
        self._templates = {arm.label: RowTemplate(arm.task, table.names, plain=table.plain) for arm in arms}
        self._cells = list(self._make_cells())
        self._keys = list(dict.fromkeys(key for cell in self._cells for key in cell.keys))
        self._runs: RowRuns | None = None
        self._judging: RowRuns | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked: dict[tuple[str, str, str], Comparison] = {}
        self._began = time.time()
        self._rows = [dict(zip(table.names, values, strict=True)) for values in table.values(range(len(table.names)))]

    def _make_cells(self) -> Iterator[Cell]:
        """Row by row, so that all arms advance together and a part of a study compares them on the same rows."""
        identity = {arm.label: arm.identity(self._output_type) for arm in self.arms}
        rendered = {arm.label: self._rendered(arm) for arm in self.arms}
        for row in range(len(self._table)):
            for arm in self.arms:
                text = next(rendered[arm.label])
                for seed in range(self.seeds):
                    key = ["study", identity[arm.label], text, seed]
                    further = (digest([*key, draw]) for draw in range(1, arm.best_of))
                    yield Cell(row, arm, seed, (digest(key), *further))

    def _rendered(self, arm: Arm) -> Iterator[str]:
        template = self._templates[arm.label]
        return (template.render(values) for values in self._table.values(template.columns))

    def _jobs(self, wanted: Collection[str]) -> Iterator[Job]:
        left, rendered = set(wanted), {arm.label: self._rendered(arm) for arm in self.arms}
        text, at = "", (-1, "")
        for cell in self._cells:
            if (cell.row, cell.arm.label) != at:
                text, at = next(rendered[cell.arm.label]), (cell.row, cell.arm.label)
            for key in cell.keys:
                if key in left:
                    left.discard(key)
                    yield Job(key, text, cell.arm.engine, self._given_type)

    # -- the work --------------------------------------------------------------------------------------------------

    def adopt_rows(self) -> None:
        """Take over the rows that the notebook has under another name; called once, before `start`."""
        self._store = with_rows_beside(self._store, self._keys, self._mode)

    def start(self) -> None:
        """Start; called once, on a running event loop."""
        self._runs = RowRuns(
            self._keys,
            self._jobs,
            self._store,
            budget=self._budget,
            concurrency=self._concurrency,
            mode=self._mode,
        )
        self._runs.start()
        self._task = asyncio.get_running_loop().create_task(self._drive(), name="rlm-study")
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _drive(self) -> None:
        assert self._runs is not None
        try:
            await self._runs
        except asyncio.CancelledError:
            await self._runs.cancel()
            raise
        for cell in self._cells:
            if not cell.is_read:
                self._read_cell(cell)
        await self._judge()

    def read_ended(self) -> None:
        """Read what has ended so far, for a view; what a scorer raises is raised at the end."""
        for cell in self._cells:
            if not cell.is_read and self._state(cell)[0] in ("done", "failed"):
                try:
                    self._read_cell(cell)
                except Exception:
                    cell.record = None

    def _read_cell(self, cell: Cell) -> None:
        """Read the record of a cell, and score it with all scorers that need no model."""
        state = self._state(cell)[0]
        records = [record for key in cell.keys if (record := self._store.record(key)) is not None]
        if records:
            cell.record = records[0]
        if len(records) > 1:
            cell.record, cell.agrees = voted(records, self._output_type)
        if state == "done" and cell.record is not None and cell.record.answer is not None:
            answer, usage = cell.record.answer, cell.record.usage
            parsed = self._output_type.parse(answer) if self._output_type is not None else None
            output = Output(answer, {"cost_usd": usage.cost_usd}, parsed=parsed, usage=usage)
            remedy = "the answers are recorded: correct it and run again"
            if self._store.path is None:
                remedy = (
                    "the answers are in memory only, because this study has no name: correct it, give the study a name "
                    '(name="study"), and run again'
                )
            cell.scores.update(scores_of(self._scorers, cell.row, self._rows[cell.row], output, remedy=remedy))
        cell.is_read = state in ("done", "failed")

    def _state(self, cell: Cell) -> tuple[str, str | None]:
        """The state of a cell, and why it is that; of several calls, one answer is enough once all have ended."""
        states = [self.internals.state(key) for key in cell.keys]
        unfinished = next((each for each in states if each[0] in ("pending", "cancelled")), None)
        return unfinished or next((each for each in states if each[0] == "done"), states[0])

    def check_scorers(self) -> None:
        """Raises `ConfigurationError` for a scorer that reads what the rows do not have, before anything is paid."""
        check_scorers(self._scorers, self._rows)

    async def _judge(self) -> None:
        """Have models score the answers: jobs like all others, recorded, and within what is left of the budget."""
        assert self._runs is not None
        jobs: dict[str, Job] = {}
        waiting: list[tuple[Cell, str, str]] = []
        for name, scorer in self._scorers.items():
            if not isinstance(scorer, Judge):
                continue
            engine = self._make_engine(scorer.model, max_depth=1, max_concurrency=self._concurrency)
            identity = engine.row_identity(OutputType(float))
            for cell in self._cells:
                if cell.record is not None and cell.record.answer is not None:
                    text = scorer.task(self._rows[cell.row], cell.record.answer)
                    key = digest(["judge", identity, text])
                    jobs.setdefault(key, Job(key, text, engine, float))
                    waiting.append((cell, name, key))
        if not jobs:
            return
        self._judging = RowRuns(
            list(jobs),
            lambda wanted: (job for key, job in jobs.items() if key in wanted),
            self._store,
            budget=_rest(self._budget, self._runs.usage),
            concurrency=self._concurrency,
            mode=self._mode,
        )
        self._judging.start()
        await self._judging
        number = OutputType(float)
        for cell, name, key in waiting:
            record = self._store.record(key)
            answer = record.answer if record is not None else None
            cell.scores[name] = min(1.0, max(0.0, number.parse(answer))) if answer is not None else None

    def at_end(self, call: Callable[[], None]) -> None:
        """Call this once all runs have ended, judges included."""
        assert self._task is not None
        self._task.add_done_callback(lambda _: call())

    # -- control ---------------------------------------------------------------------------------------------------

    def cancel(self) -> Awaitable[None]:
        """Cancel what is in flight and start nothing else; what finished is recorded. Await it for the end."""
        return (self._judging or self.internals).cancel()

    def pause(self) -> None:
        """Start no further call; calls in flight finish."""
        (self._judging or self.internals).pause()

    def resume(self) -> None:
        """Start calls again after `pause`."""
        (self._judging or self.internals).resume()

    def __await__(self) -> Generator[Any, None, Study]:
        return self._finished().__await__()

    async def _finished(self) -> Study:
        assert self._task is not None
        if not self._task.done():
            try:
                await asyncio.shield(self._task)
            except asyncio.CancelledError:
                await self.cancel()
                raise
        elif self._task.cancelled() or self._task.exception() is not None:
            await self._task
        return self

    @property
    def internals(self) -> RowRuns:
        """The runs of the rows, not of judges; used by the package itself."""
        assert self._runs is not None, "a study is started by the function that creates it"
        return self._runs

    @property
    def status(self) -> str:
        """ "running", "paused", "done", "stopped", "cancelled" or "failed"."""
        status, task = (self._judging or self.internals).status, self._task
        if task is None or status != "done":
            return status
        if not task.done():
            # The answers are being scored.
            return "running"
        return "cancelled" if task.cancelled() else "failed" if task.exception() is not None else status

    @property
    def usage(self) -> Usage:
        """Of all arms and judges, over all executions."""
        used = self.internals.usage
        return used + self._judging.usage if self._judging is not None else used

    @property
    def calls(self) -> int:
        """Model calls of this execution."""
        return self.internals.calls + (self._judging.calls if self._judging is not None else 0)

    @property
    def metrics(self) -> list[str]:
        """The names of the scores."""
        return list(dict.fromkeys(name for cell in self._cells for name in cell.scores))

    # -- what came out ---------------------------------------------------------------------------------------------

    @property
    def frame(self) -> Any:
        """One row for each row, arm and seed: `row`, `arm`, its levels, `seed`, `answer`, the scores, `cost_usd`,
        `tokens`, `seconds`, `calls`, `state`, `error`; in the kind of table that was given."""
        cells = self._cells
        states = [self._state(cell) for cell in cells]
        records = [cell.record for cell in cells]
        factors = list(dict.fromkeys(factor for arm in self.arms for factor in arm.settings))
        columns: dict[str, Column] = {
            "row": ([cell.row for cell in cells], "Int64"),
            "arm": ([cell.arm.label for cell in cells], "String"),
            **{factor: ([cell.arm.settings.get(factor) for cell in cells], "String") for factor in factors},
            "seed": ([cell.seed for cell in cells], "Int64"),
            "answer": ([record.answer if record else None for record in records], "String"),
            **{name: ([cell.scores.get(name) for cell in cells], "Float64") for name in self.metrics},
            "cost_usd": ([record.usage.cost_usd if record else None for record in records], "Float64"),
            "tokens": ([record.usage.total_tokens if record else 0 for record in records], "Int64"),
            "seconds": ([record.seconds if record else 0.0 for record in records], "Float64"),
            "calls": ([record.usage.calls if record else 0 for record in records], "Int64"),
            "state": ([state for state, _ in states], "String"),
            "error": (
                [
                    record.error if record and why is None else why
                    for record, (_, why) in zip(records, states, strict=True)
                ],
                "String",
            ),
        }
        return in_kind_of(self._table, columns)

    @property
    def cells(self) -> list[Cell]:
        """Used by the package itself, as are the following two; not part of the public interface."""
        return self._cells

    def inputs(self) -> Callable[[Cell], str]:
        """Gives what the task of an arm uses of a row, as one text."""
        columns = {arm.label: self._templates[arm.label].columns for arm in self.arms}
        names = self._table.names

        def text(cell: Cell) -> str:
            row = self._rows[cell.row]
            return " · ".join(text_of(row[names[at]]) for at in columns[cell.arm.label] if at < len(names))

        return text

    def recorded(self, key: str) -> RecordedRun | None:
        """The recorded run with this key."""
        found = self._store.recorded(key)
        return RecordedRun(self._store.path or Path("run.json"), found) if found is not None else None

    def run(self, row: int, arm: str | None = None, seed: int = 0) -> RecordedRun:
        """The run of one row in one arm (a label, or levels that name one), with its tree; with `best_of` the one whose
        answer counts."""
        chosen = matching(self.arms, arm) if arm is not None else self.arms[:1]
        cell = next((each for each in self._cells if (each.row, each.seed) == (row, seed) and each.arm in chosen), None)
        key = cell.record.key if cell is not None and cell.record is not None else None
        recorded = self._store.recorded(key) if key is not None else None
        if recorded is None:
            raise ConfigurationError(
                f"there is no recorded run of row {row}, arm {arm or self.arms[0].label}, seed {seed}"
            )
        return RecordedRun(self._store.path or Path(f"row-{row}.json"), recorded)

    def table(self) -> MetricTable:
        """The arms with their scores, each with its 95 % interval, and cost, tokens, seconds and calls a row; below it,
        what each arm's tree cost compared to its baseline, and whether that paid."""
        table = table_of_arms(self.arms, self._repeats, self._costs, self.metrics)
        notes = list(table.notes)
        for arm in self.arms:
            cells = [cell for cell in self._cells if cell.arm is arm and cell.record is not None]
            if apart := sum(not cell.agrees for cell in cells):
                notes.append(
                    f"{arm.label}: in {apart} of {len(cells)} runs no two of the {arm.best_of} answers were equal; the "
                    "first one counts"
                )
        return replace(table, notes=notes)

    def compare(self, a: str, b: str, metric: str | None = None) -> Comparison:
        """How much better `b` is than `a`: labels, or levels such as "max_depth=1", of which arms that agree in all
        other factors are paired. The p value is adjusted for all comparisons that this study was asked for.

        Raises `ConfigurationError` for a name that is none, and for arms that cannot be paired.
        """
        metric = self._metric(metric)
        pairs = paired(self.arms, a, b)
        one, other = (self._repeats(side, metric) for side in zip(*pairs, strict=True))
        self._asked[a, b, metric] = found = compared(a, b, metric, one, other, self._asked)
        return found

    def plot(self, metric: str | None = None) -> Plot:
        """A score against the cost a row (tokens, where costs are 0 or unknown): each arm a point with its interval."""
        return scatter(self.table(), self._metric(metric))

    def to_latex(self) -> str:
        """The table as LaTeX (booktabs)."""
        return self.table().to_latex()

    def to_csv(self, path: str | Path | None = None) -> str:
        """The long table as CSV, or the `path` that it was written to."""
        frame = self._long()
        names = list(frame[0]) if frame else []
        return MetricTable(names, [[row[name] for name in names] for row in frame], []).to_csv(path)

    def write(self, path: str | Path) -> Path:
        """Write the long table to a CSV, JSONL or Parquet file, by its ending; returns the path."""
        rows = self._long()
        return write_table({name: [row[name] for row in rows] for name in (rows[0] if rows else ())}, Path(path))

    @property
    def checkpoint(self) -> str | None:
        """The path of its file, or `None` if it is in memory only."""
        return str(self._store.path) if self._store.path else None

    def methods(self) -> str:
        """A paragraph for the methods section of a paper: models, dates, settings, n, seeds, budget, statistics."""
        return methods_text(
            self.arms,
            sorted({str(arm.engine.settings().get("model")) for arm in self.arms}),
            len(self._table),
            self.seeds,
            [self._state(cell)[0] for cell in self._cells],
            [record.at for cell in self._cells if (record := cell.record) is not None and record.at],
            self.usage,
            self._budget,
        )

    def _long(self) -> list[dict[str, Any]]:
        frame = self.frame
        if isinstance(frame, Records):
            return list(frame)
        rows: list[dict[str, Any]] = import_module("narwhals").from_native(frame, eager_only=True).rows(named=True)
        return rows

    def _metric(self, metric: str | None) -> str:
        names = self.metrics
        if metric is None and names:
            return names[0]
        if metric not in names:
            listed = ", ".join(names) or "none yet: no row has a score"
            raise ConfigurationError(f"metric={metric!r}: there are {listed}")
        assert metric is not None
        return metric

    def _repeats(self, arms: Sequence[Arm], metric: str) -> list[list[float]]:
        """The scores of each row: of all seeds, and of all these arms."""
        chosen = {arm.label for arm in arms}
        found: list[list[float]] = [[] for _ in range(len(self._table))]
        for cell in self._cells:
            if cell.arm.label in chosen and (score := cell.scores.get(metric)) is not None:
                found[cell.row].append(score)
        return found

    def _costs(self, arm: Arm) -> tuple[list[RowRecord], int, int]:
        """The records of an arm, the number of its failed runs, and of all that ran."""
        cells = [cell for cell in self._cells if cell.arm is arm]
        states = [self._state(cell)[0] for cell in cells]
        ran = len(states) - states.count("pending")
        return [cell.record for cell in cells if cell.record is not None], states.count("failed"), ran

    def __repr__(self) -> str:
        done = sum(self._state(cell)[0] == "done" for cell in self._cells)
        return (
            f"<Study {self.status}: {len(self.arms)} arms, {done} of {len(self._cells)} runs done, {self.calls} calls>"
        )

    def __str__(self) -> str:
        return f"{self!r}\n\n{self.table()}"

    def _ipython_display_(self) -> None:
        if self.status not in ("running", "paused"):
            # It is shown as its table, in the form that the front end likes best.
            raise NotImplementedError
        current_host().display(self)

    _repr_pretty_ = pretty

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _rest(budget: Budget | None, used: Usage) -> Budget | None:
    """What is left of a budget."""
    if budget is None:
        return None
    return replace(
        budget,
        usd=None if budget.usd is None else max(0.0, budget.usd - (used.cost_usd or 0.0)),
        tokens=None if budget.tokens is None else max(0, budget.tokens - used.total_tokens),
        calls=None if budget.calls is None else max(0, budget.calls - used.calls),
    )
