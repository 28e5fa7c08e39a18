"""Which row may start under a budget: so many that what has started can finish.

A row reserves what a row of its engine has cost so far: the mean of those that ended. Before one has ended, the first
row runs alone until it has used something; then `GUESS` times the most that a row in flight has used. Rows are admitted
in their order. When nothing is in flight and the next row does not fit, the budget is spent, as far as whole rows go.

Calls are reserved beside this, by `runtime.budget.BudgetMeter`: a row that costs more than the others may still be
broken off, and continues with a larger budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ..core.limits import Budget, Usage
from ..runtime.budget import BudgetMeter, OverBudget

__all__ = ["RowAdmission"]

#: How many times the most that a row has used until now a row may use, while none has ended.
GUESS = 16.0

#: Of each limited amount: how much.
Amounts = dict[str, float]


class _Mean:
    def __init__(self) -> None:
        self.count = 0
        self.total: Amounts = {}

    def add(self, amounts: Amounts) -> None:
        self.count += 1
        self.total = {name: self.total.get(name, 0.0) + amount for name, amount in amounts.items()}


class RowAdmission:
    """Admits the rows of one experiment. `recorded` is what its rows have used that ended in earlier executions."""

    def __init__(self, budget: Budget, meter: BudgetMeter, recorded: Iterable[Usage]) -> None:
        limits = {"calls": budget.calls, "tokens": budget.tokens, "usd": budget.usd}
        self._limits = {name: float(limit) for name, limit in limits.items() if limit is not None}
        self._meter = meter
        #: What rows cost that have ended: those of each engine, and those of earlier executions.
        self._ended: dict[int, _Mean] = {}
        self._before = _Mean()
        for usage in recorded if self._limits else ():
            self._before.add(self._amounts(usage))
        self._live: dict[str, tuple[int, Callable[[], Usage]]] = {}
        self._gate = asyncio.Lock()
        self._change: asyncio.Future[None] | None = None

    async def admit(self, engine: int, begun: Usage) -> OverBudget | None:
        """Wait until a row of this engine may start; the reason, if no further one may. `begun` is what it has used."""
        if not self._limits:
            return None
        async with self._gate:
            while (obstacle := self._obstacle(engine, self._amounts(begun))) is not None:
                if not self._live:
                    return obstacle
                # Until a call was settled or a row has ended.
                if self._change is None or self._change.done():
                    self._change = asyncio.get_running_loop().create_future()
                settled = self._meter.next_settled()
                await asyncio.wait([self._change, settled], return_when=asyncio.FIRST_COMPLETED)
        return None

    def started(self, key: str, engine: int, usage: Callable[[], Usage]) -> None:
        """The row runs; `usage` gives what it has used until now."""
        if self._limits:
            self._live[key] = engine, usage

    def ended(self, key: str) -> None:
        """The row has ended."""
        if (found := self._live.pop(key, None)) is not None:
            self._ended.setdefault(found[0], _Mean()).add(self._amounts(found[1]()))
            if self._change is not None and not self._change.done():
                self._change.set_result(None)

    def _amounts(self, usage: Usage) -> Amounts:
        every = {"calls": float(usage.calls), "tokens": float(usage.total_tokens), "usd": usage.cost_usd or 0.0}
        return {name: every[name] for name in self._limits}

    def _obstacle(self, engine: int, begun: Amounts) -> OverBudget | None:
        total, expected = self._amounts(self._meter.total), self._expected(engine)
        live = [(self._expected(other), self._amounts(usage())) for other, usage in self._live.values()]
        # A call reserves more than it will use: the last one of these rows has to fit, too.
        tokens, usd = self._meter.most_reserved
        margin = {"calls": 0.0, "tokens": float(tokens), "usd": usd}
        for name, limit in self._limits.items():
            if total[name] >= limit or (live and expected is None):
                return OverBudget(name, total[name], limit, unit="row")
            wanted = max(0.0, expected[name] - begun[name]) if expected is not None else 0.0
            reserved = sum(max(0.0, row[name] - used[name]) for row, used in live if row is not None)
            if expected is not None and total[name] + reserved + wanted + margin[name] > limit * (1 + 1e-9):
                return OverBudget(name, total[name], limit, wanted + margin[name], "row")
        return None

    def _expected(self, engine: int) -> Amounts | None:
        """What a row of this engine will use; `None` while nothing is known."""
        known = self._ended.get(engine, self._before)
        if known.count:
            return {name: total / known.count for name, total in known.total.items()}
        used = [self._amounts(usage()) for other, usage in self._live.values() if other == engine]
        most = {name: GUESS * max((each[name] for each in used), default=0.0) for name in self._limits}
        return most if any(most.values()) else None
