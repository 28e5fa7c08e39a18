"""Admission of model calls: a slot, no pause, no provider's wait, budget left; and the usage of the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from ..core.usage import NOTHING, ONE_CALL, UNKNOWN_COST, Usage
from .active_time import ActiveTime
from .approvals import Approvals
from .budget import BudgetMeter, OverBudget, budget_error
from .event_log import EventLog
from .scheduler import PrioritySemaphore, Slots, held

__all__ = ["Admission"]

_UNPRICED_CALL = ONE_CALL + UNKNOWN_COST


class Admission:
    """Admits the calls of one run; holds the usage of each node until an event carries it."""

    def __init__(
        self,
        log: EventLog,
        slots: PrioritySemaphore,
        engine_slots: Slots,
        meter: BudgetMeter,
        active_time: ActiveTime,
        approvals: Approvals,
    ) -> None:
        self.meter = meter
        #: The names of the models that have replied.
        self.answered: set[str] = set()
        self._log = log
        self._slots = slots
        self._engine_slots = engine_slots
        self._active_time = active_time
        self._approvals = approvals
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
        """Wait until a node may make one model call; `release` ends it.

        The call then holds a slot and a reservation in the budget, the run is not paused, and the journal is open.
        Raises `BudgetExceededError` and `CheckpointError`.
        """
        while True:
            # Not a coroutine of its own: thousands of calls may wait here, and each frame costs memory.
            if (served := self._slots.acquire(priority)) is not None:
                try:
                    await served
                except BaseException:
                    self._slots.forget(served)
                    raise
            try:
                obstacle = self._obstacle(node, model, reserved)
            except OverBudget as problem:
                self._slots.release()
                raise budget_error(problem) from None
            except BaseException:
                self._slots.release()
                raise
            if obstacle is None:
                break
            # Other calls, also of other runs, use the slot meanwhile.
            self._slots.release()
            await obstacle
        self._add_claim(node, ONE_CALL)
        try:
            self._log.open()
        except BaseException:
            # No call is made: the call that was counted is subtracted.
            self.release(node, reserved, Usage(calls=-1))
            raise
        self._active_time.start()
        held.set(self._engine_slots)

    def _obstacle(self, node: str, model: str, reserved: Usage) -> Awaitable[Any] | None:
        """What to await before the call can be made; `None` if it can, and then its budget is reserved."""
        if not self._running.is_set():
            return self._running.wait()
        if self._suspended and (wait := self._suspended.get(model, 0.0) - self._loop.time()) > 0:
            return asyncio.sleep(wait)
        self._active_time.require_time()
        settled = self.meter.reserve_now(reserved, node)
        return asyncio.shield(settled) if settled is not None else None

    def release(self, node: str, reserved: Usage, used: Usage) -> None:
        """The call has ended: count its usage beside the call itself, and free its slot."""
        held.set(None)
        self.meter.settle(reserved, used)
        self._add_claim(node, used)
        self._slots.release()
        self.rest()

    def rest(self) -> None:
        """Stop the clock of active time if no call is in flight and the run is paused or awaits approval.

        The next call starts it again.
        """
        if (self._approvals or not self._running.is_set()) and self.meter.idle:
            self._active_time.stop()

    def _add_claim(self, node: str, used: Usage) -> None:
        before = self._unclaimed.get(node)
        if before is ONE_CALL and used is UNKNOWN_COST:
            # The usage of most callables' nodes: one object for all of them.
            self._unclaimed[node] = _UNPRICED_CALL
        else:
            self._unclaimed[node] = used if before is None else before + used

    def claim(self, node: str) -> Usage:
        """The usage of a node since its last event that carried usage; the caller emits it."""
        return self._unclaimed.pop(node, NOTHING)
