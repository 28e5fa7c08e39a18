"""The sub-tasks of one node, an asyncio task each: started as soon as the plan names them, awaited together."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from contextvars import copy_context
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from ..core.edits import TASK_EDITED, task_before
from ..core.events import Cancelled, Failed, NodeCreated, Superseded
from ..core.plan import PlannedTask
from ..core.tree import NodeState
from ..exceptions import ExecutionError, LimitError, ModelError
from ..ports.model import Part
from .run import SolverRun

__all__ = ["Solver", "SubTasks", "end_node", "ends_run"]

#: Shared by all nodes without sub-tasks; `begin` replaces it.
_NONE: Any = MappingProxyType({})


class Solver(Protocol):
    """Solves the sub-tasks: the recursion."""

    def assigned(self, agent: str | None) -> tuple[str, str]:
        """The agent's name, and a note if there is no such agent."""
        ...

    def node(self, run: SolverRun, node_id: str) -> Coroutine[Any, Any, str]:
        """The result of a node."""
        ...


class SubTasks:
    """Starts sub-tasks as they become known; gives their `outcomes` in the plan's order; `close` leaves no task."""

    # Slots: each node has one of these, and most have no sub-tasks.
    __slots__ = ("_abandoned", "_failure", "_left", "_parent", "_run", "_settled", "_solver", "_tasks", "early")

    def __init__(self, run: SolverRun, parent: str, solver: Solver) -> None:
        self._run = run
        self._parent = parent
        self._solver = solver
        #: Those that started while their plan streams, in its order.
        self.early: Sequence[PlannedTask] = ()
        self._tasks: dict[str, asyncio.Task[str]] = _NONE
        self._left = 0
        self._abandoned: Collection[asyncio.Task[str]] = ()
        #: The first error that ends the whole run.
        self._failure: BaseException | None = None
        #: Resolved when there is such an error, or when all sub-tasks have ended.
        self._settled: asyncio.Future[None] | None = None

    def __bool__(self) -> bool:
        """Whether any sub-task was started."""
        return bool(self._tasks)

    def begin(
        self,
        planned: Sequence[PlannedTask],
        joining: int | None = None,
        *,
        query: str = "",
        repeats: Sequence[int] = (),
    ) -> None:
        """Create the nodes of the next sub-tasks and start them; `joining` is the planner's effort for the synthesis.

        All nodes are created before any starts, because `depends_on` may name sub-tasks further down the plan. `query`
        names the function that asked for them in a cell, `repeats` how often each was asked before.
        """
        self._run.priorities.estimate_joining(self._parent, joining)
        first = self._run.tree.child_count(self._parent)
        new = [f"{self._parent}.{first + index}" for index in range(len(planned))]
        ids = [*self._tasks, *new]
        plan, begun = self._run.tree[self._parent].plan, len(self._tasks)
        for place, (node, each) in enumerate(zip(new, planned, strict=True)):
            self._run.priorities.estimate(node, each.effort)
            agent, note = self._solver.assigned(each.agent)
            if task_before(plan, begun + place) is not None:
                note = "; ".join(filter(None, (TASK_EDITED, note)))
            self._run.emit(
                NodeCreated(
                    at=self._run.clock(),
                    node=node,
                    parent=self._parent,
                    task=each.task,
                    agent=agent,
                    depends_on=tuple(ids[position] for position in each.depends_on),
                    note=note,
                    query=query,
                    repeat=repeats[place] if repeats else 0,
                )
            )
        self._run.priorities.count(self._parent, new)
        self._tasks = self._tasks or {}
        self._left += len(new)
        # Started by priority, because free slots go to the first that request one; stored in the plan's order.
        tasks = {}
        for node in self._run.priorities.sorted(new):
            depends = self._run.tree[node].depends_on
            solving = self._after(node, depends) if depends else self._solver.node(self._run, node)
            # With the node's name: asyncio would format one.
            tasks[node] = self._run.loop.create_task(solving, name=node)
        self._tasks.update((node, tasks[node]) for node in new)
        ended, context = self._ended, copy_context()
        for task in tasks.values():
            # One context and one bound method for all: each would cost memory per task.
            task.add_done_callback(ended, context=context)
        self._run.control.node_tasks.update(tasks)

    async def outcomes(self) -> dict[str, Part | Exception]:
        """The outcome of each sub-task, once all have ended. An error that ends the whole run is raised at once."""
        if self._left and self._failure is None:
            # `asyncio.wait` would hold a context per task.
            self._settled = asyncio.get_running_loop().create_future()
            await self._settled
        if self._failure is not None:
            raise self._failure
        return {node: self._outcome(node) for node in self._tasks}

    async def abandon(self, reason: str) -> None:
        """Cancel the sub-tasks and supersede their nodes: the plan that named them is invalid."""
        await self.close()
        for node in self._tasks:
            for below in list(self._run.tree.walk(node)):
                if below.state is not NodeState.SUPERSEDED:
                    self._run.steps.supersede()
                    # Its result was paid for: a later plan may contain the same sub-task.
                    self._run.recorded_state.records.add(below)
                    self._run.emit(Superseded(at=self._run.clock(), node=below.id, reason=reason))
        # A task that has just ended may not have called `_ended` yet.
        self._abandoned = {*self._abandoned, *self._tasks.values()}
        self._tasks, self._left, self._failure, self.early = _NONE, 0, None, ()

    async def close(self) -> None:
        """Cancel the running sub-tasks and wait until they have ended, even if this is cancelled meanwhile."""
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
            # Marks the error as retrieved; the first one is raised already, and asyncio would log the others.
            if not task.cancelled():
                task.exception()
        if interrupted is not None:
            raise interrupted

    async def _after(self, node_id: str, depends_on: tuple[str, ...]) -> str:
        """The result of a sub-task that depends on others, once they have ended."""
        try:
            for wanted in depends_on:
                if not self._tasks[wanted].done():
                    await asyncio.wait((self._tasks[wanted],))
                outcome = self._outcome(wanted)
                if isinstance(outcome, LimitError):
                    end_node(self._run, Cancelled(at=self._run.clock(), node=node_id, reason=str(outcome)))
                    raise outcome
                if isinstance(outcome, Exception):
                    message = f"node {node_id} depends on node {wanted}, which failed"
                    end_node(self._run, Failed(at=self._run.clock(), node=node_id, error=message))
                    raise ExecutionError(message, node=node_id) from outcome
        except asyncio.CancelledError:
            if node_id in self._run.control.cancelled:
                end_node(self._run, Cancelled(at=self._run.clock(), node=node_id))
            raise
        return await self._solver.node(self._run, node_id)

    def _ended(self, task: asyncio.Task[str]) -> None:
        if task in self._abandoned:
            return
        self._left -= 1
        error = None if task.cancelled() else task.exception()
        if error is not None and ends_run(error):
            self._failure = self._failure or error
        if self._settled is not None and not self._settled.done() and (not self._left or self._failure is not None):
            self._settled.set_result(None)

    def _outcome(self, node_id: str) -> Part | Exception:
        """A sub-task's result, or its error if that does not end the run; so also if it alone was cancelled."""
        task = self._tasks[node_id]
        if task.cancelled() and node_id in self._run.control.cancelled:
            return ExecutionError(f"node {node_id} was cancelled", node=node_id)
        error = task.exception()
        if error is None:
            return Part(node_id, self._run.tree[node_id].task, task.result())
        if not isinstance(error, Exception) or ends_run(error):
            raise error
        return error


def ends_run(error: BaseException) -> bool:
    """Whether an error ends the whole run: a model that no call can use, or anything that is no failure of a node."""
    return not isinstance(error, ExecutionError | LimitError) or (isinstance(error, ModelError) and error.fatal)


def end_node(run: SolverRun, event: Failed | Cancelled) -> None:
    """Emit the end of a node with its usage and its partial answer, unless it has ended already."""
    if not run.tree[event.node].state.final:
        run.emit(replace(event, usage=run.claim(event.node), text=run.take_draft(event.node) or event.text))
