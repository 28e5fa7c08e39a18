"""What a run may still do: so many model calls at once (the most urgent first), so much spent, so many nodes."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from .core.limits import NOTHING, ONE_CALL, Budget, Usage

__all__ = ["Meter", "OverBudget", "Splits", "Steps", "Turns"]


class Turns:
    """At most `limit` holders at once; of those who wait, the one with the highest priority goes first."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def ask(self, priority: float) -> asyncio.Future[None] | None:
        """A turn: at once (`None`), or when the future is done; who gives up waiting says so with `forget`."""
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return None
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-priority, next(self._number), turn))
        return turn

    def forget(self, turn: asyncio.Future[None]) -> None:
        """Whoever asked does not wait any more."""
        if turn.done() and not turn.cancelled():
            # It was its turn just when it gave up: the next one takes it.
            self.give_back()

    def give_back(self) -> None:
        self._free += 1
        if self._waiting:
            self._hand_out(_STEPS_TO_UNLOCK)

    def _hand_out(self, after: int) -> None:
        """Give free turns to those who wait, so many steps of the event loop from now."""
        if after:
            asyncio.get_running_loop().call_soon(self._hand_out, after - 1)
            return
        while self._free and self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                self._free -= 1
                turn.set_result(None)


#: A reply that has just come may unlock what is more urgent than all that waits: from a task's end it takes three
#: steps of the event loop until its parent, or who depends on it, asks for a turn.
_STEPS_TO_UNLOCK = 3


class Splits:
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


class Meter:
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
        """Count one call, and set aside what it may use."""
        while (problem := self._problem(estimate)) is not None:
            if problem.name == "calls" or not self._under_way:
                raise problem
            if self._settled is None:
                self._settled = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._settled)
        self._reserved += estimate
        self._usd_reserved += estimate.cost_usd or 0.0
        self._under_way += 1
        self.spent += ONE_CALL

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


class Steps:
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

    def put_aside(self) -> None:
        """A node was superseded: it counts no more."""
        self._taken -= 1
        self._aside += 1

    def reserve_early(self) -> bool:
        """Take one node for a plan that may still not hold; false also once as many as the limit were put aside."""
        return self._aside < self._limit and self.reserve(1)
