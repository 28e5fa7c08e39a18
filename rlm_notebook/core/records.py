"""What earlier executions left: a read-only map from content key to the node that holds it.

Nodes with equal keys have equal answers, so any of them serves. Where there are several, a node is matched with the
one at its own place first: an edit of one of them does not reach the others, and a resumed run reuses its own nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .node import Node
from .tree import Tree

__all__ = ["NodeIndex", "Records", "still_useful", "transcript_within"]


@dataclass(frozen=True, slots=True)
class NodeIndex:
    """Nodes by one of their keys."""

    by_key: dict[str, Node] = field(default_factory=dict)
    by_place: dict[tuple[str, str], Node] = field(default_factory=dict)

    def add(self, key: str, node: Node) -> None:
        self.by_key[key] = self.by_place[key, node.id] = node

    def get(self, key: str, node_id: str) -> Node | None:
        """The node of this key: the one at this place, else any."""
        if not self.by_key:
            return None
        return self.by_place.get((key, node_id)) or self.by_key.get(key)

    def __bool__(self) -> bool:
        return bool(self.by_key)


@dataclass(frozen=True, slots=True)
class Records:
    """Recorded plans and results by content key; by plan key also `stopped`: nodes that ended between two model calls,
    and code nodes, whose cells may be run again; and `rejected`: nodes that ended after their plan was rejected and
    before they had another."""

    plans: NodeIndex = field(default_factory=NodeIndex)
    results: NodeIndex = field(default_factory=NodeIndex)
    stopped: NodeIndex = field(default_factory=NodeIndex)
    rejected: NodeIndex = field(default_factory=NodeIndex)

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> Records:
        """Records of nodes in any state: an unfinished node may still have its plan."""
        records = cls()
        for node in nodes:
            records.add(node)
        return records

    def add(self, node: Node) -> None:
        # A node that a limit forced to execute was never planned: with a higher limit it has to be.
        if node.plan is not None and node.plan_key and not (node.limited and node.plan["decision"] == "EXECUTE"):
            self.plans.add(node.plan_key, node)
        if node.result is not None and node.result_key:
            self.results.add(node.result_key, node)
        if node.rejected and node.plan is None and node.plan_key:
            self.rejected.add(node.plan_key, node)
        if (node.rounds or node.cells) and node.plan_key:
            known = self.stopped.get(node.plan_key, node.id)
            # A replay that was itself stopped holds less than the transcript it replayed.
            if known is None or not transcript_within(node, known):
                self.stopped.add(node.plan_key, node)

    def __bool__(self) -> bool:
        return bool(self.plans or self.results or self.stopped or self.rejected)


def still_useful(tree: Tree, earlier: Sequence[Node]) -> tuple[Node, ...]:
    """The earlier nodes (oldest first) that hold a plan, result or transcript which no later node at their place has.

    Without this filter a checkpoint would grow each time its run is stopped and resumed.
    """
    known = set[tuple[str, str, str]]()
    transcripts = dict[tuple[str, str], Node]()

    def adds(node: Node) -> bool:
        held = {("plan", node.plan_key, node.id)} if node.plan is not None and node.plan_key else set()
        held |= {("rejected", node.plan_key, f"{node.id} {len(node.rejected)}")} if node.rejected else set()
        held |= {("result", node.result_key, node.id)} if node.result is not None and node.result_key else set()
        new = not held <= known
        known.update(held)
        longest = transcripts.get((node.plan_key, node.id))
        if (node.rounds or node.cells) and node.plan_key and (longest is None or not transcript_within(node, longest)):
            transcripts[node.plan_key, node.id] = node
            return True
        return new

    for node in tree:
        adds(node)
    # From the latest to the oldest: of two nodes that hold the same, the later one stays.
    return tuple(reversed([node for node in reversed(earlier) if adds(node)]))


def transcript_within(node: Node, known: Node) -> bool:
    """Whether the transcript of `known` has all replies, cells and tool results of that of `node`."""
    cells = [(each.code, each.text) for each in node.cells]
    ran = sum(cell.ended is not None for cell in node.cells)
    if cells != [(each.code, each.text) for each in known.cells[: len(cells)]] or ran > sum(
        cell.ended is not None for cell in known.cells
    ):
        return False
    replies = [(each.content, each.calls) for each in node.rounds]
    returned = {(at, use.call, use.content) for at, use in enumerate(known.tool_calls) if use.ended is not None}
    return replies == [(each.content, each.calls) for each in known.rounds[: len(replies)]] and all(
        (at, use.call, use.content) in returned for at, use in enumerate(node.tool_calls) if use.ended is not None
    )
