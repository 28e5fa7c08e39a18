"""The clock of a run's events: recordable times that never decrease, even if the system clock is set back."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..core.recordable import LATEST, moment

__all__ = ["SteadyClock"]


class SteadyClock:
    """Seconds since the epoch, from the system or from `clock`.

    After the clock was set back, times continue from the last one. A time before 1970 is 1970.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._last = 0.0
        self._behind = 0.0

    def __call__(self) -> float:
        now = (time.time() if self._clock is None else moment(self._clock())) + self._behind
        if not self._last <= now <= LATEST:
            # The clock was set back, or is beyond what a calendar has.
            now = moment(now)
            self._behind += max(0.0, self._last - now)
            now = max(now, self._last)
        self._last = now
        return now
