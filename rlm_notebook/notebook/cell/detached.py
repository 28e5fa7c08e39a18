"""`%%rlm --detach`: runs that continue in the background while other cells execute.

They share an event loop in a thread of their own: a task on the kernel's loop makes no progress while another cell
blocks. In a browser there is only the kernel's loop. Each is started in a copy of its cell's context, so that its
output stays in that cell.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import cache

from ...concurrency import threads
from ...concurrency.loop_thread import LoopThread
from ...core.events import Event, RunFinished
from ...runtime.run_view import RunView
from ..kernel.session import Session
from .options import CellOptions

__all__ = ["detached"]


@cache
def _loop_thread() -> LoopThread:
    return LoopThread()


async def detached(session: Session, options: CellOptions, start: Callable[[], RunView]) -> RunView:
    """Starts a run that continues after the cell; the run is the cell's value, and displays itself."""
    on_another_thread = threading.current_thread() is not threading.main_thread()
    if threads.CAN_START_THREADS and (options.detach == "thread" or on_another_thread):

        async def begin() -> RunView:
            return start()

        run = _loop_thread().submit(begin()).result()
    else:
        run = start()
    view = options.view or session.defaults.view or session.host.best_view
    # Moving text would be drawn into the next cell's output, so it is shown only with --view text.
    session.host.views[run] = view if view in ("widget", "static") else "none"
    if options.view == "text":
        _print_progress(run)
    return run


def _print_progress(run: RunView) -> None:
    """Prints the progress of a run as text until it ends, in the cell that calls this."""
    from ...observers.text import TextProgress

    progress = TextProgress(run, sys.stdout)

    def ended(event: Event) -> None:
        if isinstance(event, RunFinished):
            run.internals.loop.call_soon(progress.close)

    run.internals.watch(ended)
