"""The sub-tasks of one node, each a task of its own: begun as soon as the plan names them, ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from .core.events import Cancelled, Failed, NodeCreated, Superseded
from .core.plan import PlannedTask
from .core.tree import NodeState
from .exceptions import ExecutionError, LimitError, ModelError
from .ports import Part
from .run import Run

__all__ = ["Children", "end_node"]

#: Shared by all who have begun nothing; who begins something takes a dict of their own.
_NONE: Any = MappingProxyType({})


class Solver(Protocol):
    """Who solves sub-tasks."""

    def assigned(self, agent: str | None) -> tuple[str, str]:
        """The name under which an agent is found, and a note if there is no such agent."""
        ...

    def node(self, run: Run, node_id: str) -> Awaitable[str]:
        """The answer to a node's task."""
        ...


class Children:
    """Begin sub-tasks as they become known, take their `outcomes` in the plan's order; `close` leaves no task."""

    # Most nodes have no sub-tasks, and all have this.
    __slots__ = ("_parent", "_run", "_solver", "_tasks", "begun")

    def __init__(self, run: Run, parent: str, solver: Solver) -> None:
        self._run = run
        self._parent = parent
        self._solver = solver
        #: The sub-tasks begun so far, in the plan's order.
        self.begun: Sequence[PlannedTask] = ()
        self._tasks: dict[str, asyncio.Task[Part | Exception]] = _NONE

    def begin(self, planned: Sequence[PlannedTask], joining: int | None = None) -> None:
        """Create the nodes of the next sub-tasks, and start on them; `joining` is the plan's estimate, if known yet.

        All nodes are there before any runs, because `depends_on` may name sub-tasks further down the plan.
        """
        self._run.urgency.estimate_joining(self._parent, joining)
        first = len(self._run.tree.children(self._parent))
        new = [f"{self._parent}.{first + index}" for index in range(len(planned))]
        ids = [*self._tasks, *new]
        for node, part in zip(new, planned, strict=True):
            self._create(node, part, tuple(ids[position] for position in part.depends_on))
        self._run.urgency.count(self._parent, new)
        self.begun = (*self.begun, *planned)
        self._tasks = self._tasks or {}
        # In the order of their urgency, since where turns are free, who asks first has one; kept in the plan's order.
        # Named as the nodes are: a name that asyncio makes up takes more.
        urgent = self._run.urgency.sorted(new)
        tasks = {node: asyncio.create_task(self._child(node), name=node) for node in urgent}
        self._tasks.update((node, tasks[node]) for node in new)
        self._run.control.node_tasks.update(tasks)

    def _create(self, node: str, planned: PlannedTask, depends_on: tuple[str, ...]) -> None:
        self._run.urgency.estimate(node, planned.effort)
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
        if self._tasks:
            await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
        for task in self._tasks.values():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return {node: await task for node, task in self._tasks.items()}

    async def abandon(self, reason: str) -> None:
        """The plan that named the sub-tasks does not hold: stop them and put their nodes aside."""
        await self.close()
        for node in self._tasks:
            for below in list(self._run.tree.walk(node)):
                if below.state is not NodeState.SUPERSEDED:
                    self._run.steps.put_aside()
                    # What it finished was paid for: a later plan may ask for the same.
                    self._run.past.records.add(below)
                    self._run.emit(Superseded(at=self._run.clock(), node=below.id, reason=reason))
        self._tasks, self.begun = _NONE, ()

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

    async def _child(self, node_id: str) -> Part | Exception:
        """A sub-task's result, or an error that leaves its siblings alone; also if it alone was told to stop."""
        control = self._run.control
        try:
            if node_id in control.stopped:
                raise asyncio.CancelledError
            for wanted in self._run.tree[node_id].depends_on:
                self._require(node_id, wanted, await asyncio.shield(self._tasks[wanted]))
            content = await self._solver.node(self._run, node_id)
        except asyncio.CancelledError:
            if node_id not in control.stopped:
                raise
            end_node(self._run, Cancelled(at=self._run.clock(), node=node_id))
            return ExecutionError(f"node {node_id} was cancelled", node=node_id)
        except (ExecutionError, LimitError) as error:
            if isinstance(error, ModelError) and error.fatal:
                raise
            return error
        finally:
            control.node_tasks.pop(node_id, None)
        return Part(node_id, self._run.tree[node_id].task, content)

    def _require(self, node_id: str, wanted: str, outcome: Part | Exception) -> None:
        if isinstance(outcome, LimitError):
            end_node(self._run, Cancelled(at=self._run.clock(), node=node_id, reason=str(outcome)))
            raise outcome
        if isinstance(outcome, Exception):
            message = f"node {node_id} depends on node {wanted}, which failed"
            end_node(self._run, Failed(at=self._run.clock(), node=node_id, error=message))
            raise ExecutionError(message, node=node_id) from outcome


def end_node(run: Run, event: Failed | Cancelled) -> None:
    """Tell that a node ended and what it used, unless it has ended already."""
    if not run.tree[event.node].state.final:
        run.emit(replace(event, usage=run.claim(event.node)))
