"""A run and its nodes as the browser draws them: flat rows of facts, with times on a line of their own.

What a row says is decided here; when it is sent, and how, is the feed's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...core.text import printable
from ...core.tree import Node, NodeState, Tree
from ...runtime.run_view import RunView
from ...views.idle_time import Break, breaks_of
from .commands import commands_for

__all__ = ["DEFAULTS", "NODE_FIELDS", "Timeline", "changed", "node_row", "run_row", "settings_of"]

TITLE_CHARACTERS = 160
NOTE_CHARACTERS = 200

#: What each fact of a node is where nothing else was said: a node is announced by what differs.
DEFAULTS: dict[str, Any] = {
    "id": "",
    "parent": None,
    "title": "",
    "agent": "",
    "model": "",
    "state": "pending",
    "mark": "",
    "decision": None,
    "depends_on": [],
    "tokens_in": 0,
    "tokens_out": 0,
    "cost": None,
    "attempts": 0,
    "phases": [],
    "note": "",
    "tail": "",
    "awaiting": False,
    "ended_early": False,
}
NODE_FIELDS = tuple(DEFAULTS)


class Timeline:
    """Times of the run as seconds since the origin.

    The origin is the start of this execution; or, when everything was reused, that of the recorded one, so that its
    timeline is shown as it was, without the breaks in which nobody was to work.
    """

    def __init__(self, origin: float) -> None:
        self.origin = origin
        self._idle: list[Break] = []

    @classmethod
    def of_recorded(cls, tree: Tree, active_seconds: float, otherwise: float) -> Timeline:
        """The times of a tree that is over; `otherwise` is the origin of one in which nothing happened."""
        began = [phase.started for node in tree for phase in node.phases if phase.kind != "wait"]
        timeline = cls(min(began, default=otherwise))
        timeline.leave_out(breaks_of(tree, active_seconds))
        return timeline

    def leave_out(self, breaks: list[Break]) -> None:
        """These times take no room: nobody was to work in them."""
        self._idle = breaks

    def since(self, moment: float | None) -> float | None:
        if moment is None:
            return None
        if not self._idle:
            return round(max(0.0, moment - self.origin), 3)
        skipped = sum(min(ended, moment) - began for began, ended in self._idle if began < moment)
        return round(max(0.0, moment - self.origin - skipped), 3)

    def end_of(self, tree: Tree) -> float:
        """The last moment at which a node ended."""
        ended = [node.ended for node in tree if node.ended is not None]
        return self.since(max(ended, default=self.origin)) or 0.0


def node_row(
    node: Node,
    timeline: Timeline,
    *,
    tail: str,
    awaiting: bool,
    recalled: float | None,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """`recalled`: when a reused node was found in the records, in seconds; its own times are of another execution.
    `before` is the row as it was: what a node is called does not change."""
    return {
        "id": node.id,
        "parent": node.parent,
        "title": node.title[:TITLE_CHARACTERS] if before is None else before["title"],
        "agent": node.agent,
        "model": node.model,
        "state": node.state.value,
        "mark": node.mark,
        "decision": node.decision,
        "depends_on": list(node.depends_on),
        "tokens_in": node.usage.prompt_tokens,
        "tokens_out": node.usage.completion_tokens,
        "cost": node.usage.cost_usd,
        "attempts": node.attempts,
        "phases": _phases(node, timeline, recalled),
        "note": (node.error or (_allowed(node) if awaiting else "") or node.remark)[:NOTE_CHARACTERS],
        "tail": tail,
        "awaiting": awaiting,
        "ended_early": bool(node.ended_early),
    }


def _allowed(node: Node) -> str:
    """Which calls of tools somebody is asked to allow; "" where it is a plan."""
    calls = [
        f"{use.name}({', '.join(f'{name}={value!r}' for name, value in use.arguments.items())})"
        for use in node.tool_calls
        if use.ended is None
    ]
    return printable(f"asks to call {', '.join(calls)}") if calls else ""


def _phases(node: Node, timeline: Timeline, recalled: float | None) -> list[list[Any]]:
    if recalled is not None and node.mark == "replayed":
        return [["replayed", round(recalled, 3), round(recalled, 3)]]
    return [[phase.kind, timeline.since(phase.started), timeline.since(phase.ended)] for phase in node.phases]


def run_row(
    run: RunView, timeline: Timeline, *, title: str, notice: str, notes: Iterable[str], label: str
) -> dict[str, Any]:
    usage = run.usage
    return {
        "run_id": run.run_id,
        "title": _first_line(title)[:TITLE_CHARACTERS],
        "status": "running" if run.status == "pending" else run.status,
        "started": round(timeline.origin, 3),
        "elapsed": timeline.end_of(run.tree) if run.internals.finished else None,
        "tokens": usage.total_tokens,
        "cost": usage.cost_usd,
        "calls": usage.calls,
        "budget": run.internals.budget.to_json(),
        "model": settings_of(run).get("model", ""),
        "notice": notice,
        "notes": list(notes),
        "checkpoint": run.checkpoint or "",
        "error": run.tree.error,
        "can": commands_for(run),
        "label": label,
        "forked": _forked_from(run),
    }


def _forked_from(run: RunView) -> str:
    """Which run this one was made from, if it was."""
    parent = run.tree.parent
    return f"edited at {parent.get('node')} of run {str(parent.get('run_id'))[:8]}" if parent else ""


def settings_of(run: RunView) -> dict[str, Any]:
    """What made the answers: of a run that was wholly reused, the recorded settings."""
    internals = run.internals
    reused = internals.recorded if internals.reused else None
    return reused.tree.settings if reused is not None else internals.settings


def changed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The facts that are not as they were."""
    return {name: value for name, value in now.items() if name not in before or before[name] != value}


def is_active(node: Node) -> bool:
    """A model writes for it now."""
    return node.state in _ACTIVE


_ACTIVE = (NodeState.PLANNING, NodeState.RUNNING, NodeState.SYNTHESIZING)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
