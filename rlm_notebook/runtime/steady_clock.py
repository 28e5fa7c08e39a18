"""The time of a run's events: whatever the clock of the system does, it can be recorded and does not go back."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..core.recordable import moment

__all__ = ["SteadyClock"]


class SteadyClock:
    """Seconds since the epoch, as the system says, or as `clock` does. Set back while a run goes on, it goes on from
    where it was; a time before 1970 is 1970."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._last = 0.0
        self._behind = 0.0

    def __call__(self) -> float:
        now = moment(self._clock() if self._clock is not None else time.time()) + self._behind
        if now < self._last:
            self._behind += self._last - now
        self._last = moment(max(now, self._last))
        return self._last
