"""Code of others beside the engine's: whatever a tool, a model or an observer raises is a failure of that call alone.

Python's `BaseException`s speak to whoever runs the program: a task is cancelled, a generator is closed, the process
is to end, the user interrupts. Out of a call, only those that are meant for the engine may pass: the cancellation of
the task that called, and an interrupt by the user, which Python raises in the main thread alone. All others were made
by what was called.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

__all__ = ["apart", "is_being_cancelled", "is_failure", "is_running"]

T = TypeVar("T")


def is_being_cancelled() -> bool:
    """Whether the current task was told to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_running(task: asyncio.Task[Any] | None) -> bool:
    """Whether this code runs in `task`; if not, its coroutine is being collected, unfinished."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:
        return False


def is_failure(error: BaseException) -> bool:
    """Whether an error that came out of a call is one of what was called, and not meant for whoever called."""
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is not threading.main_thread()
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_failure, error.exceptions))
    return not (isinstance(error, asyncio.CancelledError) and is_being_cancelled())


async def apart(call: Callable[[], Awaitable[T]]) -> tuple[T | None, BaseException | None]:
    """What `call` returns, or the error it fails with; it runs in a task of its own.

    So it can neither cancel its caller nor leave a scope of cancellation open around it. If the caller is cancelled,
    so is the call, and its end is waited for. An interrupt by the user is raised.
    """
    caller = asyncio.current_task()
    assert caller is not None
    cancelling = caller.cancelling()
    # Awaiting a task hands on each cancellation of the caller, and ends when the task has ended.
    try:
        outcome = await caller.get_loop().create_task(_outcome(call))
    except asyncio.CancelledError as error:
        if caller.cancelling() > cancelling:
            raise
        # Nobody else has this task.
        return None, error
    if caller.cancelling() > cancelling:
        # The call made something else of it.
        raise asyncio.CancelledError
    return outcome


async def _outcome(call: Callable[[], Awaitable[T]]) -> tuple[T | None, BaseException | None]:
    """Raises nothing that would end the event loop: a task hands `SystemExit` on to whoever runs the loop."""
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
