"""An event loop in a thread of its own, for synchronous code inside a running loop.

Nothing is patched: the caller's loop is unchanged, and is blocked only while the caller waits.

In a browser (Pyodide) there is no such thread. A caller can wait there only where WebAssembly can be suspended (JSPI).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextvars import ContextVar
from typing import Any, TypeVar

from ..exceptions import ConfigurationError
from . import threads
from .threads import CallingThread, calling_thread

__all__ = ["LoopThread", "background_loop", "blocks_a_loop", "run_blocking", "wait_for_future"]

T = TypeVar("T")
#: The time that interrupted work has to clean up, in seconds.
CLOSE_SECONDS = 10
#: The interval at which a waiting caller checks for an interrupt, in seconds.
_CHECK_SECONDS = 0.1


class LoopThread:
    """An event loop in a daemon thread; `submit` hands it coroutines, `close` ends it."""

    def __init__(self) -> None:
        if not threads.CAN_START_THREADS:
            raise ConfigurationError(
                "this needs an event loop in a thread of its own, and in a browser no thread can be started; use what "
                "is awaited (`%%rlm`, `await AsyncRecursiveEngine(...).solve(...)`), or a Python outside the browser"
            )
        self._loop = asyncio.new_event_loop()
        # With a copy of the context, output printed in the thread still goes to the cell that started it.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._serve,), name="rlm-loop", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            running = asyncio.all_tasks(self._loop)
            for task in running:
                task.cancel()
            if running:
                self._loop.run_until_complete(asyncio.gather(*running, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel the tasks that still run, wait for their cleanup, and end the thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=CLOSE_SECONDS)


def background_loop() -> LoopThread:
    """The loop thread of this process for what outlives cells and runs; it is never closed."""
    return _background_loop(os.getpid())


@functools.cache
def _background_loop(pid: int) -> LoopThread:
    # A forked child has no thread of its parent. An empty context: it must keep nothing of the first caller alive.
    return contextvars.Context().run(LoopThread)


def wait_for_future(future: Future[T]) -> T:
    """The result of a future, waited for in this thread; an interrupt, or the cancellation of the waiting task, cancels
    it and is raised."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        task = None
    cancelled_before = task.cancelling() if task is not None else 0
    try:
        while True:
            done, _ = wait([future], timeout=_CHECK_SECONDS)
            if done:
                return future.result()
            if task is not None and task.cancelling() > cancelled_before:
                raise asyncio.CancelledError
    finally:
        future.cancel()


#: Set for a coroutine in a loop thread: the caller's loop is blocked until it has its result.
blocks_a_loop: ContextVar[bool] = ContextVar("blocks_a_loop", default=False)


def run_blocking(make: Callable[[], Coroutine[Any, Any, T]], *, thread_safe: bool = True) -> T:
    """Run a coroutine to its result: with `asyncio.run`, or in a loop thread if this thread's loop is running.

    Functions that are not thread-safe are called in this thread; with `thread_safe=False`, all blocking functions are.
    An interrupt (or the cancellation of the waiting task) cancels the work, waits for its cleanup, and is raised again.
    """
    caller = CallingThread(for_all=not thread_safe)
    return contextvars.copy_context().run(_run_blocking, make, caller)


def _run_blocking(make: Callable[[], Coroutine[Any, Any, T]], caller: CallingThread) -> T:
    # Runs in a copy of the context, so that the variables set here do not leak.
    calling_thread.set(caller)
    if not threads.CAN_START_THREADS:
        # In a browser this call is suspended, and the one event loop runs on.
        if not threads.can_suspend():
            raise ConfigurationError(
                "cannot wait here: in this browser Python cannot be suspended, and no thread can be started; use "
                "`await AsyncRecursiveEngine(...).solve(...)` (or `.map`) for RecursiveEngine, and a `%%rlm` cell for "
                "a line that runs a task"
            )
        blocks_a_loop.set(False)
        return threads.suspend_until(make())
    try:
        task = asyncio.current_task()
    except RuntimeError:
        blocks_a_loop.set(False)
        return asyncio.run(make())
    blocks_a_loop.set(True)
    cancelled_before = task.cancelling() if task is not None else 0
    loop_thread = LoopThread()
    try:
        future = loop_thread.submit(make())
        future.add_done_callback(lambda _: caller.wake())
        while True:
            caller.serve(_CHECK_SECONDS)
            if future.done():
                return future.result()
            if task is not None and task.cancelling() > cancelled_before:
                # Under `asyncio.run`, an interrupt cancels the task that waits here, without raising anything.
                raise asyncio.CancelledError
    finally:
        loop_thread.close()
