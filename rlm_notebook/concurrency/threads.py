"""Blocking functions beside an event loop.

Python cannot stop a thread. So blocking work runs in daemon threads: a cancelled run does not wait for them, the
interpreter can exit while they run, and a late result is dropped. Functions that are not thread-safe are called in the
thread that waits for the whole run, if there is one (`calling_thread`).

In a browser (Pyodide) no thread can be started: there, blocking work runs in place, one call after the other, and the
event loop waits for it.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import math
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ..core.error_text import described

__all__ = [
    "CAN_START_THREADS",
    "READ_AT_ONCE",
    "CallingThread",
    "DaemonThreads",
    "OneThread",
    "calling_thread",
    "can_suspend",
    "in_daemon_thread",
    "read_beside",
    "suspend_until",
]

T = TypeVar("T")
#: False in a browser.
CAN_START_THREADS = sys.platform != "emscripten"
#: A future, a generator or the event loop would interpret these errors of a function as their own.
_CONTROL_FLOW = (StopIteration, KeyboardInterrupt, SystemExit, GeneratorExit)


class DaemonThreads:
    """Runs blocking functions in at most `limit` daemon threads, in the order of the calls.

    Not bound to an event loop: several loops may share one.
    """

    def __init__(self, limit: float = math.inf) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._running = 0

    def alone(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call the function in this thread; here without a lock, so that all of them may run at once."""
        return function(*arguments)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result (or exception) of `function(*arguments)`, run in a thread with the context of this task."""
        if not CAN_START_THREADS:
            # The loop turns once before each call, so that what it shows and cancels is at most one call late.
            await asyncio.sleep(0)
            try:
                return contextvars.copy_context().run(function, *arguments)
            except _CONTROL_FLOW as error:
                raise RuntimeError(described(error)) from error
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        call = functools.partial(contextvars.copy_context().run, function, *arguments)
        with self._lock:
            self._jobs.append(functools.partial(_work, call, outcome, loop))
            starts_thread = self._running < self._limit
            self._running += starts_thread
        if starts_thread:
            threading.Thread(target=self._serve, name="rlm-worker", daemon=True).start()
        return await outcome

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._running -= 1
                    return
                job = self._jobs.popleft()
            job()


class OneThread(DaemonThreads):
    """Runs blocking functions one at a time, including those that user threads run with `alone`."""

    def __init__(self) -> None:
        super().__init__(1)
        # Reentrant, because a function may call another one in its thread.
        self._alone = threading.RLock()

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await super().call(self.alone, function, *arguments)

    def alone(self, function: Callable[..., T], *arguments: Any) -> T:
        with self._alone:
            return function(*arguments)


_unlimited = DaemonThreads()


class CallingThread:
    """The thread that waits for a run and meanwhile calls blocking functions, one at a time.

    If the run's event loop is in the same thread, a call blocks it. `for_all`: no function counts as thread-safe.
    """

    def __init__(self, *, for_all: bool = False) -> None:
        self.for_all = for_all
        self._thread = threading.get_ident()
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result (or exception) of `function(*arguments)`, called in this thread with the context of the task."""
        if threading.get_ident() == self._thread:
            with _interruptible():
                return function(*arguments)
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        call = functools.partial(contextvars.copy_context().run, function, *arguments)
        self._jobs.put(functools.partial(_work, call, outcome, loop, here=True))
        return await outcome

    def wake(self) -> None:
        """End a waiting `serve`, with a job that does nothing."""
        self._jobs.put(lambda: None)

    def serve(self, seconds: float) -> None:
        """Run the next job, after waiting for one at most this long."""
        try:
            job = self._jobs.get(timeout=seconds)
        except Empty:
            return
        with _interruptible():
            job()


#: Set in the context of a run that a thread waits for.
calling_thread: ContextVar[CallingThread | None] = ContextVar("calling_thread", default=None)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let an interrupt raise `KeyboardInterrupt`: `asyncio.run` turns it into a cancellation, which a blocking call
    would never notice."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    of_asyncio = isinstance(getattr(getattr(before, "func", None), "__self__", None), asyncio.Runner)
    if not of_asyncio:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def in_daemon_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The result (or exception) of `function(*args, **kwargs)`, run in a daemon thread with this task's context."""
    return await _unlimited.call(functools.partial(function, *args, **kwargs))


#: The longest text, in characters, that is parsed within a few milliseconds whatever its content.
READ_AT_ONCE = 50_000


async def read_beside(read: Callable[[str], T], text: str) -> T:
    """`read(text)`; a long text is read in a thread, so that the event loop is not blocked."""
    return read(text) if len(text) <= READ_AT_ONCE else await in_daemon_thread(read, text)


def can_suspend() -> bool:
    """Whether a blocking caller in a browser can wait for a coroutine (JSPI, in Chromium from 137 on)."""
    try:
        from pyodide.ffi import can_run_sync  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    return bool(can_run_sync())


def suspend_until(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, where `can_suspend()`."""
    from pyodide.ffi import run_sync  # pyright: ignore[reportMissingImports]

    error: BaseException | None = None

    async def settled() -> T | None:
        # The kernel shows what a task raises, even if the caller handles it; so this task raises nothing.
        nonlocal error
        try:
            return await work
        except BaseException as raised:
            error = raised
        return None

    result: T = run_sync(settled())
    if error is not None:
        raise error
    return result


def _work(
    call: Callable[[], Any], outcome: asyncio.Future[Any], loop: asyncio.AbstractEventLoop, *, here: bool = False
) -> None:
    """Call and pass the outcome to the loop; `here`: this is a user's thread, where an interrupt is raised."""
    if outcome.cancelled():
        return  # nothing waits for the result any more
    result = None
    try:
        result = call()
        settle = functools.partial(_settle, outcome, result)
    except BaseException as error:
        if here and isinstance(error, KeyboardInterrupt):
            raise
        settle = functools.partial(_settle, outcome, None, error)
    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        _drop(result)  # the loop is closed: the result is too late


def _settle(outcome: asyncio.Future[Any], result: Any, error: BaseException | None = None) -> None:
    if outcome.done():
        _drop(result)
    elif error is None:
        outcome.set_result(result)
    else:
        if isinstance(error, _CONTROL_FLOW):
            original, error = error, RuntimeError(described(error))
            error.__cause__ = original
        outcome.set_exception(error)


def _drop(result: Any) -> None:
    """Discard a late result; closing a coroutine avoids the warning that it was never awaited."""
    if inspect.iscoroutine(result):
        result.close()
