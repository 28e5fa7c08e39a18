"""Limits of time that share a timer: each ends what is done in it, and nothing else."""

import asyncio
import gc
import weakref

import pytest

from rlm_notebook.concurrency.time_limit import TimeLimit
from tests.support.virtual_time import in_virtual_time


async def limited(limit, seconds):
    with limit:
        await asyncio.sleep(seconds)
    return "done"


@in_virtual_time
async def test_each_ends_in_its_own_time_though_one_timer_serves_all() -> None:
    loop = asyncio.get_running_loop()
    ended = []

    async def wait(after):
        await asyncio.sleep(after)
        started = loop.time()
        with pytest.raises(TimeoutError):
            await limited(TimeLimit(0.2), 30)
        ended.append((after, loop.time() - started))

    await asyncio.gather(*(wait(after) for after in (0, 0.1, 0.3)))

    assert [after for after, _ in ended] == [0, 0.1, 0.3]
    assert [took for _, took in ended] == pytest.approx([0.2] * 3)


@in_virtual_time
async def test_what_ends_in_time_is_left_alone_and_so_is_what_comes_after() -> None:
    limit = TimeLimit(0.05)
    assert await limited(limit, 0) == "done"

    await asyncio.sleep(0.1)
    assert not limit.expired
    with pytest.raises(TimeoutError):
        await limited(TimeLimit(0.05), 30)


async def test_without_seconds_there_is_no_limit() -> None:
    assert await limited(TimeLimit(None), 0.01) == "done"


async def test_who_is_cancelled_is_cancelled_even_when_the_time_is_over_as_well() -> None:
    limit = TimeLimit(0.05)
    task = asyncio.create_task(limited(limit, 30))
    await asyncio.sleep(0)
    limit.expire()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_inner_limit_does_not_end_the_outer_one() -> None:
    outer = TimeLimit(5)
    with outer, pytest.raises(TimeoutError):
        await limited(TimeLimit(0.05), 30)

    assert not outer.expired
    await asyncio.sleep(0)


async def test_thousands_of_limits_are_one_timer() -> None:
    loop, go_on = asyncio.get_running_loop(), asyncio.Event()
    before = len(loop._scheduled)  # type: ignore[attr-defined]

    async def held():
        with TimeLimit(77):
            await go_on.wait()

    tasks = [asyncio.create_task(held()) for _ in range(1000)]
    await asyncio.sleep(0)

    assert len(loop._scheduled) - before == 1  # type: ignore[attr-defined]
    go_on.set()
    await asyncio.gather(*tasks)


async def _held() -> None:
    with TimeLimit(77):
        await asyncio.sleep(0)


def test_a_loop_that_is_closed_is_not_held() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(limited(TimeLimit(None), 0))
    loop.run_until_complete(_held())
    held = weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()

    assert held() is None
