"""Work of the event loop that a cell or a line waits for."""

from __future__ import annotations

from typing import Any

from ...concurrency.loop_thread import run_blocking
from ..kernel.session import Session
from .errors import in_one_line, interruption

__all__ = ["wait_for"]


def wait_for(session: Session, work: Any) -> Any:
    """Blocks until the coroutine `work()` ends and returns its result; an interrupt raises a one-line error."""
    before = session.last
    try:
        return run_blocking(work)
    except KeyboardInterrupt:
        run = session.last
        if run is None or run is before:
            raise
    raise in_one_line(interruption(run, "Interrupted"))
