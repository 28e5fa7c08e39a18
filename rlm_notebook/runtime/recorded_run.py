"""A recorded run: it can be read, displayed and compared, not changed or continued."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from ..checkpoints.selection import recorded_in
from ..core.changes import Change, changes_of
from ..core.choices import Store
from ..core.events import Cancelled, Event
from ..core.limits import Budget
from ..core.plan import Plan
from ..core.redaction import store_of
from ..core.text import counted
from ..core.tree import Recorded, Tree
from ..core.usage import Usage
from ..exceptions import CheckpointError, ConfigurationError, ExecutionError, RLMError
from ..host import current_host, html_page, tree_view
from ..ports.model import Message
from ..ports.run import Observer
from ..types import Output, TraceObject
from ..views.answer import best_of, trace_of, written
from ..views.dataframe import frame_of
from ..views.diff import Difference, difference
from ..views.idle_time import breaks_of
from ..views.mermaid import mermaid
from ..views.outline import outline
from .approvals import ApprovalRequest, Awaiting
from .control import Ended
from .run_output import output_of
from .run_view import RunView

__all__ = ["RecordedRun", "load_run"]


def load_run(path: str | Path) -> RecordedRun:
    """The run in the JSON file `path`, or in the journal beside it after a crash.

    Reads only, calls no model and needs no event loop. An interrupted run has the status "cancelled".
    Raises `CheckpointError` if there is no run, or none that can be read.
    """
    place = Path(path)
    recorded = recorded_in(place)
    if recorded is None:
        raise CheckpointError(f"there is no run in {place}; give the path of a run's JSON")
    return RecordedRun(place, replace(recorded, tree=_ended(recorded.tree)))


def _ended(tree: Tree) -> Tree:
    """The tree with its interrupted nodes, and then the run, cancelled."""
    at_rest = tree.status == "paused" and all(node.state.final for node in tree)
    if at_rest or tree.status in ("done", "failed", "cancelled"):
        return tree
    moments = [tree.started, *(node.started for node in tree), *(node.ended for node in tree)]
    moments += [phase.started for node in tree for phase in node.phases]
    last = max((moment for moment in moments if moment is not None), default=0.0)
    for node in list(tree):
        if not node.state.final:
            tree.apply(Cancelled(at=last, node=node.id, reason="interrupted"))
    return Tree.of(tree, tree.header, replace(tree.state, status="cancelled", ended=last))


@dataclass(frozen=True, eq=False, repr=False)
class RecordedRun:
    """A run from a file, given by `load_run`: it has the names of a `Run` and reads as one that has ended.

    `str()` is the tree as text; it displays as the widget in a notebook.
    """

    path: Path
    recorded: Recorded

    #: No call is made for it.
    calls = 0
    ended = True

    @property
    def internals(self) -> RecordedInternals:
        """Used by the package itself; not part of the public interface."""
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
        """ "done", "failed", "cancelled", or "paused" if it ended to wait for approval."""
        return self.tree.status

    @property
    def store(self) -> Store:
        """Which texts the file holds: "full", "outputs" or "hashes"."""
        return store_of(self.recorded)

    @property
    def output(self) -> Output | None:
        """The answer, or `None` if the run has none."""
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
        """Over all executions of the run."""
        return self.recorded.spent

    @property
    def checkpoint(self) -> str:
        return str(self.path)

    @property
    def changed(self) -> tuple[str, ...]:
        """Empty: there is nothing to compare the recorded variables with."""
        return ()

    @property
    def notes(self) -> list[str]:
        """Empty, as `changed`."""
        return []

    @property
    def awaiting(self) -> Awaiting:
        """Empty: nothing awaits approval."""
        return Awaiting()

    def partial(self) -> Output:
        """The answer if there is one, else the results of finished sub-tasks in the plan's order."""
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
        """The differences of `other`, node by node, and its additional usage and time."""
        return difference(self.tree, other.tree)

    async def events(self) -> AsyncIterator[Event]:
        """No events: the run has ended."""
        return
        yield

    def __await__(self) -> Generator[Any, None, Output]:
        """The recorded answer. Raises `ExecutionError` if the run has none."""
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
        code: Mapping[int, str] | None = None,
    ) -> NoReturn:
        """Raises `ConfigurationError`: a file contains no model. Use `engine.edit(run, ...)`."""
        raise self._without_engine(f".edit(run, {node_id!r}, ...)")

    def retry(self, node_id: str | None = None) -> NoReturn:
        """Raises `ConfigurationError`: use `engine.retry_run(run)`."""
        raise self._without_engine(f".retry_run(run, {node_id!r})" if node_id is not None else ".retry_run(run)")

    def synthesize_anyway(self) -> NoReturn:
        """Raises `ConfigurationError`: use `engine.retry_run(run)` with `on_failure="synthesize"`."""
        raise self._without_engine('.retry_run(run), with the engine made with on_failure="synthesize"')

    def baseline(self) -> NoReturn:
        """Raises `ConfigurationError`: use `engine.baseline(run)`."""
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
        """Does nothing for the run; raises `ConfigurationError` for a single node, as a `Run` that has ended."""
        if node_id is not None and node_id != "0":
            state = self.tree[node_id].state if node_id in self.tree else "not in this run"
            raise ConfigurationError(f"node {node_id} is {state}: there is nothing to cancel")
        return Ended(None)

    def pause(self) -> None:
        """Does nothing."""

    def resume(self) -> None:
        """Does nothing."""

    def approve(
        self,
        node: str | ApprovalRequest,
        plan: Plan | Mapping[str, Any] | None = None,
        request: str | ApprovalRequest | None = None,
        *,
        rest: bool = False,
    ) -> NoReturn:
        """Raises `ConfigurationError`: nothing awaits approval."""
        raise self._awaits_nothing(node)

    def reject(
        self, node: str | ApprovalRequest, reason: str = "", request: str | ApprovalRequest | None = None
    ) -> NoReturn:
        """Raises `ConfigurationError`: nothing awaits approval."""
        raise self._awaits_nothing(node)

    def _awaits_nothing(self, node: str | ApprovalRequest) -> ConfigurationError:
        node = node.node if isinstance(node, ApprovalRequest) else node
        return ConfigurationError(f"node {node} waits for no approval: the run in {self.path} has ended")

    def __str__(self) -> str:
        return outline(self.tree, breaks=breaks_of(self.tree, self.recorded.active_seconds))

    def __repr__(self) -> str:
        return f"<RecordedRun {self.run_id} {self.status}: {counted(len(self.tree), 'node')}>"

    def _ipython_display_(self) -> None:
        current_host().display(self)

    def _display_(self) -> Any:
        """The display in marimo."""
        return tree_view(self)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RecordedInternals:
    """The `RunInternals` of a loaded run, which never changes."""

    run: RecordedRun

    live = False
    request = None
    options = None
    guarded = ()
    breadcrumbs = ()
    rests = ()
    fresh = True
    finished = True
    at_rest = True
    #: All of it is from the record.
    reused = True
    successor = None
    versioned = False
    version_before = ""
    version_undone = ""

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
        """The recorded budget; without limits if it cannot be read."""
        recorded = self.settings.get("budget")
        given = recorded if isinstance(recorded, dict) else {}
        try:
            return Budget(given.get("usd"), given.get("tokens"), given.get("seconds"), given.get("calls"))
        except ValueError:
            return Budget()

    @property
    def active_seconds(self) -> float:
        return self.recorded.active_seconds

    @property
    def changes(self) -> Sequence[Change]:
        return changes_of(self.run.tree)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Raises `RuntimeError`, as a closed loop does: a recorded run has none."""
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
        """The observer is never called: there are no further events."""
        return lambda: None

    def follow(self, follower: Callable[[RunView], None]) -> None:
        """The follower is never called: there is no successor."""

    def on_refusal(self, observer: Callable[[RLMError], None]) -> None:
        """The observer is never called: nothing continues."""

    def describe_prompt(self, node_id: str) -> tuple[Message, ...]:
        """Empty: prompts are not recorded."""
        return ()

    def estimate(self, request: str, plan: Plan | None) -> NoReturn:
        raise self._not_live()

    def estimate_of_plan(self, node_id: str, plan: Plan) -> NoReturn:
        raise self._not_live()

    def snapshot(self) -> Recorded:
        return self.recorded

    def suspend(self) -> Awaitable[None]:
        return self.run.cancel()

    def forked(self) -> NoReturn:
        raise self._not_live()

    def again(self) -> NoReturn:
        raise self._not_live()

    def edit_version(self, node_id: str, part: str, value: Any) -> NoReturn:
        raise self._not_live()

    def retry_version(self, node_id: str | None) -> NoReturn:
        raise self._not_live()

    def restored(self, execution: str) -> NoReturn:
        raise self._not_live()

    def continue_as(self, start: Callable[[], RunView]) -> NoReturn:
        raise self._not_live()

    def _not_live(self) -> ConfigurationError:
        return ConfigurationError("this run was loaded from a file: execute its cell again to continue it")
