"""What earlier executions left: a read-only map from content key to the node that holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .events import Event, Finished, NodeCreated, Planned, PlanStarted, Started, SynthesisStarted
from .tree import Node, NodeState, Tree
from .limits import Usage

__all__ = ["Recorded", "Records", "facts_of"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as it was kept: its tree, and the nodes of earlier trees that may still be of use."""

    tree: Tree
    earlier: tuple[Node, ...] = ()
    cell_id: str = ""
    spent: Usage = Usage()
    active_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Records:
    """Plans and results by content key."""

    plans: dict[str, Node] = field(default_factory=dict)
    results: dict[str, Node] = field(default_factory=dict)

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> Records:
        """Of nodes in any state: an unfinished node may still have its plan."""
        records = cls()
        for node in nodes:
            if node.plan is not None and node.plan_key:
                records.plans[node.plan_key] = node
            if node.result is not None and node.result_key:
                records.results[node.result_key] = node
        return records

    def __bool__(self) -> bool:
        return bool(self.plans or self.results)


def facts_of(node: Node, mark: str = "replayed") -> Iterator[Event]:
    """The events that lead to a recorded node, with the times that were recorded."""
    yield NodeCreated(
        at=node.started or 0.0,
        node=node.id,
        parent=node.parent,
        task=node.task,
        agent=node.agent,
        model=node.model,
        depends_on=node.depends_on,
        note=node.note,
    )
    yield from plan_facts(node, node.id, mark)
    if node.state is NodeState.DONE:
        yield from result_facts(node, node.id, mark)


def plan_facts(node: Node, node_id: str, mark: str = "replayed") -> Iterator[Event]:
    """The planning of a recorded node, told of `node_id`."""
    if node.plan is None:
        return
    phase = next((phase for phase in node.phases if phase.kind == "plan"), None)
    if phase is not None:
        yield PlanStarted(at=phase.started, node=node_id)
    at = phase.ended if phase is not None and phase.ended is not None else node.started or 0.0
    yield Planned(
        at=at,
        node=node_id,
        plan=node.plan,
        key=node.plan_key,
        usage=node.plan_usage,
        model=node.plan_model,
        limited=node.limited,
        mark=mark,
    )


def result_facts(node: Node, node_id: str, mark: str = "replayed") -> Iterator[Event]:
    """The answering of a recorded node, told of `node_id`."""
    answering = {"execute": Started, "synthesize": SynthesisStarted}
    phase = next((phase for phase in reversed(node.phases) if phase.kind in answering), None)
    if phase is not None:
        yield answering[phase.kind](at=phase.started, node=node_id)
    yield Finished(
        at=node.ended or 0.0,
        node=node_id,
        content=node.result or "",
        key=node.result_key,
        metadata=node.metadata,
        usage=_difference(node.usage, node.plan_usage),
        model=node.model,
        mark=mark,
    )


def _difference(whole: Usage, part: Usage) -> Usage:
    cost = None if whole.cost_usd is None or part.cost_usd is None else whole.cost_usd - part.cost_usd
    return Usage(
        whole.prompt_tokens - part.prompt_tokens,
        whole.completion_tokens - part.completion_tokens,
        whole.cached_tokens - part.cached_tokens,
        whole.reasoning_tokens - part.reasoning_tokens,
        whole.calls - part.calls,
        cost,
    )
