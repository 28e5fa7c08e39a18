"""An event loop in which work takes no time, and a sleep takes exactly as long as it says.

Tests of durations, limits and pauses run in it: the figures are exact on any machine, and nobody waits for them. It is
not for tests that use threads or the network, which the clock does not wait for.
"""

import asyncio
import functools
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rlm_notebook.runtime.run import Run

__all__ = ["in_virtual_time"]


class _Loop(asyncio.SelectorEventLoop):
    """Its clock stands still while anything is ready to run, and jumps to the next timer when nothing is."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready:
            self._loop.now += timeout
        return ready


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in such a loop; `time.time` and `time.monotonic` tell its time as well."""

    @functools.wraps(test)
    def run(*values: Any, **named: Any) -> None:
        loop = _Loop()
        began, began_monotonic = time.time(), time.monotonic()
        with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=lambda: loop) as runner:
            patch.setattr(time, "time", lambda: began + loop.now)
            patch.setattr(time, "monotonic", lambda: began_monotonic + loop.now)
            # Bound when the class was defined.
            patch.setitem(Run.__init__.__kwdefaults__, "clock", lambda: began + loop.now)
            runner.run(test(*values, **named))

    return run
