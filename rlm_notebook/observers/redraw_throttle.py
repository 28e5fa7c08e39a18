"""Limits how often progress is redrawn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["RedrawThrottle"]


class RedrawThrottle:
    """Calls `draw` after a change, at most every `interval` seconds; the last change is always drawn.

    Use it on the thread of `loop` only.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, draw: Callable[[], None], interval: float) -> None:
        self._loop = loop
        self._draw = draw
        self._interval = interval
        self._last = -interval
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Schedules a redraw, unless one is scheduled."""
        if self._timer is None:
            wait = self._last + self._interval - time.monotonic()
            self._timer = self._loop.call_later(max(0.0, wait), self._drawn)

    def stop(self) -> None:
        """Cancels the scheduled redraw and ignores later changes."""
        if self._timer is not None:
            self._timer.cancel()
        self._draw = lambda: None

    def _drawn(self) -> None:
        self._timer, self._last = None, time.monotonic()
        self._draw()
