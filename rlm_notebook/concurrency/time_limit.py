"""Time limits for thousands of concurrent calls: limits of equal length share one timer of the event loop."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["TimeLimit"]


class TimeLimit:
    """A context manager like `asyncio.timeout(seconds)`, used with `with`: cancels its body when the time is over, and
    raises `TimeoutError`. A separate timer for each call took 5 % of the CPU time of a node.
    """

    __slots__ = ("_alarm", "_cancelling", "_seconds", "_task", "end", "expired")

    def __init__(self, seconds: float | None) -> None:
        self.expired = False
        #: The end, by the clock of the event loop.
        self.end = 0.0
        self._alarm: _Alarm | None = None
        self._seconds = seconds

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit can be used only in a task")
        self._task, self._cancelling = task, task.cancelling()
        if self._seconds is not None:
            # From the task, because `get_running_loop` makes a system call before Python 3.12.
            loop = task.get_loop()
            alarms = _alarms.get(loop)
            if alarms is None:
                alarms = _alarms[loop] = {}
            if self._seconds not in alarms:
                alarms[self._seconds] = _Alarm(self._seconds)
            self._alarm = alarms[self._seconds]
            self._alarm.add(self, loop)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        if self._alarm is not None:
            self._alarm.remove(self)
        # If the task was also cancelled from elsewhere, that cancellation must be delivered.
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """End the limit: cancel its task."""
        self.expired = True
        self._task.cancel()


class _Alarm:
    """Ends limits of equal length, in the order in which they began. It must not hold a reference to an event loop, or
    that would never be collected."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: In the order in which they began.
        self._limits: dict[TimeLimit, None] = {}
        self._is_set = False

    def add(self, limit: TimeLimit, loop: asyncio.AbstractEventLoop) -> None:
        limit.end = loop.time() + self._seconds
        self._limits[limit] = None
        if not self._is_set:
            self._set(limit.end)

    def remove(self, limit: TimeLimit) -> None:
        self._limits.pop(limit, None)

    def _set(self, end: float) -> None:
        # It may ring when no limit is left: cancelling the timer after each call would take longer.
        asyncio.get_running_loop().call_at(end, self._ring)
        self._is_set = True

    def _ring(self) -> None:
        self._is_set = False
        now = asyncio.get_running_loop().time()
        while (first := next(iter(self._limits), None)) is not None:
            if first.end > now:
                self._set(first.end)
                return
            self.remove(first)
            first.expire()
        _alarms.get(asyncio.get_running_loop(), {}).pop(self._seconds, None)


#: For each event loop the alarms by length, in seconds.
_alarms: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, _Alarm]] = WeakKeyDictionary()
