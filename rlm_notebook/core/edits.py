"""Records with something changed in them: what an edited run is made from.

An edit changes what was recorded, never the engine: the new run finds the edited plan or result under the key of the
node, as it finds everything else, and whatever depends on it has another key and is made anew. So an edit that
changes nothing costs nothing. Of nodes with equal content keys only the one that was named is edited: a node finds
itself before another one. What is to be forgotten is forgotten of all of them, or it would be found again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from .keys import result_key
from .limits import NOTHING
from .plan import Execute, Recurse, plan_from_json
from .records import Recorded
from .tree import Node, NodeState, Phase, Tree

__all__ = ["copy_of", "unfinished", "with_plan", "with_result", "with_task", "without"]

_EXECUTE = Execute().to_json()


def with_result(recorded: Recorded, node: Node, key: str, result: str) -> Recorded:
    """Under the plan's `key`, the node has this result.

    Its parts stay where they are all done, so that nothing of them runs again; else it is answered without them.
    """
    if node.result is not None and not node.limited and _whole(recorded.tree, node):
        return _with(recorded, lambda other: _answered(other, result) if other.id == node.id else other)
    answer_key = result_key(key, "EXECUTE", [])

    def answered(other: Node) -> Node:
        planned = replace(_planned(other, key, _EXECUTE), result=None, result_key=answer_key)
        return _answered(planned, result)

    return _with(recorded, lambda other: answered(other) if other.id == node.id else other)


def with_plan(recorded: Recorded, node: Node, key: str, plan: Execute | Recurse) -> Recorded:
    """Under the plan's `key`, the node has this plan. What was answered without parts is answered anew."""
    written = plan.to_json()
    if written == _written(node.plan) and not node.limited:
        return recorded
    return _with(recorded, lambda other: _planned(other, key, written) if other.id == node.id else other)


def with_task(recorded: Recorded, node: Node, task: str) -> Recorded:
    """The plan that the node is a part of has this task in its place; the root is a part of none."""
    parent = recorded.tree[node.parent or ""]
    plan = plan_from_json(parent.plan)
    assert isinstance(plan, Recurse)
    parts = [child.id for child in recorded.tree.children(parent.id) if child.state is not NodeState.SUPERSEDED]
    place = parts.index(node.id)
    changed = replace(plan.sub_tasks[place], task=task)
    sub_tasks = (*plan.sub_tasks[:place], changed, *plan.sub_tasks[place + 1 :])
    return with_plan(recorded, parent, parent.plan_key, replace(plan, sub_tasks=sub_tasks))


def without(recorded: Recorded, node: Node) -> Recorded:
    """Nothing is known of the node's plan and result, wherever they were recorded."""

    def forgotten(other: Node) -> Node:
        return _forgotten(other) if _same_plan(other, node) or _same_result(other, node) else other

    return replace(_with(recorded, forgotten), earlier=tuple(map(forgotten, recorded.earlier)))


def unfinished(tree: Tree) -> list[Node]:
    """The nodes that failed or were cancelled."""
    return [node for node in tree if node.state in (NodeState.FAILED, NodeState.CANCELLED)]


def _answered(node: Node, result: str) -> Node:
    """It cost nothing beside its plan, and read nothing."""
    if node.result == result:
        return node
    phases = tuple(phase for phase in node.phases if phase.kind in ("plan", "wait"))
    return replace(
        node,
        state=NodeState.DONE,
        result=result,
        error=None,
        metadata={"edited": True},
        usage=node.plan_usage,
        model="",
        tool_calls=(),
        reads={},
        phases=phases,
    )


def _planned(node: Node, key: str, plan: dict[str, Any]) -> Node:
    """Planned by hand: no planner was asked, and no limit made it what it is."""
    planned = replace(
        node,
        plan=plan,
        plan_key=key,
        decision=plan["decision"],
        plan_usage=NOTHING,
        plan_model="",
        usage=node.usage.minus(node.plan_usage),
        limited="",
        phases=_after_planning(node),
    )
    # Results of parts are found by the parts; one without parts would be found whatever is answered now.
    return replace(planned, result=None, result_key="") if node.decision == plan["decision"] == "EXECUTE" else planned


def _after_planning(node: Node) -> tuple[Phase, ...]:
    kinds = [phase.kind for phase in node.phases]
    return node.phases[kinds.index("plan") + 1 :] if "plan" in kinds else node.phases


def _forgotten(node: Node) -> Node:
    return replace(node, plan=None, plan_key="", result=None, result_key="", rounds=())


def _written(plan: dict[str, Any] | None) -> dict[str, Any] | None:
    return plan_from_json(plan).to_json() if plan is not None else None


def _whole(tree: Tree, node: Node) -> bool:
    """Nothing below the node has to run again."""
    return all(below.state in (NodeState.DONE, NodeState.SUPERSEDED) for below in tree.walk(node.id))


def _same_plan(other: Node, node: Node) -> bool:
    return other.id == node.id or (other.plan_key == node.plan_key != "")


def _same_result(other: Node, node: Node) -> bool:
    return other.id == node.id or (other.result_key == node.result_key != "")


def _with(recorded: Recorded, change: Callable[[Node], Node]) -> Recorded:
    """The records with each node of the tree changed; earlier ones of the same key are not found before it."""
    return replace(recorded, tree=copy_of(recorded.tree, map(change, recorded.tree)))


def copy_of(tree: Tree, nodes: Iterable[Node]) -> Tree:
    """A tree of other nodes that is otherwise the same."""
    copy = Tree.of(nodes)
    copy.run_id, copy.request_key, copy.task = tree.run_id, tree.request_key, tree.task
    copy.status, copy.error, copy.settings = tree.status, tree.error, tree.settings
    copy.started, copy.ended, copy.parent, copy.execution = tree.started, tree.ended, tree.parent, tree.execution
    return copy
