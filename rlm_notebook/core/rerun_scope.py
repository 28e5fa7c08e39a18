"""What would run again after an edit, and what that would take: an upper bound, from what is recorded.

Results that come out as they were end what has to be done, and what a new plan words as before is reused; neither
can be known before. So everything is counted that may have to be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .edits import unfinished
from .limits import NOTHING, ONE_CALL, Usage
from .plan import Execute, PlannedTask, Recurse
from .tree import Node, NodeState, Tree

__all__ = ["Reruns", "after_plan", "after_result", "after_retry", "after_task"]


@dataclass(frozen=True, slots=True)
class Reruns:
    """Ids of nodes that may run again, and the estimated usage, that of sub-tasks that are not there yet included."""

    nodes: tuple[str, ...]
    usage: Usage


def after_result(tree: Tree, node: Node) -> Reruns:
    """The node has its answer: only what builds on it is made anew."""
    return RerunScope(tree).on_from([node]).reruns()


def after_task(tree: Tree, node: Node) -> Reruns:
    """The node is done anew with all below it."""
    return RerunScope(tree).redo(node).on_from([node]).reruns()


def after_plan(tree: Tree, node: Node, plan: Execute | Recurse) -> Reruns:
    """Parts that stay are reused, unless they depend on one that is new."""
    wanted = plan.sub_tasks if isinstance(plan, Recurse) else ()
    known = {part.task: part for part in _living(tree.children(node.id))}
    new = {position for position, task in enumerate(wanted) if task.task not in known}
    scope = RerunScope(tree)
    for position, task in enumerate(wanted):
        if position not in new and _waits_for(wanted, position, new):
            scope.redo(known[task.task])
    return scope.join(node).on_from([node]).reruns(new=len(new))


def after_retry(tree: Tree, node: Node | None) -> Reruns:
    """A node that is done is done anew, with all below it; else everything is that failed or was cancelled."""
    if node is not None and node.state is NodeState.DONE:
        return after_task(tree, node)
    scope, again = RerunScope(tree), unfinished(tree)
    for each in again:
        scope.join(each)
    return scope.on_from(again).reruns()


def _waits_for(wanted: tuple[PlannedTask, ...], position: int, new: set[int]) -> bool:
    """Whether a sub-task depends on a new one, directly or through others; plans have no circles."""
    return any(before in new or _waits_for(wanted, before, new) for before in wanted[position].depends_on)


class RerunScope:
    """Nodes that are done anew, and nodes that only join their parts anew."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._redone: set[str] = set()
        self._joined: set[str] = set()

    def redo(self, node: Node) -> RerunScope:
        self._redone.update(below.id for below in _living(self._tree.walk(node.id)))
        return self

    def join(self, node: Node) -> RerunScope:
        self._joined.add(node.id)
        return self

    def on_from(self, begun: Iterable[Node]) -> RerunScope:
        """What comes after some nodes: what depends on them, with all below, and the ancestors of all of these."""
        waiting, seen = list(begun), set[str]()
        while waiting:
            node = waiting.pop()
            if node.id in seen or node.parent is None:
                continue
            seen.add(node.id)
            for other in _living(self._tree.children(node.parent)):
                if node.id in other.depends_on:
                    self.redo(other)
                    waiting.append(other)
            self.join(self._tree[node.parent])
            waiting.append(self._tree[node.parent])
        return self

    def reruns(self, new: int = 0) -> Reruns:
        """In the tree's order; `new` sub-tasks are not in it yet, and are taken to be as the others were."""
        every = [node for node in _living(self._tree.walk()) if node.id in self._redone | self._joined]
        typical = _typical(self._tree)
        costs = [*(self._cost_of(node, typical) for node in every), *[typical] * new]
        return Reruns(tuple(node.id for node in every), sum(costs, start=NOTHING))

    def _cost_of(self, node: Node, typical: Usage) -> Usage:
        if node.state is not NodeState.DONE:
            return typical
        used = node.usage if node.id in self._redone else node.usage.minus(node.plan_usage)
        return used if used.calls else used + ONE_CALL


def _typical(tree: Tree) -> Usage:
    """What a node of this run took, on average; one call where none is done."""
    used = [node.usage for node in tree if node.state is NodeState.DONE and node.usage.calls]
    total = sum(used, start=NOTHING)
    if not used:
        return ONE_CALL
    cost = total.cost_usd / len(used) if total.cost_usd is not None else None
    return Usage(
        prompt_tokens=total.prompt_tokens // len(used),
        completion_tokens=total.completion_tokens // len(used),
        calls=max(1, round(total.calls / len(used))),
        cost_usd=cost,
    )


def _living(nodes: Iterable[Node]) -> Iterator[Node]:
    return (node for node in nodes if node.state is not NodeState.SUPERSEDED)
