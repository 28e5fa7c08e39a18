"""Records with something changed in them: what an edited run starts from.

An edit changes what was recorded, never the engine: the new run finds the edited plan or result under the content key
of the node, as it finds everything else, and whatever depends on it gets another key and runs again. So an edit that
changes nothing costs nothing. Of nodes with equal content keys only the edited one changes, because a node is matched
with its own place first. A deletion covers all of them, or the deleted result would be found under another node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .code_text import code_blocks, with_block
from .keys import result_key
from .node import EDITED
from .plan import Execute, Plan, Recurse, plan_from_json
from .tree import Node, NodeState, Recorded
from .usage import NOTHING

__all__ = [
    "EDITED",
    "TASK_EDITED",
    "marked",
    "task_before",
    "with_cell",
    "with_plan",
    "with_result",
    "with_task",
    "without",
]

_EXECUTE = Execute().to_json()
#: The note on a node that a person gave another task.
TASK_EDITED = "task edited by hand"


def with_result(recorded: Recorded, node: Node, key: str, result: str) -> Recorded:
    """The records in which the node has this result under the plan's `key`.

    Its sub-tasks stay if all of them are done, so that none runs again; else the node is answered without them.
    """
    all_done = all(each.state in (NodeState.DONE, NodeState.SUPERSEDED) for each in recorded.tree.walk(node.id))
    if node.result is not None and not node.limited and all_done:
        return _with(recorded, node, lambda other: _with_answer(other, result))
    answer_key = result_key(key, "EXECUTE", [])

    def answered(other: Node) -> Node:
        # The plan only follows from the result: it gets no mark of its own.
        planned = replace(_with_edited_plan(other, key, _EXECUTE), plan=_EXECUTE, result=None, result_key=answer_key)
        return _with_answer(planned, result, was=other.result)

    return _with(recorded, node, answered)


def with_plan(recorded: Recorded, node: Node, key: str, plan: Plan) -> Recorded:
    """The records in which the node has this plan under the plan's `key`; a new EXECUTE drops the recorded result."""
    new = plan.to_json()
    # Read and written again: a plan recorded by an earlier version may lack fields that have defaults today.
    if node.plan is not None and plan_from_json(node.plan).to_json() == new and not node.limited:
        return recorded
    return _with(recorded, node, lambda other: _with_edited_plan(other, key, new))


def with_task(recorded: Recorded, node: Node, task: str) -> Recorded:
    """The records in which the plan of the node's parent has this task in the node's place; not for the root."""
    parent = recorded.tree[node.parent or ""]
    plan = plan_from_json(parent.plan)
    assert isinstance(plan, Recurse)
    children = [child.id for child in recorded.tree.children(parent.id) if child.state is not NodeState.SUPERSEDED]
    place = children.index(node.id)
    changed = replace(plan.sub_tasks[place], task=task)
    sub_tasks = (*plan.sub_tasks[:place], changed, *plan.sub_tasks[place + 1 :])
    new = with_plan(recorded, parent, parent.plan_key, replace(plan, sub_tasks=sub_tasks))
    if new is recorded:
        return recorded
    # The person changed this sub-task, not the plan: the mark is that of the sub-task.
    mark = (parent.plan or {}).get(EDITED)
    tasks = dict(mark["tasks"]) if isinstance(mark, dict) and isinstance(mark.get("tasks"), dict) else {}
    was = tasks.pop(str(place), plan.sub_tasks[place].task)
    tasks |= {str(place): was} if was != task else {}
    plain = {name: value for name, value in (new.tree[parent.id].plan or {}).items() if name != EDITED}
    kept = {name: mark[name] for name in ("was", "at", "when") if name in mark} if isinstance(mark, dict) else {}
    marks = {**kept, **({"tasks": tasks} if tasks else {})}
    planned = replace(new.tree[parent.id], plan={**plain, **({EDITED: marks} if marks else {})})
    return _with(new, parent, lambda _: planned)


def with_cell(recorded: Recorded, node: Node, place: int, code: str) -> Recorded:
    """The records in which a cell of a code node has other code; the cells after it are dropped, to be written anew."""
    first = max(at for at in range(place + 1) if at == 0 or node.cells[at].text)
    codes = [*(cell.code for cell in node.cells[first:place]), code]
    text = with_block(node.cells[first].text, place - first, code)
    if code_blocks(text) != codes:
        text = "\n".join(f"```python\n{each}\n```" for each in codes)
    cells = [*node.cells[:place], replace(node.cells[place], code=code, ended=None, output="", value=None, error=None)]
    cells[first] = replace(cells[first], text=text)
    changed = replace(node, cells=tuple(cells), result=None, result_key="")
    return _with(recorded, node, lambda _: changed)


def without(recorded: Recorded, node: Node) -> Recorded:
    """The records without the node's plan and result, under whichever node they are recorded."""

    def reduced(other: Node) -> Node:
        same_plan = other.plan_key == node.plan_key != ""
        same_result = other.result_key == node.result_key != ""
        if other.id == node.id or same_plan or same_result:
            return replace(other, plan=None, plan_key="", result=None, result_key="", rounds=(), cells=())
        return other

    tree = recorded.tree.with_nodes(map(reduced, recorded.tree))
    return replace(recorded, tree=tree, earlier=tuple(map(reduced, recorded.earlier)))


def task_before(plan: dict[str, Any] | None, place: int) -> str | None:
    """The task that a sub-task of a recorded plan had before a person gave it another one, or `None`."""
    mark = (plan or {}).get(EDITED)
    tasks = mark.get("tasks") if isinstance(mark, dict) else None
    was = tasks.get(str(place)) if isinstance(tasks, dict) else None
    return was if isinstance(was, str) else None


def marked(new: dict[str, Any], before: dict[str, Any], was: Any, now: Any) -> dict[str, Any]:
    """A plan or the metadata of a result that a person wrote, with what a model gave in its place, if it gave another.

    `before` is the plan or metadata that is replaced: what a person had written there is not what a model gave.
    """
    mark = before.get(EDITED)
    if isinstance(mark, dict) and "was" in mark:
        was = mark["was"]
    return {**new, EDITED: {"was": was}} if was != now else new


def _with(recorded: Recorded, node: Node, change: Callable[[Node], Node]) -> Recorded:
    """The records with `change` applied to this node of the tree; earlier nodes stay, as the tree is searched first."""
    nodes = (change(other) if other.id == node.id else other for other in recorded.tree)
    return replace(recorded, tree=recorded.tree.with_nodes(nodes))


def _with_answer(node: Node, result: str, was: str | None = None) -> Node:
    """The node with an edited result: it cost nothing beside its plan, and read no reference."""
    if node.result == result:
        return node
    phases = tuple(phase for phase in node.phases if phase.kind in ("plan", "wait"))
    return replace(
        node,
        state=NodeState.DONE,
        result=result,
        error=None,
        metadata=marked({}, node.metadata, node.result if node.result is not None else was, result),
        usage=node.plan_usage,
        model="",
        tool_calls=(),
        reads={},
        phases=phases,
    )


def _with_edited_plan(node: Node, key: str, plan: dict[str, Any]) -> Node:
    """The node with a plan that a user wrote: no planner call paid for it, and no limit forced it."""
    kinds = [phase.kind for phase in node.phases]
    before = node.plan or {}
    was = {**plan_from_json(before).to_json(), "thoughts": ""} if before else None
    planned = replace(
        node,
        plan=marked(plan, before, was, {**plan, "thoughts": ""}),
        plan_key=key,
        decision=plan["decision"],
        plan_usage=NOTHING,
        plan_model="",
        usage=node.usage.minus(node.plan_usage),
        limited="",
        phases=node.phases[kinds.index("plan") + 1 :] if "plan" in kinds else node.phases,
    )
    # The key of a joined result holds the results of the sub-tasks; that of an answer without any would match again.
    return replace(planned, result=None, result_key="") if node.decision == plan["decision"] == "EXECUTE" else planned
