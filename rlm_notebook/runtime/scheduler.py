"""Which call may start next: the slots of an engine, and the order in which the calls of a run take them.

Two levels decide. `Slots` belongs to an engine and bounds the calls in flight over all its runs; it gives a free slot
to the next waiting run in rotation. `PrioritySemaphore` belongs to a run and decides which of its waiting calls takes
the slot: the one with the longest remaining path.

States of a call: *waiting* (in the run's heap), *served* (its future is resolved on the run's own loop), *holding*
(until `release`). Runs live on different event loops and threads, so the engine-wide state changes only under its
lock, and no future is touched from a foreign thread: serving is scheduled on the loop of the run that is served.

What must never happen: a free slot while a call waits and nothing is scheduled to serve it (calls would wait
forever); a slot that a cancelled waiter keeps; a waiting parent that holds a slot (its sub-tasks would wait for it:
deadlock). The last one is why slots are taken around model calls and never around nodes.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections import OrderedDict
from contextlib import suppress
from contextvars import ContextVar

from ..concurrency.loop_thread import blocks_a_loop

__all__ = ["PrioritySemaphore", "Slots", "SplitGate", "held", "slots_for"]


#: The slots of which the current call holds one.
held: ContextVar[Slots | None] = ContextVar("held", default=None)


class Slots:
    """At most `limit` calls at once, over all runs of an engine, whatever event loops and threads they live on.

    The waiting runs are served in rotation, so that a small run does not wait for the end of a large one; the run's
    `PrioritySemaphore` decides which of its calls is next. Each run is served on its own event loop; a run whose loop
    was stopped is skipped. Invariant: while a slot is free and a call waits, a serving step is scheduled.
    """

    def __init__(self, limit: int) -> None:
        self.limit = self.free = limit
        #: Guards this state and the heap of each `PrioritySemaphore`.
        self.lock = threading.Lock()
        #: The runs with waiting calls, the next one to serve first.
        self.waiting: OrderedDict[PrioritySemaphore, None] = OrderedDict()

    def release(self) -> None:
        """A call has ended: its slot is free."""
        with self.lock:
            self.free += 1
            if not self.waiting:
                return
        self.serve_soon()

    def serve_soon(self) -> None:
        """Schedule serving the next run, on its loop."""
        run = self._next()
        if run is None or run.served_soon:
            return
        run.served_soon = True
        here: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):
            here = asyncio.get_running_loop()
        if run.loop is here:
            run.loop.call_soon(self._serve, run, _STEPS_TO_UNLOCK)
        else:
            # The loop may have been closed meanwhile: its calls are gone then.
            with suppress(RuntimeError):
                run.loop.call_soon_threadsafe(self._serve, run, 0)

    def _serve(self, first: PrioritySemaphore, after: int) -> None:
        """After `after` steps of the loop of `first`, give free slots to the runs of this loop while they are next."""
        if after:
            first.loop.call_soon(self._serve, first, after - 1)
            return
        first.served_soon = False
        while (run := self._next()) is not None and run.loop is first.loop:
            run.begin_next()
        if run is not None:
            self.serve_soon()

    def _next(self) -> PrioritySemaphore | None:
        """The next run in rotation, if a slot is free; a run whose loop is stopped is skipped until it runs."""
        with self.lock:
            if not self.free:
                return None
            gone: list[PrioritySemaphore] = []
            found = None
            for run in self.waiting:
                if run.can_be_served(gone):
                    found = run
                    break
            for run in gone:
                del self.waiting[run]
            return found


class PrioritySemaphore:
    """A run's access to the slots of its engine: the waiting call with the highest priority is served first.

    Used on the run's event loop only.
    """

    def __init__(self, slots: Slots) -> None:
        self.loop = asyncio.get_running_loop()
        self._slots = slots
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()
        #: A callback waits for the run's stopped loop to run again.
        self._callback_waits = False
        #: Serving this run is scheduled.
        self.served_soon = False

    def acquire(self, priority: float) -> asyncio.Future[None] | None:
        """Take a slot now (`None`), or once the returned future is done; a cancelled waiter calls `forget`."""
        slots = self._slots
        with slots.lock:
            if slots.free > 0 and not slots.waiting:
                slots.free -= 1
                return None
            served: asyncio.Future[None] = self.loop.create_future()
            heapq.heappush(self._waiting, (-priority, next(self._number), served))
            slots.waiting.setdefault(self)
            free = slots.free > 0
        if free:
            slots.serve_soon()
        return served

    def forget(self, served: asyncio.Future[None]) -> None:
        """The waiter is gone: return the slot if it was served just then."""
        if served.done() and not served.cancelled():
            self.release()

    def release(self) -> None:
        self._slots.release()

    def can_be_served(self, gone: list[PrioritySemaphore]) -> bool:
        """Whether a call waits and the loop runs; appended to `gone` if no call waits or the loop is closed."""
        if not self._has_waiting():
            gone.append(self)
            return False
        if self.loop.is_running():
            return True
        try:
            if not self._callback_waits or self.loop.is_closed():
                self.loop.call_soon_threadsafe(self._loop_runs_again)
                self._callback_waits = True
        except RuntimeError:
            # The loop is closed.
            gone.append(self)
        return False

    def _loop_runs_again(self) -> None:
        self._callback_waits = False
        self._slots.serve_soon()

    def _has_waiting(self) -> bool:
        """Whether a call waits; call it with the lock of the slots held."""
        while self._waiting and self._waiting[0][2].done():
            heapq.heappop(self._waiting)
        return bool(self._waiting)

    def begin_next(self) -> None:
        """Give slots to the calls with the highest priority: all free ones if no other run waits, else one."""
        slots, begun = self._slots, list[asyncio.Future[None]]()
        with slots.lock:
            while slots.free and self._has_waiting():
                slots.free -= 1
                begun.append(heapq.heappop(self._waiting)[2])
                if len(slots.waiting) > 1:
                    slots.waiting.move_to_end(self)
                    break
            if not self._has_waiting():
                slots.waiting.pop(self, None)
        for served in begun:
            served.set_result(None)


def slots_for(slots: Slots) -> Slots:
    """The slots for a new run of the engine that has `slots`.

    A run that is started inside a call of the same engine, or from code that blocks the loop of the engine's other
    runs, is awaited while a slot is held. It gets slots of its own: otherwise both would wait for each other.
    """
    awaited_in_a_call = held.get() is slots or blocks_a_loop.get()
    return Slots(slots.limit) if awaited_in_a_call else slots


#: A reply may unlock a call with a higher priority than all waiting ones: from the end of a task it takes three steps
#: of the event loop until its parent, or a task that depends on it, requests a slot.
_STEPS_TO_UNLOCK = 3


class SplitGate:
    """Limits how many sub-tasks start at once; of the waiting splits, the deepest is served first.

    Where many plans arrive together, from a replay or a fast model, this makes the run work branch by branch and not
    level by level. Less of the tree is alive at a time, which saves memory and work of the garbage collector. A split
    waits only for the next steps of the event loop.
    """

    def __init__(self) -> None:
        self._room = _START_AT_ONCE
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def acquire(self, depth: int, count: int) -> asyncio.Future[None] | None:
        """Start `count` sub-tasks now (`None`), or once the returned future is done."""
        if self._room == _START_AT_ONCE:
            self._serve_waiting(_STEPS_TO_UNLOCK)
        if self._room > 0:
            self._room -= count
            return None
        served: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-depth, next(self._number), count, served))
        return served

    def _serve_waiting(self, after: int) -> None:
        if after:
            asyncio.get_running_loop().call_soon(self._serve_waiting, after - 1)
            return
        self._room = _START_AT_ONCE
        while self._room > 0 and self._waiting:
            *_, count, served = heapq.heappop(self._waiting)
            if not served.done():
                self._room -= count
                served.set_result(None)
        if self._room < _START_AT_ONCE:
            self._serve_waiting(_STEPS_TO_UNLOCK)


#: About a hundred tasks that have not started cost nothing; a split with more sub-tasks starts as a whole.
_START_AT_ONCE = 100
