"""The shared state of one notebook session: the shell, its host, the defaults, and the runs it started."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from IPython.core.displayhook import CapturingDisplayHook

from ...host.console import say
from ..display.typed_tables import TypedTables
from .host import NotebookHost

if TYPE_CHECKING:
    from ...runtime.engine_view import MakeEngine
    from ...runtime.run_view import RunView

__all__ = ["Defaults", "Session"]


class Defaults(Protocol):
    """The settings of `%config RLMMagics`."""

    model: str
    max_depth: int
    max_steps: int
    budget: float
    concurrency: int
    prices: dict[str, tuple[float, float]]
    view: str


class DisplayedValue(Protocol):
    """The value of a cell that displays itself."""

    @property
    def value(self) -> Any: ...
    def show(self) -> None: ...


class Session:
    """One loaded extension; created by `%load_ext` and passed to the code of cells and line commands."""

    def __init__(self, shell: Any, host: NotebookHost, defaults: Defaults, make_engine: MakeEngine) -> None:
        self.shell = shell
        self.host = host
        self.defaults = defaults
        #: Makes an `AsyncRecursiveEngine`.
        self.make_engine = make_engine
        self.tables = TypedTables(shell)
        #: The value of the cell that has just ended, until it is displayed.
        self.shown_next: DisplayedValue | None = None
        self._runs: weakref.WeakSet[RunView] = weakref.WeakSet()
        self._printed: set[str] = set()

    @property
    def variables(self) -> dict[str, Any]:
        """The variables of the notebook."""
        found: dict[str, Any] = self.shell.user_ns
        return found

    @property
    def last(self) -> RunView | None:
        """The run in `_rlm`, if that still is one."""
        from ...runtime.run_view import is_run

        found = self.variables.get("_rlm")
        return found if is_run(found) else None

    def began(self, run: RunView) -> None:
        """Registers a run that was started here: as `_rlm`, and for `%rlm cancel`."""
        self.variables["_rlm"] = run
        self._runs.add(run)
        run.internals.follow(self.began)

    def kept_in(self, path: Path) -> RunView | None:
        """The last run of this session in this file, if it is still in memory."""
        found = [run for run in list(self._runs) if run.checkpoint == str(path)]
        return max(found, key=lambda run: run.tree.started or 0.0, default=None)

    def under_way(self) -> Iterator[RunView]:
        """The runs of this session that have not ended: those of its cells, and those that its variables hold."""
        from ...runtime.run_view import is_run

        held = [value for value in list(self.variables.values()) if is_run(value)]
        return (run for run in {*self._runs, *held} if not run.ended)

    def live_run(self, path: Path) -> RunView | None:
        """The run that is writing this file; a run that was continued in another file is not."""
        mine = (run for run in self.under_way() if run.checkpoint == str(path))
        return next((run for run in mine if not run.internals.at_rest), None)

    def display_output(self, output: object) -> None:
        """Displays the value of a cell so that it can be updated; raises `NotImplementedError` for any other value,
        which IPython then displays as usual."""
        value, self.shown_next = self.shown_next, None
        # Under %%capture, IPython would keep an empty output beside the one that is displayed.
        captured = isinstance(sys.displayhook, CapturingDisplayHook)
        if value is None or value.value is not output or captured:
            raise NotImplementedError
        value.show()

    def print_once(self, line: str) -> None:
        """Prints a line, once in a session."""
        if line not in self._printed:
            self._printed.add(line)
            say(line)
