"""What comes back to a run from whoever watches it: pause, resume, cancel, settle, approve; from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any

from ..core.events import RunPaused, RunResumed
from ..core.plan import Execute, Recurse
from ..core.tree import NodeState, Tree
from .active_time import ActiveTime
from .admission import Admission
from .event_log import EventLog

__all__ = ["Control", "Ended"]

#: How long another thread waits for a cancelled run to end, in seconds.
CANCEL_SECONDS = 10
#: How often a run that is to settle is looked at, in seconds.
SETTLE_INTERVAL = 0.05


class Control:
    """Holds a run up and lets it go on; made on the event loop that the run lives on."""

    def __init__(
        self,
        log: EventLog,
        admission: Admission,
        active_time: ActiveTime,
        awaiting: dict[str, asyncio.Future[Execute | Recurse | None]],
        clock: Callable[[], float],
    ) -> None:
        #: What waits for `approve`, by node: its plan, or its calls of tools.
        self.awaiting = awaiting
        #: The run's own task, once it has begun.
        self.task: asyncio.Task[Any] | None = None
        self.loop = asyncio.get_running_loop()
        #: The tasks of the nodes below the root, while they are worked on.
        self.node_tasks: dict[str, asyncio.Task[Any]] = {}
        #: Nodes that were told to stop, each by itself.
        self.stopped: set[str] = set()
        #: The run was ended because it had settled, and not because somebody cancelled it.
        self.settled = False
        #: What the run is called when it is stopped before its end.
        self.stops_as = "cancelled"
        self._settling = False
        self._log = log
        self._admission = admission
        self._active_time = active_time
        self._clock = clock
        self._thread = threading.get_ident()

    @property
    def ended(self) -> bool:
        """No task of the run is alive: what is to be kept has been put away."""
        return self.task is None or self.task.done()

    async def outcome(self) -> Any:
        """What the run's task comes to, waited for on any loop."""
        assert self.task is not None, "a run is begun by the engine that makes it"
        if self.task.done() or asyncio.get_running_loop() is self.loop:
            return await self.task
        # A run that lives elsewhere belongs to nobody who waits for it: it goes on if they stop waiting.
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_shielded(self.task), self.loop))

    def told_here(self, tell: Callable[[Any], None]) -> Callable[[Any], None]:
        """`tell`, called on the loop that is running now, whatever thread the run tells from."""
        here = asyncio.get_running_loop()
        return tell if here is self.loop else lambda what: _call_on(here, tell, what)

    def cancel(self) -> Awaitable[None]:
        """Stop now; in another thread than the run's, it has stopped when this returns."""
        if self.task is None or self.task.done():
            return Ended(None)
        if threading.get_ident() == self._thread:
            self.task.cancel()
            return Ended(self.task)
        ended = threading.Event()
        self.loop.call_soon_threadsafe(self._cancel_and_tell, ended)
        ended.wait(timeout=CANCEL_SECONDS)
        return Ended(None)

    def cancel_node(self, node_id: str) -> Awaitable[None]:
        """Stop one node and what is below it; all else goes on."""
        task = self.node_tasks.get(node_id)
        self._on_loop(lambda: self._cancel_node(node_id))
        return Ended(task)

    def _cancel_node(self, node_id: str) -> None:
        self.stopped.add(node_id)
        if (task := self.node_tasks.get(node_id)) is not None:
            # After its first step, if it has yet to make it: a task that never began could not end its node.
            self.loop.call_soon(task.cancel)

    def settle(self) -> None:
        """End without losing what is paid for: no new call starts, calls and tools under way finish and are kept."""
        if not self._settling:
            self._settling = True
            self._admission.pause()
            self.loop.call_soon(self._settle_when_idle, False)

    def _settle_when_idle(self, was_idle: bool) -> None:
        """Idle twice in a row: then what the last call brought has been told, too."""
        if self.ended:
            return
        idle = self._admission.meter.idle and not _calls_tools(self._log.tree)
        if idle and was_idle:
            self.settled = True
            assert self.task is not None
            self.task.cancel()
        else:
            self.loop.call_later(SETTLE_INTERVAL, self._settle_when_idle, idle)

    def _cancel_and_tell(self, ended: threading.Event) -> None:
        if self.task is None or self.task.done():
            ended.set()
            return
        self.task.add_done_callback(lambda _: ended.set())
        self.task.cancel()

    def pause(self) -> None:
        """Start no further model call; those under way finish."""
        self._on_loop(self._pause)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._on_loop(self._resume)

    def approve(self, node_id: str, edited: Execute | Recurse | None) -> None:
        """Let a plan that waits go ahead, as it is (`None`) or as the edited one."""
        self._on_loop(lambda: self._approved(node_id, edited))

    async def approval_of(self, node_id: str) -> Execute | Recurse | None:
        """Wait until the plan of a node, or what its tools are about to do, is approved; the edited plan, or `None` if
        it stays. Waiting costs no time."""
        waiting = self.awaiting[node_id] = self.loop.create_future()
        self._admission.rest()
        try:
            edited: Execute | Recurse | None = await waiting
            if self._log.tree.status == "running":
                self._active_time.start()
            return edited
        finally:
            del self.awaiting[node_id]

    def _approved(self, node_id: str, edited: Execute | Recurse | None) -> None:
        waiting = self.awaiting.get(node_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(edited)

    def _on_loop(self, action: Callable[[], None]) -> None:
        if threading.get_ident() == self._thread:
            action()
        else:
            self.loop.call_soon_threadsafe(action)

    def _pause(self) -> None:
        status = self._log.tree.status
        if status == "pending":
            # The run's own task was not yet here: no call starts, and the pause is told right after the start.
            self._admission.pause()
            self.loop.call_soon(self._pause)
        elif status == "running":
            self._admission.pause()
            self._admission.rest()
            self._log.emit(RunPaused(at=self._clock()))

    def _resume(self) -> None:
        status = self._log.tree.status
        if self._settling:
            return
        if status == "pending":
            self.loop.call_soon(self._resume)
        elif status == "paused":
            self._log.emit(RunResumed(at=self._clock()))
            if self._admission.meter.spent.calls and not self.awaiting:
                self._active_time.start()
            self._admission.resume()


def _calls_tools(tree: Tree) -> bool:
    """Whether some tool has been called and has not returned: it may not bear to be called again."""
    running = (node for node in tree if node.state is NodeState.RUNNING)
    return any(use.ended is None and not use.awaiting_approval for node in running for use in node.tool_calls)


class Ended:
    """Awaitable that a task has ended, however; not awaiting it is fine."""

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self._task = task

    def __await__(self) -> Generator[Any, None, None]:
        if self._task is not None:
            yield from asyncio.wait({self._task}).__await__()


async def _shielded(task: asyncio.Task[Any]) -> Any:
    return await asyncio.shield(task)


def _call_on(loop: asyncio.AbstractEventLoop, function: Callable[[Any], None], what: Any) -> None:
    # Whoever listened may be gone, and their loop with them.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, what)
