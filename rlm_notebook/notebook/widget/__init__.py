"""The tree view: an anywidget that a `Feed` speaks through.

Messages from the browser may arrive on any thread, so they do nothing but hand work to the run's loop.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ...core.events import Event, RunFinished
from ...exceptions import RLMError
from ...runtime.run_view import RunView
from .commands import obey
from .compression import packed
from .feed import Feed

__all__ = ["TreeView"]

_BUNDLE = Path(__file__).parents[2] / "static" / "widget.js"
#: Seconds between two frames, and between two heartbeats.
FRAME_INTERVAL = 0.05
HEARTBEAT_INTERVAL = 2.0
#: Half as many frames are sent when one takes so many seconds, or when there are so many nodes.
SLOW_FLUSH = 0.01
MANY_NODES = 20_000


ANSWER_BELOW = "the answer below is that of the run before this change; _rlm is the run shown here"
CELL_GOES_ON = "executed again, the cell goes on with the run before; with -n {} it goes on with this one"


class TreeView(anywidget.AnyWidget):
    """The live view of a run; several browsers may show it at once."""

    _esm = _BUNDLE
    _meta = traitlets.Dict().tag(sync=True)
    _snap = traitlets.Bytes(b"").tag(sync=True)
    theme = traitlets.Unicode("auto").tag(sync=True)
    height = traitlets.Int(460).tag(sync=True)

    def __init__(self, run: RunView, *, title: str = "") -> None:
        self._title = title
        #: Some browser has spoken.
        self.heard = False
        #: Of whoever sent the message that is being taken in.
        self._session = ""
        self._run = run
        self._feed = Feed(run, title=title)
        #: The run's events come on its loop; the state may be asked for on any thread.
        self._lock = threading.RLock()
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._interval = FRAME_INTERVAL
        super().__init__(_meta=_introduction(run, title))
        self.on_msg(self._received)
        self._watch(run)

    def _watch(self, run: RunView) -> None:
        self._run = run
        self._stop_watching = run.internals.watch(self._note)
        run.internals.follow(self._go_on)
        self._on_loop(self._settle if run.internals.finished else self._send_heartbeat)

    def _go_on(self, successor: RunView) -> None:
        """The run went on as another one, which is shown from now on: a new epoch, which begins with a snapshot."""
        with self._lock:
            self._stop_watching()
            self._stop_beating()
            notes = _notes_of_change(self._run, successor)
            self._feed = Feed(successor, title=self._title, epoch=self._feed.epoch + 1, notes=notes)
            self._meta = _introduction(successor, self._title)
            self._watch(successor)
            self._feed.frame()
            self._send_snapshot()

    def _stop_beating(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    def __repr__(self) -> str:
        """What a saved notebook holds in the widget's place: the same for every execution of the same run."""
        return f"TreeView({self._run.run_id})"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Without text of its own: where no widget can be shown, the static copy below it is what there is to read."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/plain"] = ""
        return bundle

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """The state with the snapshot made on the fly: a browser that joins late needs nothing else."""
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        if key is None or key == "_snap" or (not isinstance(key, str) and "_snap" in key):
            with self._lock:
                self._flush()
                state["_snap"] = self._feed.snapshot()
        return state

    def _on_loop(self, action: Callable[..., None], *values: Any) -> None:
        """Do something where the run lives; where its loop is gone, nothing happens any more, so here and now."""
        try:
            self._run.internals.loop.call_soon_threadsafe(action, *values)
        except RuntimeError:
            action(*values)

    # -- to the browser ------------------------------------------------------------------------------------------

    def _note(self, event: Event) -> None:
        with self._lock:
            urgent = self._feed.note(event)
            if urgent:
                self._flush()
            else:
                self._flush_later()
        if isinstance(event, RunFinished):
            # After the run's own last steps (its answer, its file), so that the final state is the whole of it.
            self._run.internals.loop.call_soon(self._settle)

    def _flush(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            began = time.perf_counter()
            frame = self._feed.frame()
            if frame is not None:
                self.send(_sendable(packed(frame)))
            slow = time.perf_counter() - began > SLOW_FLUSH or len(self._run.tree) > MANY_NODES
            self._interval = 2 * FRAME_INTERVAL if slow else FRAME_INTERVAL
            if self._feed.behind:
                self._flush_later()

    def _flush_later(self) -> None:
        """In the next frame, unless one is due already; where the loop is gone nothing grows any more."""
        if self._timer is None and not self._run.internals.finished:
            self._timer = self._run.internals.loop.call_later(self._interval, self._flush)

    def _settle(self) -> None:
        """The run is over: the last frame, and a snapshot that a saved notebook keeps."""
        with self._lock:
            self._stop_beating()
            if self._run.internals.reused:
                self._feed.show_recorded_times()
                # A new epoch begins with a snapshot; its first frame would say the same again.
                self._feed.frame()
            self._flush()
            self._snap = self._feed.snapshot()
            self.send(self._feed.heartbeat())

    def _send_heartbeat(self) -> None:
        if self._run.internals.finished:
            return
        # What no event tells of (a plan that waits for its approval) is told now at the latest.
        self._flush()
        self.send(self._feed.heartbeat())
        self._beat = self._run.internals.loop.call_later(HEARTBEAT_INTERVAL, self._send_heartbeat)

    # -- from the browser ----------------------------------------------------------------------------------------

    def call(self) -> None:
        """Have every browser that shows this speak up: it hears of a frame that never came, and asks for the state."""
        with self._lock:
            self._feed.sequence += 1
            self.send(self._feed.heartbeat())

    def _handle_msg(self, msg: dict[str, Any]) -> None:
        """Each page of a front end has a session of its own: that tells them apart where they give no name."""
        self._session = str(msg.get("header", {}).get("session") or "")
        super()._handle_msg(msg)

    def _received(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if isinstance(message, dict):
            self.heard = True
            self._on_loop(self._answer, {"session": self._session, **message})

    def _answer(self, message: dict[str, Any]) -> None:
        handler = _HANDLERS.get(str(message.get("t")))
        if handler is not None:
            with self._lock:
                handler(self, message)

    def _sync(self, message: dict[str, Any]) -> None:
        self._flush()
        self._send_snapshot()

    def _send_snapshot(self) -> None:
        head = {"t": "s", "e": self._feed.epoch, "s": self._feed.sequence}
        self.send(head, buffers=[self._feed.snapshot()])

    def _subscribe(self, message: dict[str, Any]) -> None:
        self._feed.subscribe(map(str, _listed(message.get("ids"))), str(message.get("c") or message["session"]))
        self._flush()

    def _get(self, message: dict[str, Any]) -> None:
        node = str(message.get("id"))
        for field in _listed(message.get("fields")):
            data = self._feed.detail(node, str(field))
            self.send(_sendable({"t": "d", **_asked(message), "id": node, "field": field, "data": data}))

    def _command(self, message: dict[str, Any]) -> None:
        ack: dict[str, Any] = {"t": "ack", **_asked(message), "ok": True}
        node, arguments = message.get("id"), message.get("args")
        try:
            data = obey(
                self._run,
                message.get("op"),
                str(node) if node is not None else None,
                arguments if isinstance(arguments, dict) else {},
            )
        except RLMError as error:
            ack |= {"ok": False, "error": str(error)}
        else:
            ack |= {"data": data} if data is not None else {}
        self.send(ack)


_HANDLERS = {
    "sync": TreeView._sync,
    "sub": TreeView._subscribe,
    "get": TreeView._get,
    "cmd": TreeView._command,
}


def _notes_of_change(before: RunView, after: RunView) -> list[str]:
    """What the cell has to do with a run that took the place of its own: its answer, below, was given already, and its
    file stays that of what it says."""
    notes = [ANSWER_BELOW] if before.output is not None else []
    if after.checkpoint and after.checkpoint != before.checkpoint:
        notes.append(CELL_GOES_ON.format(Path(after.checkpoint).stem))
    return notes


def _introduction(run: RunView, title: str) -> dict[str, Any]:
    """What is known of a run before anything else is."""
    return {"protocol": 1, "run_id": run.run_id, "title": title}


def _asked(message: dict[str, Any]) -> dict[str, Any]:
    """Whose question is answered: all browsers hear the answer, and each numbers its own."""
    return {"req": message.get("req"), **({"c": message["c"]} if isinstance(message.get("c"), str) else {})}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


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
