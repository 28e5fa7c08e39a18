"""The progress of an experiment in a terminal: a bar of tqdm, if it is installed, else a line now and then."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Any, Protocol

from ..core.limits import Budget
from ..exceptions import ConfigurationError
from ..host.console import written
from .display import progress_text
from .rows_shown import RowsShown

__all__ = ["RowProgress", "progress_of_rows", "say_unrecorded", "time_left"]

#: Seconds between two lines where there is no terminal.
LINE_INTERVAL = 10.0


class RowProgress(Protocol):
    """Shows an experiment until it is closed."""

    def close(self) -> None: ...


class Priced(Protocol):
    """An engine, as far as its prices are read here."""

    def priced(self, budget: Budget) -> Budget: ...


class Followed(Protocol):
    """An experiment, as far as its progress reads it."""

    @property
    def summary(self) -> Any: ...
    @property
    def internals(self) -> RowsShown: ...


def progress_of_rows(experiment: Followed, stream: IO[str] | None = None) -> RowProgress:
    """The best progress for `stream` (default: standard error): a bar in a terminal, lines elsewhere."""
    shown_on: IO[str] = stream or sys.stderr or io.StringIO()
    if shown_on.isatty() and find_spec("tqdm") is not None:
        return _Bar(experiment, shown_on)
    return _Lines(experiment, shown_on)


class _Bar:
    def __init__(self, experiment: Followed, stream: IO[str]) -> None:
        runs = experiment.internals
        self._runs = runs
        make: Any = import_module("tqdm").tqdm
        self._bar = make(total=len(runs.keys), initial=runs.reused, file=stream, unit=" rows", dynamic_ncols=True)
        runs.watch(self._show)

    def _show(self) -> None:
        runs = self._runs
        self._bar.n = runs.done + runs.failed
        cost = runs.spent.cost_usd
        parts = [f"{runs.failed} failed"] if runs.failed else []
        parts += [f"${cost:.4f}" + (f" of {runs.budget.usd:g}" if runs.budget.usd is not None else "")] if cost else []
        self._bar.set_postfix_str(", ".join(parts), refresh=False)
        self._bar.update(0)

    def close(self) -> None:
        self._show()
        self._bar.close()


class _Lines:
    def __init__(self, experiment: Followed, stream: IO[str]) -> None:
        self._experiment, self._stream = experiment, stream
        self._at = time.monotonic()
        experiment.internals.watch(self._show)

    def _show(self) -> None:
        if time.monotonic() - self._at >= LINE_INTERVAL:
            self._at = time.monotonic()
            self._stream.write(f"{progress_text(self._experiment.summary)}{time_left(self._experiment.internals)}\n")
            self._stream.flush()

    def close(self) -> None:
        self._stream.write(f"{progress_text(self._experiment.summary)}\n")
        self._stream.flush()


def say_unrecorded(what: str, name: str, engines: Iterable[Priced]) -> None:
    """One line on standard error for an experiment without a file, if its calls may cost something."""
    if sys.stderr is not None and any(map(_may_cost, engines)):
        written(
            sys.stderr,
            f"rlm: {what} are kept in memory only, and executed again they are paid for again; "
            f'name="{name}" records them beside the notebook\n',
        )


def _may_cost(engine: Priced) -> bool:
    try:
        engine.priced(Budget(usd=1.0))
    except ConfigurationError:
        return True  # a price is not known
    return engine.priced(Budget(usd=1.0, unknown_price="ignore")).usd is not None


def time_left(runs: RowsShown) -> str:
    """The time that the other rows will take at the present rate, as a phrase; "" before the first row."""
    ended, left = runs.done - runs.reused + runs.failed, len(runs.keys) - runs.done - runs.failed
    if not ended or not left:
        return ""
    seconds = round((time.time() - runs.started) / ended * left)
    return f", about {seconds // 60}:{seconds % 60:02d} left"
