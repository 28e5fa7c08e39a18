"""Drawing that keeps up with events without drawing for each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["Paced"]


class Paced:
    """Calls `draw` at once, then at most every `interval` seconds; what changed last is always drawn.

    Used on the thread of `loop` only.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, draw: Callable[[], None], interval: float) -> None:
        self._loop = loop
        self._draw = draw
        self._interval = interval
        self._last = -interval
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Something is to be drawn: soon, if it was drawn just now."""
        if self._timer is None:
            wait = self._last + self._interval - time.monotonic()
            self._timer = self._loop.call_later(max(0.0, wait), self._drawn)

    def stop(self) -> None:
        """Draw nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._draw = lambda: None

    def _drawn(self) -> None:
        self._timer, self._last = None, time.monotonic()
        self._draw()
