"""The rows of a run and its nodes as the browser draws them: flat fields, with times relative to an origin.

This module decides the content of a row; the feed decides when and how it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...core.changes import described_changes
from ...core.edits import TASK_EDITED
from ...core.quotes import counted_quotes, quotes_of
from ...core.text import printable
from ...core.tree import Node, NodeState
from ...runtime.run_view import RunView, version_of
from .timeline import Timeline

__all__ = ["DEFAULTS", "NODE_FIELDS", "changed", "node_row", "reused_tokens", "run_row", "settings_of"]

TITLE_CHARACTERS = 160
#: Seconds: what is closer to each other is one duration, measured at two places.
_SAME = 0.05
NOTE_CHARACTERS = 200

#: The default of each field of a node: a new node is sent as its differences from these.
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
    "awaiting": "",
    "ended_early": False,
    "query": "",
    "cells": 0,
    "edited": "",
}
NODE_FIELDS = tuple(DEFAULTS)


def node_row(
    node: Node,
    timeline: Timeline,
    *,
    tail: str,
    awaiting: str,
    recalled: float | None,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One node as a row.

    `awaiting`: the id of the request that waits for a decision of the user. `recalled`: when a reused node was looked
    up, in seconds since the origin; its recorded times belong to another execution. `before`: the previous row, whose
    title is reused.
    """
    phases = [[phase.kind, timeline.since(phase.started), timeline.since(phase.ended)] for phase in node.phases]
    if recalled is not None and node.mark == "replayed":
        phases = [["replayed", round(recalled, 3), round(recalled, 3)]]
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
        "phases": phases,
        "note": (node.error or (_calls_to_approve(node) if awaiting else "") or node.remark)[:NOTE_CHARACTERS],
        "tail": tail,
        "awaiting": awaiting,
        "ended_early": bool(node.ended_early),
        "query": node.query,
        # Twice the number, plus one while the last one runs: it changes with each event of a cell.
        "cells": 2 * len(node.cells) - bool(node.cells and node.cells[-1].ended is not None),
        "edited": "; ".join(filter(None, (TASK_EDITED if TASK_EDITED in node.note else "", node.edited))),
    }


def _calls_to_approve(node: Node) -> str:
    """The tool calls that wait for approval, as text; "" where a plan does."""
    calls = [
        f"{use.name}({', '.join(f'{name}={value!r}' for name, value in use.arguments.items())})"
        for use in node.tool_calls
        if use.ended is None and use.awaiting_approval
    ]
    return printable(f"asks to call {', '.join(calls)}") if calls else ""


def run_row(
    run: RunView,
    timeline: Timeline,
    *,
    title: str,
    notice: str,
    notes: Iterable[str],
    label: str,
    answers: bool = False,
) -> dict[str, Any]:
    """The run as a row. `answers`: its answer is shown below this view."""
    usage, internals = run.usage, run.internals
    recorded = internals.recorded
    same_run = recorded is not None and recorded.tree.request_key == internals.request_key
    first_line = next((line.strip() for line in title.splitlines() if line.strip()), "")
    root, parent = run.tree.root, run.tree.parent
    quotes = counted_quotes(quotes_of(root.metadata)) if root is not None else ""
    # The changes that made this version; of the fork of a run: the edited node and the run it is from.
    forked = f"edited at {parent.get('node')} of run {str(parent.get('run_id'))[:8]}" if parent else ""
    return {
        "run_id": run.run_id,
        "title": first_line[:TITLE_CHARACTERS],
        "status": "running" if run.status == "pending" else run.status,
        "started": round(timeline.origin, 3),
        "elapsed": timeline.end_of(run.tree) if run.internals.finished else None,
        # Over all executions of the run, as all other views have it.
        "worked": _worked(run, timeline) if internals.finished else None,
        "worked_before": round(recorded.active_seconds, 3) if recorded is not None and same_run else 0,
        "tokens": usage.total_tokens,
        "reused_tokens": reused_tokens(run),
        "cost": usage.cost_usd,
        "calls": usage.calls,
        "calls_now": run.calls if internals.live else usage.calls,
        "budget": run.internals.budget.to_json(),
        "model": settings_of(run).get("model", ""),
        "notice": " · ".join(filter(None, (notice, quotes))),
        "notes": list(notes),
        "checkpoint": run.checkpoint or "",
        "error": run.tree.error,
        "can": commands_for(run),
        "label": label,
        "forked": described_changes(internals.changes) if internals.changes else forked,
        "version": version_of(run),
        "answers": answers,
    }


def commands_for(run: RunView) -> list[str]:
    """The commands that the widget offers for a run in its present state."""
    if not run.internals.live:
        return []
    if run.internals.finished:
        can_answer = run.status != "done" and any(node.state == "done" for node in run.tree)
        undo = ["undo"] if run.internals.version_before else []
        redo = ["redo"] if run.internals.version_undone else []
        return ["retry", "edit", *(["answer"] if can_answer else []), *undo, *redo]
    return _WHILE_RUNNING.get(run.status, ["cancel"])


_WHILE_RUNNING = {
    "running": ["cancel", "pause", "retry", "edit", "approve"],
    "paused": ["cancel", "resume", "retry", "edit", "approve"],
}


def _worked(run: RunView, timeline: Timeline) -> float:
    """The seconds that the run has worked; written as the root's row has them, which is rounded otherwise."""
    seconds, root = run.internals.active_seconds, run.tree.root
    began, ended = (timeline.since(root.started), timeline.since(root.ended)) if root is not None else (None, None)
    if began is not None and ended is not None and abs(ended - began - seconds) < _SAME:
        seconds = ended - began
    return round(seconds, 3)


def reused_tokens(run: RunView) -> int:
    """The tokens of results that this run has from another one, which paid for them."""
    return max(0, run.tree.usage.total_tokens - run.usage.total_tokens)


def settings_of(run: RunView) -> dict[str, Any]:
    """The settings that produced the answers: the recorded ones, if the whole run was reused."""
    internals = run.internals
    reused = internals.recorded if internals.reused else None
    return reused.tree.settings if reused is not None else internals.settings


def changed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The fields whose values differ."""
    return {name: value for name, value in now.items() if name not in before or before[name] != value}


def is_active(node: Node) -> bool:
    """Whether a model is generating text for the node."""
    return node.state in _ACTIVE


_ACTIVE = (NodeState.PLANNING, NodeState.RUNNING, NodeState.SYNTHESIZING)
