"""A loop in a thread, for synchronous code inside a running loop."""

import asyncio
import contextvars
import threading

import pytest

from rlm_notebook.concurrency.loop_thread import LoopThread, run_blocking

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


async def where() -> tuple[str, str]:
    await asyncio.sleep(0)
    return threading.current_thread().name, colour.get()


def test_without_a_loop_the_work_runs_in_this_thread() -> None:
    assert run_blocking(where)[0] == threading.current_thread().name


async def test_inside_a_loop_it_runs_in_a_thread_with_the_callers_context() -> None:
    colour.set("red")

    assert run_blocking(where) == ("rlm-loop", "red")


async def test_an_error_of_the_work_is_raised_as_it_is() -> None:
    async def late() -> None:
        raise TimeoutError("of the work itself")

    with pytest.raises(TimeoutError, match="of the work itself"):
        run_blocking(late)


async def test_closing_waits_until_the_work_has_put_away_what_it_holds() -> None:
    kept: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.03)
            kept.append("put away")

    loop_thread = LoopThread()
    loop_thread.submit(work())
    await asyncio.sleep(0.02)
    loop_thread.close()

    assert kept == ["put away"]
    loop_thread.close()


async def test_asynchronous_generators_that_were_left_open_are_closed() -> None:
    closed: list[bool] = []

    async def pieces():  # type: ignore[no-untyped-def]
        try:
            yield 1
        finally:
            closed.append(True)

    held = pieces()

    async def work() -> int:
        return int(await anext(held))

    assert run_blocking(work) == 1
    assert closed == [True]
