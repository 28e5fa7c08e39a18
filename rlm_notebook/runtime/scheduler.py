"""What a run may still do: its part of the calls that its engine makes at once, so much spent, so many nodes."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections import OrderedDict
from contextlib import suppress
from contextvars import ContextVar

from ..concurrency.loop_thread import blocks_a_loop
from ..core.limits import NOTHING, ONE_CALL, Budget, Usage

__all__ = ["BudgetMeter", "NodeQuota", "OverBudget", "PrioritySemaphore", "Slots", "SplitGate", "held", "slots_for"]


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
        """The most urgent call has a slot, and the run goes to the end of the rotation."""
        with self._slots.lock:
            if not self._slots.free or not self._waits():
                return
            self._slots.free -= 1
            turn = heapq.heappop(self._waiting)[2]
            if self._waits():
                self._slots.waiting.move_to_end(self)
            else:
                del self._slots.waiting[self]
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


class OverBudget(Exception):
    """What is left does not suffice; `name`, `used` and `limit` say of what, `wanted` what a call may take of it."""

    def __init__(self, name: str, used: float, limit: float, wanted: float = 0.0) -> None:
        super().__init__(name)
        self.name, self.used, self.limit, self.wanted = name, used, limit, wanted


class BudgetMeter:
    """One budget for a whole run: an estimate is reserved before each call, and settled after it.

    A call that does not fit waits while others are under way, because they may need less than was reserved for them;
    when none is, `reserve` raises `OverBudget`. So what is spent never exceeds the budget by more than estimates err.
    """

    def __init__(self, budget: Budget, before: Usage) -> None:
        self._budget = budget
        self._unlimited = budget.calls is None and not budget.needs_estimates
        self.before = before
        self.spent = NOTHING
        self._reserved = NOTHING
        self._under_way = 0
        self._settled: asyncio.Future[None] | None = None

        # Kept apart from the usage, where one call of an unknown price makes the whole cost unknown.
        self._usd = before.cost_usd or 0.0
        self._usd_reserved = 0.0

    @property
    def total(self) -> Usage:
        """Over all executions."""
        return self.before + self.spent

    @property
    def idle(self) -> bool:
        """No call is under way."""
        return self._under_way == 0

    @property
    def runs_low(self) -> bool:
        """More than half of what is limited is used or set aside: what is begun should be finished with the rest."""
        if self._unlimited:
            return False
        budget, total = self._budget, self.total
        shares = (
            (total.calls, budget.calls),
            (total.total_tokens + self._reserved.total_tokens, budget.tokens),
            (self._usd + self._usd_reserved, budget.usd),
        )
        return any(limit is not None and 2 * used > limit for used, limit in shares)

    async def reserve(self, estimate: Usage) -> None:
        """Count one call, and set aside what it may use, as soon as that fits."""
        while (settled := self.reserve_now(estimate)) is not None:
            await asyncio.shield(settled)

    def reserve_now(self, estimate: Usage) -> asyncio.Future[None] | None:
        """Count one call, and set aside what it may use; if it does not fit yet, what is done when more may be left."""
        if (problem := self._problem(estimate)) is None:
            self._reserved += estimate
            self._usd_reserved += estimate.cost_usd or 0.0
            self._under_way += 1
            self.spent += ONE_CALL
            return None
        if problem.name == "calls" or not self._under_way:
            raise problem
        if self._settled is None:
            self._settled = asyncio.get_running_loop().create_future()
        return self._settled

    def settle(self, estimate: Usage, used: Usage) -> None:
        """The call is over: what it used (beside the call, counted before) takes the place of what was reserved."""
        self._reserved = self._reserved.minus(estimate)
        self._usd_reserved -= estimate.cost_usd or 0.0
        self._usd += used.cost_usd or 0.0
        self._under_way -= 1
        self.spent += used
        if self._settled is not None:
            self._settled.set_result(None)
            self._settled = None

    def _problem(self, estimate: Usage) -> OverBudget | None:
        if self._unlimited:
            return None
        budget, total = self._budget, self.total
        if budget.calls is not None and total.calls >= budget.calls:
            return OverBudget("calls", total.calls, budget.calls)
        if budget.tokens is not None:
            wanted = total.total_tokens + self._reserved.total_tokens + estimate.total_tokens
            if wanted > budget.tokens:
                return OverBudget("tokens", total.total_tokens, budget.tokens, estimate.total_tokens)
        if budget.usd is not None and self._usd + self._usd_reserved + (estimate.cost_usd or 0.0) > budget.usd:
            return OverBudget("usd", self._usd, budget.usd, estimate.cost_usd or 0.0)
        return None


class NodeQuota:
    """At most `limit` nodes in a tree that has its root; they are reserved before they are there."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 1
        self._aside = 0

    def has(self, count: int) -> bool:
        """Whether the limit leaves so many nodes."""
        return self._taken + count <= self._limit

    def reserve(self, count: int) -> bool:
        """Take `count` nodes from what the limit leaves; false if there are not so many."""
        if not self.has(count):
            return False
        self._taken += count
        return True

    def release(self, count: int) -> None:
        """Give back what `reserve` took for nodes that never came to be."""
        self._taken -= count

    def supersede(self) -> None:
        """A node was superseded: it counts no more."""
        self._taken -= 1
        self._aside += 1

    def reserve_early(self) -> bool:
        """Take one node for a plan that may still not hold; false also once as many as the limit were put aside."""
        return self._aside < self._limit and self.reserve(1)
