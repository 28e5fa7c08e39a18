"""A run as it was recorded: to be looked at, shown and compared; nothing of it can be started or changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from ..checkpoints.selection import recorded_in
from ..core.events import Cancelled, Event
from ..core.limits import Budget, Usage
from ..core.plan import Plan
from ..core.records import Recorded
from ..core.redaction import Store, store_of
from ..core.tree import Tree
from ..exceptions import CheckpointError, ConfigurationError, ExecutionError
from ..host import current_host, html_page, tree_view
from ..ports import Message, Observer
from ..types import Output, TraceObject
from ..views.dataframe import frame_of
from ..views.diff import Difference, difference
from ..views.idle_time import breaks_of
from ..views.mermaid import mermaid
from ..views.outline import outline
from ..views.run_view import ReadableRun, best_of, output_of, trace_of, written

__all__ = ["RecordedRun", "load_run"]


def load_run(path: str | Path) -> RecordedRun:
    """The run that is kept in the JSON file `path`, or in the journal beside it after a crash.

    Reads only, calls no model and needs no event loop. A run that was interrupted is shown as cancelled.
    Raises `CheckpointError` where there is no run, or none that can be read.
    """
    place = Path(path)
    recorded = recorded_in(place)
    if recorded is None:
        raise CheckpointError(f"there is no run in {place}; give the path of a run's JSON")
    _end(recorded.tree)
    return RecordedRun(place, recorded)


def _end(tree: Tree) -> None:
    """Nobody works any more on what was interrupted."""
    at_rest = tree.status == "paused" and all(node.state.final for node in tree)
    if at_rest or tree.status in ("done", "failed", "cancelled"):
        return
    last = _last_moment(tree)
    for node in list(tree):
        if not node.state.final:
            tree.apply(Cancelled(at=last, node=node.id, reason="interrupted"))
    tree.status, tree.ended = "cancelled", last


def _last_moment(tree: Tree) -> float:
    moments = [tree.started, *(node.started for node in tree), *(node.ended for node in tree)]
    moments += [phase.started for node in tree for phase in node.phases]
    return max((moment for moment in moments if moment is not None), default=0.0)


@dataclass(frozen=True, eq=False, repr=False)
class RecordedRun:
    """What `load_run` gives: it reads as a `Run` that has ended.

    `str()` is the tree as text; it displays as the widget in a notebook.
    """

    path: Path
    recorded: Recorded

    #: What was recorded is all there is: nothing was called for it now, and it can differ from nothing.
    reused = True
    finished = True
    calls = 0
    notes: ClassVar[list[str]] = []

    @property
    def changed(self) -> tuple[str, ...]:
        return ()

    @property
    def breadcrumbs(self) -> tuple[str, ...]:
        return ()

    @property
    def tree(self) -> Tree:
        return self.recorded.tree

    @property
    def run_id(self) -> str:
        return self.tree.run_id

    @property
    def task(self) -> str:
        return self.tree.task

    @property
    def request_key(self) -> str:
        return self.tree.request_key

    @property
    def settings(self) -> dict[str, Any]:
        return self.tree.settings

    @property
    def status(self) -> str:
        """One of "done", "failed", "cancelled", and "paused" where it was stopped to wait for somebody."""
        return self.tree.status

    @property
    def store(self) -> Store:
        """What the file holds of the texts: "full", "outputs" or "hashes"."""
        return store_of(self.recorded)

    @property
    def usage(self) -> Usage:
        """Over all executions that the file is of."""
        return self.recorded.spent

    @property
    def active_seconds(self) -> float:
        return self.recorded.active_seconds

    @property
    def budget(self) -> Budget:
        """What limited the run, as far as it can still be read."""
        kept = self.settings.get("budget")
        return _budget_of(kept) if isinstance(kept, dict) else Budget()

    @property
    def checkpoint(self) -> str:
        return str(self.path)

    @property
    def output(self) -> Output | None:
        """The answer, or `None` if the run came to none."""
        root = self.tree.root
        if self.status != "done" or root is None or root.result is None:
            return None
        return output_of(self, root.result, None)

    def partial(self) -> Output:
        """The answer if there is one, else the finished parts in the plan's order."""
        found = Output(best_of(self.tree), {"partial": True, **self._origin()}, usage=self.usage, run=self)
        return self.output or found

    def _origin(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "checkpoint": self.checkpoint}

    def trace(self) -> list[TraceObject]:
        """All nodes as plain dictionaries."""
        return trace_of(self.tree)

    def to_mermaid(self) -> str:
        """The tree as a Mermaid flowchart."""
        return mermaid(self.tree)

    def to_html(self, path: str | Path | None = None) -> str:
        """The run as one interactive HTML page that needs no kernel and no network, or the `path` it was written to."""
        return written(html_page(self), path)

    def to_frame(self) -> Any:
        """The nodes as a `pandas.DataFrame`, one row each. Raises `ConfigurationError` where pandas is missing."""
        return frame_of(self.tree)

    def diff(self, other: ReadableRun) -> Difference:
        """What is different in `other`, node by node, and what it took more or less."""
        return difference(self.tree, other.tree)

    # -- what takes an engine -------------------------------------------------------------------------------------

    def edit(
        self,
        node_id: str,
        *,
        task: str | None = None,
        plan: Plan | Mapping[str, Any] | None = None,
        result: str | None = None,
    ) -> NoReturn:
        """Raises `ConfigurationError`: a file brings no model along. Engines edit it: `engine.edit(run, ...)`."""
        raise self._without_engine(f".edit(run, {node_id!r}, ...)")

    def retry(self, node_id: str | None = None) -> NoReturn:
        """Raises `ConfigurationError`: engines do it again, `engine.retry_run(run)`."""
        raise self._without_engine(f".retry_run(run, {node_id!r})" if node_id is not None else ".retry_run(run)")

    def synthesize_anyway(self) -> NoReturn:
        """Raises `ConfigurationError`: engines answer with what there is."""
        raise self._without_engine('.retry_run(run), with the engine made with on_failure="synthesize"')

    def _without_engine(self, call: str) -> ConfigurationError:
        return ConfigurationError(
            f"this run was loaded from {self.path}, which brings no model along; give it to an engine: "
            f"RecursiveEngine(...){call}, or AsyncRecursiveEngine(...) and the same where you await"
        )

    # -- as a run that has ended ----------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[Event]:
        """None: they have all happened."""
        return
        yield

    def __await__(self) -> Generator[Any, None, Output]:
        """The answer that was recorded. Raises `ExecutionError` if the run came to none."""
        if (output := self.output) is None:
            raise ExecutionError(f"the run in {self.path} is {self.status}: {self.tree.error or 'it has no answer'}")
        return output
        yield

    # -- for those who show a run ----------------------------------------------------------------------------------

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Raises `RuntimeError`, as a loop does that is closed: a recorded run lives on none."""
        raise RuntimeError("a recorded run has no event loop")

    def clock(self) -> float:
        return time.time()

    def watch(self, observer: Observer) -> Callable[[], None]:
        """Nothing happens any more, so there is nothing to tell."""
        return lambda: None

    def follow(self, told: Callable[[Any], None]) -> None:
        """It goes on as no other run."""

    def describe_prompt(self, node_id: str) -> tuple[Message, ...]:
        """Prompts are not kept."""
        return ()

    def cancel(self) -> None:
        """Nothing is under way; so too with `pause` and `resume`."""

    pause = resume = cancel

    def __str__(self) -> str:
        return outline(self.tree, breaks=breaks_of(self.tree, self.active_seconds))

    def __repr__(self) -> str:
        return f"<RecordedRun {self.run_id} {self.status}: {len(self.tree)} nodes>"

    def _ipython_display_(self) -> None:
        current_host().display(self)

    def _display_(self) -> Any:
        """What marimo shows."""
        return tree_view(self)


def _budget_of(kept: dict[str, Any]) -> Budget:
    try:
        return Budget(kept.get("usd"), kept.get("tokens"), kept.get("seconds"), kept.get("calls"))
    except ValueError:
        return Budget()
