"""What a run knows from earlier executions, and what it leaves to later ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

from ..core.limits import NOTHING, Usage
from ..core.records import Recorded, Records, transcript_within
from ..core.redaction import store_of
from ..core.tree import Node, NodeState, Tree
from ..memory import SharedMemory
from ..prompts import PROMPTS_VERSION

__all__ = ["RecordedState"]


class RecordedState:
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
    def edit(self) -> str:
        """What tells the edit that this run was made by from any other."""
        return str(self._same.tree.settings.get("edit", "")) if self._same is not None else ""

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

    def planned(self, node: Node, tree: Tree) -> Node | None:
        """What was planned at the place of a node, whatever it depended on; an answer given with it is left out."""
        found = next((old for old in self._at_place_of(node, tree) if _is_planned(old)), None)
        if found is None or found.plan is None:
            return None
        return replace(found, plan={**found.plan, "answer": None} if found.decision == "EXECUTE" else found.plan)

    def _at_place_of(self, node: Node, tree: Tree) -> Iterator[Node]:
        """The recorded node at the same place among those that were followed, then those of earlier trees.

        The root may have another task now; any other node has to have the same.
        """
        if self.recorded is None:
            return
        old = self.recorded.tree.root
        for step in (*tree.ancestors(node.id)[1:], node) if node.parent is not None else ():
            place = [child.id for child in _followed(tree, step.parent or "")].index(step.id)
            children = _followed(self.recorded.tree, old.id) if old is not None else []
            old = children[place] if place < len(children) else None
        candidates = [old, *(each for each in reversed(self.recorded.earlier) if each.id == node.id)]
        yield from (each for each in candidates if each is not None and (node.parent is None or each.task == node.task))

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """The variables whose content is another now than when the run was recorded."""
        before = self._digests
        return tuple(name for name, digest in self._memory.digests().items() if before.get(name, digest) != digest)

    @property
    def _digests(self) -> dict[str, str]:
        """The content hashes of variables when the run was recorded: of old files, of those that were read."""
        if self.recorded is None:
            return {}
        said = self.recorded.tree.settings.get("variables")
        if isinstance(said, dict):
            return said
        return {name: digest for node in self.recorded.tree for name, digest in node.reads.items()}

    @cached_property
    def notes(self) -> list[str]:
        """What a user should know of the difference between now and when the run was recorded."""
        return list(self._notes())

    def _notes(self) -> Iterator[str]:
        if self.recorded is None:
            return
        if changed := self.changed:
            yield f"changed since it was recorded: {', '.join(changed)}"
        if store_of(self.recorded) == "hashes":
            yield "the file keeps hashes alone: nothing of it could be used again"
        before = self.recorded.tree.settings.get("prompts_version", PROMPTS_VERSION)
        if before != PROMPTS_VERSION:
            yield f"recorded with prompts of version {before}, now {PROMPTS_VERSION}; a fresh run makes it anew"

    def with_present(self, tree: Tree, spent: Usage, active_seconds: float) -> Recorded:
        """All that is worth keeping: the tree, and records of earlier trees while the run is unfinished."""
        earlier = tuple(self._missing_in(tree)) if tree.status != "done" else ()
        return Recorded(tree, earlier, spent=spent, active_seconds=active_seconds)

    def _missing_in(self, tree: Tree) -> Iterator[Node]:
        """The recorded nodes that know something which no node of the tree knows."""
        if not self.records or self.recorded is None:
            return
        known = {node.plan_key for node in tree} | {node.result_key for node in tree}
        answered, stopped = {node.plan_key for node in tree if node.result is not None}, Records.of(tree).stopped
        for node in (*self.recorded.earlier, *self.recorded.tree):
            told = stopped.get(node.plan_key, node.id)
            more = node.rounds and node.plan_key not in answered and (told is None or _is_continued(told, node))
            if more or {node.plan_key, node.result_key} - known - {""}:
                yield node


def _is_continued(told: Node, node: Node) -> bool:
    """Whether the transcript of a recorded node goes on where what was told of it again ends."""
    return transcript_within(told, node) and not transcript_within(node, told)


def _is_planned(node: Node) -> bool:
    """By a planner, or by hand: a limit that forced a node to execute planned nothing."""
    return node.plan is not None and not (node.limited and node.plan["decision"] == "EXECUTE")


def _followed(tree: Tree, parent: str) -> list[Node]:
    return [child for child in tree.children(parent) if child.state is not NodeState.SUPERSEDED]


def _records_of(recorded: Recorded | None) -> Records:
    """What can be used again of a run depends on what its file holds: of hashes nothing, of outputs no half of one."""
    if recorded is None or store_of(recorded) == "hashes":
        return Records()
    nodes = (*recorded.earlier, *recorded.tree)
    return Records.of(nodes if store_of(recorded) == "full" else (replace(node, rounds=()) for node in nodes))
