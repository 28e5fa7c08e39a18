"""What a node was before a person edited it, as text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ..core.changes import changes_of
from ..core.edits import EDITED, TASK_EDITED, task_before
from ..core.node import APPROVAL
from ..core.plan import plan_from_json
from ..core.tree import Node, Tree

__all__ = ["before_edits"]

NOTHING = "(nothing)"


def before_edits(tree: Tree, node: Node) -> Iterator[tuple[str, str]]:
    """The edited parts of a node ("task", "plan", "result"), each with its text before the first edit."""
    if TASK_EDITED in node.note:
        if node.parent is None:
            texts = (each["was"] for each in changes_of(tree) if each["node"] == node.id and "was" in each)
            task = next((text for text in texts if isinstance(text, str)), None)
        else:
            task = task_before(tree[node.parent].plan, int(node.id.rpartition(".")[2]))
        if task is not None:
            yield "task", task
    for part, holder in (("plan", node.plan or {}), ("result", node.metadata)):
        mark = holder.get(EDITED)
        if mark in (True, APPROVAL):
            yield part, "(not recorded)"
        elif isinstance(mark, dict) and "was" in mark:
            was, text = mark["was"], NOTHING
            if part == "plan" and isinstance(was, dict):
                with suppress(TypeError, ValueError):
                    text = str(plan_from_json(was))
            elif was is not None:
                text = str(was)
            yield part, text
