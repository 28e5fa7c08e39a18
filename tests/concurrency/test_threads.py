"""Blocking functions beside a loop: results and errors come back, and nothing waits for abandoned work."""

import asyncio
import contextvars
import inspect
import subprocess
import sys
import threading

import pytest

from rlm_notebook.concurrency.threads import in_daemon_thread
from tests.support.waiting import HANG, until

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


async def test_a_result_comes_back_from_a_daemon_thread_with_the_callers_context() -> None:
    colour.set("red")

    def work(a: int, *, b: int) -> tuple[int, bool, str]:
        return a + b, threading.current_thread().daemon, colour.get()

    assert await in_daemon_thread(work, 1, b=2) == (3, True, "red")


@pytest.mark.parametrize("error", [ValueError("bad"), StopIteration("over"), SystemExit(3), KeyboardInterrupt("now")])
async def test_an_error_comes_back_as_one_that_can_be_awaited(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(ValueError if isinstance(error, ValueError) else RuntimeError, match=str(error)):
        await in_daemon_thread(work)


async def test_giving_up_does_not_wait_and_a_late_result_is_dropped() -> None:
    release, returned = threading.Event(), threading.Event()
    task = asyncio.create_task(in_daemon_thread(lambda: (release.wait(HANG), returned.set())))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not returned.is_set()
    release.set()
    await until(returned.is_set)
    await asyncio.sleep(0.01)


async def test_a_coroutine_that_comes_too_late_is_closed_and_not_forgotten() -> None:
    """One that is forgotten would warn, in the middle of something else, that it was never awaited."""
    release, made = threading.Event(), []

    def work() -> object:
        release.wait(HANG)
        made.append(asyncio.sleep(1))
        return made[0]

    task = asyncio.create_task(in_daemon_thread(work))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    while not made or inspect.getcoroutinestate(made[0]) != inspect.CORO_CLOSED:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_many_run_side_by_side() -> None:
    together = threading.Barrier(40, timeout=HANG)

    assert len(await asyncio.gather(*(in_daemon_thread(together.wait) for _ in range(40)))) == 40


def test_a_process_can_end_while_a_function_blocks() -> None:
    code = """
import asyncio, time
from rlm_notebook.concurrency.threads import in_daemon_thread

async def main():
    task = asyncio.create_task(in_daemon_thread(time.sleep, 3600))
    await asyncio.sleep(0.05)
    task.cancel()

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=HANG, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
