"""What a run may still spend: calls, tokens, dollars and nodes; reserved before use, settled after it."""

from __future__ import annotations

import asyncio

from ..core.limits import Budget
from ..core.text import amount, counted
from ..core.usage import NOTHING, ONE_CALL, Usage
from ..exceptions import BudgetExceededError

__all__ = ["BudgetMeter", "NodeQuota", "OverBudget", "budget_error"]


class OverBudget(Exception):
    """The budget named `name` does not suffice: `used` of `limit`, and the next call (`unit`) may use `wanted`; `kept`
    is what is held for the answers of other nodes."""

    def __init__(
        self, name: str, used: float, limit: float, wanted: float = 0.0, unit: str = "call", kept: float = 0.0
    ) -> None:
        super().__init__(name)
        self.name, self.used, self.limit, self.wanted, self.unit = name, used, limit, wanted, unit
        self.kept = kept


def budget_error(problem: OverBudget) -> BudgetExceededError:
    """The error for users: the budget is spent, or what is left is too little for the next call."""
    used, wanted = amount(problem.used), amount(problem.wanted)
    kept = f", {amount(problem.kept)} kept for an answer" if problem.kept else ""
    state = f"is spent ({used} used{kept})"
    if problem.used + problem.kept < problem.limit:
        state = f"does not suffice for the next {problem.unit} ({used} used{kept}, and it may take {wanted})"
    # Of "calls", "tokens", "seconds" and "usd".
    unit = problem.name.removesuffix("s")
    limit = counted(problem.limit, unit, problem.name)
    spent = f"the budget of {limit} {state}; what finished is kept"
    error = BudgetExceededError(
        f"{spent}: run again with a larger budget to continue; .run.partial() of this error is the answer so far"
    )
    error.budget, error.spent = problem.name, spent
    return error


class BudgetMeter:
    """One budget for a whole run: an estimate is reserved before each call and settled after it.

    A call that does not fit waits while others are in flight, because they may use less than was reserved for them;
    otherwise `reserve` raises `OverBudget`. So the budget is exceeded by no more than the error of the estimates.

    A node may have one call held for its answer: what is held is not spent by other nodes, and by that node's calls
    only once nothing else is left.

    With `whole`, the meter of an experiment, each call is also reserved and settled there: many runs then share one
    budget, and `refused` of that meter is the first call that did not fit. All of them live on one event loop.
    """

    def __init__(self, budget: Budget, before: Usage, whole: BudgetMeter | None = None) -> None:
        self._budget = budget
        self._unlimited = budget.calls is None and not budget.needs_estimates
        #: Whether calls have to be estimated before they are reserved.
        self.needs_estimates: bool = budget.needs_estimates or (whole is not None and whole.needs_estimates)
        self._whole = whole
        self.before = before
        #: The first call that this budget did not allow.
        self.refused: OverBudget | None = None
        #: Beside the calls, which are counted as they begin.
        self._used = NOTHING
        self._calls = 0
        self._reserved = NOTHING
        self._in_flight = 0
        #: What is held by node, one call each, and the sum of it.
        self._held: dict[str, Usage] = {}
        self._kept = NOTHING
        self._settled: asyncio.Future[None] | None = None
        #: The most that was reserved for one call, in tokens and in dollars.
        self.most_reserved = 0, 0.0

        # Separate from the usage, where one call of an unknown price makes the total cost unknown.
        self._usd = before.cost_usd or 0.0
        self._usd_reserved = 0.0

    @property
    def spent(self) -> Usage:
        """By this execution."""
        return self._used + Usage(calls=self._calls)

    @property
    def total(self) -> Usage:
        """Over all executions."""
        return self.before + self.spent

    @property
    def idle(self) -> bool:
        """No call is in flight."""
        return self._in_flight == 0

    @property
    def runs_low(self) -> bool:
        """More than half of a limit is used or reserved: the rest should finish what has started."""
        if self._whole is not None and self._whole.runs_low:
            return True
        if self._unlimited:
            return False
        budget, total = self._budget, self.total
        shares = (
            (total.calls, budget.calls),
            (total.total_tokens + self._reserved.total_tokens, budget.tokens),
            (self._usd + self._usd_reserved, budget.usd),
        )
        return any(limit is not None and 2 * used > limit for used, limit in shares)

    def fits(self, estimate: Usage) -> bool:
        """Whether one more call with this estimate is within the budget, beside what is reserved."""
        return self._problem(estimate) is None

    @property
    def left(self) -> dict[str, float | None]:
        """What is left of calls, tokens and dollars; `None`: no limit."""
        budget, total = self._budget, self.total
        tokens = total.total_tokens + self._reserved.total_tokens + self._kept.total_tokens
        usd = self._usd + self._usd_reserved + (self._kept.cost_usd or 0.0)
        return {
            "calls": None if budget.calls is None else max(0, int(budget.calls) - total.calls - self._kept.calls),
            "tokens": None if budget.tokens is None else max(0, int(budget.tokens) - tokens),
            "dollars": None if budget.usd is None else max(0.0, budget.usd - usd),
        }

    def hold(self, node: str, estimate: Usage) -> bool:
        """Hold one call with this estimate for a node, in the place of what was held for it; false, and as it was, if
        that does not fit."""
        if self._problem(estimate, node) is not None:
            return False
        self.let_go(node)
        self._held[node] = estimate + ONE_CALL
        self._kept += self._held[node]
        return True

    def let_go(self, node: str) -> None:
        """Hold nothing for a node any more."""
        self._kept = self._kept.minus(self._held.pop(node, NOTHING))

    async def reserve(self, estimate: Usage) -> None:
        """Count one call and reserve its estimate, as soon as that fits."""
        while (settled := self.reserve_now(estimate)) is not None:
            await asyncio.shield(settled)

    def reserve_now(self, estimate: Usage, node: str = "") -> asyncio.Future[None] | None:
        """Count one call of a node and reserve its estimate; if that does not fit yet, a future that is done when it
        may. What is held for the node is used if nothing else is left."""
        if (problem := self._problem(estimate)) is not None and node in self._held:
            problem = self._problem(estimate, node)
            if problem is None:
                self.let_go(node)
        if problem is None:
            if self._whole is not None and (settled := self._whole.reserve_now(estimate)) is not None:
                return settled
            self._reserved += estimate
            self._usd_reserved += estimate.cost_usd or 0.0
            tokens, usd = self.most_reserved
            self.most_reserved = max(tokens, estimate.total_tokens), max(usd, estimate.cost_usd or 0.0)
            self._in_flight += 1
            self._calls += 1
            return None
        if problem.name == "calls" or not self._in_flight:
            self.refused = self.refused or problem
            raise problem
        return self.next_settled()

    def next_settled(self) -> asyncio.Future[None]:
        """Done when the next call has been settled; not to be cancelled."""
        if self._settled is None:
            self._settled = asyncio.get_running_loop().create_future()
        return self._settled

    def settle(self, estimate: Usage, used: Usage) -> None:
        """The call has ended: its usage (beside the call, counted before) replaces its reservation."""
        if self._whole is not None:
            self._whole.settle(estimate, used)
        self._reserved = self._reserved.minus(estimate)
        self._usd_reserved -= estimate.cost_usd or 0.0
        self._usd += used.cost_usd or 0.0
        self._in_flight -= 1
        self._used += used
        if self._settled is not None:
            self._settled.set_result(None)
            self._settled = None

    def count(self, used: Usage) -> None:
        """Count calls that were made elsewhere."""
        self._calls += used.calls
        self._used += used.minus(Usage(calls=used.calls))
        self._usd += used.cost_usd or 0.0

    def _problem(self, estimate: Usage, node: str = "") -> OverBudget | None:
        """Why one more call does not fit beside what is reserved and held, apart from what is held for `node`."""
        if self._unlimited:
            return None
        budget, total, kept = self._budget, self.total, self._kept
        if node in self._held:
            kept = kept.minus(self._held[node])
        if budget.calls is not None and total.calls + kept.calls >= budget.calls:
            return OverBudget("calls", total.calls, budget.calls, kept=kept.calls)
        if budget.tokens is not None:
            wanted = total.total_tokens + self._reserved.total_tokens + estimate.total_tokens
            if wanted + kept.total_tokens > budget.tokens:
                used, tokens = total.total_tokens, estimate.total_tokens
                return OverBudget("tokens", used, budget.tokens, tokens, kept=kept.total_tokens)
        if budget.usd is not None:
            usd, usd_kept = estimate.cost_usd or 0.0, kept.cost_usd or 0.0
            if self._usd + self._usd_reserved + usd + usd_kept > budget.usd:
                return OverBudget("usd", self._usd, budget.usd, usd, kept=usd_kept)
        return None


class NodeQuota:
    """At most `limit` nodes in a tree, including the root; reserved before they are created."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 1
        self._superseded = 0

    @property
    def left(self) -> int:
        """How many further nodes are within the limit."""
        return max(0, self._limit - self._taken)

    def has(self, count: int) -> bool:
        """Whether `count` further nodes are within the limit."""
        return self._taken + count <= self._limit

    def reserve(self, count: int) -> bool:
        """Reserve `count` nodes; false if the limit does not allow them."""
        if not self.has(count):
            return False
        self._taken += count
        return True

    def release(self, count: int) -> None:
        """Release reserved nodes that were not created."""
        self._taken -= count

    def supersede(self) -> None:
        """A node was superseded: it no longer counts."""
        self._taken -= 1
        self._superseded += 1

    def reserve_early(self) -> bool:
        """Reserve one node for an incomplete plan; false also once as many nodes as the limit were superseded."""
        return self._superseded < self._limit and self.reserve(1)
