"""Runs one cell: from its line and body to its value, or to an error in one line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from IPython.core.error import UsageError

from ...concurrency.cancellation import is_being_cancelled
from ...core.plan import Plan
from ...exceptions import ConfigurationError, RLMError
from ...experiments.mapping import Experiment
from ...host.console import say
from ...ports.run import Journal
from ...runtime.run import Run
from ...types import Output
from ..display.show import show
from ..kernel.comm_pump import pumped_comms
from ..kernel.event_loop import heartbeat, interruptible
from ..kernel.session import Session
from . import dry_run, timing
from .approval import approved
from .cell_value import CellValue
from .detached import detached
from .errors import RunInterrupted, in_one_line, interruption
from .options import CellOptions, parse_options
from .start_run import open_servers, start
from .transformer import interpolated
from .type_option import type_named

__all__ = ["Value", "answer", "run_cell"]

T = TypeVar("T")
TITLE_CHARACTERS = 200
#: The value of a cell: its answer; with `--dry-run` the plan, with `--detach` the run, with `--over` the experiment.
Value = Output | Plan | Run | Experiment


async def run_cell(session: Session, line: str, cell: str) -> Value | None:
    """The value of a cell. Its errors are shown as one line, or with `--debug` as a traceback."""
    debug = "--debug" in line.split()
    try:
        options = parse_options(line)
        if isinstance(options, CellOptions):
            if options.over:
                from .over import mapped

                return await mapped(session, options, cell)
            task = _task(session, options, cell)
            if len(task) > len(cell) + MOST_INSERTED and options.view != "none":
                say(_LONG_TASK.format(len(task)))
            return await answer(session, replace(options, title=_first_line(cell)), task)
        say(options)
        return None
    except (RLMError, UsageError) as error:
        if debug:
            raise
        failure = error
    raise in_one_line(failure, session.shell)


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
    try:
        with show(run, view, title=_name_of(run, options)) as value.tree:
            widget = value.tree.view if value.tree is not None else None
            work = approved(run, widget) if options.approve or run.internals.configuration.team.guarded else run
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


def _name_of(run: Run, options: CellOptions) -> str:
    """The name in the title: that of the run's file, where another cell has the one that was given."""
    return Path(run.checkpoint).stem if options.name and run.checkpoint else options.name or ""


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


async def _attended(session: Session, run: Run, work: Awaitable[T]) -> T:
    """The result of `work`. Interrupting the cell, or cancelling its run, raises `RunInterrupted`."""
    try:
        with interruptible(), heartbeat(), pumped_comms(session.shell):
            return await work
    except (asyncio.CancelledError, KeyboardInterrupt):
        # An interrupt cancels this task; otherwise only the run that it awaits was cancelled.
        interrupted = is_being_cancelled()
        await _stopped(run)
    raise interruption(run.internals.latest, "Interrupted" if interrupted else "Cancelled")


def _task(session: Session, options: CellOptions, cell: str) -> str:
    task = cell if options.raw else interpolated(cell, session.variables)
    if not task.strip():
        raise ConfigurationError("the cell is empty: write the task below the %%rlm line")
    return task.strip("\n")


#: Characters that variables add to a task, beyond which the cell says that `-c` may be meant.
MOST_INSERTED = 100_000
_LONG_TASK = (
    "rlm: with its variables the task has {:,} characters, and prompts repeat it; -c NAME in place of {{{{NAME}}}} "
    "offers a long value by reference"
)


def _first_line(cell: str) -> str:
    """The title of the run: the first line with text, before variables are inserted."""
    return next((line.strip() for line in cell.splitlines() if line.strip()), "")[:TITLE_CHARACTERS]


async def _stopped(run: Run) -> None:
    """Waits until the run has no task left; another interrupt does not keep it from closing its file."""
    while not run.ended:
        with suppress(asyncio.CancelledError):
            await run.cancel()
