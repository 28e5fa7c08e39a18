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


#: The slots of which the call that is being made holds one.
held: ContextVar[Slots | None] = ContextVar("held", default=None)


class Slots:
    """At most `limit` calls at once, over all runs of an engine, whatever event loops and threads they live on.

    The waiting runs are served in rotation, so that a small run does not wait for the end of a large one; the run's
    `PrioritySemaphore` decides which of its calls is next. Each run is served on its own event loop; a run whose loop
    was stopped is skipped. Invariant: while a slot is free and a call waits, a serving step is scheduled.
    """

    def __init__(self, limit: int) -> None:
        self.limit = self.free = limit
        #: Guards what is here, and who waits in each `PrioritySemaphore`.
        self.lock = threading.Lock()
        #: The runs with calls that wait, the next one first.
        self.waiting: OrderedDict[PrioritySemaphore, None] = OrderedDict()

    def release(self) -> None:
        """A call is over."""
        with self.lock:
            self.free += 1
            if not self.waiting:
                return
        self.serve_soon()

    def serve_soon(self) -> None:
        """Have the next run served, on its loop."""
        run = self._next()
        if run is None or run.served_soon:
            return
        run.served_soon = True
        if _runs_here(run.loop):
            run.loop.call_soon(self._serve, run, _STEPS_TO_UNLOCK)
        else:
            # It may be closed by now: then whoever waited there is gone, or tells so.
            with suppress(RuntimeError):
                run.loop.call_soon_threadsafe(self._serve, run, 0)

    def _serve(self, first: PrioritySemaphore, after: int) -> None:
        """Give slots to those who wait on the loop of this run, so many steps of it from now, as long as it is their
        turn: all slots that are free by then."""
        if after:
            first.loop.call_soon(self._serve, first, after - 1)
            return
        first.served_soon = False
        while (run := self._next()) is not None and run.loop is first.loop:
            run.begin_next()
        if run is not None:
            self.serve_soon()

    def _next(self) -> PrioritySemaphore | None:
        """The run whose turn it is, if a slot is free; one whose loop stands still is called when that goes on."""
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
    """A run's part in the slots of its engine; of its calls that wait, the one with the highest priority goes first.

    Used on the run's event loop alone.
    """

    def __init__(self, slots: Slots) -> None:
        self.loop = asyncio.get_running_loop()
        self._slots = slots
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()
        #: It is told when its loop, which stands still, goes on.
        self._called = False
        #: Serving it is on its way.
        self.served_soon = False

    def ask(self, priority: float) -> asyncio.Future[None] | None:
        """A turn: at once (`None`), or when the future is done; who gives up waiting says so with `forget`."""
        slots = self._slots
        with slots.lock:
            if slots.free > 0 and not slots.waiting:
                slots.free -= 1
                return None
            turn: asyncio.Future[None] = self.loop.create_future()
            heapq.heappush(self._waiting, (-priority, next(self._number), turn))
            slots.waiting.setdefault(self)
            free = slots.free > 0
        if free:
            slots.serve_soon()
        return turn

    def forget(self, turn: asyncio.Future[None]) -> None:
        """Whoever asked does not wait any more."""
        if turn.done() and not turn.cancelled():
            # It was its turn just when it gave up: the next one takes it.
            self.release()

    def release(self) -> None:
        self._slots.release()

    def can_be_served(self, gone: list[PrioritySemaphore]) -> bool:
        """Whether its loop is running; if none of its calls waits any more, it is put to those that are `gone`."""
        if not self._waits():
            gone.append(self)
            return False
        if self.loop.is_running():
            return True
        try:
            self._call_when_it_runs()
        except RuntimeError:
            gone.append(self)
        return False

    def _call_when_it_runs(self) -> None:
        """Raises `RuntimeError` for a loop that was closed."""
        if not self._called or self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._goes_on)
            self._called = True

    def _goes_on(self) -> None:
        self._called = False
        self._slots.serve_soon()

    def _waits(self) -> bool:
        """With the lock of the slots held."""
        while self._waiting and self._waiting[0][2].done():
            heapq.heappop(self._waiting)
        return bool(self._waiting)

    def begin_next(self) -> None:
        """The most urgent call has a slot, and the run goes to the end of the rotation; alone in it, it goes on."""
        slots, begun = self._slots, list[asyncio.Future[None]]()
        with slots.lock:
            while slots.free and self._waits():
                slots.free -= 1
                begun.append(heapq.heappop(self._waiting)[2])
                if len(slots.waiting) > 1:
                    slots.waiting.move_to_end(self)
                    break
            if not self._waits():
                slots.waiting.pop(self, None)
        for turn in begun:
            turn.set_result(None)


def slots_for(slots: Slots) -> Slots:
    """The slots for a run of an engine that has these.

    Who starts a run from inside a call of the same engine, or blocks the loop that others of its runs are on, waits for
    the run and holds a slot meanwhile: if the run waited for that in turn, neither would end.
    """
    waited_for = held.get() is slots or blocks_a_loop.get()
    return Slots(slots.limit) if waited_for else slots


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


#: A reply that has just come may unlock what is more urgent than all that waits: from a task's end it takes three
#: steps of the event loop until its parent, or who depends on it, asks for a turn.
_STEPS_TO_UNLOCK = 3


class SplitGate:
    """At most so many sub-tasks begin at once; of the splits that wait for that, the deepest goes first.

    Where many plans come together, from a replay or from a model that is quick, the tree is worked off branch by
    branch and not level by level: less of it is alive at the same time, for memory and for the garbage collector, which
    looks through all of it again and again. Nobody waits for anything but the next steps of the event loop.
    """

    def __init__(self) -> None:
        self._room = _BEGIN_AT_ONCE
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def ask(self, depth: int, count: int) -> asyncio.Future[None] | None:
        """Whether `count` sub-tasks may begin: at once (`None`), or when the future is done."""
        if self._room == _BEGIN_AT_ONCE:
            self._go_on(_STEPS_TO_UNLOCK)
        if self._room > 0:
            self._room -= count
            return None
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-depth, next(self._number), count, turn))
        return turn

    def _go_on(self, after: int) -> None:
        if after:
            asyncio.get_running_loop().call_soon(self._go_on, after - 1)
            return
        self._room = _BEGIN_AT_ONCE
        while self._room > 0 and self._waiting:
            *_, count, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._room -= count
                turn.set_result(None)
        if self._room < _BEGIN_AT_ONCE:
            self._go_on(_STEPS_TO_UNLOCK)


#: Some hundred tasks that have yet to begin are nothing to anybody; a split with more parts goes ahead as a whole.
_BEGIN_AT_ONCE = 100
