"""One execution of a request, as its user sees it: state, control, and the runs that may follow.

A run never rewinds: resuming is a new run over the records of the old one. The engine's own parts use its
`RunContext`; `lifecycle` drives it from start to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..concurrency.cancellation import is_being_cancelled
from ..core.decisions import Approved, Decision, Rejected
from ..core.events import Event
from ..core.plan import Plan
from ..core.recordable import plain_text
from ..core.text import counted
from ..core.tree import Node, Recorded, Tree
from ..core.usage import Usage
from ..exceptions import ConfigurationError
from ..host import current_host, html_page, tree_view
from ..solver.run import SolverRun
from ..types import Output, TraceObject
from ..views.answer import best_of, trace_of, written
from ..views.dataframe import frame_of
from ..views.diff import Difference, difference
from ..views.idle_time import breaks_of
from ..views.mermaid import mermaid
from ..views.outline import outline
from .approvals import ApprovalRequest, Awaiting
from .config import Configuration, RunRequest
from .forks import Fork, edited, plan_given, retried
from .lifecycle import Lifecycle
from .run_context import RunContext, RunFactory
from .run_view import RunView

__all__ = ["Run", "RunEngine"]

_END = object()


class RunEngine(RunFactory, Protocol):
    """The engine that created a run, as far as the run uses it."""

    def join_again(self, job: RunRequest) -> Run:
        """A run that synthesises the recorded results and solves nothing new."""
        ...

    def start_fork(self, job: RunRequest, fork: Fork) -> Run:
        """A run over changed records."""
        ...

    def start_plain(self, job: RunRequest) -> Run:
        """A run of the same request without a tree."""
        ...


class Run:
    """A run of the engine: await it for its `Output`, iterate `events()`, or `cancel()`, `pause()`, `resume()` it.

    Created by `AsyncRecursiveEngine.start`. `tree` is the state so far, `status` one of "pending", "running", "paused",
    "done", "failed", "cancelled". Control may be called from any thread. The run starts when it is created.
    """

    def __init__(
        self,
        job: RunRequest,
        configuration: Configuration,
        recorded: Recorded | None,
        engine: RunEngine,
        main: Callable[[SolverRun], Awaitable[str]],
        *,
        others: Sequence[Node] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        #: Used by the package itself; not part of the public interface.
        self.internals = RunContext(self, job, configuration, recorded, engine, others=others, clock=clock)
        self._lifecycle = Lifecycle(self.internals)
        self._engine = engine
        self._lifecycle.begin(main)

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
        """No task of the run is alive, and the run is recorded; the same for its successor."""
        successor = self.internals.successor
        return self.internals.at_rest and (successor is None or successor.ended)

    @property
    def output(self) -> Output | None:
        """The answer, once there is one."""
        return self._lifecycle.output

    @property
    def error(self) -> BaseException | None:
        """The error that the run ended with, if any."""
        return self._lifecycle.error

    @property
    def usage(self) -> Usage:
        """Over all executions of the run, earlier ones of the same file included."""
        return self.internals.usage

    @property
    def calls(self) -> int:
        """Model calls of this execution."""
        return self.internals.calls

    @property
    def checkpoint(self) -> str | None:
        """The path of the run's file, or `None` if it is in memory only."""
        return self.internals.checkpoint

    @property
    def changed(self) -> tuple[str, ...]:
        """The variables whose content has changed since the run was recorded."""
        return self.internals.changed

    @property
    def notes(self) -> list[str]:
        """What has changed since the run was recorded, a line each: variables, prompts, and tools whose versions cannot
        show a change; and what of the sources could not be read."""
        return self.internals.notes

    @property
    def awaiting(self) -> Awaiting:
        """What waits for `approve` or `reject`: requests, each with `id`, `node`, `kind`, and its `plan` or `calls`.

        Also by node: `"0.1" in run.awaiting`, `run.awaiting["0.1"]`.
        """
        successor = self.internals.successor
        return self.internals.approvals.awaiting if successor is None else successor.awaiting

    async def events(self) -> AsyncGenerator[Event, None]:
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
        """The answer, or else the results of finished sub-tasks in the plan's order, with the partial texts
        of unfinished ones."""
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

        It contains all texts of the models: share it as you would share the notebook.
        """
        return written(html_page(self), path)

    def diff(self, other: RunView) -> Difference:
        """The differences of `other`, node by node, and its additional usage and time."""
        return difference(self.tree, other.tree)

    # -- what may follow from it ---------------------------------------------------------------------------------

    def synthesize_anyway(self) -> Run:
        """A new run, to be awaited, that synthesises the recorded results and solves nothing new.

        For a run that ended early (a failure, a spent budget, a cancellation). The prompts state what is missing, so
        that the answer can mention it. Raises `ConfigurationError` while the run is in progress.
        """
        return self.internals.in_place(self._engine.join_again)

    def edit(
        self,
        node_id: str,
        *,
        task: str | None = None,
        plan: Plan | Mapping[str, Any] | None = None,
        result: str | None = None,
        code: Mapping[int, str] | None = None,
    ) -> Run:
        """A new run, started at once, in which a node has another task, plan or result; this run is unchanged.

        `code` maps the place of a code node's cell, from 0, to other code: the cells after it are written anew.

        Results that do not depend on the edit are reused; so are those after a result that comes out equal. The new
        run of a run in a file is in `<name>-edit.json` beside it. Its usage starts at zero.
        Raises `ConfigurationError` while the run is in progress and for an edit that is not possible.
        """
        self.internals.require_finished()
        fork = edited(self.internals, node_id, task, plan_given(plan), result, code)
        return self._engine.start_fork(self.internals.job, fork)

    def retry(self, node_id: str | None = None) -> Run:
        """A new run that retries all failed and cancelled nodes, or one node in any state. Otherwise as `edit`."""
        self.internals.require_finished()
        return self._engine.start_fork(self.internals.job, retried(self.internals, node_id))

    def baseline(self) -> Run:
        """A new run, started at once, of the same request without recursion: one call with the task as it is.

        It has the same model, tools and references, for a comparison of answer and cost. The baseline of a run in a
        file is in `<name>-baseline.json` beside it, from which it is reused. Its usage starts at zero.
        """
        return self._engine.start_plain(self.internals.job)

    # -- control -------------------------------------------------------------------------------------------------

    def cancel(self, node_id: str | None = None) -> Awaitable[None]:
        """Cancel the run, or one node and those below it; its parent then fails or synthesises the rest (`on_failure`).

        Once the return value is awaited (or, for a run, once this returns in another thread), no task of it is alive
        and all results are recorded. Raises `ConfigurationError` for a node that does not exist or has ended.
        """
        return self.internals.cancel(node_id)

    def pause(self) -> None:
        """Start no further model call; calls in flight finish."""
        self.internals.control.pause()

    def resume(self) -> None:
        """Start calls again after `pause`."""
        self.internals.control.resume()

    def approve(
        self,
        node: str | ApprovalRequest,
        plan: Plan | Mapping[str, Any] | None = None,
        request: str | ApprovalRequest | None = None,
        *,
        rest: bool = False,
    ) -> None:
        """Approve a node's plan, as it is or replaced by `plan` (a `Plan` or a dict as planners write it), or its calls
        of tools with `requires_approval`.

        `request` is the request that is meant, one of `awaiting` or its id; without it, what waits at the node now.
        `node` may be the request itself. With `rest`, everything of the same kind that this run still asks for is
        approved as well: all further plans, or all further calls of the same tools.
        Raises `ConfigurationError` if the request does not wait, and if `plan` is not a plan.
        """
        self._decide(node, request, Approved(plan_given(plan)), rest=rest)

    def reject(
        self, node: str | ApprovalRequest, reason: str = "", request: str | ApprovalRequest | None = None
    ) -> None:
        """Reject what waits at a node. A plan goes back to the planner with the reason, which makes another; a tool
        call is not made, and the model reads the reason as its result. Otherwise as `approve`."""
        if not isinstance(reason, str):
            raise ConfigurationError(f"rejection of node {node}: reason={reason!r:.60} is no text; give a text")
        self._decide(node, request, Rejected(plain_text(reason)))

    def _decide(
        self,
        node: str | ApprovalRequest,
        request: str | ApprovalRequest | None,
        decision: Decision,
        *,
        rest: bool = False,
    ) -> None:
        if isinstance(node, ApprovalRequest):
            node, request = node.node, request or node
        wanted = request.id if isinstance(request, ApprovalRequest) else request
        latest = self.internals.latest
        if latest is not self and isinstance(latest, Run):
            latest._decide(node, wanted, decision, rest=rest)
        else:
            self.internals.approvals.decide(node, wanted, decision, rest=rest)

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
        return f"<Run {self.run_id} {self.status}: {counted(len(self.tree), 'node')}, {counted(self.calls, 'call')}>"

    def _ipython_display_(self) -> None:
        current_host().display(self)

    def _display_(self) -> Any:
        """The display in marimo."""
        return tree_view(self)
