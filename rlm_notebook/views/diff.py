"""What is different between two trees, node by node.

Nodes are matched by what they are: the same task under matched parents. What is left over at the same place is the
same node with another task; the rest was added or removed. Nodes that were put aside are not compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..core.text import printable
from ..core.tree import Node, NodeState, Tree

__all__ = ["Change", "Difference", "difference"]

TITLE_CHARACTERS = 80
MOST_LINES = 200


@dataclass(frozen=True, slots=True)
class Change:
    """One node in both trees, and which of "task", "plan", "state", "result" are not the same."""

    old: Node
    new: Node
    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """From an old tree to a new one: `cost_usd` and `seconds` are new minus old; `str()` is one line a node.

    `cost_usd` is `None` where a price is not known. `seconds` is the work of all nodes, one after the other.
    """

    added: tuple[Node, ...]
    removed: tuple[Node, ...]
    changed: tuple[Change, ...]
    cost_usd: float | None
    seconds: float

    def __bool__(self) -> bool:
        """Whether any node is different; what it took may be in any case."""
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        lines = list(self._lines())
        if len(lines) > MOST_LINES:
            lines = [*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES} more"]
        return "\n".join([self._summary(), *lines])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _lines(self) -> Iterator[str]:
        for change in self.changed:
            yield f"~ {_titled(change.new)}: {', '.join(change.what)} changed{_states(change)}"
        yield from (f"- {_titled(node)}" for node in self.removed)
        yield from (f"+ {_titled(node)}" for node in self.added)

    def _summary(self) -> str:
        counts = f"{len(self.changed)} changed, {len(self.added)} added, {len(self.removed)} removed"
        cost = f"{_signed(self.cost_usd, 4)} dollars" if self.cost_usd is not None else "cost unknown"
        return f"{counts if self else 'the same nodes'}; {cost}, {_signed(self.seconds, 1)}s of work"


def difference(old: Tree, new: Tree) -> Difference:
    """What is in one of two trees and not, or not in the same way, in the other."""
    pairs = _pairs(old, new)
    before, after = {a.id for a, _ in pairs}, {b.id for _, b in pairs}
    changes = (Change(a, b, _changed(a, b)) for a, b in pairs)
    return Difference(
        added=tuple(node for node in _living(new.walk()) if node.id not in after),
        removed=tuple(node for node in _living(old.walk()) if node.id not in before),
        changed=tuple(change for change in changes if change.what),
        cost_usd=_minus(new.usage.cost_usd, old.usage.cost_usd),
        seconds=_worked(new) - _worked(old),
    )


def _pairs(old: Tree, new: Tree) -> list[tuple[Node, Node]]:
    """The nodes that are in both trees, from the root down."""
    pairs = [(old.root, new.root)] if old.root is not None and new.root is not None else []
    # Grows while it is walked.
    for above, below in pairs:
        pairs.extend(_matched(list(_living(old.children(above.id))), list(_living(new.children(below.id)))))
    return pairs


def _matched(old: list[Node], new: list[Node]) -> list[tuple[Node, Node]]:
    """The parts of two matched nodes: by task, the first with the first; else by place."""
    by_task: dict[str, list[Node]] = defaultdict(list)
    for node in reversed(old):
        by_task[node.task].append(node)
    found = {node.id: by_task[node.task].pop() for node in new if by_task[node.task]}
    left = {_place(node): node for rest in by_task.values() for node in rest}
    for node in new:
        if node.id not in found and (place := _place(node)) in left:
            found[node.id] = left.pop(place)
    return [(found[node.id], node) for node in new if node.id in found]


def _place(node: Node) -> str:
    return node.id.rpartition(".")[2]


def _living(nodes: Iterable[Node]) -> Iterator[Node]:
    return (node for node in nodes if node.state is not NodeState.SUPERSEDED)


def _changed(old: Node, new: Node) -> tuple[str, ...]:
    same = {
        "task": old.task == new.task,
        "plan": _split(old) == _split(new),
        "state": old.state is new.state,
        "result": old.result == new.result,
    }
    return tuple(name for name, equal in same.items() if not equal)


def _split(node: Node) -> object:
    """What a plan decides; the planner's thoughts may differ."""
    return (node.plan.get("decision"), node.plan.get("sub_tasks")) if node.plan is not None else None


def _states(change: Change) -> str:
    return f" ({change.old.state} → {change.new.state})" if "state" in change.what else ""


def _titled(node: Node) -> str:
    return f"[{node.id}] {printable(node.title)[:TITLE_CHARACTERS]}"


def _signed(value: float, digits: int) -> str:
    """Never "-0.0"."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def _minus(new: float | None, old: float | None) -> float | None:
    return new - old if new is not None and old is not None else None


def _worked(tree: Tree) -> float:
    phases = (phase for node in tree for phase in node.phases if phase.kind != "wait")
    return sum(phase.ended - phase.started for phase in phases if phase.ended is not None)
