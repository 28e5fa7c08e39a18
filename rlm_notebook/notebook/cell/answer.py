"""The answer of a cell: the run of its task, shown while it runs, and what becomes its value."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...concurrency.cancellation import is_being_cancelled
from ...core.plan import Plan
from ...experiments.experiment import Experiment
from ...host.console import say
from ...ports.run import Journal
from ...runtime.run_view import RunView
from ...types import Output
from ..display.show import show
from ..kernel.comm_pump import pumped_comms
from ..kernel.event_loop import heartbeat, interruptible
from ..kernel.session import Session
from . import dry_run, timing
from .approval import approved
from .cell_value import CellValue
from .detached import detached
from .errors import RunInterrupted, interruption
from .options import CellOptions
from .start_run import open_servers, start
from .type_option import type_named

__all__ = ["Value", "answer"]

T = TypeVar("T")
#: The value of a cell: its answer; with `--dry-run` the plan, with `--detach` the run, with `--over` the experiment.
Value = Output | Plan | RunView | Experiment


async def answer(session: Session, options: CellOptions, task: str, journal: Journal | None = None) -> Value:
    """Runs a task with the options of a cell; when it returns, the run has no asyncio task left (except `--detach`).

    The run is written to `journal` if one is given, else to the file that the options name.
    """
    value: Value
    await _servers_opened(session, options)
    if options.dry_run:
        value = await _plan(session, options, task, journal)
    elif options.detach:
        value = run = await detached(session, options, partial(start, session, options, task, journal))
        CellValue(session, options, run).returned(run)
    else:
        value = await _output(session, options, task, journal)
    if options.out:
        session.variables[options.out] = value
    return value


async def _servers_opened(session: Session, options: CellOptions) -> None:
    """Starts the servers of the cell's tools. Interrupting the cell raises `RunInterrupted`."""
    try:
        with interruptible(), heartbeat():
            await open_servers(session, options)
            return
    except (asyncio.CancelledError, KeyboardInterrupt):
        pass
    raise RunInterrupted("Interrupted while the servers of the tools were starting; the run had not begun")


async def _output(session: Session, options: CellOptions, task: str, journal: Journal | None) -> Output:
    """The answer of a run, which is shown while it runs."""
    began = time.monotonic()
    run = start(session, options, task, journal)
    view = options.view or session.defaults.view or session.host.best_view
    value = CellValue(session, options, run)
    # The file has another name where another cell has the one that was given.
    name = Path(run.checkpoint).stem if options.name and run.checkpoint else options.name
    try:
        with show(run, view, title=name or "") as value.tree:
            widget = value.tree.view if value.tree is not None else None
            work = approved(run, widget) if options.approve or run.internals.guarded else run
            output = await _attended(session, run, work)
    except BaseException:
        value.failed()
        raise
    finally:
        await _stopped(run)
        if options.time:
            say(timing.summary(run, time.monotonic() - began))
    output.format = options.format or output.format
    value.returned(output)
    if options.type:
        session.tables.show(type_named(options.type, session.variables))
    return output


async def _plan(session: Session, options: CellOptions, task: str, journal: Journal | None) -> Plan:
    """The root's plan; prints an estimate of the run."""
    run = start(session, options, task, journal)
    try:
        plan = await _attended(session, run, dry_run.planned(run))
        if not run.internals.finished:
            # Not cancelled: the cell without --dry-run goes on from here.
            await run.internals.suspend()
    finally:
        await _stopped(run)
    say(dry_run.summary(run, plan))
    return plan


async def _attended(session: Session, run: RunView, work: Awaitable[T]) -> T:
    """The result of `work`. Interrupting the cell, or cancelling its run, raises `RunInterrupted`."""
    try:
        with interruptible(), heartbeat(), pumped_comms(session.shell):
            return await work
    except (asyncio.CancelledError, KeyboardInterrupt):
        # An interrupt cancels this task; otherwise only the run that it awaits was cancelled.
        interrupted = is_being_cancelled()
        await _stopped(run)
    raise interruption(run.internals.latest, "Interrupted" if interrupted else "Cancelled")


async def _stopped(run: RunView) -> None:
    """Waits until the run has no task left; another interrupt does not keep it from closing its file."""
    while not run.ended:
        with suppress(asyncio.CancelledError):
            await run.cancel()
