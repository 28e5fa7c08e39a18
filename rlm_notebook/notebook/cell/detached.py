"""`%%rlm --detach`: runs that go on while other cells work.

They share an event loop in a thread of its own: a task on the kernel's loop would stand still while any other cell
blocks. Each is started in a copy of its cell's context, so that what it prints stays in that cell.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import cache

from ...concurrency.loop_thread import LoopThread
from ...core.events import Event, RunFinished
from ...ports import Journal
from ...runtime.run import Run
from ..kernel.session import Session
from .options import CellOptions
from .start_run import start

__all__ = ["detached"]


@cache
def _loop_thread() -> LoopThread:
    return LoopThread()


async def detached(session: Session, options: CellOptions, task: str, journal: Journal | None) -> Run:
    """Start a task that goes on when the cell is over; the run shows itself, as the cell's value."""
    apart = options.detach == "thread" or threading.current_thread() is not threading.main_thread()
    run = (_started_apart if apart else _started_here)(lambda: start(session, options, task, journal))
    view = options.view or session.defaults.view or session.host.best_view
    # Text that moves would be drawn into what is typed meanwhile, so it is shown only to those who ask for it.
    session.host.views[run] = "widget" if view == "widget" else "none"
    if options.view == "text":
        _print_progress(run)
    return run


def _started_apart(make: Callable[[], Run]) -> Run:
    """The run that `make()` starts, on the loop of detached runs. Raises what `make` raises."""

    async def begin() -> Run:
        return make()

    return _loop_thread().submit(begin()).result()


def _started_here(make: Callable[[], Run]) -> Run:
    return make()


def _print_progress(run: Run) -> None:
    """Print the progress of a run as text until it ends, in the cell that calls this."""
    from ...observers.text import TextProgress

    progress = TextProgress(run, sys.stdout)

    def ended(event: Event) -> None:
        if isinstance(event, RunFinished):
            run.internals.loop.call_soon(progress.close)

    run.internals.watch(ended)
