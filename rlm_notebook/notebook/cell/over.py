"""`%%rlm --over NAME`: the task of a cell for each row of a table of the notebook."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from ...exceptions import ConfigurationError
from ...experiments.display import progress_html
from ...experiments.experiment import Experiment
from ...experiments.progress import progress_of_rows, time_left
from ...experiments.recording import store_for
from ...experiments.row_adoption import recorded_model
from ...experiments.tables import table_of
from ..display.show_rows import show_rows
from ..kernel.comm_pump import pumped_comms
from ..kernel.event_loop import heartbeat, interruptible
from ..kernel.session import Session
from .errors import RunInterrupted
from .options import CellOptions
from .start_run import engine_for_rows
from .transformer import interpolated
from .type_option import type_named
from .variables import variable

__all__ = ["mapped"]

_PLACE = re.compile(r"(\\?)\{\{([^\W\d]\w*)\}\}")
#: Seconds between two updates of the progress in a notebook.
REFRESH_INTERVAL = 0.5


async def mapped(session: Session, options: CellOptions, cell: str) -> Experiment:
    """The experiment of a cell with `--over`, once all its rows have ended; it is also put into `--out` at once, so
    that what finished can be read after an interrupt."""
    data = _table(session, str(options.over))
    row = options.as_ or "row"
    task = (
        cell.strip("\n")
        if options.raw
        else _task(session, cell, list(dict.fromkeys([*table_of(data).names, row, "row"])))
    )
    engine, budget = engine_for_rows(session, options, lambda: _recorded_model(options, task))
    if options.mode != "replay":
        await engine.open_servers()
    experiment: Experiment = engine.map(
        task,
        data,
        **_file(options),
        output_type=type_named(options.type, session.variables) if options.type else None,
        budget=budget,
        concurrency=options.max_concurrency or 64,
        limit=options.limit,
        pilot=options.pilot,
        mode=cast(Any, options.mode),
        store=cast(Any, options.store or "full"),
        row=row,
    )
    if options.out:
        session.variables[options.out] = experiment
    view = options.view or session.defaults.view or session.host.best_view
    try:
        with _shown(session, experiment, view), interruptible(), heartbeat(), pumped_comms(session.shell):
            return await experiment
    except (asyncio.CancelledError, KeyboardInterrupt):
        with suppress(asyncio.CancelledError):
            await experiment.cancel()
    summary = experiment.summary
    where = f"recorded in {experiment.checkpoint}" if experiment.checkpoint else "kept in memory only"
    raise RunInterrupted(
        f"Interrupted: {summary.done} of {summary.rows} rows are {where}; run the cell again to continue"
    )


def _file(options: CellOptions) -> dict[str, Any]:
    if options.no_checkpoint:
        return {"checkpoint": False}
    if options.checkpoint:
        return {"checkpoint": Path(options.checkpoint).expanduser().absolute()}
    return {"name": options.name} if options.name else {"checkpoint": True}


def _recorded_model(options: CellOptions, task: str) -> str:
    """The model that answered most lately in the cell's file; "" if none is known."""
    given = {"name": None, "checkpoint": None, **_file(options)}
    return recorded_model(store_for(given["name"], given["checkpoint"], task))


def _table(session: Session, name: str) -> Any:
    """The table that `--over` names: a variable, or the path of a file."""
    if name not in session.variables and Path(name).suffix:
        return Path(name).expanduser()
    return variable(name, "--over", session.variables)


def _task(session: Session, cell: str, columns: list[str]) -> str:
    """The cell's text with the notebook's variables inserted; the places of columns stay."""

    def value(match: re.Match[str]) -> str:
        if match[1] or match[2] in columns:
            return match[0]
        try:
            inserted = interpolated(match[0], session.variables)
        except ConfigurationError as error:
            listed = ", ".join(columns[:20])
            raise ConfigurationError(f"{{{{{match[2]}}}}} is no column ({listed}), and: {error}") from None
        return inserted.replace("{{", r"\{{")

    return _PLACE.sub(value, cell).strip("\n")


@contextmanager
def _shown(session: Session, experiment: Experiment, view: str) -> Iterator[None]:
    """Shows the rows, or their progress, while the block runs; what is not shown then is the value of the cell."""
    if view == "none":
        yield
        return
    if view == "text":
        progress = progress_of_rows(experiment, sys.stdout)
        try:
            yield
        finally:
            progress.close()
        return
    if view == "widget":
        refresh_copy = show_rows(experiment, view)
        session.host.has_shown(experiment)
        try:
            yield
        finally:
            refresh_copy()
        return
    from IPython.display import HTML, display

    show: Any = display
    page: Any = HTML
    output = show(page(progress_html(experiment.summary)), display_id=True)
    last = time.monotonic()

    def refresh() -> None:
        nonlocal last
        if time.monotonic() - last >= REFRESH_INTERVAL:
            last = time.monotonic()
            output.update(page(progress_html(experiment.summary, time_left(experiment.internals).strip(", "))))

    experiment.internals.watch(refresh)
    try:
        yield
    finally:
        # The value of the cell shows the same bar above its table; after an error it stays here.
        failed = experiment.status in ("running", "paused", "cancelled", "failed")
        output.update(page(progress_html(experiment.summary) if failed else ""))
