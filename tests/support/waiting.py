"""How tests wait: for what they are about, as long as it takes. How soon it comes is for `tests/benchmarks/`.

A machine may have other things to do. So no test asserts a time; what it shows is the order of events, or a count.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

__all__ = ["HANG", "until", "until_true"]

#: Seconds after which something is not slow, but hangs. Nothing that works takes this long on a busy machine either.
HANG = 120


async def until(condition: Callable[[], Any], *, every: float = 0.001) -> None:
    """Return once `condition()` is true; the event loop goes on meanwhile."""
    async with asyncio.timeout(HANG):
        while not condition():  # noqa: ASYNC110 - what is waited for is a state, not an event
            await asyncio.sleep(every)


def until_true(condition: Callable[[], Any], *, every: float = 0.01) -> None:
    """The same for what happens in other threads and processes."""
    ends = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < ends, "what was waited for did not happen"
        time.sleep(every)
