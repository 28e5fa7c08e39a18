"""The interface of a run, whether it is in progress, has ended, or was loaded from a file.

`RunView` is the contract for users; `Run` and `RecordedRun` both satisfy it. `RunInternals` is what the package's own
displays, engines and commands use beyond it; it is not part of the public interface. Both are structural.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeGuard, runtime_checkable

from ..core.changes import Change
from ..core.cost_estimate import Estimate
from ..core.events import Event
from ..core.limits import Budget, Limits
from ..core.plan import Plan
from ..core.tree import Recorded, Tree
from ..core.usage import Usage
from ..exceptions import RLMError
from ..ports.model import Message
from ..ports.run import Observer
from ..types import Output, TraceObject
from ..views.diff import Difference
from .approvals import ApprovalRequest, Awaiting

__all__ = ["Forked", "RunInternals", "RunView", "is_run", "tree_in_file", "version_of"]


@runtime_checkable
class RunControls(Protocol):
    """The methods that act on a run. What a loaded run cannot do raises `ConfigurationError`, which names what can."""

    def cancel(self, node_id: str | None = None) -> Awaitable[None]: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def approve(
        self,
        node: str | ApprovalRequest,
        plan: Plan | Mapping[str, Any] | None = None,
        request: str | ApprovalRequest | None = None,
        *,
        rest: bool = False,
    ) -> None: ...
    def reject(
        self, node: str | ApprovalRequest, reason: str = "", request: str | ApprovalRequest | None = None
    ) -> None: ...
    def edit(
        self,
        node_id: str,
        *,
        task: str | None = None,
        plan: Plan | Mapping[str, Any] | None = None,
        result: str | None = None,
        code: Mapping[int, str] | None = None,
    ) -> RunView: ...
    def retry(self, node_id: str | None = None) -> RunView: ...
    def synthesize_anyway(self) -> RunView: ...
    def baseline(self) -> RunView: ...


class RunView(RunControls, Protocol):
    """A run as its user sees it."""

    @property
    def run_id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def tree(self) -> Tree: ...
    @property
    def status(self) -> str: ...
    @property
    def ended(self) -> bool: ...
    @property
    def output(self) -> Output | None: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def calls(self) -> int: ...
    @property
    def checkpoint(self) -> str | None: ...
    @property
    def changed(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def awaiting(self) -> Awaiting: ...
    @property
    def internals(self) -> RunInternals: ...

    def partial(self) -> Output: ...
    def trace(self) -> list[TraceObject]: ...
    def diff(self, other: RunView) -> Difference: ...
    def to_frame(self) -> Any: ...
    def to_html(self, path: str | Path | None = None) -> str: ...
    def to_mermaid(self) -> str: ...
    def events(self) -> AsyncIterator[Event]: ...
    def __await__(self) -> Generator[Any, None, Output]: ...


class Forked(Protocol):
    """What a fork needs of the run that it is made from."""

    @property
    def run_id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def tree(self) -> Tree: ...
    @property
    def limits(self) -> Limits: ...

    def snapshot(self) -> Recorded: ...
    def key_of(self, node_id: str) -> str: ...


class RunInternals(Protocol):
    """What the package itself uses of a run beyond `RunView`."""

    @property
    def live(self) -> bool:
        """An engine of this process made the run; false for one that was loaded."""
        ...

    @property
    def request(self) -> object:
        """What was requested, as a `RunRequest`; `None` for a loaded run, whose file does not hold all of it."""
        ...

    @property
    def options(self) -> object:
        """The arguments of the engine, as `EngineOptions`; `None` for a loaded run."""
        ...

    @property
    def guarded(self) -> Sequence[str]:
        """The tools of the run's agents that are called only after a person's approval; none of a loaded run."""
        ...

    @property
    def request_key(self) -> str: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    @property
    def breadcrumbs(self) -> tuple[str, ...]: ...
    @property
    def budget(self) -> Budget: ...
    @property
    def active_seconds(self) -> float:
        """Seconds that the run has worked, over all its executions; pauses do not count."""
        ...

    @property
    def rests(self) -> Sequence[tuple[float, float | None]]:
        """The rests between stretches of work, as (from, to); one that lasts has no end."""
        ...

    @property
    def fresh(self) -> bool:
        """No call has been made yet in this execution."""
        ...

    @property
    def finished(self) -> bool:
        """The run has reached its end; one that ended as paused continues only as another execution."""
        ...

    @property
    def at_rest(self) -> bool:
        """No task of this run is alive, whatever its successor does."""
        ...

    @property
    def reused(self) -> bool:
        """All results were reused: no model was called."""
        ...

    @property
    def recorded(self) -> Recorded | None:
        """The records of earlier executions; of a loaded run, all of it."""
        ...

    @property
    def changes(self) -> Sequence[Change]:
        """The changes that people made in the tree of this run, in their order (`core/changes.py`)."""
        ...

    @property
    def versioned(self) -> bool:
        """A change made in the tree is the next version of this run, rather than a run of its own."""
        ...

    @property
    def version_before(self) -> str:
        """The execution id of the version that undoing the last change restores, or ""."""
        ...

    @property
    def version_undone(self) -> str:
        """The execution id of the version that undoing a change left behind, or ""."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the run emits its events on. Raises `RuntimeError` for a loaded run: it has none."""
        ...

    @property
    def successor(self) -> RunView | None:
        """The run that this one continued as."""
        ...

    @property
    def latest(self) -> RunView:
        """This run, or the last of those that it continued as."""
        ...

    @property
    def last_in_place(self) -> RunView:
        """This run, or the last of those that were started in its place."""
        ...

    def started_in_place(self, run: RunView) -> None:
        """Remember that `run` was started in the place of this one."""
        ...

    def clock(self) -> float:
        """Now, in seconds since the epoch."""
        ...

    def watch(self, observer: Observer) -> Callable[[], None]:
        """Call `observer` with every event from now on; call the result to stop."""
        ...

    def follow(self, follower: Callable[[RunView], None]) -> None:
        """Call `follower` with the run that this one continues as, as soon as it has been started."""
        ...

    def on_refusal(self, observer: Callable[[RLMError], None]) -> None:
        """Call `observer` with the error of a continuation that could not start."""
        ...

    def describe_prompt(self, node_id: str) -> tuple[Message, ...]:
        """The main prompt of a node, computed from the same facts as when it was sent; empty for a loaded run."""
        ...

    def estimate(self, request: str, plan: Plan | None) -> Estimate:
        """What approving a request that waits will probably cost, with its plan or with another one. Raises
        `ConfigurationError` if it does not wait."""
        ...

    def estimate_of_plan(self, node_id: str, plan: Plan) -> Estimate:
        """What carrying out a plan of a node will probably cost. Raises `ConfigurationError` for a loaded run."""
        ...

    def snapshot(self) -> Recorded:
        """The run as it is now, to be recorded."""
        ...

    def suspend(self) -> Awaitable[None]:
        """Cancel, but end as paused: the same request resumes from here when it is run again."""
        ...

    def forked(self) -> Forked:
        """The run as a source of forks. Raises `ConfigurationError` for a loaded run."""
        ...

    def again(self) -> RunView:
        """A new run of the same request, in the same place and within the same budget. Raises `ConfigurationError`
        while the run is in progress, and for a loaded run."""
        ...

    def edit_version(self, node_id: str, part: str, value: Any) -> RunView:
        """The next version of this run, with another "task", "plan" or "result" of a node. Raises
        `ConfigurationError`."""
        ...

    def retry_version(self, node_id: str | None) -> RunView:
        """The next version of this run, in which what failed, or this node in any state, is computed again. Raises
        `ConfigurationError`."""
        ...

    def restored(self, execution: str) -> RunView:
        """The version of this execution, as it is recorded, in the place of this run. Raises `CheckpointError`."""
        ...

    def continue_as(self, start: Callable[[], RunView]) -> None:
        """End without losing paid work, and continue as the run that `start` creates: its `successor`. Raises
        `ConfigurationError` where that is not possible."""
        ...


def is_run(value: object) -> TypeGuard[RunView]:
    """Whether a value is a run. Reads its type only: reading attributes of foreign objects may execute code."""
    return issubclass(type(value), RunControls)


def version_of(run: RunView) -> str:
    """Identifies what a finished run shows: the execution that computed it; "" for a run in progress."""
    return tree_in_file(run).execution if run.internals.finished else ""


def tree_in_file(run: RunView) -> Tree:
    """The tree of a finished run as its file has it: a run that was wholly reused leaves a finished record as it is."""
    internals = run.internals
    recorded = internals.recorded.tree if internals.reused and internals.recorded is not None else None
    is_kept = recorded is not None and recorded.status == "done" and recorded.request_key == internals.request_key
    return recorded if recorded is not None and is_kept else run.tree
