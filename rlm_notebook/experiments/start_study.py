"""Starts a comparison of ways to solve a task: `rlm_notebook.study`."""

from __future__ import annotations

import asyncio
from typing import Any

from ..async_engine import AsyncRecursiveEngine
from ..concurrency.loop_thread import run_blocking
from ..core.choices import RunMode, instance, whole_number
from ..core.limits import Budget
from ..core.text import counted
from ..runtime.engine_view import engine_held
from ..runtime.options import EngineOptions, mode_of
from .arms import Grid, arms_of
from .live_study import StudyRows
from .progress import progress_of_rows, say_unrecorded
from .recording import store_for
from .scoring import scorers_of
from .study import Study
from .tables import table_of

__all__ = ["study"]


def study(
    data: Any,
    *,
    task: str | None = None,
    score: Any,
    grid: Grid,
    seeds: int = 1,
    engine: EngineOptions | None = None,
    budget: Budget | None = None,
    name: str | None = None,
    checkpoint: Any = None,
    output_type: Any = None,
    concurrency: int = 64,
    limit: int | None = None,
    mode: RunMode = "resume",
    progress: bool = False,
) -> Study:
    """Compare ways to solve `task` over the rows of `data`; returns the `Study`, to be awaited for its end.

    `engine` is an `AsyncRecursiveEngine` or a `RecursiveEngine`; with the latter, or without a running event loop, the
    study has ended when this returns. `grid` maps factors to levels: options of the engine, "model", "task" and
    "best_of"; lists of levels, or dicts of named ones. Or it is a list of arms:
    `[{"name": "tree", "max_depth": 3}, {"name": "vote", "max_depth": 1, "best_of": 5}]`. The arm of one call
    (`max_depth=1`) is added for each combination, or for each model and task of a list, unless it is there. `best_of=k`
    solves each row k times, and the most frequent answer counts: one call at the cost of a tree. Its first call is that
    of an equal arm without it.

    `score` is a scorer, or a dict of them: functions `(row, output) -> float | bool | dict`, or those of
    `rlm_notebook.scorers`. `seeds` is how often each row is solved in each arm. `budget` is for everything, judges
    included. Data, `name`, `checkpoint` and `mode` are as of `engine.map`: what is recorded is not run again. Before
    the first call, scorers are checked against the columns; a function is tried once for this, with the first row and
    an empty answer. `progress` shows a bar or lines on standard error.
    Raises `ConfigurationError` and `CheckpointError`.
    """
    whole_number("seeds", seeds)
    table = table_of(data)
    if limit is not None:
        table = table.head(limit)
    store = store_for(name, checkpoint, task or "study")
    arms = arms_of(task, grid, engine, seeds, AsyncRecursiveEngine)
    for arm in arms if instance("budget", budget, Budget, "Budget(usd=5)") is not None else ():
        assert budget is not None
        arm.engine.priced(budget)
    made = Study(
        table,
        arms,
        scorers_of(score),
        seeds,
        store,
        output_type,
        budget,
        concurrency,
        mode_of(mode, recorded=store.path is not None),
        AsyncRecursiveEngine,
    )
    made.check_scorers()
    made.adopt_rows()
    if name is None and checkpoint is None:
        answers = f"the answers of {counted(len(table), 'row')} in {counted(len(arms), 'arm')}"
        say_unrecorded(answers, "study", [arm.engine for arm in arms])

    def start() -> None:
        made.start()
        if progress:
            made.at_end(progress_of_rows(StudyRows(made)).close)

    async def whole() -> Study:
        start()
        return await made

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_blocking(whole)
    held: object = engine_held(engine)
    if engine is not None and engine is not held:
        # A `RecursiveEngine`: its caller is blocked.
        return run_blocking(whole, thread_safe=engine.thread_safe)
    start()
    return made
