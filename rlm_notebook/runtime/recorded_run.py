"""A run as it was recorded: to be looked at, shown and compared; nothing of it can be started or changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

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
from ..views.answer import best_of, trace_of, written
from ..views.dataframe import frame_of
from ..views.diff import Difference, difference
from ..views.idle_time import breaks_of
from ..views.mermaid import mermaid
from ..views.outline import outline
from .control import Ended
from .run_output import output_of
from .run_view import RunView

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
    return RecordedRun(place, replace(recorded, tree=_ended(recorded.tree)))


def _ended(tree: Tree) -> Tree:
    """The tree in which what was interrupted is cancelled: nobody works on it any more."""
    at_rest = tree.status == "paused" and all(node.state.final for node in tree)
    if at_rest or tree.status in ("done", "failed", "cancelled"):
        return tree
    last = _last_moment(tree)
    for node in list(tree):
        if not node.state.final:
            tree.apply(Cancelled(at=last, node=node.id, reason="interrupted"))
    return Tree.of(tree, tree.header, replace(tree.state, status="cancelled", ended=last))


def _last_moment(tree: Tree) -> float:
    moments = [tree.started, *(node.started for node in tree), *(node.ended for node in tree)]
    moments += [phase.started for node in tree for phase in node.phases]
    return max((moment for moment in moments if moment is not None), default=0.0)


@dataclass(frozen=True, eq=False, repr=False)
class RecordedRun:
    """What `load_run` gives: it reads as a `Run` that has ended, and has the same names.

    `str()` is the tree as text; it displays as the widget in a notebook.
    """

    path: Path
    recorded: Recorded

    #: Nothing was called for it now, and it can differ from nothing.
    calls = 0
    ended = True

    @property
    def internals(self) -> RecordedInternals:
        """For the package itself: no promise to users."""
        return RecordedInternals(self)

    @property
    def run_id(self) -> str:
        return self.tree.run_id

    @property
    def task(self) -> str:
        return self.tree.task

    @property
    def tree(self) -> Tree:
        return self.recorded.tree

    @property
    def status(self) -> str:
        """One of "done", "failed", "cancelled", and "paused" where it was stopped to wait for somebody."""
        return self.tree.status

    @property
    def store(self) -> Store:
        """What the file holds of the texts: "full", "outputs" or "hashes"."""
        return store_of(self.recorded)

    @property
    def output(self) -> Output | None:
        """The answer, or `None` if the run came to none."""
        root = self.tree.root
        if self.status != "done" or root is None or root.result is None:
            return None
        return output_of(self, root.result, None)

    @property
    def error(self) -> ExecutionError | None:
        """What awaiting the run raises, or `None` if it has an answer."""
        if self.output is not None:
            return None
        return ExecutionError(f"the run in {self.path} is {self.status}: {self.tree.error or 'it has no answer'}")

    @property
    def usage(self) -> Usage:
        """Over all executions that the file is of."""
        return self.recorded.spent

    @property
    def checkpoint(self) -> str:
        return str(self.path)

    @property
    def changed(self) -> tuple[str, ...]:
        """None: there is nothing to compare the recorded variables with."""
        return ()

    @property
    def notes(self) -> list[str]:
        """None, as `changed`."""
        return []

    @property
    def awaiting(self) -> Mapping[str, Any]:
        """Nothing waits any more."""
        return {}

    def partial(self) -> Output:
        """The answer if there is one, else the finished parts in the plan's order."""
        if self.output is not None:
            return self.output
        metadata = {"partial": True, "run_id": self.run_id, "checkpoint": self.checkpoint}
        return Output(best_of(self.tree), metadata, usage=self.usage, run=self)

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

    def diff(self, other: RunView) -> Difference:
        """What is different in `other`, node by node, and what it took more or less."""
        return difference(self.tree, other.tree)

    async def events(self) -> AsyncIterator[Event]:
        """None: they have all happened."""
        return
        yield

    def __await__(self) -> Generator[Any, None, Output]:
        """The answer that was recorded. Raises `ExecutionError` if the run came to none."""
        if (error := self.error) is not None:
            raise error
        return self.partial()
        yield

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

    def baseline(self) -> NoReturn:
        """Raises `ConfigurationError`: engines solve it without a tree, `engine.baseline(run)`."""
        raise ConfigurationError(
            f"this run was loaded from {self.path}, which brings no model along; give it to an engine: "
            "AsyncRecursiveEngine(...).baseline(run)"
        )

    def _without_engine(self, call: str) -> ConfigurationError:
        return ConfigurationError(
            f"this run was loaded from {self.path}, which brings no model along; give it to an engine: "
            f"RecursiveEngine(...){call}, or AsyncRecursiveEngine(...) and the same where you await"
        )

    # -- control: as of a run that has ended ----------------------------------------------------------------------

    def cancel(self, node_id: str | None = None) -> Awaitable[None]:
        """Nothing is under way. Raises `ConfigurationError` for a single node, as a run does that has ended."""
        if node_id is not None and node_id != "0":
            state = self.tree[node_id].state if node_id in self.tree else "not in this run"
            raise ConfigurationError(f"node {node_id} is {state}: there is nothing to cancel")
        return Ended(None)

    def pause(self) -> None:
        """Nothing is under way."""

    def resume(self) -> None:
        """Nothing is under way."""

    def approve(self, node_id: str, plan: Plan | Mapping[str, Any] | None = None) -> NoReturn:
        """Raises `ConfigurationError`: nothing waits."""
        raise ConfigurationError(f"node {node_id} waits for no approval: the run in {self.path} has ended")

    def __str__(self) -> str:
        return outline(self.tree, breaks=breaks_of(self.tree, self.recorded.active_seconds))

    def __repr__(self) -> str:
        return f"<RecordedRun {self.run_id} {self.status}: {len(self.tree)} nodes>"

    def _ipython_display_(self) -> None:
        current_host().display(self)

    def _display_(self) -> Any:
        """What marimo shows."""
        return tree_view(self)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RecordedInternals:
    """The `RunInternals` of a run that was loaded: nothing happens in it, and nothing follows from it."""

    run: RecordedRun

    live = False
    request = None
    breadcrumbs = ()
    rests = ()
    fresh = True
    finished = True
    at_rest = True
    #: What was recorded is all there is.
    reused = True
    successor = None

    @property
    def recorded(self) -> Recorded:
        return self.run.recorded

    @property
    def request_key(self) -> str:
        return self.run.tree.request_key

    @property
    def settings(self) -> dict[str, Any]:
        return self.run.tree.settings

    @property
    def budget(self) -> Budget:
        """What limited the run, as far as it can still be read."""
        kept = self.settings.get("budget")
        return _budget_of(kept) if isinstance(kept, dict) else Budget()

    @property
    def active_seconds(self) -> float:
        return self.recorded.active_seconds

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Raises `RuntimeError`, as a loop does that is closed: a recorded run lives on none."""
        raise RuntimeError("a recorded run has no event loop")

    @property
    def latest(self) -> RecordedRun:
        return self.run

    @property
    def last_in_place(self) -> RecordedRun:
        return self.run

    def started_in_place(self, run: RunView) -> None:
        raise self._not_live()

    def clock(self) -> float:
        return time.time()

    def watch(self, observer: Observer) -> Callable[[], None]:
        """Nothing happens any more, so there is nothing to tell."""
        return lambda: None

    def follow(self, follower: Callable[[RunView], None]) -> None:
        """It continues as no other run."""

    def describe_prompt(self, node_id: str) -> tuple[Message, ...]:
        """Prompts are not kept."""
        return ()

    def snapshot(self) -> Recorded:
        return self.recorded

    def suspend(self) -> Awaitable[None]:
        return self.run.cancel()

    def forked(self) -> NoReturn:
        raise self._not_live()

    def again(self) -> NoReturn:
        raise self._not_live()

    def continue_as(self, start: Callable[[], RunView]) -> NoReturn:
        raise self._not_live()

    def _not_live(self) -> ConfigurationError:
        return ConfigurationError("this run was loaded from a file: execute its cell again to go on with it")


def _budget_of(kept: dict[str, Any]) -> Budget:
    try:
        return Budget(kept.get("usd"), kept.get("tokens"), kept.get("seconds"), kept.get("calls"))
    except ValueError:
        return Budget()
