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

DETAIL_FIELDS = ("task", "output", "prompt", "plan", "tools", "cells", "quotes", "approval", "events", "before")


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
        if node_id not in self.tree:
            return None
        node = self.tree[node_id]
        match field:
            case "task":
                return node.task
            case "output":
                return node.result if node.result is not None else self.streamed(node.id) or node.partial or None
            case "prompt":
                messages = self.run.internals.describe_prompt(node.id)
                sent = [{"role": each["role"], "content": content_text(each["content"])} for each in messages]
                thoughts = [{"role": "what the model thought", "content": node.reasoning}] if node.reasoning else []
                return [*sent, *thoughts]
            case "plan":
                # In the planner's format, so that an edited one can be sent back.
                return _as_planned(node.plan) if node.plan is not None else None
            case "tools":
                return self._tools(node)
            case "cells":
                return self._cells(node)
            case "quotes":
                return quotes_to_json(traced_quotes(self.tree, node.id)) or None
            case "approval":
                return self._approval(node)
            case "events":
                return self._events(node)
            case "before":
                # What was there before a person edited it: the part of the node, and its text.
                return [{"part": part, "text": text} for part, text in before_edits(self.tree, node)] or None
        return None

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
    sub_tasks: list[dict[str, Any]] = []
    for planned in plan.get("sub_tasks") or ():
        # Files of earlier versions use other names.
        given = planned if isinstance(planned, dict) else {"description": str(planned)}
        sub_tasks.append(
            {
                "description": given.get("task") or given.get("description") or "",
                "agent": given.get("agent") or given.get("assigned_agent"),
                "depends_on": list(given.get("depends_on") or ()),
            }
        )
    return {"decision": plan.get("decision"), **optional, "sub_tasks": sub_tasks}
