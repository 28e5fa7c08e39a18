"""Blocking functions beside an event loop.

Python cannot stop a thread. So blocking work runs in daemon threads: a cancelled run does not wait for them, and the
interpreter can end without them; a result that comes late is dropped.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["in_daemon_thread"]

T = TypeVar("T")
_number = itertools.count(1)


async def in_daemon_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The result (or exception) of `function(*args, **kwargs)`, run in a daemon thread with this task's context."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as error:
            _deliver(loop, _fail, outcome, error)
        else:
            _deliver(loop, _succeed, outcome, result)

    threading.Thread(target=work, name=f"rlm-worker-{next(_number)}", daemon=True).start()
    return await outcome


def _deliver(loop: asyncio.AbstractEventLoop, settle: Callable[..., None], *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(settle, *args)
    except RuntimeError:
        # The loop is closed: nobody waits for this any more.
        return


def _succeed(outcome: asyncio.Future[Any], result: Any) -> None:
    if not outcome.done():
        outcome.set_result(result)


def _fail(outcome: asyncio.Future[Any], error: BaseException) -> None:
    if outcome.done():
        return
    if isinstance(error, StopIteration | KeyboardInterrupt | SystemExit):
        # These mean something else to a future or to the loop that awaits it.
        error = RuntimeError(f"{type(error).__name__}: {error}")
    outcome.set_exception(error)
