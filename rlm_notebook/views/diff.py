"""The differences between two trees, node by node.

Nodes match if they have the same task under matched parents. Of the remaining ones, two at the same place are the same
node with another task; all others were added or removed. Superseded nodes are not compared.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ..core.node import work_seconds
from ..core.text import pretty, printable
from ..core.tree import Node, Tree, living

__all__ = ["Change", "Difference", "Pair", "difference", "pairs_of"]

TITLE_CHARACTERS = 80
MOST_LINES = 200


@dataclass(frozen=True, slots=True)
class Change:
    """A node of both trees; `what` names those of "task", "plan", "state", "result" that differ."""

    old: Node
    new: Node
    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """One line of two trees side by side: a node of the old tree, of the new one, or of both, which then match.

    `what` is as in `Change`; it is empty for a node of one tree only.
    """

    old: Node | None
    new: Node | None
    depth: int
    what: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes from an old tree to a new one; `cost_usd` and `seconds` are new minus old; `str()` has a line a node.

    `cost_usd` is `None` where a price is unknown. `seconds` is the sum of the working times of all nodes.
    """

    added: tuple[Node, ...]
    removed: tuple[Node, ...]
    changed: tuple[Change, ...]
    cost_usd: float | None
    seconds: float

    def __bool__(self) -> bool:
        """Whether any node differs; cost and time may differ in any case."""
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        counts = f"{len(self.changed)} changed, {len(self.added)} added, {len(self.removed)} removed"
        cost = f"{_signed(self.cost_usd, 4)} dollars" if self.cost_usd is not None else "cost unknown"
        lines = []
        for change in self.changed:
            states = f" ({change.old.state} → {change.new.state})" if "state" in change.what else ""
            lines.append(f"~ {_titled(change.new)}: {', '.join(change.what)} changed{states}")
        lines += [f"- {_titled(node)}" for node in self.removed]
        lines += [f"+ {_titled(node)}" for node in self.added]
        if len(lines) > MOST_LINES:
            lines = [*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES} more"]
        summary = f"{counts if self else 'the same nodes'}; {cost}, {_signed(self.seconds, 1)}s of work"
        return "\n".join([summary, *lines])

    _repr_pretty_ = pretty


def difference(old: Tree, new: Tree) -> Difference:
    """The nodes that were added, removed or changed, and the differences in cost and working time."""
    pairs = _matching(old, new)
    old_ids, new_ids = {before.id for before, _ in pairs}, {after.id for _, after in pairs}
    changes = (Change(before, after, _changed(before, after)) for before, after in pairs)
    costs = new.usage.cost_usd, old.usage.cost_usd
    return Difference(
        added=tuple(node for node in living(new.walk()) if node.id not in new_ids),
        removed=tuple(node for node in living(old.walk()) if node.id not in old_ids),
        changed=tuple(change for change in changes if change.what),
        cost_usd=costs[0] - costs[1] if costs[0] is not None and costs[1] is not None else None,
        seconds=sum(map(work_seconds, new)) - sum(map(work_seconds, old)),
    )


def pairs_of(old: Tree, new: Tree) -> list[Pair]:
    """All nodes of both trees, parents first, in the order of the new tree; a removed node follows its siblings."""
    found = {after.id: before for before, after in _matching(old, new)}
    matched = {before.id for before in found.values()}
    lines: list[Pair] = []
    # (old, new, depth) of what is to be listed, the next one last.
    waiting: list[tuple[Node | None, Node | None, int]] = [(old.root, new.root, 0)] if old.root or new.root else []
    while waiting:
        before, after, depth = waiting.pop()
        lines.append(Pair(before, after, depth, _changed(before, after) if before and after else ()))
        below: list[tuple[Node | None, Node | None, int]] = []
        if after is not None:
            below += ((found.get(child.id), child, depth + 1) for child in living(new.children(after.id)))
        if before is not None:
            gone = (child for child in living(old.children(before.id)) if child.id not in matched)
            below += ((child, None, depth + 1) for child in gone)
        waiting += reversed(below)
    return lines


def _matching(old: Tree, new: Tree) -> list[tuple[Node, Node]]:
    """The matched nodes, from the roots down: children by task, the first with the first; else by place."""
    pairs = [(old.root, new.root)] if old.root is not None and new.root is not None else []
    # The list grows while it is iterated.
    for before, after in pairs:
        by_task: dict[str, list[Node]] = defaultdict(list)
        for child in reversed(list(living(old.children(before.id)))):
            by_task[child.task].append(child)
        children = list(living(new.children(after.id)))
        found = {child.id: by_task[child.task].pop() for child in children if by_task[child.task]}
        left = {child.id.rpartition(".")[2]: child for rest in by_task.values() for child in rest}
        for child in children:
            if child.id not in found and (place := child.id.rpartition(".")[2]) in left:
                found[child.id] = left.pop(place)
        pairs.extend((found[child.id], child) for child in children if child.id in found)
    return pairs


def _changed(old: Node, new: Node) -> tuple[str, ...]:
    # The planner's thoughts may differ.
    plans = [
        (each.plan.get("decision"), each.plan.get("sub_tasks")) if each.plan is not None else None
        for each in (old, new)
    ]
    same = {
        "task": old.task == new.task,
        "plan": plans[0] == plans[1],
        "state": old.state is new.state,
        "result": old.result == new.result,
    }
    return tuple(name for name, equal in same.items() if not equal)


def _titled(node: Node) -> str:
    return f"[{node.id}] {printable(node.title)[:TITLE_CHARACTERS]}"


def _signed(value: float, digits: int) -> str:
    # Adding 0.0 turns "-0.0" into "+0.0".
    return f"{round(value, digits) + 0.0:+.{digits}f}"
