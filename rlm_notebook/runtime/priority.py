"""Priorities of waiting calls: the call with the longest remaining path to the end of the run goes first.

`tests/benchmarks/makespan.py` measures the effect, with and without the planner's estimates. Priorities change neither
requests nor content keys.
"""

from __future__ import annotations

from ..core.tree import Tree
from ..ports.model import Mode

__all__ = ["Priorities"]

#: Sequential calls that a task of each effort level takes: each level twice as many as the one before.
_CALLS = {effort: 0.375 * 2.0**effort for effort in range(1, 6)}
#: For a task without an estimate: it may take many.
_UNKNOWN = 5.0


class Priorities:
    """Priorities of the calls of one run, as the number of sequential calls until its end."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        #: Sequential calls after a node beyond one per ancestor, by node, unless 0: because siblings depend on it or on
        #: an ancestor, or because a synthesis takes more or less than one call.
        self._beyond: dict[str, float] = {}
        #: The planner's effort estimates of nodes that have no plan yet.
        self._efforts: dict[str, int] = {}
        #: The estimated length of a node's synthesis, in calls.
        self._joining: dict[str, float] = {}

    def estimate(self, node: str, effort: int | None) -> None:
        """Store the planner's estimate for a new node, if there is one."""
        if effort is not None:
            self._efforts[node] = effort

    def estimate_joining(self, parent: str, effort: int | None) -> None:
        """Store the planner's estimate for the synthesis of a node, if there is one."""
        if effort is None:
            return
        more = _CALLS[effort] - self._joining.get(parent, 1.0)
        self._joining[parent] = _CALLS[effort]
        # While a plan streams, some sub-tasks may have started.
        for begun in self._tree.children(parent) if more else ():
            self._beyond[begun.id] = self._beyond.get(begun.id, 0.0) + more

    def count(self, parent: str, nodes: list[str]) -> None:
        """Include new nodes: each makes the paths of those that it depends on longer, directly or through others."""
        above = self._beyond.get(parent, 0.0) + self._joining.get(parent, 1.0) - 1
        # Backwards: most depend on earlier siblings, so that each chain is followed once.
        for node in reversed(nodes):
            if above:
                self._beyond.setdefault(node, above)
            grown = [node]
            while grown:
                last = grown.pop()
                effort = self._efforts.get(last)
                length = self._beyond.get(last, 0.0) + (1.0 if effort is None else _CALLS[effort])
                for wanted in self._tree[last].depends_on:
                    if self._beyond.get(wanted, 0.0) < length:
                        self._beyond[wanted] = length
                        grown.append(wanted)

    def sorted(self, siblings: list[str]) -> list[str]:
        """New nodes of one parent, the highest priority first."""
        if not self._efforts and not self._beyond:
            return siblings
        return sorted(siblings, key=lambda node: -self.of(node, 0, "planner"))

    def of(self, node: str, depth: int, mode: Mode) -> float:
        """The priority of a call: the syntheses of the ancestors, what depends on the node, what its plan may start."""
        ahead = depth + self._beyond.get(node, 0.0)
        if mode != "planner":
            return ahead + (self._joining.get(node, 1.0) if mode == "synthesizer" else 1.0)
        effort = self._efforts.get(node)
        return ahead + (_UNKNOWN if effort is None else _CALLS[effort])
