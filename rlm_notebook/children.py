"""The sub-tasks of one node, each a task of its own: begun as soon as the plan names them, ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from .core.events import Cancelled, Failed, NodeCreated, Superseded
from .core.plan import PlannedTask
from .core.tree import NodeState
from .exceptions import ExecutionError, LimitError, ModelError
from .ports import Part
from .run import Run

__all__ = ["Children", "end_node"]


class Children:
    """Begin sub-tasks as they become known, take their `outcomes` in the plan's order; `close` leaves no task."""

    def __init__(
        self,
        run: Run,
        parent: str,
        assigned: Callable[[str | None], tuple[str, str]],
        solve: Callable[[str], Awaitable[str]],
    ) -> None:
        self._run = run
        self._parent = parent
        self._assigned = assigned
        self._solve = solve
        #: The sub-tasks begun so far, in the plan's order.
        self.begun: list[PlannedTask] = []
        self._tasks: dict[str, asyncio.Task[Part | Exception]] = {}

    def begin(self, planned: Sequence[PlannedTask]) -> None:
        """Create the nodes of the next sub-tasks, and start on them.

        All nodes are there before any runs, because `depends_on` may name sub-tasks further down the plan.
        """
        first = len(self._run.tree.children(self._parent))
        new = [f"{self._parent}.{first + index}" for index in range(len(planned))]
        ids = [*self._tasks, *new]
        for node, task in zip(new, planned, strict=True):
            self._create(node, task, tuple(ids[position] for position in task.depends_on))
        # From the last one back: most name earlier siblings, so that each chain is followed once.
        for node in reversed(new):
            self._count_waiting(node)
        for node, task in zip(new, planned, strict=True):
            self.begun.append(task)
            self._tasks[node] = self._run.control.node_tasks[node] = asyncio.create_task(self._child(node))

    def _create(self, node: str, planned: PlannedTask, depends_on: tuple[str, ...]) -> None:
        agent, note = self._assigned(planned.agent)
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

    def _count_waiting(self, node: str) -> None:
        """Lengthen the chains that end in a node: whom many wait for, one behind the other, is urgent."""
        waited_for = self._run.waited_for
        if above := waited_for.get(self._parent):
            waited_for.setdefault(node, above)
        grown = [node]
        while grown:
            last = grown.pop()
            length = waited_for.get(last, 0) + 1
            for wanted in self._run.tree[last].depends_on:
                if waited_for.get(wanted, 0) < length:
                    waited_for[wanted] = length
                    grown.append(wanted)

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
                    self._run.steps.release(1)
                    # What it finished was paid for: a later plan may ask for the same.
                    self._run.past.records.add(below)
                    self._run.emit(Superseded(at=self._run.clock(), node=below.id, reason=reason))
        self._tasks.clear()
        self.begun.clear()

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended, whatever else happens meanwhile."""
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
            return await self._outcome(node_id)
        except asyncio.CancelledError:
            if node_id not in control.stopped:
                raise
            end_node(self._run, Cancelled(at=self._run.clock(), node=node_id))
            return ExecutionError(f"node {node_id} was cancelled", node=node_id)
        finally:
            control.node_tasks.pop(node_id, None)

    async def _outcome(self, node_id: str) -> Part | Exception:
        node = self._run.tree[node_id]
        try:
            for wanted in node.depends_on:
                self._require(node_id, wanted, await asyncio.shield(self._tasks[wanted]))
            content = await self._solve(node_id)
        except (ExecutionError, LimitError) as error:
            if isinstance(error, ModelError) and error.fatal:
                raise
            return error
        return Part(node_id, node.task, content)

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
