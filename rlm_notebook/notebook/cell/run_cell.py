"""One cell: from its line and body to its value, or to a failure in one line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from IPython.core.error import UsageError

from ...concurrency.cancellation import is_being_cancelled
from ...concurrency.loop_thread import run_blocking
from ...core.plan import Execute, Recurse
from ...exceptions import ConfigurationError, RLMError
from ...ports import Journal
from ...runtime.run import Run
from ...types import Output
from ..display.show import show
from ..kernel.comm_pump import pumped_comms
from ..kernel.event_loop import heartbeat, interruptible
from ..kernel.session import Session
from .approval import approved
from .detached import detached
from .dry_run import account_of, planned
from .errors import in_one_line, interruption
from .options import CellOptions, parse_options
from .start_run import start
from .timing import took
from .transformer import interpolated, left_literal
from .type_option import type_named

__all__ = ["Value", "answer", "run_cell", "wait_for"]

T = TypeVar("T")
TITLE_CHARACTERS = 200
#: What a cell may come to: its answer; with `--dry-run` the plan, with `--detach` the run.
Value = Output | Execute | Recurse | Run


async def run_cell(session: Session, line: str, cell: str) -> Value | None:
    """The value of a cell. What fails it is one line, unless `--debug` was asked for."""
    debug = "--debug" in line.split()
    try:
        options = parse_options(line)
        if isinstance(options, CellOptions):
            task = _task(session, options, cell)
            return await answer(session, replace(options, title=_first_line(cell)), task)
        print(options)
        return None
    except (RLMError, UsageError) as error:
        if debug:
            raise
        failure = error
    raise in_one_line(failure, session.shell)


def wait_for(session: Session, work: Any) -> Any:
    """The result of `work()`, a coroutine, waited for without awaiting; an interrupt is told in one line."""
    before = session.last
    try:
        return run_blocking(work)
    except KeyboardInterrupt:
        run = session.last
        if run is None or run is before:
            raise
    raise in_one_line(interruption(run, "Interrupted"))


async def answer(session: Session, options: CellOptions, task: str, journal: Journal | None = None) -> Value:
    """Do with a task what the options say; no task of the run is left behind.

    The run is kept in `journal` if one is given, else where the options say.
    """
    value = await _way_of(options)(session, options, task, journal)
    if options.out:
        session.variables[options.out] = value
    return value


def _way_of(options: CellOptions) -> Callable[[Session, CellOptions, str, Journal | None], Awaitable[Value]]:
    if options.dry_run:
        return _plan
    return detached if options.detach else _output


async def _output(session: Session, options: CellOptions, task: str, journal: Journal | None) -> Output:
    """The answer of a run that is shown while it goes on."""
    began = time.monotonic()
    run = start(session, options, task, journal)
    view = options.view or session.defaults.view or session.host.best_view
    try:
        with show(run, view, title=options.name or "") as widget:
            work = approved(run, widget) if options.approve or run.internals.configuration.team.guarded else run
            output = await _attended(session, run, work)
    finally:
        await _stopped(run)
        if options.time:
            print(took(run, time.monotonic() - began))
    output.format = options.format or output.format
    if options.type:
        session.tables.show(type_named(options.type, session.variables))
    return output


async def _plan(session: Session, options: CellOptions, task: str, journal: Journal | None) -> Execute | Recurse:
    """The root's plan, and what is to be expected of it."""
    run = start(session, replace(options, approve="root"), task, journal)
    try:
        plan = await _attended(session, run, planned(run))
    finally:
        await _stopped(run)
    print(account_of(run, plan))
    return plan


async def _attended(session: Session, run: Run, work: Awaitable[T]) -> T:
    """What `work` gives; stopping the run is a failure of the cell in words of its own."""
    try:
        with interruptible(), heartbeat(), pumped_comms(session.shell):
            return await work
    except (asyncio.CancelledError, KeyboardInterrupt):
        # This very task was told to stop (an interrupt); else only the run that it waits for was.
        by_signal = is_being_cancelled()
        await _stopped(run)
    raise interruption(run.internals.latest, "Interrupted" if by_signal else "Cancelled")


def _task(session: Session, options: CellOptions, cell: str) -> str:
    task = cell if options.raw else interpolated(cell, session.variables)
    if not task.strip():
        raise ConfigurationError("the cell is empty: write the task below the %%rlm line")
    for name in () if options.raw else left_literal(cell, session.variables):
        session.tell_once(
            f"rlm: {{{{ {name} }}}} stays as it is, because of its spaces; {{{{{name}}}}} puts the variable in"
        )
    return task.strip("\n")


def _first_line(cell: str) -> str:
    """With text in it, and with the names of variables where their values would come."""
    return next((line.strip() for line in cell.splitlines() if line.strip()), "")[:TITLE_CHARACTERS]


async def _stopped(run: Run) -> None:
    """Leave no task of the run behind; another interrupt does not keep it from putting away what it holds."""
    while not run.ended:
        with suppress(asyncio.CancelledError):
            await run.cancel()
