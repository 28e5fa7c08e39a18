"""One cell: from its line and body to its value, or to a failure in one line."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from IPython.core.error import UsageError

from ..exceptions import ConfigurationError, RLMError
from ..portal import run_blocking
from ..run import Run
from ..types import Output
from .comm_pump import pumped_comms
from .failure import in_one_line, interruption
from .host import show
from .launch import start
from .loop import heartbeat, interruptible
from .options import CellOptions, parse_options
from .session import Session
from .timing import took
from .transformer import interpolated

__all__ = ["answer", "run_cell", "wait_for"]


async def run_cell(session: Session, line: str, cell: str) -> Output | None:
    """The value of a cell. What fails it is one line, unless `--debug` was asked for."""
    debug = "--debug" in line.split()
    try:
        options = parse_options(line)
        if isinstance(options, CellOptions):
            return await answer(session, options, _task(options, cell, session.variables))
        print(options)
        return None
    except (RLMError, UsageError) as error:
        if debug:
            raise
        failure = error
    raise in_one_line(failure)


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


async def answer(session: Session, options: CellOptions, task: str) -> Output:
    """Run a task as the options say, shown while it goes on; no task of it is left behind."""
    _require_built(options)
    began = time.monotonic()
    run = start(session, options, task)
    try:
        output = await _shown(session, run, options)
    finally:
        await _stopped(run)
        if options.time:
            print(took(run, time.monotonic() - began))
    output.format = options.format or output.format
    if options.type:
        session.tables.show(session.variables[options.type])
    if options.out:
        session.variables[options.out] = output
    return output


async def _shown(session: Session, run: Run, options: CellOptions) -> Output:
    """The result of a run that is watched; stopping it is a failure of the cell in words of its own."""
    view = options.view or session.defaults.view or session.host.best_view
    with show(run, view, title=options.name or ""):
        try:
            with interruptible(), heartbeat(), pumped_comms(session.shell):
                return await run
        except (asyncio.CancelledError, KeyboardInterrupt):
            by_signal = _is_being_cancelled()
            await _stopped(run)
    raise interruption(run, "Interrupted" if by_signal else "Cancelled")


def _require_built(options: CellOptions) -> None:
    for name in ("detach", "dry_run", "keep_plan", "store", "env_file"):
        if getattr(options, name):
            raise ConfigurationError(f"--{name.replace('_', '-')} cannot be used yet in this version; leave it out")


def _task(options: CellOptions, cell: str, variables: dict[str, Any]) -> str:
    task = cell if options.raw else interpolated(cell, variables)
    if not task.strip():
        raise ConfigurationError("the cell is empty: write the task below the %%rlm line")
    return task.strip("\n")


def _is_being_cancelled() -> bool:
    """This very task was told to stop (an interrupt); else only the run that it waits for was."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _stopped(run: Run) -> None:
    """Leave no task of the run behind; another interrupt does not keep it from putting away what it holds."""
    while not run.ended:
        with suppress(asyncio.CancelledError):
            await run.cancel()
