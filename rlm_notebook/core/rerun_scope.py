"""Which nodes would run again after an edit, and at what cost: an upper bound, computed from what is recorded.

A node that gives the same result as before ends the rerun below it, and a sub-task that a new plan words as before is
reused. Neither is known in advance, so every node that may have to run is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .plan import Plan, PlannedTask, Recurse
from .tree import Node, NodeState, Tree, living, unfinished
from .usage import NOTHING, ONE_CALL, Usage

__all__ = ["Reruns", "after_cell", "after_plan", "after_result", "after_retry", "after_task"]


@dataclass(frozen=True, slots=True)
class Reruns:
    """Ids of nodes that may run again, and the estimated usage, including that of sub-tasks that do not exist yet."""

    nodes: tuple[str, ...]
    usage: Usage


def after_result(tree: Tree, node: Node) -> Reruns:
    """After an edit of the node's result: the node is not run, only what depends on it."""
    return RerunScope(tree).on_from([node]).reruns()


def after_task(tree: Tree, node: Node) -> Reruns:
    """After an edit of the node's task: the node runs again with all its descendants."""
    return RerunScope(tree).redo(node).on_from([node]).reruns()


def after_plan(tree: Tree, node: Node, plan: Plan) -> Reruns:
    """After an edit of the node's plan: unchanged sub-tasks are reused, unless they depend on a new one."""
    wanted = plan.sub_tasks if isinstance(plan, Recurse) else ()
    known = {part.task: part for part in living(tree.children(node.id))}
    new = {position for position, task in enumerate(wanted) if task.task not in known}
    scope = RerunScope(tree)
    for position, task in enumerate(wanted):
        if position not in new and _waits_for(wanted, position, new):
            scope.redo(known[task.task])
    return scope.join(node).on_from([node]).reruns(new=len(new))


def after_cell(tree: Tree, node: Node) -> Reruns:
    """After an edit of a code node's cell: the later cells are written anew; what they will ask is not known."""
    return RerunScope(tree).join(node).on_from([node]).reruns()


def after_retry(tree: Tree, node: Node | None) -> Reruns:
    """After a retry: a finished node with its descendants; otherwise every node that failed or was cancelled."""
    if node is not None and node.state is NodeState.DONE:
        return after_task(tree, node)
    scope, again = RerunScope(tree), unfinished(tree)
    for each in again:
        scope.join(each)
    return scope.on_from(again).reruns()


def _waits_for(wanted: tuple[PlannedTask, ...], position: int, new: set[int]) -> bool:
    """Whether a sub-task depends on a new one, directly or through others; plans have no cycles."""
    return any(before in new or _waits_for(wanted, before, new) for before in wanted[position].depends_on)


class RerunScope:
    """The nodes that run again as a whole, and those that only synthesise again."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._redone: set[str] = set()
        self._joined: set[str] = set()

    def redo(self, node: Node) -> RerunScope:
        self._redone.update(below.id for below in living(self._tree.walk(node.id)))
        return self

    def join(self, node: Node) -> RerunScope:
        self._joined.add(node.id)
        return self

    def on_from(self, begun: Iterable[Node]) -> RerunScope:
        """Add what follows from nodes that run again: their dependents with all descendants, and all ancestors."""
        waiting, seen = list(begun), set[str]()
        while waiting:
            node = waiting.pop()
            if node.id in seen or node.parent is None:
                continue
            seen.add(node.id)
            for other in living(self._tree.children(node.parent)):
                if node.id in other.depends_on:
                    self.redo(other)
                    waiting.append(other)
            self.join(self._tree[node.parent])
            waiting.append(self._tree[node.parent])
        return self

    def reruns(self, new: int = 0) -> Reruns:
        """The sum, in the tree's order; each of the `new` sub-tasks counts as an average finished node of this run, or
        as one call."""
        every = [node for node in living(self._tree.walk()) if node.id in self._redone | self._joined]
        known = [node.usage for node in self._tree if node.state is NodeState.DONE and node.usage.calls]
        average = ONE_CALL
        if known:
            spent = sum(known, start=NOTHING)
            average = Usage(
                prompt_tokens=spent.prompt_tokens // len(known),
                completion_tokens=spent.completion_tokens // len(known),
                calls=max(1, round(spent.calls / len(known))),
                cost_usd=spent.cost_usd / len(known) if spent.cost_usd is not None else None,
            )
        total = sum([average] * new, start=NOTHING)
        for node in every:
            # A node that only synthesises keeps its plan. A replayed one recorded no call, but may now need one.
            used = node.usage if node.id in self._redone else node.usage.minus(node.plan_usage)
            used = used if used.calls else used + ONE_CALL
            total += used if node.state is NodeState.DONE else average
        return Reruns(tuple(node.id for node in every), total)
