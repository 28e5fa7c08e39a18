"""What earlier executions recorded: which of it the nodes of a run reuse, and what the next execution is left.

Resume, retry and edit are not code paths of their own. Each is a new run with a new tree over the records of the old
one, and each node looks itself up by content key (`core/keys.py`): its plan by the plan key, its result by the result
key, an interrupted transcript by the plan key again. A key covers what a result depends on, so a hit needs no further
check except one: references are read by tools during a call, so a record lists those that were read, and `result`
compares their content hashes with the present ones.

Four kinds of record are kept apart. `recorded.tree` is the last tree of the file. `recorded.earlier` holds nodes of
trees before it that a later tree has not repeated; they leave the file once a run is done. `others` are nodes of the
numbered copies beside the file, which have files of their own and are never written again. `records` is the lookup over
all of them. A run adds to it only nodes that it supersedes, because a later plan may contain the same sub-task; the
recorded tree itself is read-only.

What must never happen: a result that is reused although something it depends on has changed; a record that is lost
because an unfinished run wrote its file without it (`with_present` carries such records over); usage that is counted
for a request which did not cause it (run id, usage and active time continue only under the same request key).

What a file holds depends on its `store`: from "hashes" nothing can be reused, from "outputs" only complete results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from ..core.changes import changes_of
from ..core.reads import coarse
from ..core.records import Records, transcript_within
from ..core.redaction import store_of
from ..core.tree import Node, NodeState, Recorded, Tree
from ..core.usage import NOTHING, Usage
from ..memory import SharedMemory
from ..prompts import PROMPTS_VERSION

__all__ = ["RecordedState"]


class RecordedState:
    """The recorded state that one run starts from."""

    def __init__(
        self, recorded: Recorded | None, request_key: str, memory: SharedMemory, others: Sequence[Node] = ()
    ) -> None:
        self.recorded = recorded
        #: By content key; superseded nodes of the run are added.
        self.records = Records()
        if recorded is not None and (store := store_of(recorded)) != "hashes":
            # The last of equal records counts: that of the present tree, if it has one.
            nodes = (*others, *recorded.earlier, *recorded.tree)
            # Without the texts of prompts and tools, an interrupted transcript cannot be resumed.
            self.records = Records.of(nodes if store == "full" else (replace(node, rounds=()) for node in nodes))
        self._memory = memory
        # Usage and time of another request do not count for this one.
        self._same = recorded if recorded is not None and recorded.tree.request_key == request_key else None

    @property
    def run_id(self) -> str:
        """The same over all executions of a request, so that a saved output still refers to its run; else ""."""
        return self._same.tree.run_id if self._same is not None else ""

    @property
    def parent(self) -> dict[str, Any] | None:
        """The run and the node that this run was edited from."""
        return self._same.tree.parent if self._same is not None else None

    @property
    def edit(self) -> str:
        """Identifies the edit that produced this run; "" if none did."""
        return str(self._same.tree.settings.get("edit", "")) if self._same is not None else ""

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The changes that people made in the tree of this run, in their order (`core/changes.py`)."""
        return changes_of(self._same.tree) if self._same is not None else []

    @property
    def spent(self) -> Usage:
        return self._same.spent if self._same is not None else NOTHING

    @property
    def active_seconds(self) -> float:
        return self._same.active_seconds if self._same is not None else 0.0

    def result(self, key: str, node_id: str) -> Node | None:
        """The record of a node's result key, if no reference that was read for it has changed."""
        known = self.records.results.get(key, node_id)
        if known is None or not all(self._memory.is_same(*each) for each in known.reads.items()):
            return None
        return known

    def was_executed(self, known: Node, tree: Tree) -> bool:
        """Whether the plan of a recorded node was carried out: then it needs no approval."""
        if known.state is NodeState.DONE:
            return True
        tree = self.recorded.tree if self.recorded is not None else tree
        return known.id in tree and tree[known.id] is known and bool(tree.children(known.id))

    def plan_at(self, node: Node, tree: Tree) -> Node | None:
        """The recorded plan at the place of a node, whatever its key; without an answer given beside the plan."""
        for old in self._at_place_of(node, tree):
            # A limit that forced the node to execute is no plan.
            if old.plan is not None and not (old.limited and old.plan["decision"] == "EXECUTE"):
                return replace(old, plan={**old.plan, "answer": None} if old.decision == "EXECUTE" else old.plan)
        return None

    def failure_at(self, node: Node, tree: Tree) -> Node | None:
        """The recorded node at the place of a node, if it failed."""
        return next((old for old in self._at_place_of(node, tree) if old.state is NodeState.FAILED), None)

    def _at_place_of(self, node: Node, tree: Tree) -> Iterator[Node]:
        """The recorded nodes at the same position among siblings that were not superseded, then those of earlier trees.

        The root's task may have changed; the task of any other node has to be equal.
        """
        if self.recorded is None:
            return
        old = self.recorded.tree.root
        for step in (*tree.ancestors(node.id)[1:], node) if node.parent is not None else ():
            place = [child.id for child in _valid_children(tree, step.parent or "")].index(step.id)
            children = _valid_children(self.recorded.tree, old.id) if old is not None else []
            old = children[place] if place < len(children) else None
        candidates = [old, *(each for each in reversed(self.recorded.earlier) if each.id == node.id)]
        yield from (each for each in candidates if each is not None and (node.parent is None or each.task == node.task))

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """The variables whose content has changed since the run was recorded."""
        if self.recorded is None:
            return ()
        variables = self.recorded.tree.settings.get("variables")
        # Files of earlier versions have only the content hashes of variables that were read.
        reads = (each for node in self.recorded.tree for each in coarse(node.reads).items())
        before = variables if isinstance(variables, dict) else dict(reads)
        return tuple(name for name, digest in self._memory.digests().items() if before.get(name, digest) != digest)

    @cached_property
    def notes(self) -> list[str]:
        """What has changed since the run was recorded, a line each, as a user needs to know it."""
        if self.recorded is None:
            return []
        notes = []
        if changed := self.changed:
            notes.append(f"changed since it was recorded: {', '.join(changed)}")
        if store_of(self.recorded) == "hashes":
            notes.append("the file holds hashes only: nothing in it can be reused")
        before = self.recorded.tree.settings.get("prompts_version", PROMPTS_VERSION)
        if before != PROMPTS_VERSION:
            notes.append(f"recorded with prompts of version {before}, now {PROMPTS_VERSION}; a fresh run replaces it")
        return notes

    def with_present(self, tree: Tree, spent: Usage, active_seconds: float) -> Recorded:
        """What to write to the file: the present tree and, while the run is unfinished, what only the records hold."""
        earlier = tuple(self._missing_in(tree)) if tree.status != "done" else ()
        return Recorded(tree, earlier, spent=spent, active_seconds=active_seconds)

    def _missing_in(self, tree: Tree) -> Iterator[Node]:
        """The recorded nodes with a plan, a result or rounds that no node of the tree has."""
        if not self.records or self.recorded is None:
            return
        present = {node.plan_key for node in tree} | {node.result_key for node in tree}
        answered, stopped = {node.plan_key for node in tree if node.result is not None}, Records.of(tree).stopped
        for node in (*self.recorded.earlier, *self.recorded.tree):
            replayed = stopped.get(node.plan_key, node.id)
            # The recorded transcript is longer than what has been replayed of it.
            longer = replayed is None or (transcript_within(replayed, node) and not transcript_within(node, replayed))
            more_rounds = (node.rounds or node.cells) and node.plan_key not in answered and longer
            if more_rounds or {node.plan_key, node.result_key} - present - {""}:
                yield node


def _valid_children(tree: Tree, parent: str) -> list[Node]:
    return [child for child in tree.children(parent) if child.state is not NodeState.SUPERSEDED]
