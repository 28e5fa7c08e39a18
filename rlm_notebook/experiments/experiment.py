"""The rows of a table, each with the answer to its task: what `engine.map` gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..core.choices import RunMode, instance
from ..core.limits import NOTHING, Budget, Usage
from ..core.text import pretty
from ..core.tree import Recorded
from ..exceptions import CheckpointError, ConfigurationError, ExecutionError
from ..host import current_host
from ..output_type import OutputType, TypeMismatch
from ..runtime.run_view import RunView
from .display import MOST_ROWS, html_of, text_table
from .forecast import Forecast
from .row_runs import Errors, Job, RowRuns
from .row_storage import RowStorage
from .summary import Summary
from .tables import Column, RowTable, write_table
from .template import RowTemplate, text_of

__all__ = ["Experiment", "MapEngine"]


class MapEngine(Protocol):
    """The engine of an experiment, as far as it is used here."""

    def row_identity(
        self, output_type: OutputType | None = None, recorded: Sequence[Mapping[str, Any]] | None = None
    ) -> str: ...
    def priced(self, budget: Budget) -> Budget: ...


class Experiment:
    """The rows of a table, each with the answer to its task; given by `engine.map`.

    Await it until all rows have ended: it gives itself. `frame` is the input with the results beside it, at any time.
    """

    def __init__(
        self,
        table: RowTable,
        template: RowTemplate,
        keys: list[str],
        engine: MapEngine,
        store: RowStorage,
        output_type: OutputType | None,
        given_type: Any,
        recorded_run: Callable[[Path, Recorded], RunView],
        *,
        blocking: Callable[[Callable[[], Any]], Any] | None = None,
    ) -> None:
        self._table, self._template, self._engine, self._store = table, template, engine, store
        self._output_type, self._given_type = output_type, given_type
        #: Makes the run of a row that is recorded.
        self._recorded_run = recorded_run
        self._blocking = blocking
        self._keys = keys
        self._unique = list(dict.fromkeys(keys))
        self._runs: RowRuns | None = None

    def _jobs(self, wanted: Collection[str]) -> Iterator[Job]:
        left = set(wanted)
        for key, values in zip(self._keys, self._table.values(self._template.columns), strict=True):
            if key in left:
                left.discard(key)
                yield Job(key, self._template.render(values), self._engine, self._given_type)

    def start(
        self,
        *,
        budget: Budget | None,
        concurrency: int,
        errors: Errors,
        mode: RunMode,
        pilot: int | None,
        executor: Any = None,
    ) -> None:
        """Start the rows that are not recorded; called once, on a running event loop."""
        self._runs = RowRuns(
            self._unique,
            self._jobs,
            self._store,
            budget=self._engine.priced(budget) if budget is not None else None,
            concurrency=concurrency,
            errors=errors,
            mode=mode,
            pilot=pilot,
            executor=executor,
        )
        self._runs.start()

    # -- what came out ---------------------------------------------------------------------------------------------

    @property
    def frame(self) -> Any:
        """The input, in its order and its own kind of table, with the results in further columns.

        The answer is in `answer`, or in a column for each field of an output type with fields; where the input has a
        column of that name, an underscore is put before it. `_state` is "done", "failed", "cancelled" or "pending" (it
        has not run, for example because the budget was spent before). `_error` says why a row has no answer, or
        that the answer is none, because the model says that it cannot do this;
        `_cost_usd`, `_tokens`, `_seconds` and `_calls` are over all executions of the row, and 0 in a row that shares
        the result of an equal one before it; `_row` is the number of the row.
        """
        return self._table.with_columns(self._columns())

    def _columns(self, keys: list[str] | None = None) -> dict[str, Column]:
        answers: list[str | None] = []
        numbers: dict[str, list[Any]] = {"_cost_usd": [], "_tokens": [], "_seconds": [], "_calls": []}
        states, errors, seen = [], [], set()
        for key in self._keys if keys is None else keys:
            state, why = self.internals.state(key)
            record = self._store.record(key) if state != "pending" and why is None else None
            states.append(state)
            errors.append(record.error if record is not None else why)
            answers.append(record.answer if record is not None else None)
            first, usage = key not in seen, record.usage if record is not None else NOTHING
            seen.add(key)
            numbers["_cost_usd"].append(usage.cost_usd if first else 0.0)
            numbers["_tokens"].append(usage.total_tokens if first else 0)
            numbers["_seconds"].append(record.seconds if record is not None and first else 0.0)
            numbers["_calls"].append(usage.calls if first else 0)
        return {
            **self._answers(answers),
            "_state": (states, "String"),
            "_error": (errors, "String"),
            "_cost_usd": (numbers["_cost_usd"], "Float64"),
            "_tokens": (numbers["_tokens"], "Int64"),
            "_seconds": (numbers["_seconds"], "Float64"),
            "_calls": (numbers["_calls"], "Int64"),
            "_row": (list(range(len(states))), "Int64"),
        }

    def _answers(self, texts: list[str | None]) -> dict[str, Column]:
        taken = set(self._table.names)
        if self._output_type is None:
            return {_free("answer", taken): (texts, "String")}
        read, write = self._output_type.parse, self._output_type.to_json
        try:
            values = [None if text is None else write(read(text)) for text in texts]
        except TypeMismatch as problem:
            raise ExecutionError(
                f'a recorded answer does not fit the output type any more: {problem}; map it with mode="fresh"'
            ) from problem
        names = self._output_type.fields
        if names is None:
            return {_free("answer", taken): _column(values)}
        return {
            _free(name, taken): _column([None if value is None else value.get(name) for value in values])
            for name in names
        }

    def answers(self) -> list[Any]:
        """The answers in the order of the rows: texts, or values of the output type; `None` where there is none."""
        found = []
        for key in self._keys:
            record = self._store.record(key) if self.internals.state(key)[0] == "done" else None
            text = record.answer if record is not None else None
            found.append(text if text is None or self._output_type is None else self._output_type.parse(text))
        return found

    def head(self, count: int) -> tuple[list[str], list[list[Any]]]:
        """The names of the columns that the task uses and of the results, and their values in the first rows."""
        used = self._template.columns
        inputs = self._table.head(count)
        keys = self._keys[:count]
        results = self._columns(keys)
        left_out = {"_row", "_tokens", "_seconds", "_calls"}
        if all(state == "done" for state in results["_state"][0]):
            left_out |= {"_state"}
        if not any(results["_error"][0]):
            left_out |= {"_error"}
        if not any(results["_cost_usd"][0]):
            left_out |= {"_cost_usd"}
        shown = {name: values for name, (values, _) in results.items() if name not in left_out}
        names = ["", *(self._table.names[at] for at in used if at < len(self._table.names)), *shown]
        rows = [
            [number, *values, *(column[number] for column in shown.values())]
            for number, values in enumerate(inputs.values(used) if len(keys) else ())
        ]
        return names, rows

    def errors(self, count: int) -> list[tuple[int, str]]:
        """The numbers and errors of the first failed rows."""
        found: list[tuple[int, str]] = []
        for number, key in enumerate(self._keys):
            if len(found) >= count:
                break
            state, why = self.internals.state(key)
            if state == "failed":
                record = self._store.record(key) if why is None else None
                found.append((number, (record.error if record is not None else why) or ""))
        return found

    def write(self, path: str | Path) -> Path:
        """Write the rows with their results to a CSV, JSONL or Parquet file, by its ending; returns the path."""
        names = self._table.names
        columns: dict[str, list[Any]] = {name: [] for name in names}
        for values in self._table.values(range(len(names))):
            for name, value in zip(names, values, strict=True):
                columns[name].append(value)
        return write_table(columns | {name: values for name, (values, _) in self._columns().items()}, Path(path))

    def run(self, row: int) -> RunView:
        """The run of one row, by its position (the column `_row`): its tree, its usage, its answer. It displays as the
        widget. The labels of an index of pandas are not read: `run(frame.index.get_loc(label))`.

        Raises `ConfigurationError` for a row that has no run, and `CheckpointError` if its tree is not recorded.
        """
        if isinstance(row, bool) or not isinstance(row, int) or not -len(self._keys) <= row < len(self._keys):
            last = len(self._keys) - 1
            raise ConfigurationError(
                f"run({row!r}): expected the number of a row, 0 to {last}: its position, as in the column _row, and "
                "not its label in an index"
            )
        key = self._keys[row]
        if key not in self._store:
            state, why = self.internals.state(key)
            raise ConfigurationError(f"row {row} has no run: it is {state}" + (f" ({why})" if why else ""))
        recorded = self._store.recorded(key)
        if recorded is None:
            raise CheckpointError(
                f"the tree of row {row} is not in {self._store.path or 'memory'}: it was recorded with "
                'store="outputs"; map it with store="full" and mode="fresh" to record it'
            )
        return self._recorded_run(self._store.path or Path(f"row-{row}.json"), recorded)

    def live_run(self, row: int) -> Any:
        """The `Run` of a row that is under way; `None` otherwise."""
        return self.internals.run_of(self._keys[row]) if 0 <= row < len(self._keys) else None

    @property
    def can_run_again(self) -> bool:
        """Whether a view offers to run the rows again that are not done."""
        return True

    def arms(self) -> list[dict[str, Any]]:
        """None: a map is no comparison."""
        return []

    def title_of(self, row: int) -> str:
        """The title of a row's tree in a view."""
        return f"row {row}"

    @property
    def keys(self) -> list[str]:
        """The key of each row; equal rows have equal keys."""
        return self._keys

    def inputs(self, count: int) -> Iterator[str]:
        """What the task uses of each of the first `count` rows, as one text."""
        for values in self._table.head(count).values(self._template.columns) if self._keys else ():
            yield " · ".join(map(text_of, values))

    @property
    def summary(self) -> Summary:
        """How many rows are done, failed or left, and what they used so far."""
        runs = self.internals
        count: dict[str, int] = dict.fromkeys(("done", "failed", "cancelled", "pending"), 0)
        refused, known = 0, self._store.refused
        for key in self._keys:
            count[state := runs.state(key)[0]] += 1
            refused += state == "done" and key in known
        usage = runs.usage
        return Summary(
            runs.status,
            len(self._keys),
            count["done"],
            count["failed"],
            count["pending"] + count["cancelled"],
            runs.reused,
            len(self._keys) - len(self._unique),
            runs.calls,
            usage.total_tokens,
            usage.cost_usd,
            runs.seconds,
            runs.stopped,
            refused,
        )

    @property
    def status(self) -> str:
        """ "running", "paused", "done", "stopped" (by the budget, the pilot or an error of every row), "cancelled" or
        "failed"."""
        return self.internals.status

    @property
    def usage(self) -> Usage:
        """Over all executions of its rows."""
        return self.internals.usage

    @property
    def forecast(self) -> Forecast | None:
        """What the pilot said of the other rows; `None` without a pilot."""
        return self.internals.forecast

    @property
    def checkpoint(self) -> str | None:
        """The path of its file, or `None` if it is in memory only."""
        return str(self._store.path) if self._store.path else None

    @property
    def internals(self) -> RowRuns:
        """Used by the package itself; not part of the public interface."""
        assert self._runs is not None, "an experiment is started by the engine that creates it"
        return self._runs

    def at_end(self, call: Callable[[], None]) -> None:
        """Call this once the rows that run now have ended."""
        self.internals.at_end(call)

    # -- control ---------------------------------------------------------------------------------------------------

    def retry_failed(self, budget: Budget | None = None) -> Experiment:
        """Run the rows that failed, were cancelled or did not run; all others stay as they are.

        Await the result, which is this experiment; of a `RecursiveEngine` it has ended when this returns. `budget`
        replaces the one of the experiment. Raises `ConfigurationError` while rows are running.
        """
        runs, given = self.internals, instance("budget", budget, Budget, "Budget(usd=5)")
        new = self._engine.priced(given) if given is not None else None
        if self._blocking is None:
            runs.again(new)
            return self

        async def work() -> Experiment:
            runs.again(new)
            return await self

        self._blocking(work)
        return self

    def cancel(self) -> Awaitable[None]:
        """Cancel the rows in flight and start no others; what finished is recorded. Await it for the end."""
        return self.internals.cancel()

    def pause(self) -> None:
        """Start no further call; calls in flight finish."""
        self.internals.pause()

    def resume(self) -> None:
        """Start calls again after `pause`."""
        self.internals.resume()

    def __await__(self) -> Generator[Any, None, Experiment]:
        yield from self.internals.__await__()
        return self

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<Experiment {self.status}: {self.summary}>"

    def __str__(self) -> str:
        return f"{self.summary}\n\n{text_table(*self.head(MOST_ROWS))}"

    def _ipython_display_(self) -> None:
        current_host().display(self)

    def _repr_html_(self) -> str:
        return html_of(self)

    _repr_pretty_ = pretty


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"_{name}"
    return name


def _column(values: list[Any]) -> Column:
    """The values with the type that all of them have; texts of values of several types."""
    kinds = {type(value) for value in values if value is not None}
    for kind, name in ((bool, "Boolean"), (int, "Int64"), (float, "Float64"), (str, "String")):
        if kinds == {kind}:
            return values, name
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values], "Float64"
    return [None if value is None else text_of(value) for value in values], "String"
