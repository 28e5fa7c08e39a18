"""What a browser is told of a run: events folded to rows, rows to small changes, changes to numbered frames.

The browser never interprets events. It gets JSON operations in frames with (epoch, sequence), coalesced per node, and
can ask for a snapshot of everything whenever it missed something. Nothing here knows a widget or an event loop.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from ..core.events import Event, Finished, Retried, Token
from ..core.tree import Node, NodeState, Tree
from ..recorded_run import RecordedRun
from ..run import Run

__all__ = ["NODE_FIELDS", "Feed", "settings_of", "stretches_of"]

TITLE_CHARACTERS = 160
TAIL_CHARACTERS = 120
NOTE_CHARACTERS = 200
#: A time without work, in seconds, that a recorded timeline leaves out.
SHORTEST_BREAK = 1.0
_ACTIVE = (NodeState.PLANNING, NodeState.RUNNING, NodeState.SYNTHESIZING)

NODE_FIELDS = (
    "id",
    "parent",
    "title",
    "agent",
    "model",
    "state",
    "mark",
    "decision",
    "depends_on",
    "tokens_in",
    "tokens_out",
    "cost",
    "attempts",
    "phases",
    "note",
    "tail",
)


class Feed:
    """The browser's view of one run. `note` every event, then take frames with `frame`.

    Times are seconds since the origin: the start of this execution; or, when everything was reused, the start of the
    recorded one, so that its timeline is shown as it was.
    """

    def __init__(self, run: Run | RecordedRun, *, title: str = "") -> None:
        self._run = run
        self._title = title or run.task
        self._notice = _resuming(run)
        self._label = next(filter(None, map(_label_of, run.tree)), "")
        self.epoch = 1
        self.sequence = 0
        self._origin = run.clock()
        #: Stretches of the recorded time that are not shown: nobody worked then.
        self._idle: list[tuple[float, float]] = []
        self._sent: dict[str, dict[str, Any]] = {}
        self._sent_run: dict[str, Any] = {}
        self._dirty: dict[str, None] = dict.fromkeys(node.id for node in run.tree)
        self._texts: dict[str, str] = {}
        self._streamed: dict[str, int] = {}
        self._recalled: dict[str, float] = {}
        self._subscribed: frozenset[str] = frozenset()

    def note(self, event: Event) -> bool:
        """Take in an event; true if it should be shown at once."""
        if isinstance(event, Token):
            self._texts[event.node] = self._texts.get(event.node, "") + event.text
        elif isinstance(event, Finished | Retried):
            self._texts.pop(event.node, None)
            self._streamed.pop(event.node, None)
        if isinstance(event, Finished) and not self._label:
            self._label = _label_of(self._run.tree[event.node])
        if getattr(event, "mark", "") == "replayed":
            self._recalled.setdefault(event.node, self.now())
        if event.node:
            self._dirty[event.node] = None
        return type(event).__name__ in ("Failed", "RunFinished", "RunPaused", "RunResumed")

    def subscribe(self, ids: Iterable[str]) -> None:
        """Send the full streaming text of these nodes (those that are open in a browser)."""
        self._subscribed = frozenset(ids)
        for node in self._subscribed:
            self._streamed.pop(node, None)

    def now(self) -> float:
        return max(0.0, self._run.clock() - self._origin)

    def show_recorded_times(self) -> None:
        """Everything was reused: a new epoch, with the recorded timeline, and the notice says from when."""
        recorded = self._run.recorded.tree.ended if self._run.recorded is not None else None
        self._notice = f"reused from {_ago(self._run.clock() - recorded)}" if recorded else "reused"
        worked = stretches_of(self._run.tree)
        self._origin = worked[0][0] if worked else self._origin
        gaps = ((before[1], after[0]) for before, after in pairwise(worked))
        self._idle = [(began, ended) for began, ended in gaps if ended - began > SHORTEST_BREAK]
        self._recalled.clear()
        self.epoch += 1
        self.sequence = 0
        self._sent, self._sent_run = {}, {}
        self._dirty = dict.fromkeys(node.id for node in self._run.tree)

    def frame(self) -> dict[str, Any] | None:
        """The changes since the last frame as one message, or `None`."""
        operations = [*self._run_operations(), *self._node_operations(), *self._text_operations()]
        if not operations:
            return None
        self.sequence += 1
        return {"t": "p", "e": self.epoch, "s": self.sequence, "n": self._shown_now(), "ops": operations}

    def heartbeat(self) -> dict[str, Any]:
        return {"t": "h", "e": self.epoch, "s": self.sequence, "n": self._shown_now()}

    def snapshot(self) -> bytes:
        """Everything as it is at the current sequence number: gzip of columnar JSON."""
        rows = list(self._sent.values())
        data = {
            "v": 1,
            "e": self.epoch,
            "s": self.sequence,
            "n": self._shown_now(),
            "run": self._sent_run or self._run_row(),
            "nodes": {name: [row[name] for row in rows] for name in NODE_FIELDS},
        }
        return gzip.compress(json.dumps(data, ensure_ascii=True).encode("ascii"), compresslevel=5, mtime=0)

    # -- operations ----------------------------------------------------------------------------------------------

    def _run_operations(self) -> list[list[Any]]:
        row = self._run_row()
        patch = _changed(self._sent_run, row)
        self._sent_run = row
        return [["r", patch]] if patch else []

    def _node_operations(self) -> list[list[Any]]:
        operations: list[list[Any]] = []
        for node_id in self._dirty:
            row, before = self._row(self._run.tree[node_id]), self._sent.get(node_id)
            self._sent[node_id] = row
            if before is None:
                operations.append(["a", row])
            elif patch := _changed(before, row):
                operations.append(["p", node_id, patch])
        self._dirty.clear()
        return operations

    def _text_operations(self) -> list[list[Any]]:
        operations: list[list[Any]] = []
        for node_id in self._subscribed & self._texts.keys():
            text, sent = self._texts[node_id], self._streamed.get(node_id, 0)
            if len(text) > sent:
                operations.append(["x", node_id, _units(text[:sent]), text[sent:]])
                self._streamed[node_id] = len(text)
        return operations

    # -- rows ----------------------------------------------------------------------------------------------------

    def _row(self, node: Node) -> dict[str, Any]:
        note = node.error or (f"limited: {node.limited}" if node.limited else node.note)
        return {
            "id": node.id,
            "parent": node.parent,
            "title": node.title[:TITLE_CHARACTERS],
            "agent": node.agent,
            "model": node.model,
            "state": str(node.state),
            "mark": node.mark,
            "decision": node.decision,
            "depends_on": list(node.depends_on),
            "tokens_in": node.usage.prompt_tokens,
            "tokens_out": node.usage.completion_tokens,
            "cost": node.usage.cost_usd,
            "attempts": node.attempts,
            "phases": self._phases(node),
            "note": note[:NOTE_CHARACTERS],
            "tail": self._texts.get(node.id, "")[-TAIL_CHARACTERS:] if node.state in _ACTIVE else "",
        }

    def _phases(self, node: Node) -> list[list[Any]]:
        recalled = self._recalled.get(node.id)
        if recalled is not None and node.mark == "replayed":
            return [["replayed", round(recalled, 3), round(recalled, 3)]]
        return [[phase.kind, self._since(phase.started), self._since(phase.ended)] for phase in node.phases]

    def _since(self, moment: float | None) -> float | None:
        if moment is None:
            return None
        skipped = sum(min(ended, moment) - began for began, ended in self._idle if began < moment)
        return round(max(0.0, moment - self._origin - skipped), 3)

    def _shown_now(self) -> float:
        """The run's present, or its last moment once it is over."""
        if not self._run.finished:
            return round(self.now(), 3)
        ended = [node.ended for node in self._run.tree if node.ended is not None]
        return self._since(max(ended, default=self._origin)) or 0.0

    def _run_row(self) -> dict[str, Any]:
        run = self._run
        usage = run.usage
        return {
            "run_id": run.run_id,
            "title": _first_line(self._title)[:TITLE_CHARACTERS],
            "status": "running" if run.status == "pending" else run.status,
            "started": round(self._origin, 3),
            "elapsed": self._shown_now() if run.finished else None,
            "tokens": usage.total_tokens,
            "cost": usage.cost_usd,
            "calls": usage.calls,
            "budget": run.budget.to_json(),
            "model": settings_of(run).get("model", ""),
            "notice": self._notice,
            "checkpoint": run.checkpoint or "",
            "error": run.tree.error,
            "can": _COMMANDS.get(run.status, []),
            "label": self._label,
        }

    # -- details -------------------------------------------------------------------------------------------------

    def detail(self, node_id: str, field: str) -> Any:
        """One fetched field of a node: "output", "prompt", "plan", "tools" or "events"; `None` if there is none."""
        tree = self._run.tree
        node = tree[node_id] if node_id in tree else None  # noqa: SIM401 - a tree is no dict
        reader = _DETAILS.get(field)
        return reader(self, node) if node is not None and reader is not None else None

    def _output(self, node: Node) -> str | None:
        return node.result if node.result is not None else self._texts.get(node.id)

    def _prompt(self, node: Node) -> list[dict[str, str]]:
        messages = self._run.describe_prompt(node.id)
        return [{"role": message["role"], "content": message["content"]} for message in messages]

    def _tools(self, node: Node) -> list[dict[str, Any]]:
        return [
            {
                "name": use.name,
                "arguments": use.arguments,
                "result": use.content,
                "ok": use.ok,
                "started": self._since(use.started),
                "ended": self._since(use.ended),
            }
            for use in node.tool_calls
        ]

    def _events(self, node: Node) -> list[dict[str, Any]]:
        events = [{"at": self._since(phase.started), "type": phase.kind, "text": ""} for phase in node.phases]
        if node.state.final:
            events.append({"at": self._since(node.ended), "type": str(node.state), "text": node.error or node.note})
        return events


_DETAILS: dict[str, Any] = {
    "output": Feed._output,
    "prompt": Feed._prompt,
    "plan": lambda feed, node: node.plan,
    "tools": Feed._tools,
    "events": Feed._events,
}


#: What can be done with a run in which status.
_COMMANDS = {"pending": ["cancel"], "running": ["cancel", "pause"], "paused": ["cancel", "resume"]}


def settings_of(run: Run | RecordedRun) -> dict[str, Any]:
    """What made the answers: of a run that was wholly reused, the recorded settings."""
    return run.recorded.tree.settings if run.reused and run.recorded is not None else run.settings


def stretches_of(tree: Tree) -> list[tuple[float, float]]:
    """When some node was worked on, in order and without overlaps: not while paused, nor between two executions."""
    phases = [phase for node in tree for phase in node.phases if phase.kind != "wait"]
    merged: list[tuple[float, float]] = []
    for began, ended in sorted((phase.started, phase.ended) for phase in phases if phase.ended is not None):
        if merged and began <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(ended, merged[-1][1]))
        else:
            merged.append((began, ended))
    return merged


def _label_of(node: Node) -> str:
    """What a model says of its own nature ("rule-based, extractive ..."), if it does."""
    return str(node.metadata.get("label", ""))


def _resuming(run: Run | RecordedRun) -> str:
    if run.recorded is None or run.recorded.tree.request_key != run.request_key:
        return ""
    done = sum(node.state is NodeState.DONE for node in run.recorded.tree)
    return f"resuming: {done} of {len(run.recorded.tree)} nodes were recorded before"


def _ago(seconds: float) -> str:
    """How long ago, as people say it: "just now", "1 hour ago", "3 days ago"."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // size)
        if count >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _changed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in now.items() if name not in before or before[name] != value}


def _units(text: str) -> int:
    """The length of a text as the browser counts: in UTF-16 code units."""
    return len(text) + sum(char > "\uffff" for char in text)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
