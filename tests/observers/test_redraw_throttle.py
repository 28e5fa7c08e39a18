"""What changes is drawn soon, never too often, and what changed last is always drawn."""

import asyncio
import time

import pytest

from rlm_notebook.observers.redraw_throttle import RedrawThrottle
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_burst_is_drawn_at_once_and_its_end_soon_after() -> None:
    drawn: list[float] = []
    paced = RedrawThrottle(asyncio.get_running_loop(), lambda: drawn.append(time.monotonic()), 0.1)
    paced.changed()
    await asyncio.sleep(0.02)
    assert len(drawn) == 1
    for _ in range(50):
        paced.changed()
    await asyncio.sleep(0.2)
    assert len(drawn) == 2
    assert drawn[1] - drawn[0] == pytest.approx(0.1)


@in_virtual_time
async def test_after_stop_nothing_is_drawn() -> None:
    drawn: list[int] = []
    paced = RedrawThrottle(asyncio.get_running_loop(), lambda: drawn.append(1), 0.01)
    paced.changed()
    paced.stop()
    paced.changed()
    await asyncio.sleep(0.05)
    assert drawn == []
