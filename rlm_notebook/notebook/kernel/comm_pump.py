"""Delivers widget messages to a run while its cell runs, also on ipykernel 6.

That kernel handles one message at a time, so a click in a widget waits until the cell ends. The pump takes widget
messages out of the queue and handles them between two steps of the awaited cell; all other messages stay in order. It
uses private attributes of ipykernel 6, so it checks first that they exist, and otherwise does nothing: from ipykernel 7
on, widget messages are delivered without it.
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
#: Seconds between two checks of the queue.
INTERVAL = 0.03
_NEEDED = ("msg_queue", "shell_handlers", "dispatch_shell", "session", "iopub_socket", "shell_stream", "_topic")
_OF_WIDGETS = ("comm_open", "comm_msg", "comm_close", "comm_info_request")


@contextmanager
def pumped_comms(shell: Any) -> Iterator[None]:
    """Handles widget messages while the block awaits, if the kernel would otherwise queue them."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None or not all(hasattr(kernel, name) for name in _NEEDED):
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


def _handle_waiting(kernel: Any) -> None:
    """One check of the queue. Nothing here awaits, so no other task sees the queue while messages are taken out."""
    waiting = kernel.msg_queue
    for _ in range(waiting.qsize()):
        item = waiting.get_nowait()
        if _type_of(kernel, item) in _OF_WIDGETS:
            _handle(kernel, item[2][0])
        else:
            waiting.put_nowait(item)


def _type_of(kernel: Any, item: Any) -> str:
    """The type of a queued message, read without checking its signature: the session accepts each signature once."""
    try:
        _, dispatch, (frames,) = item
        if dispatch != kernel.dispatch_shell:
            return ""
        _, parts = kernel.session.feed_identities(frames, copy=False)
        return str(kernel.session.unpack(parts[1].bytes)["msg_type"])
    except Exception:
        # Not a message of the expected form: it is left to the kernel.
        return ""


def _handle(kernel: Any, frames: Any) -> None:
    """Handles a message as the kernel does, except that output still belongs to the running cell."""
    try:
        identities, parts = kernel.session.feed_identities(frames, copy=False)
        message = kernel.session.deserialize(parts, content=True, copy=False)
        _publish(kernel, "busy", message)
        try:
            answer = kernel.shell_handlers[message["header"]["msg_type"]](kernel.shell_stream, identities, message)
            if inspect.isawaitable(answer):
                # A reloaded page requests the list of widgets; the coroutine that answers does not await anything.
                _drive(answer)
        finally:
            _publish(kernel, "idle", message)
    except Exception:
        log.exception("a widget's message could not be handled; the run continues")


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
