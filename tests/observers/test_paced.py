"""What changes is drawn soon, never too often, and what changed last is always drawn."""

import asyncio
import time

from rlm_notebook.observers.paced import Paced


async def test_a_burst_is_drawn_at_once_and_its_end_soon_after() -> None:
    drawn: list[float] = []
    paced = Paced(asyncio.get_running_loop(), lambda: drawn.append(time.monotonic()), 0.1)
    paced.changed()
    await asyncio.sleep(0.02)
    assert len(drawn) == 1
    for _ in range(50):
        paced.changed()
    await asyncio.sleep(0.2)
    assert len(drawn) == 2
    assert drawn[1] - drawn[0] >= 0.09


async def test_after_stop_nothing_is_drawn() -> None:
    drawn: list[int] = []
    paced = Paced(asyncio.get_running_loop(), lambda: drawn.append(1), 0.01)
    paced.changed()
    paced.stop()
    paced.changed()
    await asyncio.sleep(0.05)
    assert drawn == []
