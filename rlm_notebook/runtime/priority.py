"""Which waiting call goes first: what has the longest way to the end of the run, as far as that is known.

`tests/benchmarks/makespan.py` measures it, with and without the planner's estimates. Nothing here changes what is
asked, or under which key an answer is recorded.
"""

from __future__ import annotations

from ..core.tree import Tree
from ..ports import Mode

__all__ = ["Priorities"]

#: How many calls, one after the other, a task of each effort takes: each level twice as many as the one before.
_CALLS = {effort: 0.375 * 2.0**effort for effort in range(1, 6)}
#: Of a task whose effort nobody estimated: it may be much.
_UNKNOWN = 5.0


class Priorities:
    """Priorities of the calls of one run, in calls that come after each other until the end."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        #: How many calls come after a node beside one for each ancestor, because siblings of it or of an ancestor wait,
        #: or because joining takes more or less than one: only where that is any.
        self._beyond: dict[str, float] = {}
        #: What planners estimate, of nodes that are not planned yet.
        self._efforts: dict[str, int] = {}
        #: How many calls joining the parts of a node is thought to last, where that was estimated.
        self._joining: dict[str, float] = {}

    def estimate(self, node: str, effort: int | None) -> None:
        """Keep a planner's estimate of a new node, if it gave one."""
        if effort is not None:
            self._efforts[node] = effort

    def estimate_joining(self, parent: str, effort: int | None) -> None:
        """Keep a planner's estimate of the synthesis that comes after the parts of a node, if it gave one."""
        if effort is None:
            return
        more = _CALLS[effort] - self._joining.get(parent, 1.0)
        self._joining[parent] = _CALLS[effort]
        # Of a plan that streams, some parts may have begun.
        for begun in self._tree.children(parent) if more else ():
            self._beyond[begun.id] = self._beyond.get(begun.id, 0.0) + more

    def count(self, parent: str, nodes: list[str]) -> None:
        """Lengthen the chains that end in new nodes: whom many wait for, one behind the other, is urgent."""
        above = self._beyond.get(parent, 0.0) + self._joining.get(parent, 1.0) - 1
        # From the last one back: most name earlier siblings, so that each chain is followed once.
        for node in reversed(nodes):
            if above:
                self._beyond.setdefault(node, above)
            self._lengthen(node)

    def _lengthen(self, node: str) -> None:
        grown = [node]
        while grown:
            last = grown.pop()
            length = self._beyond.get(last, 0.0) + self._weight(last)
            for wanted in self._tree[last].depends_on:
                if self._beyond.get(wanted, 0.0) < length:
                    self._beyond[wanted] = length
                    grown.append(wanted)

    def _weight(self, node: str) -> float:
        effort = self._efforts.get(node)
        return 1.0 if effort is None else _CALLS[effort]

    def sorted(self, siblings: list[str]) -> list[str]:
        """New nodes of one parent, the most urgent first."""
        if not self._efforts and not self._beyond:
            return siblings
        return sorted(siblings, key=lambda node: -self.of(node, 0, "planner"))

    def of(self, node: str, depth: int, mode: Mode) -> float:
        """The priority of a node's call: its ancestors' syntheses, who waits for it, and what its plan may unlock."""
        ahead = depth + self._beyond.get(node, 0.0)
        if mode != "planner":
            return ahead + (self._joining.get(node, 1.0) if mode == "synthesizer" else 1.0)
        effort = self._efforts.get(node)
        return ahead + (_UNKNOWN if effort is None else _CALLS[effort])
