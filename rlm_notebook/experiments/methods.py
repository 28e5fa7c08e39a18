"""The paragraph of a study for the methods section of a paper."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from ..core.limits import Budget, Usage
from ..core.text import counted
from ..version import __version__
from .comparison import Compared

__all__ = ["methods_text"]


class Way(Compared, Protocol):
    """An arm, as far as the paragraph describes it."""

    @property
    def task(self) -> str: ...
    @property
    def best_of(self) -> int: ...


def methods_text(
    arms: Sequence[Way],
    models: Sequence[str],
    rows: int,
    seeds: int,
    states: Sequence[str],
    moments: Sequence[float],
    used: Usage,
    budget: Budget | None,
) -> str:
    """Models, dates, settings, n, seeds, budget and statistics, in sentences.

    `states` are those of all runs, `moments` when runs ended, in seconds since 1970.
    """
    dates = sorted({time.strftime("%Y-%m-%d", time.gmtime(moment)) for moment in moments})
    span = "on no day" if not dates else f"on {dates[0]}" if len(dates) == 1 else f"from {dates[0]} to {dates[-1]}"
    baselines = [arm.label for arm in arms if arm.baseline == arm.label]
    if len(baselines) > 1:
        compared = f"The arms {'; '.join(baselines)} answer in one call and are the baselines of the others."
    else:
        compared = f"The arm {''.join(baselines)} answers in one call and is the baseline."
    failed, pending = states.count("failed"), states.count("pending")
    cost = "of unknown cost" if used.cost_usd is None else f"{used.cost_usd:.4g} dollars"
    limits = ", ".join(f"{value:g} {name}" for name, value in (budget.to_json() if budget is not None else {}).items())
    parts = [
        f"We compared {counted(len(arms), 'arm')} ({'; '.join(arm.label for arm in arms)}) on {counted(rows, 'row')}, "
        f"with {counted(seeds, 'run')} of each row in each arm.",
        f"Models: {', '.join(models)}; run {span} (UTC) with rlm_notebook {__version__}.",
        f"The task was: {arms[0].task.strip()!r}.",
        compared,
        *(
            f"In the arm {arm.label}, the most frequent of {arm.best_of} answers to a row counts."
            for arm in arms
            if arm.best_of > 1
        ),
        f"Of {counted(len(states), 'run')}, {failed} failed and have no score"
        f"{f', {pending} did not run' if pending else ''}; all runs together used {counted(used.calls, 'call')}, "
        f"{used.total_tokens:,} tokens and {cost}{f', within a budget of {limits}' if limits else ''}.",
        "Intervals are 95 %: Wilson's for proportions (with the effective number of trials where rows were "
        "repeated), bias-corrected and accelerated bootstrap over rows otherwise. Differences are paired by row, "
        "repeats averaged within a row; binary scores without repeats were tested by McNemar's exact test, others "
        "by a sign-flip permutation test, with Holm's adjustment over the comparisons made.",
    ]
    return " ".join(parts)
