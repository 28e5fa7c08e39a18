"""One execution: what its user holds in hands while it goes on and when it has ended.

A run never rewinds; resuming is a new run over the records of the old one. What the engine's own parts need of a run is
its `RunContext`; its way from begin to end is in `lifecycle`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

from ..concurrency.cancellation import is_being_cancelled
from ..core.events import Event
from ..core.limits import Usage
from ..core.plan import Plan
from ..core.records import Recorded
from ..core.tree import Tree
from ..exceptions import ConfigurationError
from ..host import current_host, html_page, tree_view
from ..types import Output, TraceObject
from ..views.answer import best_of, trace_of, written
from ..views.dataframe import frame_of
from ..views.diff import Difference, difference
from ..views.idle_time import breaks_of
from ..views.mermaid import mermaid
from ..views.outline import outline
from .config import Configuration, Job
from .forks import Fork, edited, plan_given, retried
from .lifecycle import Lifecycle
from .run_context import RunContext, RunFactory
from .run_view import RunView

__all__ = ["Origin", "Run"]

_END = object()


class Origin(RunFactory, Protocol):
    """The engine that a run came from, as far as the run needs it."""

    def join_again(self, job: Job) -> Run:
        """A run that joins what is recorded, and solves nothing new."""
        ...

    def start_fork(self, job: Job, fork: Fork) -> Run:
        """A run over changed records."""
        ...

    def start_plain(self, job: Job) -> Run:
        """A run of the same request without a tree."""
        ...


class Run:
    """A run of the engine: await it for its `Output`, iterate `events()`, or `cancel()`, `pause()`, `resume()` it.

    Made by `AsyncRecursiveEngine.start`. `tree` is the state so far, `status` one of "pending", "running", "paused",
    "done", "failed", "cancelled". Control may be called from any thread.

    Begins at once: `main` gives the root's answer.
    """

    def __init__(
        self,
        job: Job,
        configuration: Configuration,
        recorded: Recorded | None,
        origin: Origin,
        main: Callable[[RunContext], Awaitable[str]],
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        #: For the package itself: no promise to users.
        self.internals = RunContext(self, job, configuration, recorded, origin, clock=clock)
        self._lifetime = Lifecycle(self.internals)
        self._origin = origin
        self._lifetime.begin(main)

    # -- what happened -------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """The same over all executions of one request in one file."""
        return self.internals.run_id

    @property
    def task(self) -> str:
        return self.internals.task

    @property
    def tree(self) -> Tree:
        """The nodes as they are now."""
        return self.internals.tree

    @property
    def status(self) -> str:
        return self.internals.status

    @property
    def ended(self) -> bool:
        """No task of the run is alive: what is to be kept has been put away."""
        successor = self.internals.successor
        return self.internals.at_rest and (successor is None or successor.ended)

    @property
    def output(self) -> Output | None:
        """The answer, once there is one."""
        return self._lifetime.output

    @property
    def error(self) -> BaseException | None:
        """What the run ended with, if it was not its answer."""
        return self._lifetime.error

    @property
    def usage(self) -> Usage:
        """Over the lifetime of the run: what earlier executions of the same file used is included."""
        return self.internals.usage

    @property
    def calls(self) -> int:
        """Model calls of this execution."""
        return self.internals.calls

    @property
    def checkpoint(self) -> str | None:
        """The path of the file that the run is kept in, or `None` for memory."""
        return self.internals.checkpoint

    @property
    def changed(self) -> tuple[str, ...]:
        """The variables whose content is another now than when the run was recorded."""
        return self.internals.changed

    @property
    def notes(self) -> list[str]:
        """What is different from when the run was recorded, a line each: variables that changed, other prompts; and
        of which of its tools nobody knows whether they changed."""
        return self.internals.notes

    @property
    def awaiting(self) -> Mapping[str, Any]:
        """What waits for `approve`, by the id of its node: a plan, or calls of tools."""
        return self.internals.awaiting

    async def events(self) -> AsyncIterator[Event]:
        """Every event from now on, tokens included, in order, until the run ends."""
        control = self.internals.control
        queue: asyncio.Queue[Any] = asyncio.Queue()
        if control.task is None or self.internals.finished:
            return
        put = control.on_this_loop(queue.put_nowait)
        stop = self.internals.watch(put)
        control.task.add_done_callback(lambda _: put(_END))
        try:
            while (event := await queue.get()) is not _END:
                yield event
        finally:
            stop()

    def partial(self) -> Output:
        """The best answer so far: the answer if there is one, else the finished parts in the plan's order, with what
        has come of those that are being written or broke off."""
        if self.output is not None:
            return self.output
        text = best_of(self.tree, self.internals.drafts)
        return Output(text, {"partial": True, "run_id": self.run_id}, usage=self.usage, run=self)

    def trace(self) -> list[TraceObject]:
        """All nodes as plain dictionaries."""
        return trace_of(self.tree)

    def to_mermaid(self) -> str:
        """The tree as a Mermaid flowchart."""
        return mermaid(self.tree)

    def to_frame(self) -> Any:
        """The nodes as a `pandas.DataFrame`, one row each. Raises `ConfigurationError` where pandas is missing."""
        return frame_of(self.tree)

    def to_html(self, path: str | Path | None = None) -> str:
        """The run as one interactive HTML page that needs no kernel and no network, or the `path` it was written to.

        It holds all that models wrote: share it as you would share the notebook.
        """
        return written(html_page(self), path)

    def diff(self, other: RunView) -> Difference:
        """What is different in `other`, node by node, and what it took more or less."""
        return difference(self.tree, other.tree)

    # -- what may follow from it ---------------------------------------------------------------------------------

    def synthesize_anyway(self) -> Run:
        """Answer with what there is: a new run, to be awaited, that joins what is recorded and solves nothing new.

        For a run that ended early (a failure, a spent budget, a cancellation). What is missing is stated in the
        prompts, so that the answer can say so. Raises `ConfigurationError` while the run is under way.
        """
        return self.internals.in_place(self._origin.join_again)

    def edit(
        self,
        node_id: str,
        *,
        task: str | None = None,
        plan: Plan | Mapping[str, Any] | None = None,
        result: str | None = None,
    ) -> Run:
        """A new run, started at once, in which a node has another task, plan or result; this one stays as it is.

        What does not depend on the edit is reused, and a result that comes out as before ends what has to be done.
        Of a run kept in a file, the new one is kept beside it, as `<name>-edit.json`. Its budget starts at zero.
        Raises `ConfigurationError` while the run is under way and for an edit that cannot be made.
        """
        self.internals.require_finished()
        fork = edited(self.internals, node_id, task, plan_given(plan), result)
        return self._origin.start_fork(self.internals.job, fork)

    def retry(self, node_id: str | None = None) -> Run:
        """A new run that does again what failed or was cancelled; or also one node that was done. As `edit`."""
        self.internals.require_finished()
        return self._origin.start_fork(self.internals.job, retried(self.internals, node_id))

    def baseline(self) -> Run:
        """A new run, started at once, of the same request without recursion: the task goes to the model as it is.

        With the same model, tools and references, to compare what it says and costs. Of a run kept in a file, it is
        kept beside it, as `<name>-baseline.json`: asked again, it calls no model. Its budget starts at zero.
        """
        return self._origin.start_plain(self.internals.job)

    # -- control -------------------------------------------------------------------------------------------------

    def cancel(self, node_id: str | None = None) -> Awaitable[None]:
        """Stop now: the run, or one node with all below it, whose parent then fails or joins the rest (`on_failure`).

        Once the result is awaited (or, for a run, this returned in another thread), no task of it is alive and
        everything finished is kept. Raises `ConfigurationError` for a node that is not there or has ended.
        """
        return self.internals.cancel(node_id)

    def pause(self) -> None:
        """Start no further model call; those under way finish."""
        self.internals.control.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self.internals.control.resume()

    def approve(self, node_id: str, plan: Plan | Mapping[str, Any] | None = None) -> None:
        """Let a plan that waits for approval go ahead, as it is or as the given one (a dict as planners write it); or
        the calls that a node is about to make of tools with `requires_approval`.

        Raises `ConfigurationError` for a node that waits for nothing, and for what is no plan.
        """
        if node_id not in self.awaiting:
            raise ConfigurationError(
                f"node {node_id} waits for no approval; waiting: {', '.join(self.awaiting) or '-'}"
            )
        self.internals.control.approve(node_id, plan_given(plan))

    async def _result(self) -> Output:
        try:
            output: Output = await self.internals.control.outcome()
        except BaseException:
            if self.internals.successor is None or is_being_cancelled():
                raise
            return await self.internals.successor
        successor = self.internals.successor
        return output if successor is None else await successor

    def __await__(self) -> Generator[Any, None, Output]:
        return self._result().__await__()

    def __str__(self) -> str:
        return outline(self.tree, breaks=breaks_of(self.tree, self.internals.active_seconds))

    def __repr__(self) -> str:
        return f"<Run {self.run_id} {self.status}: {len(self.tree)} nodes, {self.calls} calls>"

    def _ipython_display_(self) -> None:
        current_host().display(self)

    def _display_(self) -> Any:
        """What marimo shows."""
        return tree_view(self)
