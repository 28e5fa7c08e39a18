"""Control of a run from outside, from any thread: pause, resume, cancel, settle, approve."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from ..core.decisions import Decision
from ..core.events import RunPaused, RunResumed
from ..core.plan import Plan
from ..core.tree import NodeState
from ..ports.model import ToolCall
from .active_time import ActiveTime
from .approvals import Approvals
from .budget import BudgetMeter
from .event_log import EventLog

__all__ = ["Control", "Ended"]

#: How long another thread waits for a cancelled run to end, in seconds.
CANCEL_SECONDS = 10
#: Seconds between two checks whether a settling run is idle.
SETTLE_INTERVAL = 0.05


class Calls(Protocol):
    """The admission of model calls, as far as the control of a run uses it."""

    @property
    def meter(self) -> BudgetMeter: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def rest(self) -> None: ...


class Control:
    """Pauses, resumes and ends a run; created on the event loop that the run lives on."""

    def __init__(
        self,
        log: EventLog,
        calls: Calls,
        active_time: ActiveTime,
        approvals: Approvals,
        clock: Callable[[], float],
    ) -> None:
        #: What waits for a decision of the user.
        self.approvals = approvals
        #: The run's own task, once it has begun.
        self.task: asyncio.Task[Any] | None = None
        self.loop = asyncio.get_running_loop()
        #: The asyncio tasks of the nodes below the root that have not ended.
        self.node_tasks: dict[str, asyncio.Task[Any]] = {}
        #: Nodes that were cancelled individually.
        self.cancelled: set[str] = set()
        #: The run ended because it had settled, not because it was cancelled.
        self.settled = False
        #: The status of the run if it is stopped before its end.
        self.stops_as = "cancelled"
        self._settling = False
        self._log = log
        self._calls = calls
        self._active_time = active_time
        self._clock = clock
        self._thread = threading.get_ident()

    @property
    def ended(self) -> bool:
        """No task of the run is alive, and the run is recorded."""
        return self.task is None or self.task.done()

    async def outcome(self) -> Any:
        """The result of the run's task, awaited on any loop."""
        task = self.task
        assert task is not None, "a run is started by the engine that creates it"
        if task.done() or asyncio.get_running_loop() is self.loop:
            return await task

        async def shielded() -> Any:
            # Cancelling the wait on another loop does not cancel the run.
            return await asyncio.shield(task)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(shielded(), self.loop))

    def on_this_loop(self, receive: Callable[[Any], None]) -> Callable[[Any], None]:
        """`receive`, to be called from the run's loop and executed on the loop that is running now."""
        here = asyncio.get_running_loop()
        if here is self.loop:
            return receive

        def forward(value: Any) -> None:
            # The receiver's loop may have been closed.
            with suppress(RuntimeError):
                here.call_soon_threadsafe(receive, value)

        return forward

    def cancel(self) -> Awaitable[None]:
        """Cancel the run now. Called in another thread than the run's, it returns when the run has ended."""
        if self.task is None or self.task.done():
            return Ended(None)
        if threading.get_ident() == self._thread:
            self.task.cancel()
            return Ended(self.task)
        ended = threading.Event()

        def cancel_here() -> None:
            if self.task is None or self.task.done():
                ended.set()
                return
            self.task.add_done_callback(lambda _: ended.set())
            self.task.cancel()

        self.loop.call_soon_threadsafe(cancel_here)
        ended.wait(timeout=CANCEL_SECONDS)
        return Ended(None)

    def cancel_node(self, node_id: str) -> Awaitable[None]:
        """Cancel one node and the nodes below it; the rest of the run continues."""
        task = self.node_tasks.get(node_id)

        def cancel_here() -> None:
            self.cancelled.add(node_id)
            if (task := self.node_tasks.get(node_id)) is not None:
                # After the task's first step: a task that never started could not end its node.
                self.loop.call_soon(task.cancel)

        self._on_loop(cancel_here)
        return Ended(task)

    def settle(self) -> None:
        """End without losing paid work: no new call starts, calls and tools in flight finish and are recorded."""
        if not self._settling:
            self._settling = True
            self._calls.pause()
            self.loop.call_soon(self._settle_when_idle, False)

    def _settle_when_idle(self, was_idle: bool) -> None:
        """End the run when it was idle at two checks in a row: the result of the last call is recorded by then."""
        if self.ended:
            return
        running = (node for node in self._log.tree if node.state is NodeState.RUNNING)
        # A running tool is awaited: it may not be idempotent.
        in_tools = any(use.ended is None and not use.awaiting_approval for node in running for use in node.tool_calls)
        idle = self._calls.meter.idle and not in_tools
        if idle and was_idle:
            self.settled = True
            assert self.task is not None
            self.task.cancel()
        else:
            self.loop.call_later(SETTLE_INTERVAL, self._settle_when_idle, idle)

    def pause(self) -> None:
        """Start no further model call; calls in flight finish."""
        self._on_loop(self._pause)

    def resume(self) -> None:
        """Start calls again after `pause`."""
        self._on_loop(self._resume)

    async def decision(self, node_id: str, *, plan: Plan | None = None, calls: Sequence[ToolCall] = ()) -> Decision:
        """Wait for the user's decision on a node's plan or tool calls. Waiting does not count as active time."""
        made = await self.approvals.decision(node_id, plan, calls, self._calls.rest)
        if self._log.tree.status == "running":
            self._active_time.start()
        return made

    def _on_loop(self, action: Callable[[], None]) -> None:
        if threading.get_ident() == self._thread:
            action()
        else:
            self.loop.call_soon_threadsafe(action)

    def _pause(self) -> None:
        status = self._log.tree.status
        if status == "pending":
            # The run's task has not had its first step: no call starts, and the pause is emitted after the start.
            self._calls.pause()
            self.loop.call_soon(self._pause)
        elif status == "running":
            self._calls.pause()
            self._calls.rest()
            self._log.emit(RunPaused(at=self._clock()))

    def _resume(self) -> None:
        status = self._log.tree.status
        if self._settling:
            return
        if status == "pending":
            self.loop.call_soon(self._resume)
        elif status == "paused":
            self._log.emit(RunResumed(at=self._clock()))
            if self._calls.meter.spent.calls and not self.approvals:
                self._active_time.start()
            self._calls.resume()


class Ended:
    """Awaits the end of a task, without its result or error; it need not be awaited."""

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self._task = task

    def __await__(self) -> Generator[Any, None, None]:
        if self._task is not None:
            yield from asyncio.wait({self._task}).__await__()
