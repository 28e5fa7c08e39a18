"""The browser's view of a run: events are folded to rows, changes of rows to operations, operations to numbered frames.

Theory of operation
===================
The browser never interprets events. It holds one row a node and one row for the run, and applies operations to them:
"a" adds a node, "p" patches one, "r" patches the run, "x" appends streamed text to a node that is open in a browser.

State. `_sent` and `_sent_run` are the rows as every browser that received all frames has them. `note` only marks: nodes
whose row may have changed are in `_dirty`, nodes whose streamed text has grown in `_growing`. `frame` compares the
marked rows with the sent ones, sends the differences, and updates `_sent`. Many events of one node between two frames
therefore cost one operation. States are never delayed; ends of texts are limited to `TAILS_A_FRAME` a frame, and
`behind` is true while some are left.

Numbers. Frames have (epoch, sequence). A browser that misses a sequence number, or joins late, requests a snapshot: all
sent rows at the current sequence number. A new epoch invalidates everything before it; it begins when a continuation
replaces the run, and when a run that was entirely reused shows its recorded times.

Who may change it. `TreeView` calls `note`, `frame`, `subscribe` and `snapshot` under its lock, on the run's loop or on
a kernel thread. Nothing here knows a widget or an event loop, so that tests and the HTML page use it as it is.

What must never happen:
- A row differs from what the browser derives from frames or a snapshot: both come from `_sent` only.
- A sequence number is used twice with different content, or skipped: only `frame` increments it, for a non-empty frame.
- A text offset that does not match the browser's: offsets count UTF-16 code units, and a new subscription starts at 0.
- Unbounded growth: texts are dropped when a node finishes, and at most `MOST_CLIENTS` browsers have subscriptions.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.events import CellWritten, Event, Finished, Retried, RunFinished, RunPaused, RunResumed, Token
from ...core.node import EDITED
from ...core.text import counted
from ...core.tree import Node, NodeState
from ...runtime.run_view import RunView
from ...views.answer import cut_off_answers
from ...views.idle_time import breaks_of
from .details import DETAIL_FIELDS, Details
from .rows import DEFAULTS, NODE_FIELDS, changed, is_active, node_row, run_row
from .search import Hit, search
from .text_buffer import StreamedText
from .timeline import Timeline

__all__ = ["NODE_FIELDS", "Feed"]

TAIL_CHARACTERS = 120
#: The ends of this many texts are in one frame; if more nodes stream, they take turns. States are never delayed.
TAILS_A_FRAME = 6
#: The most browsers with open nodes; beyond that, the one whose last subscription is oldest counts as closed.
MOST_CLIENTS = 8
#: The most truncated answers that are named above the tree.
MOST_LINES = 3
_URGENT = ("Failed", "RunFinished", "RunPaused", "RunResumed")


class Feed:
    """The browser's view of one run: pass every event to `note`, then send what `frame` returns.

    `notes` are lines beside the title, `meanwhile` is one until the run has finished; `answers`: the answer is shown
    below this view; a `readonly` feed is that of a copy (an HTML page), without commands; `python` is the code of its
    engine, as `python_code` gives it.
    """

    def __init__(
        self,
        run: RunView,
        *,
        title: str = "",
        epoch: int = 1,
        notes: Iterable[str] = (),
        meanwhile: str = "",
        answers: bool = False,
        readonly: bool = False,
        python: Mapping[str, str] | None = None,
    ) -> None:
        self._run = run
        self._title = title or str(run.internals.settings.get("title") or run.task)
        self._notice = _resuming(run)
        #: When a run that was wholly reused was recorded, in words.
        self._age = ""
        self._notes = tuple(notes)
        self._meanwhile = meanwhile
        self._answers = answers
        self._readonly = readonly
        self._python = dict(python or {})
        #: The label that a model gives its answers ("rule-based, extractive ..."), or "".
        self._label = next((str(label) for node in run.tree if (label := node.metadata.get("label"))), "")
        self.epoch = epoch
        self.sequence = 0
        self._timeline = Timeline(run.tree.started if run.tree.started is not None else run.internals.clock())
        if readonly:
            # A copy did not observe the run's events, so it has no record of pauses.
            self._timeline.leave_out(breaks_of(run.tree, run.internals.active_seconds))
        self._sent: dict[str, dict[str, Any]] = {}
        self._sent_run: dict[str, Any] = {}
        self._dirty: dict[str, None] = dict.fromkeys(node.id for node in run.tree)
        self._texts: dict[str, StreamedText] = {}
        #: Nodes whose text has grown, in the order in which their ends are sent.
        self._growing: dict[str, None] = {}
        self._recalled: dict[str, float] = {}
        #: Pauses as (start, end); one that lasts has no end. Only a pause before the first call has a duration here;
        #: a later one is a single moment, because the run's own clock of active time knows when the calls ended.
        self._pauses: list[tuple[float, float | None]] = []
        #: The request that waits for a decision, by node.
        self._awaiting: dict[str, str] = {}
        self._subscribed: dict[str, frozenset[str]] = {}

    def note(self, event: Event) -> bool:
        """Records an event; true if it should be sent immediately."""
        node = event.node
        if isinstance(event, Token):
            if event.anew:
                self._texts.pop(node, None)
            self._texts.setdefault(node, StreamedText()).add(event.text)
            self._growing[node] = None
            return False
        if isinstance(event, Finished | Retried | CellWritten):
            self._texts.pop(node, None)
        if isinstance(event, RunPaused):
            self._pauses.append((event.at, None if self._run.internals.fresh else event.at))
        elif isinstance(event, RunResumed | RunFinished) and self._pauses and self._pauses[-1][1] is None:
            self._pauses[-1] = (self._pauses[-1][0], event.at)
        if isinstance(event, Finished) and not self._label:
            self._label = str(self._run.tree[node].metadata.get("label", ""))
        if getattr(event, "mark", "") == "replayed":
            self._recalled.setdefault(node, self.now())
        if node:
            self._dirty[node] = None
        return type(event).__name__ in _URGENT

    def add_note(self, line: str) -> None:
        """Show another line beside the title, from the next frame on."""
        self._notes = (*self._notes, line)

    def subscribe(self, ids: Iterable[str], client: str = "") -> None:
        """From now on, frames hold the whole streamed text of these nodes: those that are open in one browser."""
        self._subscribed.pop(client, None)
        if nodes := frozenset(ids):
            self._subscribed[client] = nodes
        for closed in list(self._subscribed)[:-MOST_CLIENTS]:
            del self._subscribed[closed]
        for node in nodes & self._texts.keys():
            self._texts[node].rewind()

    def now(self) -> float:
        return max(0.0, self._run.internals.clock() - self._timeline.origin)

    def show_recorded_times(self) -> None:
        """For a run that was entirely reused: a new epoch with the recorded timeline, and a notice with its age."""
        recorded = self._run.internals.recorded.tree.ended if self._run.internals.recorded is not None else None
        origin = "reused from" if self._run.internals.live else "recorded"
        self._age = f"{origin} {_ago(self._run.internals.clock() - recorded)}" if recorded else origin.split()[0]
        self._timeline = Timeline.of_recorded(self._run.tree, self._run.internals.active_seconds, self._timeline.origin)
        self._recalled.clear()
        self._pauses.clear()
        self.epoch += 1
        self.sequence = 0
        self._sent, self._sent_run = {}, {}
        self._dirty = dict.fromkeys(node.id for node in self._run.tree)

    @property
    def _reuse(self) -> str:
        """How much of a finished run was reused, and the calls of this execution: the header counts those of all."""
        living = [node for node in self._run.tree if node.state is not NodeState.SUPERSEDED]
        reused = sum(node.mark == "replayed" and EDITED not in node.metadata for node in living)
        part = self._age or (f"{reused} of {len(living)} nodes reused" if reused else "")
        calls = self._run.calls
        if not self._run.internals.live or not (part or calls < self._run.usage.calls):
            return part
        return ", ".join(filter(None, (part, f"{counted(calls, 'call')} now")))

    @property
    def behind(self) -> bool:
        """Whether something did not fit into the last frame."""
        return bool(self._growing)

    def frame(self) -> dict[str, Any] | None:
        """The changes since the last frame as one message, or `None` if there are none."""
        # No event is emitted when a plan starts or stops waiting for approval.
        awaiting = {request.node: request.id for request in self._run.awaiting}
        self._dirty |= {node: None for node, _ in awaiting.items() ^ self._awaiting.items()}
        self._awaiting = awaiting
        operations: list[list[Any]] = []
        row = self._run_row()
        if patch := changed(self._sent_run, row):
            operations.append(["r", patch])
        self._sent_run = row
        operations += self._node_operations()
        for node_id in list(self._growing)[:TAILS_A_FRAME]:
            del self._growing[node_id]
            row, tail = self._sent[node_id], self._tail(self._run.tree[node_id])
            if row["tail"] != tail:
                self._sent[node_id] = {**row, "tail": tail}
                operations.append(["p", node_id, {"tail": tail}])
        # New pieces of the texts that are open in a browser.
        for node_id in set().union(*self._subscribed.values()) & self._texts.keys():
            if (new := self._texts[node_id].take()) is not None:
                operations.append(["x", node_id, *new])
        if not operations:
            return None
        self.sequence += 1
        return {"t": "p", "e": self.epoch, "s": self.sequence, "n": self._shown_now(), "ops": operations}

    def heartbeat(self) -> dict[str, Any]:
        return {"t": "h", "e": self.epoch, "s": self.sequence, "n": self._shown_now()}

    def snapshot(self) -> bytes:
        """All rows at the current sequence number: gzip of columnar JSON."""
        data = json.dumps(self.columns(), ensure_ascii=True, separators=(",", ":"))
        return gzip.compress(data.encode("ascii"), compresslevel=5, mtime=0)

    def columns(self) -> dict[str, Any]:
        """The content of a snapshot: one list for each field of a node."""
        rows = list(self._sent.values())
        return {
            "v": 1,
            "e": self.epoch,
            "s": self.sequence,
            "n": self._shown_now(),
            "run": self._sent_run or self._run_row(),
            "nodes": {name: [row[name] for row in rows] for name in NODE_FIELDS},
        }

    detail_fields = DETAIL_FIELDS

    def detail(self, node_id: str, field: str) -> Any:
        """One long field of a node, one of `detail_fields`; `None` if it has none."""

        return self._details().read(node_id, field)

    def search(self, words: Sequence[str]) -> Iterator[Hit | None]:
        """One item for each node: where it has the words, or `None`."""
        return search(self._details(), words)

    def _details(self) -> Details:
        def streamed(node_id: str) -> str | None:
            return str(self._texts[node_id]) if node_id in self._texts else None

        return Details(self._run, self._timeline, streamed)

    def _node_operations(self) -> Iterator[list[Any]]:
        for node_id in self._dirty:
            before = self._sent.get(node_id)
            node = self._run.tree[node_id]
            row = node_row(
                node,
                self._timeline,
                tail=self._tail(node),
                awaiting=self._awaiting.get(node_id, ""),
                recalled=self._recalled.get(node_id),
                before=before,
            )
            self._sent[node_id] = row
            self._growing.pop(node_id, None)
            if before is None:
                yield ["a", {"id": node_id, **changed(DEFAULTS, row)}]
            elif patch := changed(before, row):
                yield ["p", node_id, patch]
        self._dirty.clear()

    # -- rows ----------------------------------------------------------------------------------------------------

    def _tail(self, node: Node) -> str:
        text = self._texts.get(node.id) if is_active(node) else None
        return text.tail(TAIL_CHARACTERS) if text is not None else ""

    def _shown_now(self) -> float:
        """The current time on the timeline; of a finished run, its end."""
        return self._timeline.end_of(self._run.tree) if self._run.internals.finished else round(self.now(), 3)

    def _run_row(self) -> dict[str, Any]:
        # A truncated answer may read like a complete one, so it is named when the run ends.
        cut_off = list(cut_off_answers(self._run.tree)) if self._run.internals.finished else []
        if len(cut_off) > MOST_LINES:
            cut_off = [*cut_off[:MOST_LINES], f"and {len(cut_off) - MOST_LINES} more"]
        meanwhile = [self._meanwhile] if self._meanwhile and not self._run.internals.finished else []
        row = run_row(
            self._run,
            self._timeline,
            title=self._title,
            notice=self._notice if not self._run.internals.finished else self._reuse,
            notes=(*self._run.notes, *self._notes, *meanwhile, *cut_off),
            label=self._label,
            answers=self._answers,
        )
        row = {**row, "python": self._python}
        if self._readonly:
            # A copy shows one moment, also of an unfinished run, and no path of this machine. Its timeline leaves
            # pauses out.
            path = Path(self._run.checkpoint or "")
            file = f"{path.parent.name}/{path.name}" if self._run.checkpoint else ""
            copied = {"readonly": True, "can": [], "notice": "", "elapsed": self._shown_now(), "checkpoint": file}
            worked = round(self._run.internals.active_seconds, 3)
            return {**row, **copied, "worked": worked, "pauses": []}
        pauses = [*(pause for pause in self._pauses if pause[0] != pause[1]), *self._run.internals.rests]
        # Without a known pause, browsers measure one themselves, from when they see that the run is paused.
        pauses = pauses or self._pauses[:1]
        return {**row, "pauses": [[self._timeline.since(moment) for moment in pause] for pause in pauses]}


def _resuming(run: RunView) -> str:
    if run.internals.recorded is None or run.internals.recorded.tree.request_key != run.internals.request_key:
        return ""
    if run.internals.changes:
        # A change of a finished run: that is what the header says.
        return ""
    done = sum(node.state is NodeState.DONE for node in run.internals.recorded.tree)
    return f"resuming: {done} of {len(run.internals.recorded.tree)} nodes were recorded before"


def _ago(seconds: float) -> str:
    """An age in words: "just now", "1 hour ago", "3 days ago"."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // size)
        if count >= 1:
            return f"{counted(count, unit)} ago"
    return "just now"
