"""A thread with an event loop of its own, for synchronous code inside a running loop.

Nothing is patched: the caller's loop is left alone, and blocks only as long as the caller waits.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, TypeVar

from .threads import CallingThread, calling_thread

__all__ = ["Portal", "blocks_a_loop", "run_blocking"]

T = TypeVar("T")
#: How long work that was interrupted may take to put away what it holds, in seconds.
CLOSE_SECONDS = 10
#: How long a wait for a result may keep an interrupt from being noticed, in seconds.
_GLANCE = 0.1


class Portal:
    """An event loop in a daemon thread; `submit` hands it coroutines, `close` ends it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        # The context is copied so that what is printed in the thread still goes to the cell that started it.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._serve,), name="rlm-portal", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(_cancelled_all())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what still runs, wait until it has put away what it holds, and end the thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=CLOSE_SECONDS)


async def _cancelled_all() -> None:
    running = asyncio.all_tasks() - {asyncio.current_task()}
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


#: A loop stands still until the coroutine, in a portal, has its result.
blocks_a_loop: ContextVar[bool] = ContextVar("blocks_a_loop", default=False)


def run_blocking(make: Callable[[], Coroutine[Any, Any, T]], *, thread_safe: bool = True) -> T:
    """The result of a coroutine, waited for: by `asyncio.run`, or in a portal if this thread's loop is running.

    What is not thread-safe is called in this thread; without `thread_safe`, every blocking function is. An interrupt
    (or cancelling the task that waits) cancels the work, waits until it has put away what it holds, and is raised
    again.
    """
    caller = CallingThread(for_all=not thread_safe)
    return contextvars.copy_context().run(_run_blocking, make, caller)


def _run_blocking(make: Callable[[], Coroutine[Any, Any, T]], caller: CallingThread) -> T:
    """In a context of its own."""
    calling_thread.set(caller)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        blocks_a_loop.set(False)
        return asyncio.run(make())
    blocks_a_loop.set(True)
    portal = Portal()
    try:
        return _wait(portal.submit(make()), caller)
    finally:
        portal.close()


def _wait(future: Future[T], caller: CallingThread) -> T:
    task = asyncio.current_task()
    cancelled_before = task.cancelling() if task is not None else 0
    future.add_done_callback(lambda _: caller.wake())
    while True:
        caller.serve(_GLANCE)
        if future.done():
            return future.result()
        if task is not None and task.cancelling() > cancelled_before:
            # Under `asyncio.run` an interrupt cancels the task that waits here, and raises nothing.
            raise asyncio.CancelledError
