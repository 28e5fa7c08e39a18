"""Blocking functions beside an event loop.

Python cannot stop a thread. So blocking work runs in daemon threads: a cancelled run does not wait for them, and the
interpreter can end without them; a result that comes late is dropped. What is not thread-safe is called in the thread
that waits for the result of all, where there is one (`calling_thread`).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import math
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ..core.error_text import described

__all__ = [
    "READ_AT_ONCE",
    "CallingThread",
    "DaemonThreads",
    "OneThread",
    "calling_thread",
    "in_daemon_thread",
    "read_beside",
]

T = TypeVar("T")


class DaemonThreads:
    """Runs blocking functions in at most `limit` daemon threads, first come, first served.

    Not bound to an event loop: one may serve several.
    """

    def __init__(self, limit: float = math.inf) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._running = 0

    def alone(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns; they may all run at once."""
        return function(*arguments)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result (or exception) of `function(*arguments)`, run in a thread with the context of this task."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        call = functools.partial(contextvars.copy_context().run, function, *arguments)
        self._submit(functools.partial(_work, call, outcome, loop))
        return await outcome

    def _submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            self._jobs.append(job)
            if self._running >= self._limit:
                return
            self._running += 1
        threading.Thread(target=self._serve, name="rlm-worker", daemon=True).start()

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if self._jobs:
                return self._jobs.popleft()
            self._running -= 1
            return None


class OneThread(DaemonThreads):
    """Runs blocking functions one at a time, also those that are run `alone` in threads of the user's."""

    def __init__(self) -> None:
        super().__init__(1)
        # One function may, in its thread, come to call another.
        self._alone = threading.RLock()

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await super().call(self.alone, function, *arguments)

    def alone(self, function: Callable[..., T], *arguments: Any) -> T:
        with self._alone:
            return function(*arguments)


_unlimited = DaemonThreads()


class CallingThread:
    """The thread that waits for a run, which can call blocking functions meanwhile: one at a time, as it is one thread.

    If the run's event loop is in this very thread, a call holds it up. `for_all`: no function is taken to be
    thread-safe.
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
        """End a `serve` that waits."""
        self._jobs.put(_nothing)

    def serve(self, seconds: float) -> None:
        """Call what is to be called next, which is waited for so long."""
        try:
            job = self._jobs.get(timeout=seconds)
        except Empty:
            return
        with _interruptible():
            job()


def _nothing() -> None:
    """What there is to do for a thread that is only to look up."""


#: Set for all that is done in a run that a thread waits for.
calling_thread: ContextVar[CallingThread | None] = ContextVar("calling_thread", default=None)


@contextmanager
def _interruptible() -> Iterator[None]:
    """`asyncio.run` makes of an interrupt the cancellation of its task, which a blocking call would never notice."""
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


#: A text of so many characters is read in some milliseconds, whatever it holds.
READ_AT_ONCE = 50_000


async def read_beside(read: Callable[[str], T], text: str) -> T:
    """`read(text)`; a long text is read in a thread, so that the event loop goes on."""
    return read(text) if len(text) <= READ_AT_ONCE else await in_daemon_thread(read, text)


def _work(
    call: Callable[[], Any], outcome: asyncio.Future[Any], loop: asyncio.AbstractEventLoop, *, here: bool = False
) -> None:
    """`here`: in a thread of the user's, where an interrupt is the user's."""
    if outcome.cancelled():
        return  # nobody waits any more: do not spend on it
    result = None
    try:
        result = call()
        settle = functools.partial(_succeed, outcome, result)
    except BaseException as error:
        if here and isinstance(error, KeyboardInterrupt):
            raise
        settle = functools.partial(_fail, outcome, error)
    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        _drop(result)  # the loop is closed: the result came too late


def _succeed(outcome: asyncio.Future[Any], result: Any) -> None:
    if outcome.done():
        _drop(result)
    else:
        outcome.set_result(result)


def _drop(result: Any) -> None:
    """Nobody waits for it any more: of a coroutine, nobody will miss that it never ran."""
    if inspect.iscoroutine(result):
        result.close()


def _fail(outcome: asyncio.Future[Any], error: BaseException) -> None:
    if outcome.done():
        return
    if isinstance(error, StopIteration | KeyboardInterrupt | SystemExit | GeneratorExit):
        # These mean something else to a future, to a generator or to the loop that awaits it.
        meant, error = error, RuntimeError(described(error))
        error.__cause__ = meant
    outcome.set_exception(error)
