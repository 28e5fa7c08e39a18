"""A study as a view shows it while it runs: its runs as rows, and how far each arm is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from ..core.limits import NOTHING, Usage
from ..exceptions import ConfigurationError
from ..runtime.run_view import RunView
from .comparison import Compared
from .row_record import RowRecord
from .rows_shown import RowsShown, Steered
from .statistics import Interval, mean_interval
from .summary import Summary

__all__ = ["StudyRows"]


class Part(Protocol):
    """One row in one arm with one seed, as far as a view reads it."""

    @property
    def row(self) -> int: ...
    @property
    def arm(self) -> Compared: ...
    @property
    def seed(self) -> int: ...
    @property
    def keys(self) -> Sequence[str]: ...
    @property
    def record(self) -> RowRecord | None: ...
    @property
    def scores(self) -> Mapping[str, float | None]: ...


class Watchable(Steered, Protocol):
    """A study, as far as a view reads it."""

    seeds: int

    @property
    def arms(self) -> Sequence[Compared]: ...
    @property
    def cells(self) -> Sequence[Part]: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def calls(self) -> int: ...
    @property
    def metrics(self) -> list[str]: ...
    def inputs(self) -> Callable[[Any], str]: ...
    def recorded(self, key: str) -> RunView | None: ...
    def read_ended(self) -> None: ...


class StudyRows:
    """The runs of a study, in their order, with what a view asks of an experiment. Used on the study's event loop."""

    can_run_again = False

    def __init__(self, study: Watchable) -> None:
        self._study = study
        self._cells = [(cell, key) for cell in study.cells for key in cell.keys]
        self.keys = [key for _, key in self._cells]

    @property
    def checkpoint(self) -> str | None:
        return self._study.checkpoint

    @property
    def internals(self) -> RowsShown:
        return self._study.internals

    @property
    def status(self) -> str:
        return self._study.status

    @property
    def summary(self) -> Summary:
        """Of the runs of all arms; several calls of one row are several runs."""
        runs = self.internals
        count: dict[str, int] = dict.fromkeys(("done", "failed", "cancelled", "pending"), 0)
        for key in self.keys:
            count[runs.state(key)[0]] += 1
        used = self._study.usage
        return Summary(
            self.status,
            len(self.keys),
            count["done"],
            count["failed"],
            count["pending"] + count["cancelled"],
            runs.reused,
            len(self.keys) - len(runs.keys),
            self._study.calls,
            used.total_tokens,
            used.cost_usd,
            runs.seconds,
            runs.stopped,
        )

    def inputs(self, count: int) -> Iterator[str]:
        """The arm, the row and what the arm's task uses of it, of each of the first `count` runs."""
        texts = self._study.inputs()
        for cell, key in self._cells[:count]:
            draw = f", call {list(cell.keys).index(key) + 1}" if len(cell.keys) > 1 else ""
            seed = f", seed {cell.seed}" if self._study.seeds > 1 else ""
            yield f"{cell.arm.label}: row {cell.row}{seed}{draw}: {texts(cell)}"

    def run(self, number: int) -> RunView:
        """Raises `ConfigurationError` for a run that is not recorded."""
        cell, key = self._cells[number]
        recorded = self._study.recorded(key)
        if recorded is None:
            raise ConfigurationError(f"row {cell.row} in {cell.arm.label} has no recorded run yet")
        return recorded

    def live_run(self, number: int) -> Any:
        return self.internals.run_of(self.keys[number]) if 0 <= number < len(self.keys) else None

    def title_of(self, number: int) -> str:
        cell, _ = self._cells[number]
        return f"{cell.arm.label}: row {cell.row}"

    def pause(self) -> None:
        self._study.pause()

    def resume(self) -> None:
        self._study.resume()

    def arms(self) -> list[dict[str, Any]]:
        """Each arm: how many of its runs are done and failed, its mean score so far and what a run costs; the interval
        once all have ended."""
        study, ended = self._study, self.status not in ("running", "paused")
        study.read_ended()
        metric = next(iter(study.metrics), "")
        return [self._arm(arm.label, metric, ended) for arm in study.arms]

    def _arm(self, label: str, metric: str, ended: bool) -> dict[str, Any]:
        cells = [cell for cell in self._study.cells if cell.arm.label == label]
        records = [cell.record for cell in cells if cell.record is not None]
        used = NOTHING
        for record in records:
            used += record.usage
        repeats: dict[int, list[float]] = {}
        for cell in cells:
            if (found := cell.scores.get(metric)) is not None:
                repeats.setdefault(cell.row, []).append(found)
        means = [sum(each) / len(each) for each in repeats.values()]
        score = Interval(sum(means) / len(means) if means else None, None, None, len(means), len(means))
        if ended:
            # Without scipy there is no interval.
            with suppress(ConfigurationError):
                score = mean_interval(list(repeats.values()))
        failed = sum(record.state != "done" for record in records)
        cost = used.cost_usd
        return {
            "label": label,
            "isBaseline": label in {arm.baseline for arm in self._study.arms},
            "runs": len(cells),
            "done": len(records) - failed,
            "failed": failed,
            "metric": metric,
            "score": score.value,
            "low": score.low,
            "high": score.high,
            "cost": None if cost is None or not records else cost / len(records),
        }
