"""The tree view: an anywidget that a `Feed` speaks through.

Messages from the browser may arrive on any thread, so they do nothing but hand work to the run's loop.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ..core.events import Event, RunFinished
from ..run import Run
from .feed import Feed

__all__ = ["TreeView"]

_BUNDLE = Path(__file__).parent.parent / "static" / "widget.js"
#: Seconds between two frames, and between two heartbeats.
FRAME_INTERVAL = 0.05
HEARTBEAT_INTERVAL = 2.0


class TreeView(anywidget.AnyWidget):
    """The live view of a run; several browsers may show it at once."""

    _esm = _BUNDLE
    _meta = traitlets.Dict().tag(sync=True)
    _snap = traitlets.Bytes(b"").tag(sync=True)
    theme = traitlets.Unicode("auto").tag(sync=True)
    height = traitlets.Int(460).tag(sync=True)

    def __init__(self, run: Run, *, title: str = "", notice: str = "") -> None:
        self._feed = Feed(run, title=title, notice=notice)
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None
        super().__init__(_meta={"protocol": 1, "run_id": run.run_id, "title": title})
        self.on_msg(self._received)
        run.watch(self._note)
        self._send_heartbeat()
        if run.finished:
            self._settle()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """The state with the snapshot made on the fly: a browser that joins late needs nothing else."""
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        if key is None or key == "_snap" or (not isinstance(key, str) and "_snap" in key):
            self._flush()
            state["_snap"] = self._feed.snapshot()
        return state

    # -- to the browser ------------------------------------------------------------------------------------------

    def _note(self, event: Event) -> None:
        if self._feed.note(event):
            self._flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(FRAME_INTERVAL, self._flush)
        if isinstance(event, RunFinished):
            # After the run's own last steps (its answer, its file), so that the final state is the whole of it.
            self._loop.call_soon(self._settle)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        frame = self._feed.frame()
        if frame is not None:
            self.send(_sendable(frame))

    def _settle(self) -> None:
        """The run is over: the last frame, and a snapshot that a saved notebook keeps."""
        if self._run.reused:
            self._feed.show_recorded_times()
        self._flush()
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        self.send(self._feed.heartbeat())
        self._snap = self._feed.snapshot()

    def _send_heartbeat(self) -> None:
        if self._run.finished:
            return
        self.send(self._feed.heartbeat())
        self._beat = self._loop.call_later(HEARTBEAT_INTERVAL, self._send_heartbeat)

    # -- from the browser ----------------------------------------------------------------------------------------

    def _received(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if isinstance(message, dict) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._answer, message)

    def _answer(self, message: dict[str, Any]) -> None:
        handler = _HANDLERS.get(str(message.get("t")))
        if handler is not None:
            handler(self, message)

    def _sync(self, message: dict[str, Any]) -> None:
        self._flush()
        head = {"t": "s", "e": self._feed.epoch, "s": self._feed.sequence}
        self.send(head, buffers=[self._feed.snapshot()])

    def _subscribe(self, message: dict[str, Any]) -> None:
        self._feed.subscribe(str(node) for node in message.get("ids") or [])
        self._flush()

    def _get(self, message: dict[str, Any]) -> None:
        node = str(message.get("id"))
        for field in message.get("fields") or []:
            data = self._feed.detail(node, str(field))
            reply = {"t": "d", "req": message.get("req"), "id": node, "field": field, "data": data}
            self.send(_sendable(reply))

    def _command(self, message: dict[str, Any]) -> None:
        action = {"cancel": self._run.cancel, "pause": self._run.pause, "resume": self._run.resume}.get(
            str(message.get("op"))
        )
        ack = {"t": "ack", "req": message.get("req"), "ok": action is not None}
        if action is None:
            ack["error"] = f"unknown command {message.get('op')!r}"
        elif self._run.finished:
            ack |= {"ok": False, "error": "the run is over"}
        else:
            action()
        self.send(ack)


_HANDLERS = {
    "sync": TreeView._sync,
    "sub": TreeView._subscribe,
    "get": TreeView._get,
    "cmd": TreeView._command,
}


def _sendable(message: dict[str, Any]) -> dict[str, Any]:
    """The message with what a JSON text over a socket cannot carry (lone surrogates) replaced."""
    try:
        json.dumps(message, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        cleaned: dict[str, Any] = json.loads(
            json.dumps(message, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")
        )
        return cleaned
    return message
