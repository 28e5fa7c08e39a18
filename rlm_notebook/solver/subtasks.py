"""The sub-tasks of one node, each a task of its own: begun as soon as the plan names them, ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from contextvars import copy_context
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from ..core.events import Cancelled, Failed, NodeCreated, Superseded
from ..core.plan import PlannedTask
from ..core.tree import NodeState
from ..exceptions import ExecutionError, LimitError, ModelError
from ..ports import Part
from ..runtime.run_context import RunContext

__all__ = ["SubTasks", "end_node"]

#: Shared by all who have begun nothing; who begins something takes a dict of their own.
_NONE: Any = MappingProxyType({})


class Solver(Protocol):
    """Who solves sub-tasks."""

    def assigned(self, agent: str | None) -> tuple[str, str]:
        """The name under which an agent is found, and a note if there is no such agent."""
        ...

    def node(self, run: RunContext, node_id: str) -> Coroutine[Any, Any, str]:
        """The answer to a node's task."""
        ...


class SubTasks:
    """Begin sub-tasks as they become known, take their `outcomes` in the plan's order; `close` leaves no task."""

    # Most nodes have no sub-tasks, and all have this.
    __slots__ = ("_abandoned", "_failure", "_left", "_parent", "_run", "_settled", "_solver", "_tasks", "early")

    def __init__(self, run: RunContext, parent: str, solver: Solver) -> None:
        self._run = run
        self._parent = parent
        self._solver = solver
        #: Those that were begun while their plan is not whole yet, in its order.
        self.early: Sequence[PlannedTask] = ()
        self._tasks: dict[str, asyncio.Task[str]] = _NONE
        self._left = 0
        self._abandoned: Collection[asyncio.Task[str]] = ()
        #: The first error that concerns the whole run.
        self._failure: BaseException | None = None
        #: Done when there is one, or no sub-task is left.
        self._settled: asyncio.Future[None] | None = None

    def __bool__(self) -> bool:
        """Whether any was begun."""
        return bool(self._tasks)

    def begin(self, planned: Sequence[PlannedTask], joining: int | None = None) -> None:
        """Create the nodes of the next sub-tasks, and start on them; `joining` is the plan's estimate, if known yet.

        All nodes are there before any runs, because `depends_on` may name sub-tasks further down the plan.
        """
        self._run.priorities.estimate_joining(self._parent, joining)
        first = len(self._run.tree.children(self._parent))
        new = [f"{self._parent}.{first + index}" for index in range(len(planned))]
        ids = [*self._tasks, *new]
        for node, part in zip(new, planned, strict=True):
            self._create(node, part, tuple(ids[position] for position in part.depends_on))
        self._run.priorities.count(self._parent, new)
        self._tasks = self._tasks or {}
        self._left += len(new)
        # In the order of their urgency, since where turns are free, who asks first has one; kept in the plan's order.
        tasks = {node: self._started(node) for node in self._run.priorities.sorted(new)}
        self._tasks.update((node, tasks[node]) for node in new)
        ended, context = self._ended, copy_context()
        for task in tasks.values():
            # Not a context for each of them, nor another method.
            task.add_done_callback(ended, context=context)
        self._run.control.node_tasks.update(tasks)

    def _create(self, node: str, planned: PlannedTask, depends_on: tuple[str, ...]) -> None:
        self._run.priorities.estimate(node, planned.effort)
        agent, note = self._solver.assigned(planned.agent)
        self._run.emit(
            NodeCreated(
                at=self._run.clock(),
                node=node,
                parent=self._parent,
                task=planned.task,
                agent=agent,
                depends_on=depends_on,
                note=note,
            )
        )

    async def outcomes(self) -> dict[str, Part | Exception]:
        """What became of each sub-task, once all have ended. An error that concerns the whole run is raised at once."""
        if self._left and self._failure is None:
            # `asyncio.wait` would hold a context for each of them.
            self._settled = asyncio.get_running_loop().create_future()
            await self._settled
        if self._failure is not None:
            raise self._failure
        return {node: self._outcome(node) for node in self._tasks}

    async def abandon(self, reason: str) -> None:
        """The plan that named the sub-tasks does not hold: stop them and put their nodes aside."""
        await self.close()
        for node in self._tasks:
            for below in list(self._run.tree.walk(node)):
                if below.state is not NodeState.SUPERSEDED:
                    self._run.steps.supersede()
                    # What it finished was paid for: a later plan may ask for the same.
                    self._run.recorded_state.records.add(below)
                    self._run.emit(Superseded(at=self._run.clock(), node=below.id, reason=reason))
        # Of one that has just ended we are yet to be told.
        self._abandoned = {*self._abandoned, *self._tasks.values()}
        self._tasks, self._left, self._failure, self.early = _NONE, 0, None, ()

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended, whatever else happens meanwhile."""
        if not self._tasks:
            return
        running = {task for task in self._tasks.values() if not task.done()}
        for task in running:
            task.cancel()
        interrupted: asyncio.CancelledError | None = None
        while running:
            try:
                _, running = await asyncio.wait(running)
            except asyncio.CancelledError as error:
                interrupted = error
        for task in self._tasks.values():
            # The first error is raised already; of the others asyncio would warn that nobody looked at them.
            if not task.cancelled():
                task.exception()
        if interrupted is not None:
            raise interrupted

    def _started(self, node_id: str) -> asyncio.Task[str]:
        depends = self._run.tree[node_id].depends_on
        solving = self._after(node_id, depends) if depends else self._solver.node(self._run, node_id)
        # Named as the nodes are: a name that asyncio makes up takes more.
        return self._run.loop.create_task(solving, name=node_id)

    async def _after(self, node_id: str, depends_on: tuple[str, ...]) -> str:
        """The answer to a sub-task that waits for others."""
        try:
            for wanted in depends_on:
                if not self._tasks[wanted].done():
                    await asyncio.wait((self._tasks[wanted],))
                self._require(node_id, wanted, self._outcome(wanted))
        except asyncio.CancelledError:
            if node_id in self._run.control.stopped:
                end_node(self._run, Cancelled(at=self._run.clock(), node=node_id))
            raise
        return await self._solver.node(self._run, node_id)

    def _ended(self, task: asyncio.Task[str]) -> None:
        if task in self._abandoned:
            return
        self._left -= 1
        error = None if task.cancelled() else task.exception()
        if error is not None and _concerns_run(error):
            self._failure = self._failure or error
        if self._settled is not None and not self._settled.done() and (not self._left or self._failure is not None):
            self._settled.set_result(None)

    def _outcome(self, node_id: str) -> Part | Exception:
        """A sub-task's result, or an error that leaves its siblings alone; also if it alone was told to stop."""
        task = self._tasks[node_id]
        if task.cancelled() and node_id in self._run.control.stopped:
            return ExecutionError(f"node {node_id} was cancelled", node=node_id)
        error = task.exception()
        if error is None:
            return Part(node_id, self._run.tree[node_id].task, task.result())
        if not isinstance(error, Exception) or _concerns_run(error):
            raise error
        return error

    def _require(self, node_id: str, wanted: str, outcome: Part | Exception) -> None:
        if isinstance(outcome, LimitError):
            end_node(self._run, Cancelled(at=self._run.clock(), node=node_id, reason=str(outcome)))
            raise outcome
        if isinstance(outcome, Exception):
            message = f"node {node_id} depends on node {wanted}, which failed"
            end_node(self._run, Failed(at=self._run.clock(), node=node_id, error=message))
            raise ExecutionError(message, node=node_id) from outcome


def _concerns_run(error: BaseException) -> bool:
    """Whether the siblings cannot go on: nobody can use the model, or it is no failure of a node at all."""
    return not isinstance(error, ExecutionError | LimitError) or (isinstance(error, ModelError) and error.fatal)


def end_node(run: RunContext, event: Failed | Cancelled) -> None:
    """Tell that a node ended, what it used and what had come of its answer, unless it has ended already."""
    if not run.tree[event.node].state.final:
        run.emit(replace(event, usage=run.claim(event.node), text=run.take_draft(event.node)))
