"""Messages of widgets are handled while a cell awaits; everything else stays in the queue, in order.

Here with a kernel of a few lines that has ipykernel 6's queue and a real session; in `test_kernel.py` with real ones.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

from rlm_notebook.notebook.kernel import comm_pump
from rlm_notebook.notebook.kernel.comm_pump import pumped_comms


class OldKernel:
    """What the pump needs of ipykernel 6."""

    def __init__(self) -> None:
        self.session = Session(key=b"a key")
        self.msg_queue: asyncio.Queue[Any] = asyncio.Queue()
        self.shell_stream = self.iopub_socket = None
        self.handled: list[str] = []
        self.published: list[tuple[str, str]] = []
        self.shell_handlers: dict[str, Any] = {
            "comm_msg": lambda stream, identities, message: self.handled.append(message["content"]["comm_id"]),
            "comm_info_request": self.comm_info_request,
        }
        self.session.send = self._sent  # type: ignore[assignment, method-assign]

    async def comm_info_request(self, stream: Any, identities: Any, message: Any) -> None:
        self.handled.append("info")

    def _sent(self, _socket: Any, _kind: str, content: Any, parent: Any, ident: Any) -> None:
        self.published.append((content["execution_state"], parent["content"].get("comm_id", "")))

    def _topic(self, name: str) -> bytes:
        return name.encode()

    async def dispatch_shell(self, frames: Any) -> None:
        raise AssertionError("only the kernel dispatches")

    def queue(self, kind: str, dispatch: Any = None, **content: Any) -> Any:
        frames = [zmq.Message(part) for part in self.session.serialize(self.session.msg(kind, content), b"someone")]
        item = (self.msg_queue.qsize(), dispatch or self.dispatch_shell, (frames,))
        self.msg_queue.put_nowait(item)
        return item

    @property
    def waiting(self) -> list[Any]:
        return list(self.msg_queue._queue)  # type: ignore[attr-defined]


async def pump(kernel: Any) -> None:
    with pumped_comms(SimpleNamespace(kernel=kernel)):
        await asyncio.sleep(4 * comm_pump.INTERVAL)


async def test_widgets_are_served_and_cells_keep_their_places() -> None:
    kernel = OldKernel()
    cells = [kernel.queue("execute_request", code="1")]
    kernel.queue("comm_msg", comm_id="a")
    cells.append(kernel.queue("execute_request", code="2"))
    kernel.queue("comm_msg", comm_id="b")
    await pump(kernel)
    assert kernel.handled == ["a", "b"]
    assert kernel.waiting == cells
    assert kernel.published == [("busy", "a"), ("idle", "a"), ("busy", "b"), ("idle", "b")]


async def test_a_cell_that_was_passed_over_can_still_be_read_by_the_kernel() -> None:
    """A message's signature is accepted once; looking at its type must not use it up."""
    kernel = OldKernel()
    kernel.queue("execute_request", code="1")
    await pump(kernel)
    _, parts = kernel.session.feed_identities(kernel.waiting[0][2][0], copy=False)
    assert kernel.session.deserialize(parts, content=True, copy=False)["content"]["code"] == "1"


async def test_what_arrives_while_the_cell_awaits_is_served() -> None:
    kernel = OldKernel()
    asyncio.get_running_loop().call_later(comm_pump.INTERVAL, lambda: kernel.queue("comm_msg", comm_id="late"))
    await pump(kernel)
    assert kernel.handled == ["late"]


async def test_a_reloaded_page_learns_which_widgets_there_are() -> None:
    kernel = OldKernel()
    kernel.queue("comm_info_request")
    await pump(kernel)
    assert kernel.handled == ["info"]
    assert kernel.waiting == []


async def test_nothing_is_served_after_the_block() -> None:
    kernel = OldKernel()
    await pump(kernel)
    kernel.queue("comm_msg", comm_id="after")
    await asyncio.sleep(3 * comm_pump.INTERVAL)
    assert kernel.handled == []


async def test_a_widget_that_fails_is_logged_and_the_next_is_served(caplog: pytest.LogCaptureFixture) -> None:
    kernel = OldKernel()
    served = kernel.shell_handlers["comm_msg"]

    def handler(stream: Any, identities: Any, message: Any) -> None:
        if message["content"]["comm_id"] == "bad":
            raise RuntimeError("broken button")
        served(stream, identities, message)

    kernel.shell_handlers["comm_msg"] = handler
    kernel.queue("comm_msg", comm_id="bad")
    kernel.queue("comm_msg", comm_id="good")
    await pump(kernel)
    assert kernel.handled == ["good"]
    assert kernel.published[:2] == [("busy", "bad"), ("idle", "bad")]
    assert "broken button" in caplog.text


async def test_a_forged_message_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    kernel = OldKernel()
    item = kernel.queue("comm_msg", comm_id="forged")
    item[2][0][2] = zmq.Message(b"0" * 64)
    await pump(kernel)
    assert kernel.handled == []
    assert "signature" in caplog.text.lower()


async def test_what_is_not_understood_stays_in_the_queue() -> None:
    kernel = OldKernel()
    items = [kernel.queue("comm_msg", dispatch=print, comm_id="a"), ("odd",)]
    kernel.msg_queue.put_nowait(items[1])
    await pump(kernel)
    assert kernel.waiting == items


@pytest.mark.parametrize("shell", [SimpleNamespace(), SimpleNamespace(kernel=None), SimpleNamespace(kernel=object())])
async def test_other_hosts_are_left_alone(shell: Any) -> None:
    with pumped_comms(shell):
        await asyncio.sleep(0)
