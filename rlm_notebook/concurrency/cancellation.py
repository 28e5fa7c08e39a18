"""Containment of foreign code: any exception of a tool, a model or an observer is a failure of that call alone.

Python's `BaseException`s control the program: a task is cancelled, a generator is closed, the process should exit, the
user interrupts. Only two of them may pass from a call to the engine: the cancellation of the calling task, and an
interrupt by the user, which Python raises in the main thread only. All others come from the called code.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

__all__ = ["apart", "is_being_cancelled", "is_failure", "is_running"]

T = TypeVar("T")


def is_being_cancelled() -> bool:
    """Whether cancellation of the current task was requested."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_running(task: asyncio.Task[Any] | None) -> bool:
    """Whether this code runs in `task`; if not, its unfinished coroutine is being garbage-collected."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:
        return False


def is_failure(error: BaseException) -> bool:
    """Whether an exception from a call is a failure of the called code, and not addressed to the caller."""
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is not threading.main_thread()
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_failure, error.exceptions))
    return not (isinstance(error, asyncio.CancelledError) and is_being_cancelled())


async def apart(call: Callable[[], Awaitable[T]]) -> tuple[T | None, BaseException | None]:
    """The result of `call` or the exception it fails with, run in a task of its own.

    So it can neither cancel its caller nor leave a cancel scope open around it. If the caller is cancelled, the call is
    cancelled and awaited. An interrupt by the user is raised.
    """
    caller = asyncio.current_task()
    assert caller is not None
    cancelling = caller.cancelling()
    # Awaiting a task forwards each cancellation of the caller to it, and returns when the task has ended.
    try:
        outcome = await caller.get_loop().create_task(_outcome(call))
    except asyncio.CancelledError as error:
        if caller.cancelling() > cancelling:
            raise
        # Only the call itself can have cancelled this task: no other code has a reference to it.
        return None, error
    if caller.cancelling() > cancelling:
        # The call caught the cancellation of the caller and returned.
        raise asyncio.CancelledError
    return outcome


async def _outcome(call: Callable[[], Awaitable[T]]) -> tuple[T | None, BaseException | None]:
    """The result or the exception; raises nothing that would end the event loop, as `SystemExit` in a task does."""
    me = asyncio.current_task()
    try:
        return await call(), None
    except GeneratorExit as error:
        if not is_running(me):
            raise
        return None, error
    except BaseException as error:
        if not is_failure(error):
            raise
        return None, error
