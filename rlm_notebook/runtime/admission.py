"""The right to call a model: in its turn, not while the run is paused, within the budget; and what calls used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from ..core.limits import NOTHING, ONE_CALL, UNKNOWN_COST, Usage
from ..exceptions import BudgetExceededError
from .active_time import ActiveTime
from .budget import BudgetMeter, OverBudget
from .event_log import EventLog
from .scheduler import PrioritySemaphore

__all__ = ["Admission", "budget_error"]

_UNPRICED_CALL = ONE_CALL + UNKNOWN_COST


class Admission:
    """Gives each call of a run its turn and takes it back; keeps what nodes used until an event tells of it."""

    def __init__(
        self,
        log: EventLog,
        turns: PrioritySemaphore,
        meter: BudgetMeter,
        active_time: ActiveTime,
        awaiting: Mapping[str, asyncio.Future[Any]],
    ) -> None:
        self.meter = meter
        #: The names of the models that have answered something.
        self.answered: set[str] = set()
        self._log = log
        self._turns = turns
        self._active_time = active_time
        #: Plans that wait for a person.
        self._awaiting = awaiting
        self._unclaimed: dict[str, Usage] = {}
        self._suspended: dict[str, float] = {}
        self._running = asyncio.Event()
        self._running.set()
        self._loop = asyncio.get_running_loop()

    def pause(self) -> None:
        """Start no further call."""
        self._running.clear()

    def resume(self) -> None:
        self._running.set()

    def suspend(self, model: str, seconds: float) -> None:
        """Start no call of this model for `seconds`, as its provider requested."""
        self._suspended[model] = max(self._suspended.get(model, 0.0), self._loop.time() + seconds)

    async def take(self, node: str, model: str, priority: float, reserved: Usage) -> None:
        """Wait for a node's right to make one model call: not paused, within `max_concurrency`, within the budget, and
        with a journal that is ready to keep what comes back. `release` ends it."""
        while True:
            # No coroutine of its own: while thousands wait, each frame is some of what a node costs.
            if (turn := self._turns.ask(priority)) is not None:
                try:
                    await turn
                except BaseException:
                    self._turns.forget(turn)
                    raise
            try:
                hindrance = self._hindrance(model, reserved)
            except OverBudget as problem:
                self._turns.release()
                raise budget_error(problem) from None
            except BaseException:
                self._turns.release()
                raise
            if hindrance is None:
                break
            # Other nodes, and other runs of the engine, have their turns meanwhile.
            self._turns.release()
            await hindrance
        self._begin(node, reserved)

    def _hindrance(self, model: str, reserved: Usage) -> Awaitable[Any] | None:
        """What has to be waited for before the call can be made; if nothing, its place in the budget is taken."""
        if not self._running.is_set():
            return self._running.wait()
        if self._suspended and (wait := self._suspended.get(model, 0.0) - self._loop.time()) > 0:
            # Its provider asked for patience.
            return asyncio.sleep(wait)
        self._active_time.require_time()
        settled = self.meter.reserve_now(reserved)
        return asyncio.shield(settled) if settled is not None else None

    def _begin(self, node: str, reserved: Usage) -> None:
        self._add_claim(node, ONE_CALL)
        try:
            self._log.open()
        except BaseException:
            # No call was made: what was counted for it is taken back.
            self.release(node, reserved, Usage(calls=-1))
            raise
        self._active_time.start()

    def release(self, node: str, reserved: Usage, used: Usage) -> None:
        """The call is over: count what it used beside the call itself, and let the next one have its turn."""
        self.meter.settle(reserved, used)
        self._add_claim(node, used)
        self._turns.release()
        self.rest()

    def rest(self) -> None:
        """While no call is under way and none may begin, because of a pause, or only an approval is waited for, no time
        is counted; the next call starts the clock again."""
        if (self._awaiting or not self._running.is_set()) and self.meter.idle:
            self._active_time.stop()

    def _add_claim(self, node: str, used: Usage) -> None:
        before = self._unclaimed.get(node)
        if before is ONE_CALL and used is UNKNOWN_COST:
            # What most callables say of most nodes: one object for all of them.
            self._unclaimed[node] = _UNPRICED_CALL
        else:
            self._unclaimed[node] = used if before is None else before + used

    def claim(self, node: str) -> Usage:
        """What the node used since its last event that told of usage."""
        return self._unclaimed.pop(node, NOTHING)


def budget_error(problem: OverBudget) -> BudgetExceededError:
    """Says whether the budget is spent, or something is left that is too little for a call."""
    state = f"is spent ({problem.used:g} used)"
    if problem.used < problem.limit:
        wanted = f"{problem.used:g} used, and it may take {problem.wanted:g}"
        state = f"does not suffice for the next call ({wanted})"
    spent = f"the budget of {problem.limit:g} {problem.name} {state}; what finished is kept"
    error = BudgetExceededError(f"{spent}: run again with a larger budget to go on, or take error.run.partial()")
    error.budget, error.spent = problem.name, spent
    return error
