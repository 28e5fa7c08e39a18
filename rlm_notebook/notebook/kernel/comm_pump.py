"""Clicks reach a run while its cell runs, also on ipykernel 6.

That kernel handles one message after the other, so what a widget's buttons send waits until the cell ends. The pump
takes messages of widgets out of the queue and handles them between two steps of the awaited cell; all other messages
stay where they are, in order. It reaches into private parts of ipykernel 6 and therefore checks that they are as
expected, and does nothing where they are not: from ipykernel 7 on, front ends get such messages through by themselves.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["pumped_comms"]

log = logging.getLogger("rlm_notebook")
#: Seconds between two looks into the queue.
INTERVAL = 0.03
_NEEDED = ("msg_queue", "shell_handlers", "dispatch_shell", "session", "iopub_socket", "shell_stream", "_topic")
_OF_WIDGETS = ("comm_open", "comm_msg", "comm_close", "comm_info_request")


@contextmanager
def pumped_comms(shell: Any) -> Iterator[None]:
    """Messages of widgets are handled while the block awaits, where the kernel itself would let them wait."""
    kernel = getattr(shell, "kernel", None)
    if not _lets_them_wait(kernel):
        yield
        return
    loop = asyncio.get_running_loop()
    pumping = True

    def pump() -> None:
        if pumping:
            _handle_waiting(kernel)
            loop.call_later(INTERVAL, pump)

    pump()
    try:
        yield
    finally:
        pumping = False


def _lets_them_wait(kernel: Any) -> bool:
    return kernel is not None and all(hasattr(kernel, name) for name in _NEEDED)


def _handle_waiting(kernel: Any) -> None:
    """One look: nothing awaits in here, so nobody else sees the queue without what is taken out and put back."""
    waiting = kernel.msg_queue
    for _ in range(waiting.qsize()):
        item = waiting.get_nowait()
        if _type_of(kernel, item) in _OF_WIDGETS:
            _handle(kernel, item[2][0])
        else:
            waiting.put_nowait(item)


def _type_of(kernel: Any, item: Any) -> str:
    """The type of a message that waits, read without checking it: a signature that was seen once is refused later."""
    try:
        _, dispatch, (frames,) = item
        if dispatch != kernel.dispatch_shell:
            return ""
        _, parts = kernel.session.feed_identities(frames, copy=False)
        return str(kernel.session.unpack(parts[1].bytes)["msg_type"])
    except Exception:
        # Whatever this is, it is the kernel's business.
        return ""


def _handle(kernel: Any, frames: Any) -> None:
    """As the kernel would, except that the running cell stays the one that output belongs to."""
    try:
        identities, parts = kernel.session.feed_identities(frames, copy=False)
        message = kernel.session.deserialize(parts, content=True, copy=False)
        _publish(kernel, "busy", message)
        try:
            answer = kernel.shell_handlers[message["header"]["msg_type"]](kernel.shell_stream, identities, message)
            if inspect.isawaitable(answer):
                # Which widgets there are: what a reloaded page asks, told by a coroutine that waits for nothing.
                _drive(answer)
        finally:
            _publish(kernel, "idle", message)
    except Exception:
        log.exception("a widget's message could not be handled; the run goes on")


def _drive(answer: Any) -> None:
    try:
        answer.send(None)
    except StopIteration:
        return
    answer.close()
    log.warning("a widget's message is answered only when the cell ends")


def _publish(kernel: Any, state: str, message: Any) -> None:
    content = {"execution_state": state}
    kernel.session.send(kernel.iopub_socket, "status", content, parent=message, ident=kernel._topic("status"))
