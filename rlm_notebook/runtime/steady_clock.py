"""The time of a run's events: whatever the clock of the system does, it can be recorded and does not go back."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..core.recordable import LATEST, moment

__all__ = ["SteadyClock"]


class SteadyClock:
    """Seconds since the epoch, as the system says, or as `clock` does. Set back while a run goes on, it goes on from
    where it was; a time before 1970 is 1970."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._last = 0.0
        self._behind = 0.0

    def __call__(self) -> float:
        now = (time.time() if self._clock is None else moment(self._clock())) + self._behind
        if not self._last <= now <= LATEST:
            now = self._steady(moment(now))
        self._last = now
        return now

    def _steady(self, now: float) -> float:
        """The time where the clock was set back, or is beyond what a calendar has."""
        if now < self._last:
            self._behind += self._last - now
        return max(now, self._last)
