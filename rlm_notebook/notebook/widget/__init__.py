"""The tree view: an anywidget that sends a `Feed` to browsers and executes their commands.

Messages from a browser may arrive on any thread; each is handled on the run's event loop.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ...core.events import Event, RunFinished
from ...exceptions import RLMError
from ...runtime.run_view import RunView
from .commands import execute
from .compression import packed
from .feed import Feed
from .parts import part
from .python_code import python_code
from .search import Hit, searched_words

__all__ = ["TreeView"]

_BUNDLE = Path(__file__).parents[2] / "static" / "widget.js"
#: Seconds between two frames, and between two heartbeats.
FRAME_INTERVAL = 0.05
HEARTBEAT_INTERVAL = 2.0
#: The frame rate is halved when a frame takes more seconds than this, or the tree has more nodes than this.
SLOW_FLUSH = 0.01
MANY_NODES = 20_000
#: The seconds for which a search may hold the event loop at a time.
SEARCH_SLICE = 0.02

ANSWER_BELOW = "the answer below is that of the run before this change; _rlm is the run shown here"
ANSWER_FOLLOWS = "the answer below is that of the version before; it is replaced when this one is done"
CELL_RESUMES = "executed again, the cell resumes the run before this change; with -n {} it resumes this one"


class TreeView(anywidget.AnyWidget):
    """The live view of a run; several browsers may show it at once."""

    _esm = _BUNDLE
    _meta = traitlets.Dict().tag(sync=True)
    _snap = traitlets.Bytes(b"").tag(sync=True)
    theme = traitlets.Unicode("auto").tag(sync=True)
    height = traitlets.Int(460).tag(sync=True)

    def __init__(
        self,
        run: RunView,
        *,
        title: str = "",
        answers: bool = False,
        compared_with: RunView | None = None,
        unfolded: bool = False,
    ) -> None:
        self._title = title
        #: Whether the run's answer is shown below.
        self._answers = answers
        #: Whether any browser has sent a message.
        self.heard = False
        #: The front end session that sent the message being handled.
        self._session = ""
        self._run = run
        self._feed = Feed(run, title=title, answers=answers, python=python_code(run))
        self._compared_with = compared_with
        #: Answers about other runs, once a browser asks for them.
        self._other_runs: Callable[[RunView, str, dict[str, Any]], Any] | None = None
        #: Events arrive on the run's loop; the state may be requested on any thread.
        self._lock = threading.RLock()
        #: The search that each page has begun last, while it lasts.
        self._searches: dict[str, Iterator[Hit | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._interval = FRAME_INTERVAL
        meta = {"protocol": 1, "run_id": run.run_id, "title": title}
        opens = "compare" if compared_with is not None else "tree" if unfolded else ""
        super().__init__(_meta={**meta, "opens": opens} if opens else meta)
        self.on_msg(self._received)
        self._watch(run)

    def _watch(self, run: RunView) -> None:
        self._run = run
        self._stop_watching = run.internals.watch(self._note)
        run.internals.follow(self._continue_with)
        run.internals.on_refusal(self._note_refusal)
        self._on_loop(self._settle if run.internals.finished else self._send_heartbeat)

    def _continue_with(self, successor: RunView) -> None:
        """Shows the run that continues this one, in a new epoch that begins with a snapshot."""
        with self._lock:
            self._stop_watching()
            self._stop_heartbeat()
            notes, meanwhile = [], ""
            if successor.internals.versioned:
                meanwhile = ANSWER_FOLLOWS if self._run.output is not None else ""
            elif self._run.output is not None:
                # The answer was returned already, and its file remains that of the run before.
                notes.append(ANSWER_BELOW)
            if successor.checkpoint and successor.checkpoint != self._run.checkpoint:
                name = Path(successor.checkpoint).stem
                notes.append(CELL_RESUMES.format(name))
                self._title = name if self._title else ""
            self._feed = Feed(
                successor,
                title=self._title,
                epoch=self._feed.epoch + 1,
                notes=notes,
                meanwhile=meanwhile,
                answers=self._answers,
                python=python_code(successor),
            )
            self._meta = {"protocol": 1, "run_id": successor.run_id, "title": self._title}
            self._watch(successor)
            self._feed.frame()
            self._send_snapshot()

    def _note_refusal(self, error: RLMError) -> None:
        with self._lock:
            self._feed.add_note(f"the change could not be made: {error}")
            self._flush()

    def _stop_heartbeat(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    def __repr__(self) -> str:
        """The text in a saved notebook: the same for every execution of the same run."""
        return f"TreeView({self._run.run_id})"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The widget without a text form: where it cannot be shown, the static copy below it is."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/plain"] = ""
        return bundle

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """The state with a current snapshot, which is all that a browser needs that joins late."""
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        if key is None or key == "_snap" or (not isinstance(key, str) and "_snap" in key):
            with self._lock:
                self._flush()
                state["_snap"] = self._feed.snapshot()
        return state

    def _on_loop(self, action: Callable[..., None], *values: Any) -> None:
        """Runs `action` on the run's loop; if that is closed, no event can interfere, and it runs here."""
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
            # After the run's last steps (its answer, its file), which the final state includes.
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
        """Schedules the next frame, unless one is scheduled or the run has finished."""
        if self._timer is None and not self._run.internals.finished:
            self._timer = self._run.internals.loop.call_later(self._interval, self._flush)

    def _settle(self) -> None:
        """The run has finished: sends the last frame, and sets the snapshot that a saved notebook contains."""
        with self._lock:
            self._stop_heartbeat()
            if self._run.internals.reused:
                self._feed.show_recorded_times()
                # A new epoch begins with a snapshot; its first frame would repeat that.
                self._feed.frame()
            self._flush()
            self._snap = self._feed.snapshot()
            self.send(self._feed.heartbeat())

    def _send_heartbeat(self) -> None:
        if self._run.internals.finished:
            return
        # Changes without an event (a plan that waits for approval) are sent now at the latest.
        self._flush()
        self.send(self._feed.heartbeat())
        self._beat = self._run.internals.loop.call_later(HEARTBEAT_INTERVAL, self._send_heartbeat)

    # -- from the browser ----------------------------------------------------------------------------------------

    def call(self) -> None:
        """Makes every open browser send a message: it sees a missing sequence number and requests the state."""
        with self._lock:
            self._feed.sequence += 1
            self.send(self._feed.heartbeat())

    def _handle_msg(self, msg: dict[str, Any]) -> None:
        """Records the session of the page that sent the message; it identifies a client that sends no name."""
        self._session = str(msg.get("header", {}).get("session") or "")
        super()._handle_msg(msg)

    def _received(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if isinstance(message, dict):
            self.heard = True
            self._on_loop(self._answer, {"session": self._session, **message})

    def _answer(self, message: dict[str, Any]) -> None:
        client = str(message.get("c") or message["session"])
        # All browsers receive an answer, and each has its own numbers of requests.
        request = {"req": message.get("req"), **({"c": message["c"]} if isinstance(message.get("c"), str) else {})}
        with self._lock:
            match message.get("t"):
                case "sync":
                    self._flush()
                    self._send_snapshot()
                case "sub":
                    ids = message.get("ids")
                    self._feed.subscribe(map(str, ids if isinstance(ids, list) else ()), client)
                    self._flush()
                case "get":
                    node, fields = str(message.get("id")), message.get("fields")
                    for field in map(str, fields if isinstance(fields, list) else ()):
                        data = self._feed.detail(node, field)
                        self.send(_sendable({"t": "d", **request, "id": node, "field": field, "data": data}))
                case "find":
                    self._searches[client] = found = self._feed.search(searched_words(message.get("words")))
                    self._continue_search(client, found, request)
                case "part":
                    name = str(message.get("name"))
                    if (content := part(name)) is not None:
                        self.send({"t": "part", **request, "name": name}, buffers=[content])
                case "cmd":
                    self._command(message, request)

    def _send_snapshot(self) -> None:
        head = {"t": "s", "e": self._feed.epoch, "s": self._feed.sequence}
        self.send(head, buffers=[self._feed.snapshot()])

    def _continue_search(self, client: str, found: Iterator[Hit | None], request: dict[str, Any]) -> None:
        """Sends the next hits of a search, unless the page has begun another; the loop is not held for long."""
        if self._searches.get(client) is not found:
            return
        try:
            at_once = self._run.internals.loop.is_closed()
        except RuntimeError:
            # A loaded run has no loop.
            at_once = True
        until = math.inf if at_once else time.perf_counter() + SEARCH_SLICE
        hits: list[Hit] = []
        with self._lock:
            for hit in found:
                if hit is not None:
                    hits.append(hit)
                if time.perf_counter() > until:
                    break
            else:
                del self._searches[client]
        done = client not in self._searches
        self.send(_sendable({"t": "found", **request, "hits": hits, "done": done}))
        if not done:
            self._on_loop(self._continue_search, client, found, request)

    def _command(self, message: dict[str, Any], request: dict[str, Any]) -> None:
        ack: dict[str, Any] = {"t": "ack", **request, "ok": True}
        node, given = message.get("id"), message.get("args")
        operation, arguments = message.get("op"), given if isinstance(given, dict) else {}
        try:
            if operation in ("runs", "compare", "outputs"):
                if self._other_runs is None:
                    # Loaded on demand, like its part of the bundle: most views compare nothing.
                    from .comparison import Comparison

                    self._other_runs = Comparison(self._compared_with).answer
                data = self._other_runs(self._run, operation, arguments)
            else:
                data = execute(self._run, operation, str(node) if node is not None else None, arguments)
                # What it changed comes before the answer: a dialog that closes leaves nothing to decide again.
                self._flush()
        except RLMError as error:
            ack |= {"ok": False, "error": str(error)}
        else:
            ack |= {"data": data} if data is not None else {}
        self.send(_sendable(ack))


def _sendable(message: dict[str, Any]) -> dict[str, Any]:
    """The message with lone surrogates replaced, which UTF-8 cannot encode."""
    try:
        json.dumps(message, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        cleaned: dict[str, Any] = json.loads(
            json.dumps(message, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")
        )
        return cleaned
    return message
