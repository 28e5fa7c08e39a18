"""Intervals and tests for scores of rows, where seeds are repeats of a row and not rows.

The unit is always the row: what is repeated (seeds, or several pairs of arms) is averaged per row first, because
repeats of a row are alike and would make intervals too narrow. scipy does the computing and is imported on first use.
Randomness is seeded from the data, so the same scores give the same digits.

Every function gives numbers or `None`, never NaN, and a `note` says what is not there.

- A proportion has a Wilson interval; with repeats, the number of trials is the effective one (variance of the row
  means compared to that of single trials, with Student's t in place of z, as Korn and Graubard do for clusters).
- Any other mean, and every difference, has a BCa bootstrap interval over rows, with the level expanded for small
  samples (Hesterberg: normal quantiles replaced by those of t, times the square root of n / (n - 1)); below 100 rows,
  the wider of that and Student's.
- The test of a difference of binary scores without repeats is McNemar's exact one, of all others a sign-flip
  permutation test of the row differences (exact for up to 13 of them).
- Several comparisons are adjusted by Holm's method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from typing import Any

from ..exceptions import ConfigurationError
from ..host.installation import install_command

__all__ = ["Difference", "Interval", "difference", "holm", "mean_interval"]

LEVEL = 0.95
RESAMPLES = 4_999
#: Below so many rows, the interval is the wider of the bootstrap's and Student's.
FEW_ROWS = 100
#: Below so many, it is Student's alone: resampling two or three values says nothing.
FEWEST_ROWS = 6
#: Above so many rows, fewer resamples: the interval is then nearly normal, and memory is not for free.
MANY_ROWS = 2_000


@dataclass(frozen=True)
class Interval:
    """A mean over `rows` rows (of `values` values), and its 95 % interval; `None` where it cannot be given, and then
    `note` says why."""

    value: float | None
    low: float | None
    high: float | None
    rows: int
    values: int
    note: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        if self.low is None or self.high is None:
            return f"{self.value:.3g}"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Difference:
    """A paired difference of means over `rows` rows: interval, p value, and in how many rows which was better."""

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    rows: int
    wins: int
    ties: int
    losses: int
    test: str
    note: str = ""


def mean_interval(values: Sequence[Sequence[float]]) -> Interval:
    """The mean of scores, given the repeats of each row, and its interval."""
    rows = [list(map(float, repeats)) for repeats in values if repeats]
    count, total = len(rows), sum(map(len, rows))
    if not rows:
        return Interval(None, None, None, 0, 0, "no row has a score")
    means = [sum(repeats) / len(repeats) for repeats in rows]
    center = sum(means) / count
    binary = all(value in (0.0, 1.0) for repeats in rows for value in repeats)
    if binary:
        if count == 1:
            return Interval(center, None, None, 1, total, "one row gives no interval")
        low, high = _wilson(center, means, total)
        return Interval(center, low, high, count, total)
    if count == 1:
        return Interval(center, None, None, 1, total, "one row gives no interval")
    if max(means) == min(means):
        return Interval(center, None, None, count, total, f"all {count} rows have the same score")
    low, high = _bca(means)
    return Interval(center, low, high, count, total)


def difference(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> Difference:
    """The mean of `other` minus `one`, paired by row; both give the repeats of each row, none for a missing score."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a and b]
    count = len(pairs)
    gaps = [sum(b) / len(b) - sum(a) / len(a) for a, b in pairs]
    # Means of repeats such as 1/3 + 1/3 + 1/3 are equal up to rounding.
    gaps = [0.0 if abs(gap) < 1e-12 else gap for gap in gaps]
    wins, losses = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    ties = count - wins - losses
    if not pairs:
        return Difference(None, None, None, None, 0, 0, 0, 0, "", "no row has a score of both")
    center = math.fsum(gaps) / count
    single = all(len(a) == len(b) == 1 for a, b in pairs)
    binary = single and all(value in (0, 1) for pair in pairs for side in pair for value in side)
    if binary:
        test = "McNemar's exact test"
        p = float(_stats().binomtest(min(wins, losses), wins + losses, 0.5).pvalue) if wins + losses else 1.0
    else:
        p, test = _sign_flips(gaps), "sign-flip test"
    if count == 1:
        return Difference(center, None, None, None, 1, wins, ties, losses, "", "one row gives no interval and no test")
    if max(gaps) == min(gaps):
        unseen = 1 - 0.05 ** (1 / count)
        note = (
            f"no difference seen in {count} rows; one in up to {100 * unseen:.0f} % of the rows may have stayed unseen"
            if gaps[0] == 0
            else f"the difference is the same in all {count} rows"
        )
        return Difference(center, None, None, p, count, wins, ties, losses, test, note)
    low, high = _bca(gaps)
    return Difference(center, low, high, p, count, wins, ties, losses, test)


def holm(values: Sequence[float]) -> list[float]:
    """The p values adjusted for their number, in the same order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[at]))
        adjusted[at] = largest
    return adjusted


def _wilson(center: float, means: Sequence[float], total: int) -> tuple[float, float]:
    count = len(means)
    z = _stats().norm.ppf((1 + LEVEL) / 2)
    trials = float(total)
    if total > count:
        variance = math.fsum((each - center) ** 2 for each in means) / (count - 1) / count
        # Without variance between rows, nothing shows that repeats are worth more than their row.
        trials = min(center * (1 - center) / variance, total) if variance > 0 else count
        trials *= (z / _stats().t.ppf((1 + LEVEL) / 2, count - 1)) ** 2
    scale = 1 + z * z / trials
    middle = (center + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(center * (1 - center) / trials + z * z / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def _bca(values: Sequence[float]) -> tuple[float, float]:
    """The interval of the mean of values that are not all equal."""
    stats, numpy, count = _stats(), import_module("numpy"), len(values)
    center, spread = float(numpy.mean(values)), float(numpy.std(values, ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * spread / math.sqrt(count)
    if count < FEWEST_ROWS:
        return center - half, center + half
    expanded = stats.t.ppf((1 + LEVEL) / 2, count - 1) * math.sqrt(count / (count - 1))
    many = count > MANY_ROWS
    found = stats.bootstrap(
        (values,),
        numpy.mean,
        n_resamples=RESAMPLES if not many else RESAMPLES // 5,
        batch=None if not many else 50,
        confidence_level=1 - 2 * stats.norm.sf(expanded),
        method="BCa",
        rng=_generator(values),
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    if math.isfinite(low) and math.isfinite(high) and count >= FEW_ROWS:
        return low, high
    # In small samples of a few distinct values, the bootstrap alone covers less than it promises.
    return float(numpy.nanmin([low, center - half])), float(numpy.nanmax([high, center + half]))


def _sign_flips(gaps: Sequence[float]) -> float:
    """How often a difference at least as large comes about when each row's sign is a coin's."""
    numpy = import_module("numpy")
    changed = numpy.array([gap for gap in gaps if gap != 0.0])
    if not len(changed):
        return 1.0
    observed = abs(changed.sum())
    if len(changed) <= 13:
        bits = (numpy.arange(2 ** len(changed))[:, None] >> numpy.arange(len(changed))) & 1
        sums = abs((2 * bits - 1) @ changed)
        return float((sums >= observed * (1 - 1e-9)).mean())
    generator, hits, drawn = _generator(gaps), 0, 0
    block = max(1, 2_000_000 // len(changed))
    while drawn < RESAMPLES:
        size = min(block, RESAMPLES - drawn)
        signs = 2 * generator.integers(0, 2, (size, len(changed)), dtype=numpy.int8) - 1
        hits += int((abs(signs @ changed) >= observed * (1 - 1e-9)).sum())
        drawn += size
    return (hits + 1) / (drawn + 1)


def _generator(values: Sequence[float]) -> Any:
    seed = blake2b(repr([round(float(value), 12) for value in values]).encode(), digest_size=8).digest()
    return import_module("numpy").random.default_rng(int.from_bytes(seed, "big"))


def _stats() -> Any:
    try:
        return import_module("scipy.stats")
    except ImportError:
        raise ConfigurationError(
            f"intervals and tests need scipy: {install_command('experiments')}; .frame needs nothing"
        ) from None
