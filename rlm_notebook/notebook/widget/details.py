"""The long fields of a node, fetched when a browser opens them: task, output, quotes, prompt, plan, tools,
events, and what was there before an edit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...core.content import content_text
from ...core.node import APPROVAL, EDITED
from ...core.quotes import quotes_to_json
from ...core.text import duration
from ...core.tree import Node, Tree
from ...runtime.run_view import RunView
from ...views.before_edits import before_edits
from ...views.outline import MARKS
from ...views.quotes import traced_quotes
from .timeline import Timeline

__all__ = ["DETAIL_FIELDS", "Details"]


@dataclass(frozen=True)
class Details:
    """Reads the long fields of a run's nodes; `streamed` gives the text of a node while it streams."""

    run: RunView
    timeline: Timeline
    streamed: Callable[[str], str | None]

    @property
    def tree(self) -> Tree:
        return self.run.tree

    def read(self, node_id: str, field: str) -> Any:
        """One field of a node; `None` if the node or the field does not exist."""
        tree = self.run.tree
        node = tree[node_id] if node_id in tree else None  # noqa: SIM401 - a tree is no dict
        reader = _READERS.get(field)
        return reader(self, node) if node is not None and reader is not None else None

    def _output(self, node: Node) -> str | None:
        return node.result if node.result is not None else self.streamed(node.id) or node.partial or None

    def _prompt(self, node: Node) -> list[dict[str, str]]:
        messages = self.run.internals.describe_prompt(node.id)
        sent = [{"role": message["role"], "content": content_text(message["content"])} for message in messages]
        return [*sent, *([{"role": "what the model thought", "content": node.reasoning}] if node.reasoning else [])]

    def _plan(self, node: Node) -> dict[str, Any] | None:
        """The plan in the planner's format, so that an edited one can be sent back."""
        return _as_planned(node.plan) if node.plan is not None else None

    def _before(self, node: Node) -> list[dict[str, str]] | None:
        """What was there before a person edited it: the part of the node, and its text."""
        return [{"part": part, "text": text} for part, text in before_edits(self.run.tree, node)] or None

    def _tools(self, node: Node) -> list[dict[str, Any]]:
        return [
            {
                "name": use.name,
                "arguments": use.arguments,
                "result": use.content,
                "ok": use.ok,
                "asks": use.awaiting_approval,
                "started": self.timeline.since(use.started),
                "ended": self.timeline.since(use.ended),
            }
            for use in node.tool_calls
        ]

    def _quotes(self, node: Node) -> list[dict[str, str]] | None:
        return quotes_to_json(traced_quotes(self.run.tree, node.id)) or None

    def _cells(self, node: Node) -> list[dict[str, Any]]:
        return [
            {
                "code": cell.code,
                "output": cell.output,
                "value": cell.value,
                "error": cell.error,
                "seconds": cell.seconds if cell.ended is not None else None,
                "note": cell.note,
            }
            for cell in node.cells
        ]

    def _approval(self, node: Node) -> dict[str, Any] | None:
        """What waits for a decision of the user; the decision names its id, so that it concerns what was shown."""
        request = next((each for each in self.run.awaiting if each.node == node.id), None)
        if request is None:
            return None
        plan = _as_planned(request.plan.to_json()) if request.plan is not None else None
        calls = [{"name": call.name, "arguments": call.arguments} for call in request.calls]
        return {"request": request.id, "kind": request.kind, "plan": plan, "calls": calls}

    def _events(self, node: Node) -> list[dict[str, Any]]:
        """What happened to a node, in order: its phases with their durations, its tool calls, rejections, its end."""
        happened: list[tuple[float, str, str]] = []
        for phase in node.phases:
            took = duration(phase.ended - phase.started) if phase.ended is not None else ""
            happened.append((phase.started, phase.kind, took))
        for use in node.tool_calls:
            asks = "waiting for you: " if use.awaiting_approval else ""
            happened.append((use.started, "tool call", f"{asks}{use.name}"))
            if use.ended is not None:
                took = duration(use.ended - use.started)
                happened.append((use.ended, "tool result", f"{use.name}, {took}{'' if use.ok else ', failed'}"))
        happened += [(each.at, "plan rejected", each.reason) for each in node.rejected]
        mark = (node.plan or {}).get(EDITED)
        if isinstance(mark, dict) and mark.get("at") == APPROVAL and isinstance(mark.get("when"), int | float):
            happened.append((mark["when"], "plan changed", "at approval"))
        events = [
            {"at": self.timeline.since(at), "type": kind, "text": text}
            for at, kind, text in sorted(happened, key=lambda each: each[0])
        ]
        if node.state.final:
            mark = MARKS.get(node.mark, "")
            text = node.error or ", ".join(filter(None, (mark, node.note)))
            events.append({"at": self.timeline.since(node.ended), "type": str(node.state), "text": text})
        return events


def _as_planned(plan: dict[str, Any]) -> dict[str, Any]:
    optional = {name: value for name, value in plan.items() if name in ("thoughts", "answer") and value}
    sub_tasks = [_sub_task(each) for each in plan.get("sub_tasks") or ()]
    return {"decision": plan.get("decision"), **optional, "sub_tasks": sub_tasks}


def _sub_task(planned: Any) -> dict[str, Any]:
    """One sub-task of a recorded plan; files of earlier versions use other names."""
    if not isinstance(planned, dict):
        return {"description": str(planned), "agent": None, "depends_on": []}
    return {
        "description": planned.get("task") or planned.get("description") or "",
        "agent": planned.get("agent") or planned.get("assigned_agent"),
        "depends_on": list(planned.get("depends_on") or ()),
    }


_READERS: dict[str, Callable[[Details, Node], Any]] = {
    "task": lambda details, node: node.task,
    "output": Details._output,
    "prompt": Details._prompt,
    "plan": Details._plan,
    "tools": Details._tools,
    "cells": Details._cells,
    "quotes": Details._quotes,
    "approval": Details._approval,
    "events": Details._events,
    "before": Details._before,
}
DETAIL_FIELDS = tuple(_READERS)
