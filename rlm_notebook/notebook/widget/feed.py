"""What a browser is told of a run: events folded to rows, rows to small changes, changes to numbered frames.

The browser never interprets events. It gets JSON operations in frames with (epoch, sequence), coalesced per node, and
can ask for a snapshot of everything whenever it missed something. Nothing here knows a widget or an event loop.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ...core.events import Event, Finished, Retried, RunFinished, RunPaused, RunResumed, Token
from ...core.tree import Node, NodeState
from ...runtime.run_view import RunView
from ...views.answer import cut_off_answers
from ...views.idle_time import breaks_of
from .details import DETAIL_FIELDS, Details
from .rows import DEFAULTS, NODE_FIELDS, Timeline, changed, is_active, node_row, run_row
from .text_buffer import StreamedText

__all__ = ["NODE_FIELDS", "Feed"]

TAIL_CHARACTERS = 120
#: The ends of so many texts are in one frame; when more nodes write than that, they take turns. States never wait.
TAILS_A_FRAME = 6
#: So many browsers may have nodes open at once; who has not been heard of for longest is taken to be gone.
MOST_CLIENTS = 8
#: So many answers that are not whole are named above the tree.
MOST_LINES = 3
_URGENT = ("Failed", "RunFinished", "RunPaused", "RunResumed")


class Feed:
    """The browser's view of one run. `note` every event, then take frames with `frame`."""

    def __init__(
        self,
        run: RunView,
        *,
        title: str = "",
        epoch: int = 1,
        notes: Iterable[str] = (),
        readonly: bool = False,
    ) -> None:
        self._run = run
        self._title = title or str(run.internals.settings.get("title") or run.task)
        self._notice = _resuming(run)
        self._notes = tuple(notes)
        self._readonly = readonly
        self._label = next(filter(None, map(_label_of, run.tree)), "")
        self.epoch = epoch
        self.sequence = 0
        self._timeline = Timeline(run.tree.started if run.tree.started is not None else run.internals.clock())
        if readonly:
            # Whoever makes a copy has not watched the run, so that it knows of no pauses.
            self._timeline.leave_out(breaks_of(run.tree, run.internals.active_seconds))
        self._sent: dict[str, dict[str, Any]] = {}
        self._sent_run: dict[str, Any] = {}
        self._dirty: dict[str, None] = dict.fromkeys(node.id for node in run.tree)
        self._texts: dict[str, StreamedText] = {}
        #: Nodes whose text has grown, in the order in which their ends are to be told.
        self._growing: dict[str, None] = {}
        self._recalled: dict[str, float] = {}
        #: When the run was paused before its first call, and went on, as moments; a pause that lasts has no end. One
        #: that came while it worked is here as a moment, and with the run's stopwatch once the work has ended.
        self._pauses: list[tuple[float, float | None]] = []
        self._awaiting: frozenset[str] = frozenset()
        self._subscribed: dict[str, frozenset[str]] = {}

    def note(self, event: Event) -> bool:
        """Take in an event; true if it should be shown at once."""
        node = event.node
        if isinstance(event, Token):
            if event.anew:
                self._texts.pop(node, None)
            self._texts.setdefault(node, StreamedText()).add(event.text)
            self._growing[node] = None
            return False
        if isinstance(event, Finished | Retried):
            self._texts.pop(node, None)
        if isinstance(event, RunPaused):
            self._pauses.append((event.at, None if self._run.internals.fresh else event.at))
        elif isinstance(event, RunResumed | RunFinished):
            self._end_pause(event.at)
        if isinstance(event, Finished) and not self._label:
            self._label = _label_of(self._run.tree[node])
        if getattr(event, "mark", "") == "replayed":
            self._recalled.setdefault(node, self.now())
        if node:
            self._dirty[node] = None
        return type(event).__name__ in _URGENT

    def subscribe(self, ids: Iterable[str], client: str = "") -> None:
        """Send the full streaming text of these nodes, those that are open in one browser, instead of its others."""
        self._subscribed.pop(client, None)
        if wanted := frozenset(ids):
            self._subscribed[client] = wanted
        for forgotten in list(self._subscribed)[:-MOST_CLIENTS]:
            del self._subscribed[forgotten]
        for node in wanted & self._texts.keys():
            self._texts[node].rewind()

    def tell(self, *notes: str) -> None:
        """Say this beside the title, instead of what was said there."""
        self._notes = notes

    def now(self) -> float:
        return max(0.0, self._run.internals.clock() - self._timeline.origin)

    def show_recorded_times(self) -> None:
        """Nothing was made now: a new epoch, with the recorded timeline, and the notice says from when it is."""
        recorded = self._run.internals.recorded.tree.ended if self._run.internals.recorded is not None else None
        made = "reused from" if self._run.internals.live else "recorded"
        self._notice = f"{made} {_ago(self._run.internals.clock() - recorded)}" if recorded else made.split()[0]
        self._timeline = Timeline.of_recorded(self._run.tree, self._run.internals.active_seconds, self._timeline.origin)
        self._recalled.clear()
        self._pauses.clear()
        self.epoch += 1
        self.sequence = 0
        self._sent, self._sent_run = {}, {}
        self._dirty = dict.fromkeys(node.id for node in self._run.tree)

    @property
    def behind(self) -> bool:
        """Something is left to be told that did not fit into the last frame."""
        return bool(self._growing)

    def frame(self) -> dict[str, Any] | None:
        """The changes since the last frame as one message, or `None`."""
        self._note_approvals()
        operations = [*self._run_operations(), *self._node_operations(), *self._tails(), *self._text_operations()]
        if not operations:
            return None
        self.sequence += 1
        return {"t": "p", "e": self.epoch, "s": self.sequence, "n": self._shown_now(), "ops": operations}

    def heartbeat(self) -> dict[str, Any]:
        return {"t": "h", "e": self.epoch, "s": self.sequence, "n": self._shown_now()}

    def snapshot(self) -> bytes:
        """Everything as it is at the current sequence number: gzip of columnar JSON."""
        data = json.dumps(self.columns(), ensure_ascii=True, separators=(",", ":"))
        return gzip.compress(data.encode("ascii"), compresslevel=5, mtime=0)

    def columns(self) -> dict[str, Any]:
        """What a snapshot holds: one list per fact of a node."""
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
        """One fetched field of a node, of `detail_fields`; `None` if there is none."""
        return Details(self._run, self._timeline, self._streamed).read(node_id, field)

    # -- operations ----------------------------------------------------------------------------------------------

    def _run_operations(self) -> Iterator[list[Any]]:
        row = self._run_row()
        if patch := changed(self._sent_run, row):
            yield ["r", patch]
        self._sent_run = row

    def _node_operations(self) -> Iterator[list[Any]]:
        for node_id in self._dirty:
            before = self._sent.get(node_id)
            row = self._row(self._run.tree[node_id], before)
            self._sent[node_id] = row
            self._growing.pop(node_id, None)
            if before is None:
                yield ["a", {"id": node_id, **changed(DEFAULTS, row)}]
            elif patch := changed(before, row):
                yield ["p", node_id, patch]
        self._dirty.clear()

    def _note_approvals(self) -> None:
        """No event tells that a plan waits for its approval, or does not any more."""
        awaiting = frozenset(self._run.awaiting)
        if awaiting != self._awaiting:
            self._dirty |= dict.fromkeys(awaiting ^ self._awaiting)
            self._awaiting = awaiting

    def _end_pause(self, at: float) -> None:
        if self._pauses and self._pauses[-1][1] is None:
            self._pauses[-1] = (self._pauses[-1][0], at)

    def _rests(self) -> list[tuple[float, float | None]]:
        """When the run's clock stood still; from a copy such times are left out anyway."""
        if self._readonly:
            return []
        rests = [*(pause for pause in self._pauses if pause[0] != pause[1]), *self._run.internals.rests]
        # Where none is told, browsers measure one themselves, from the moment at which they see that a run is paused.
        return rests or self._pauses[:1]

    def _tails(self) -> Iterator[list[Any]]:
        """The ends of texts that have grown, of some nodes at a time."""
        for node_id in list(self._growing)[:TAILS_A_FRAME]:
            del self._growing[node_id]
            row, tail = self._sent[node_id], self._tail(self._run.tree[node_id])
            if row["tail"] != tail:
                self._sent[node_id] = {**row, "tail": tail}
                yield ["p", node_id, {"tail": tail}]

    def _text_operations(self) -> Iterator[list[Any]]:
        """What is new in the texts that are open somewhere."""
        for node_id in set().union(*self._subscribed.values()) & self._texts.keys():
            if (new := self._texts[node_id].take()) is not None:
                yield ["x", node_id, *new]

    # -- rows ----------------------------------------------------------------------------------------------------

    def _row(self, node: Node, before: dict[str, Any] | None) -> dict[str, Any]:
        return node_row(
            node,
            self._timeline,
            tail=self._tail(node),
            awaiting=node.id in self._awaiting,
            recalled=self._recalled.get(node.id),
            before=before,
        )

    def _tail(self, node: Node) -> str:
        text = self._texts.get(node.id) if is_active(node) else None
        return text.tail(TAIL_CHARACTERS) if text is not None else ""

    def _streamed(self, node_id: str) -> str | None:
        return str(self._texts[node_id]) if node_id in self._texts else None

    def _shown_now(self) -> float:
        """The run's present, or its last moment once it is over."""
        return self._timeline.end_of(self._run.tree) if self._run.internals.finished else round(self.now(), 3)

    def _run_row(self) -> dict[str, Any]:
        row = run_row(
            self._run,
            self._timeline,
            title=self._title,
            notice=self._notice,
            notes=(*self._run.notes, *self._notes, *self._cut_off()),
            label=self._label,
        )
        row["pauses"] = [[self._timeline.since(moment) for moment in pause] for pause in self._rests()]
        # A copy stands still, also that of a run that goes on.
        return {**row, **self._standing_still()} if self._readonly else row

    def _cut_off(self) -> list[str]:
        """Which answers are not whole, once the run is over: an answer that reads well may be the half of one."""
        lines = list(cut_off_answers(self._run.tree)) if self._run.internals.finished else []
        return lines if len(lines) <= MOST_LINES else [*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more"]

    def _standing_still(self) -> dict[str, Any]:
        """What a copy says of a run in place of what is so here and now; where this machine keeps it is nobody's."""
        place = Path(self._run.checkpoint or "")
        kept = f"{place.parent.name}/{place.name}" if self._run.checkpoint else ""
        return {"readonly": True, "can": [], "notice": "", "elapsed": self._shown_now(), "checkpoint": kept}


def _label_of(node: Node) -> str:
    """What a model says of its own nature ("rule-based, extractive ..."), if it does."""
    return str(node.metadata.get("label", ""))


def _resuming(run: RunView) -> str:
    if run.internals.recorded is None or run.internals.recorded.tree.request_key != run.internals.request_key:
        return ""
    done = sum(node.state is NodeState.DONE for node in run.internals.recorded.tree)
    return f"resuming: {done} of {len(run.internals.recorded.tree)} nodes were recorded before"


def _ago(seconds: float) -> str:
    """How long ago, as people say it: "just now", "1 hour ago", "3 days ago"."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // size)
        if count >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
