"""What the rest of an experiment will cost and take, from a pilot of a few rows drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean as mean
from statistics import stdev

from ..core.limits import Budget, Usage
from ..core.text import amount, counted
from .row_record import RowRecord

__all__ = ["Estimate", "Forecast", "forecast_of", "total_of_rest"]

#: Simulated totals of the rest, of at most so many rows each; the interval is made of their quantiles.
DRAWS = 600
MOST_DRAWN = 300
LEVEL = 0.95
#: No row is taken to use more than this many times what the dearest row of the pilot did. A few rows far apart would
#: otherwise leave room for any amount.
MOST_BEYOND = 100


@dataclass(frozen=True, slots=True)
class Estimate:
    """A forecast amount, with the interval in which the real one is expected to lie 95 times of 100."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the `rows` that are left will use; `cost_usd` is `None` where prices are unknown, `seconds` are of the whole
    experiment at its concurrency."""

    rows: int
    cost_usd: Estimate | None
    tokens: Estimate
    calls: Estimate
    seconds: Estimate

    def __str__(self) -> str:
        parts, cost = [], self.cost_usd
        if cost is not None and cost.value > 0:
            parts.append(f"{cost.value:.3g} ({cost.low:.3g} to {cost.high:.3g}) dollars")
        if self.tokens.value > 0:
            parts.append(f"{_whole(self.tokens)} tokens")
        parts.append(f"{_whole(self.calls)} calls")
        parts.append(f"{_whole(self.seconds)} seconds")
        return f"the other {counted(self.rows, 'row')} will probably use {', '.join(parts)}"

    def exceeds(self, budget: Budget, used: Usage, seconds: float) -> str:
        """Which limit of the budget the rest may exceed, as a sentence; "" if it will probably suffice."""
        for name, limit, before, estimate in (
            ("usd", budget.usd, used.cost_usd or 0.0, self.cost_usd),
            ("tokens", budget.tokens, used.total_tokens, self.tokens),
            ("calls", budget.calls, used.calls, self.calls),
            ("seconds", budget.seconds, seconds, self.seconds),
        ):
            if limit is not None and estimate is not None and before + estimate.high > limit:
                return (
                    f"that may exceed the budget of {amount(limit)} {name}, of which {amount(before)} are used: run "
                    "again without the pilot to use what the budget allows, or with a larger budget"
                )
        return ""


def _whole(estimate: Estimate) -> str:
    return f"{estimate.value:,.0f} ({estimate.low:,.0f} to {estimate.high:,.0f})"


def forecast_of(
    pilot: Sequence[RowRecord], sizes: Sequence[float], rest: Sequence[float], concurrency: int
) -> Forecast:
    """The forecast for rows of the sizes `rest`, from the rows of a pilot and their `sizes` (characters, say)."""
    costs = [record.usage.cost_usd for record in pilot]
    known = [cost for cost in costs if cost is not None]
    work = total_of_rest([record.seconds for record in pilot], sizes, rest)
    # The last row of all ends alone: no row is split over workers.
    slowest = max((record.seconds for record in pilot), default=0.0)
    workers = max(1, min(concurrency, len(rest)))
    return Forecast(
        len(rest),
        total_of_rest(known, sizes, rest) if len(known) == len(costs) else None,
        total_of_rest([record.usage.total_tokens for record in pilot], sizes, rest),
        total_of_rest([record.usage.calls for record in pilot], sizes, rest),
        Estimate(
            max(work.value / workers, min(slowest, work.value)), work.low / workers, max(work.high / workers, slowest)
        ),
    )


def total_of_rest(values: Sequence[float], sizes: Sequence[float], rest: Sequence[float]) -> Estimate:
    """The total over rows of the sizes `rest`, given the `values` of a random sample of rows and their `sizes`.

    Where values grow with sizes, they are taken per size, since the sizes of the rest are known. The interval is the
    wider one of three: of the mean (Student's t); of a log-normal distribution with unknown mean and spread (its
    posterior predictive, by simulation), because costs are skewed; and, if the logarithms are themselves skewed, of a
    Pareto tail fitted to the upper half (Hill's estimator), because a few rows may then cost most of the total. It is
    seeded from its input, so equal pilots give equal forecasts. It cannot know of rows unlike all in the sample.
    """
    count, left = len(values), len(rest)
    if not count or not left:
        return Estimate(0.0, 0.0, 0.0)
    if count >= 3 and min(sizes) > 0 and min(values) > 0:
        rates = [value / size for value, size in zip(values, sizes, strict=True)]
        if stdev(rates) / mean(rates) < 0.8 * stdev(values) / mean(values):
            per_size = _total(rates, left)
            share = sum(rest) / left
            center = sum(values) / sum(sizes) * sum(rest)
            return Estimate(center, min(center, per_size.low * share), max(center, per_size.high * share))
    return _total(values, left)


def _total(values: Sequence[float], left: int) -> Estimate:
    count, center = len(values), mean(values) * left
    positive = [value for value in values if value > 0]
    if count < 2 or len(positive) < 2 or max(values) - min(values) <= 1e-12 * max(values):
        return Estimate(center, center, center)
    random = Random(repr((sorted(values), left)))
    half = _STUDENT_T.get(count - 1, 1.96 + 2.4 / (count - 1)) * stdev(values) * math.sqrt(1 / count + 1 / left) * left
    # Rows of no cost (reused, or failed before a call) stay apart: logarithms are of what costs something.
    costing = len(positive) / count
    low, high = _log_normal(positive, max(1, round(left * costing)), random)
    low, high = min(low, center), max(high, center + half)
    if skewness(positive) > _SKEWED:
        high = max(high, _pareto(sorted(positive), max(1, round(left * costing)), random))
    return Estimate(center, low, high)


#: The 97.5 % quantiles of Student's t for small samples.
_STUDENT_T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 10: 2.23}
#: Logarithms of log-normal values have a skewness of 0, those of a Pareto distribution of 2.
_SKEWED = 0.3
#: A heavier tail than this has no stable mean; a forecast could say nothing at all.
_LIGHTEST_INDEX = 1.1


def _log_normal(values: Sequence[float], left: int, random: Random) -> tuple[float, float]:
    logs = [math.log(value) for value in values]
    count, center, spread = len(logs), mean(logs), stdev(logs)
    totals = []
    drawn, most = min(left, MOST_DRAWN), max(logs) + math.log(MOST_BEYOND)
    for _ in range(DRAWS):
        sigma = spread * math.sqrt((count - 1) / (2 * random.gammavariate((count - 1) / 2, 1)))
        mu = random.gauss(center, sigma / math.sqrt(count))
        totals.append(sum(math.exp(min(random.normalvariate(mu, sigma), most)) for _ in range(drawn)) * left / drawn)
    return _quantiles(totals)


def _pareto(ordered: Sequence[float], left: int, random: Random) -> float:
    """The upper end of the interval, with a Pareto tail above the median."""
    tail = len(ordered) // 2
    start, body = ordered[-tail - 1], mean(ordered[:-tail])
    excess = sum(math.log(value / start) for value in ordered[-tail:])
    totals = []
    for _ in range(DRAWS):
        index = max(_LIGHTEST_INDEX, random.gammavariate(tail + 2, 1 / (excess + 1)))
        share = random.betavariate(tail, len(ordered) - tail)
        drawn = min(MOST_DRAWN, max(1, round(left * share)))
        top = sum(start * random.paretovariate(index) for _ in range(drawn)) * left * share / drawn
        totals.append(body * left * (1 - share) + top)
    return _quantiles(totals)[1]


def _quantiles(values: list[float]) -> tuple[float, float]:
    values.sort()
    outside = round(len(values) * (1 - LEVEL) / 2)
    return values[outside], values[-1 - outside]


def skewness(values: Sequence[float]) -> float:
    """Of the logarithms."""
    logs = [math.log(value) for value in values]
    center = mean(logs)
    variance = mean((each - center) ** 2 for each in logs)
    return mean((each - center) ** 3 for each in logs) / variance**1.5 if variance > 0 else 0.0
