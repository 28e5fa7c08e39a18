"""How long a run has worked, and its limit; pauses and waits for approval do not count.

A call in flight when a run is paused counts until it ends: the rest begins with the end of the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .budget import OverBudget

__all__ = ["ActiveTime"]


class ActiveTime:
    """Adds up seconds between `start` and `stop`; `within` ends its work when they reach `limit`."""

    def __init__(self, before: float, limit: float | None, clock: Callable[[], float]) -> None:
        #: The rests between stretches of work as (from, to) by `clock`; one that lasts has no end.
        self.rests: list[tuple[float, float | None]] = []
        self._clock = clock
        self._counted = before
        self._limit = limit
        self._since: float | None = None
        self._timeout: asyncio.Timeout | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def seconds(self) -> float:
        """Over all executions so far."""
        return self._counted + (self._loop.time() - self._since if self._since is not None else 0.0)

    @property
    def fresh(self) -> bool:
        """Not started in this execution."""
        return self._since is None and not self.rests

    @property
    def left(self) -> float | None:
        """The seconds that are left; `None`: no limit."""
        return None if self._limit is None else max(0.0, self._limit - self.seconds)

    def require_time(self) -> None:
        """Raises `OverBudget` if none is left."""
        if self._limit is not None and self.seconds >= self._limit:
            raise OverBudget("seconds", self.seconds, self._limit)

    def start(self) -> None:
        """Called with each call; starts the clock unless it runs. A replay makes no call, so it takes no time."""
        if self._since is not None:
            return
        self._since = self._loop.time()
        self._end_rest()
        if self._timeout is not None and self._limit is not None:
            self._timeout.reschedule(self._since + max(0.0, self._limit - self.seconds))

    def stop(self) -> None:
        if self._since is not None:
            self._count(self._since)
            self.rests.append((self._clock(), None))
        if self._timeout is not None:
            self._timeout.reschedule(None)

    def _count(self, since: float) -> None:
        self._counted += self._loop.time() - since
        self._since = None

    def _end_rest(self) -> None:
        if self.rests and self.rests[-1][1] is None:
            self.rests[-1] = (self.rests[-1][0], self._clock())

    async def within(self, main: Callable[[], Awaitable[str]]) -> str:
        """The result of `main`. Raises `OverBudget` when the time limit is reached."""
        timeout = self._timeout = asyncio.timeout(None)
        try:
            async with timeout:
                return await main()
        except TimeoutError:
            if timeout.expired():
                limit = self._limit or 0.0
                raise OverBudget("seconds", limit, limit) from None
            raise
        finally:
            self._timeout = None
            if self._since is not None:
                self._count(self._since)
            self._end_rest()
