"""An experiment as its file holds it: the rows that ended, without the table that they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..checkpoints.location import ROWS_SUFFIX
from ..core.limits import NOTHING, Usage
from ..core.text import pretty
from ..exceptions import CheckpointError, ConfigurationError
from ..runtime.recorded_run import RecordedRun
from .display import MOST_ROWS, html_of, text_table
from .row_record import RowRecord
from .row_store import RowStore
from .summary import Summary
from .tables import Records, write_table

__all__ = ["RecordedExperiment", "load_experiment"]


def load_experiment(path: str | Path) -> RecordedExperiment:
    """The rows recorded in a file, read only. Raises `CheckpointError` for a file that cannot be read."""
    place = Path(path).expanduser()
    if not place.exists():
        raise CheckpointError(f"there is no file {place}; give the path of a *{ROWS_SUFFIX} file")
    return RecordedExperiment(RowStore(place))


class RecordedExperiment:
    """The recorded rows of `map` or `study`, in the order in which they were first recorded. It displays as a table."""

    def __init__(self, store: RowStore) -> None:
        self._store = store
        self._keys = list(store)

    @property
    def checkpoint(self) -> str | None:
        """The path of its file."""
        return str(self._store.path) if self._store.path else None

    @property
    def model(self) -> str:
        """The name of the model that answered last; "" if it is not recorded."""
        return self._store.model

    @property
    def summary(self) -> Summary:
        """How many rows are done or failed, and what they used; `seconds` is the sum over the rows."""
        states = [self._store.state(key) for key in self._keys]
        usage, seconds = self.usage, sum(self._record(key).seconds for key in self._keys)
        done, failed = states.count("done"), states.count("failed")
        status = "done" if done == len(states) else "failed" if failed else "cancelled"
        left = len(states) - done - failed
        spent = (usage.calls, usage.total_tokens, usage.cost_usd)
        return Summary(status, len(states), done, failed, left, 0, 0, *spent, seconds, refused=len(self._store.refused))

    @property
    def usage(self) -> Usage:
        """Over all executions of the rows."""
        total = NOTHING
        for key in self._keys:
            total += self._store.usage(key)
        return total

    def run(self, row: int) -> RecordedRun:
        """The run of one row, by its position. Raises `ConfigurationError`, and `CheckpointError` without its tree."""
        if isinstance(row, bool) or not isinstance(row, int) or not -len(self._keys) <= row < len(self._keys):
            raise ConfigurationError(f"run({row!r}): expected the number of a row, 0 to {len(self._keys) - 1}")
        recorded = self._store.recorded(self._keys[row])
        if recorded is None:
            raise CheckpointError(
                f'the tree of row {row} is not in {self._store.path}: it was recorded with store="outputs"'
            )
        return RecordedRun(self._store.path or Path(f"row-{row}.json"), recorded)

    @property
    def frame(self) -> Records:
        """The rows as a list of dicts, which pandas takes: `row`, `task` ("" without its tree), `answer`, `state`,
        `error`, `cost_usd`, `tokens`, `seconds`, `calls`."""
        return Records(self._rows())

    def _rows(self, count: int | None = None) -> list[dict[str, Any]]:
        rows = []
        for number, key in enumerate(self._keys[:count]):
            record, recorded = self._record(key), self._store.recorded(key)
            rows.append(
                {
                    "row": number,
                    "task": recorded.tree.task if recorded is not None else "",
                    "answer": record.answer,
                    "state": record.state,
                    "error": record.error,
                    "cost_usd": record.usage.cost_usd,
                    "tokens": record.usage.total_tokens,
                    "seconds": record.seconds,
                    "calls": record.usage.calls,
                }
            )
        return rows

    def _record(self, key: str) -> RowRecord:
        record = self._store.record(key)
        assert record is not None
        return record

    def head(self, count: int) -> tuple[list[str], list[list[Any]]]:
        """The names of the columns that a display shows, and their values in the first rows."""
        rows = self._rows(count)
        names = ["row", "task", "answer", "state", *(["cost_usd"] if any(row["cost_usd"] for row in rows) else [])]
        return ["", *names[1:]], [[row[name] for name in names] for row in rows]

    def errors(self, count: int) -> list[tuple[int, str]]:
        """The numbers and errors of the first failed rows."""
        failed = [at for at, key in enumerate(self._keys) if self._store.state(key) == "failed"][:count]
        return [(at, self._record(self._keys[at]).error or "") for at in failed]

    def write(self, path: str | Path) -> Path:
        """Write the rows to a CSV, JSONL or Parquet file, by its ending; returns the path."""
        rows = self._rows()
        names = list(rows[0]) if rows else ["row", "task", "answer", "state", "error"]
        return write_table({name: [row[name] for row in rows] for name in names}, Path(path))

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<RecordedExperiment {self.checkpoint}: {self.summary}>"

    def __str__(self) -> str:
        return f"{self.summary}\n\n{text_table(*self.head(MOST_ROWS))}"

    def _repr_html_(self) -> str:
        return html_of(self)

    _repr_pretty_ = pretty
