"""Blocking functions beside an event loop.

Python cannot stop a thread. So blocking work runs in daemon threads: a cancelled run does not wait for them, and the
interpreter can end without them; a result that comes late is dropped.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from .error_text import described

__all__ = ["DaemonThreads", "in_daemon_thread"]

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


_unlimited = DaemonThreads()


async def in_daemon_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The result (or exception) of `function(*args, **kwargs)`, run in a daemon thread with this task's context."""
    return await _unlimited.call(functools.partial(function, *args, **kwargs))


def _work(call: Callable[[], Any], outcome: asyncio.Future[Any], loop: asyncio.AbstractEventLoop) -> None:
    if outcome.cancelled():
        return  # nobody waits any more: do not spend on it
    result = None
    try:
        result = call()
        settle = functools.partial(_succeed, outcome, result)
    except BaseException as error:
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
    if isinstance(error, StopIteration | KeyboardInterrupt | SystemExit):
        # These mean something else to a future or to the loop that awaits it.
        meant, error = error, RuntimeError(described(error))
        error.__cause__ = meant
    outcome.set_exception(error)
