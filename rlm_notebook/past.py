"""What a run knows from earlier executions, and what it leaves to later ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from .core.limits import NOTHING, Usage
from .core.records import Recorded, Records
from .core.tree import Node, NodeState, Tree
from .memory import SharedMemory

__all__ = ["Past"]


class Past:
    """The records that the nodes of a run may find themselves in."""

    def __init__(self, recorded: Recorded | None, request_key: str, memory: SharedMemory) -> None:
        self.recorded = recorded
        #: By content key; a run adds what it had to put aside, because a later plan may ask for the same.
        self.records = _records_of(recorded)
        self._memory = memory
        # A changed request is another one: what was spent on the old is not held against it.
        self._same = recorded if recorded is not None and recorded.tree.request_key == request_key else None

    @property
    def run_id(self) -> str:
        """Stays the same over the resumes of one request, so that what refers to it (a saved output) still does."""
        return self._same.tree.run_id if self._same is not None else ""

    @property
    def parent(self) -> dict[str, Any] | None:
        """Run and node that this one was edited from."""
        return self._same.tree.parent if self._same is not None else None

    @property
    def spent(self) -> Usage:
        return self._same.spent if self._same is not None else NOTHING

    @property
    def active_seconds(self) -> float:
        return self._same.active_seconds if self._same is not None else 0.0

    def recalled(self, key: str, node_id: str) -> Node | None:
        """What is recorded of a node's result key, if every reference that was read for it is still the same."""
        known = self.records.results.get(key, node_id)
        if known is None or any(self._memory.digest(name) != digest for name, digest in known.reads.items()):
            return None
        return known

    def followed(self, known: Node, tree: Tree) -> bool:
        """Whether the plan of a recorded node was followed: then it needs no approval any more."""
        if known.state is NodeState.DONE:
            return True
        tree = self.recorded.tree if self.recorded is not None else tree
        return known.id in tree and tree[known.id] is known and bool(tree.children(known.id))

    def with_present(self, tree: Tree, spent: Usage, active_seconds: float) -> Recorded:
        """All that is worth keeping: the tree, and records of earlier trees while the run is unfinished."""
        earlier: tuple[Node, ...] = ()
        if self.recorded is not None and tree.status != "done":
            known = {node.plan_key for node in tree} | {node.result_key for node in tree}
            nodes = (*self.recorded.earlier, *self.recorded.tree)
            earlier = tuple(n for n in nodes if {n.plan_key, n.result_key} - known - {""})
        return Recorded(tree, earlier, spent=spent, active_seconds=active_seconds)


def _records_of(recorded: Recorded | None) -> Records:
    if recorded is None:
        return Records()
    return Records.of((*recorded.earlier, *cast("Iterable[Any]", recorded.tree)))
