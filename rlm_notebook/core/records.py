"""What earlier executions left: a read-only map from content key to the node that holds it.

Nodes with equal keys are answered alike, whoever finds them. Where there are several, a node finds itself first: so
that what was edited in one of them stays its own, and a run that goes on is the run that was stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from .events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    NodeCreated,
    Planned,
    PlanStarted,
    Retried,
    Started,
    Superseded,
    SynthesisStarted,
    ToolCalled,
    ToolReturned,
)
from .limits import Usage
from .tree import Node, NodeState, Phase, ToolUse, Tree

__all__ = [
    "NodeIndex",
    "Recorded",
    "Records",
    "created_fact",
    "end_facts",
    "plan_facts",
    "result_facts",
    "retells",
    "tool_facts",
]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as it was kept: its tree, and the nodes of earlier trees that may still be of use."""

    tree: Tree
    earlier: tuple[Node, ...] = ()
    cell_id: str = ""
    created: float = 0.0
    spent: Usage = Usage()
    active_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeIndex:
    """Nodes by a key of theirs."""

    by_key: dict[str, Node] = field(default_factory=dict)
    by_place: dict[tuple[str, str], Node] = field(default_factory=dict)

    def add(self, key: str, node: Node) -> None:
        self.by_key[key] = self.by_place[key, node.id] = node

    def get(self, key: str, node_id: str) -> Node | None:
        """The node of this key: the one at this place, else any."""
        return self.by_place.get((key, node_id)) or self.by_key.get(key)

    def __bool__(self) -> bool:
        return bool(self.by_key)


@dataclass(frozen=True, slots=True)
class Records:
    """Plans and results by content key, and by the key of their plan nodes that were stopped between two calls."""

    plans: NodeIndex = field(default_factory=NodeIndex)
    results: NodeIndex = field(default_factory=NodeIndex)
    stopped: NodeIndex = field(default_factory=NodeIndex)

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> Records:
        """Of nodes in any state: an unfinished node may still have its plan."""
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
        if node.rounds and node.plan_key:
            known = self.stopped.get(node.plan_key, node.id)
            # One that was stopped while it was told again holds less than what it was told from.
            if known is None or not retells(node, known):
                self.stopped.add(node.plan_key, node)

    def __bool__(self) -> bool:
        return bool(self.plans or self.results or self.stopped)


def adding_to(tree: Tree, earlier: Sequence[Node]) -> tuple[Node, ...]:
    """Of earlier nodes, the oldest first, those that know something that no later one at their place knows: without
    that, what a run leaves would grow each time that it is stopped."""
    known = set[tuple[str, str, str]]()
    transcripts = dict[tuple[str, str], Node]()

    def adds(node: Node) -> bool:
        facts = {("plan", node.plan_key, node.id)} if node.plan is not None and node.plan_key else set()
        facts |= {("result", node.result_key, node.id)} if node.result is not None and node.result_key else set()
        new = not facts <= known
        known.update(facts)
        told = transcripts.get((node.plan_key, node.id))
        if node.rounds and node.plan_key and (told is None or not retells(node, told)):
            transcripts[node.plan_key, node.id] = node
            return True
        return new

    for node in tree:
        adds(node)
    return tuple(reversed([node for node in reversed(earlier) if adds(node)]))


def retells(node: Node, known: Node) -> bool:
    """Whether all that the transcript of `node` holds, replies and what tools returned, is in that of `known`."""
    said = [(told.content, told.calls) for told in node.rounds]
    same = {(at, use.call, use.content) for at, use in enumerate(known.tool_calls) if use.ended is not None}
    return said == [(told.content, told.calls) for told in known.rounds[: len(said)]] and all(
        (at, use.call, use.content) in same for at, use in enumerate(node.tool_calls) if use.ended is not None
    )


def created_fact(node: Node) -> NodeCreated:
    """That a recorded node came into being."""
    return NodeCreated(
        at=node.started or 0.0,
        node=node.id,
        parent=node.parent,
        task=node.task,
        agent=node.agent,
        depends_on=node.depends_on,
        note=node.note,
    )


def plan_facts(node: Node, node_id: str, mark: str = "replayed") -> Iterator[Event]:
    """The planning of a recorded node with the times that were recorded, told of `node_id`."""
    if node.plan is None:
        return
    at = node.started or 0.0
    for event in _stage(_planning(node.phases), node_id):
        at = event.at
        yield event
    ended = next((phase.ended for phase in node.phases if phase.kind == "plan"), None)
    yield Planned(
        at=at if ended is None else ended,
        node=node_id,
        plan=node.plan,
        key=node.plan_key,
        usage=node.plan_usage,
        model=node.plan_model,
        limited=node.limited,
        mark=mark,
    )


def result_facts(node: Node, node_id: str, mark: str = "replayed") -> Iterator[Event]:
    """The answering of a recorded node with the times that were recorded, told of `node_id`."""
    stage = list(_stage(_answering(node.phases), node_id))
    yield from stage[:1]
    asked, allowed = _asked(node, node_id)
    begins = [fact for fact in stage[1:] if fact.at not in allowed]
    yield from _in_order([*begins, *asked], node.tool_calls, node_id)
    yield Finished(
        at=node.ended or 0.0,
        node=node_id,
        content=node.result or "",
        key=node.result_key,
        metadata=node.metadata,
        reads=node.reads,
        usage=node.usage.minus(node.plan_usage),
        model=node.model,
        mark=mark,
    )


def _asked(node: Node, node_id: str) -> tuple[list[ToolCalled], set[float]]:
    """That calls of tools had to be allowed, and when they were: where a wait ends with such a call."""
    ended = {phase.ended: phase for phase in node.phases if phase.kind == "wait"}
    waited = [(use, ended[use.started]) for use in node.tool_calls if use.started in ended]
    asked = [replace(_called(use, node_id), at=wait.started, awaiting_approval=True) for use, wait in waited]
    return asked, {use.started for use, _ in waited}


def _in_order(others: Iterable[Event], uses: Iterable[ToolUse], node_id: str) -> Iterator[Event]:
    """Calls of tools among other facts, by time; at one moment, a call of the model comes first, then tools are called
    before they return. Calls stay in their order, whatever the clocks of the executions said that they are of."""
    placed: list[tuple[float, int, Event]] = [
        (fact.at, 1 if isinstance(fact, ToolCalled) else 0, fact) for fact in others
    ]
    latest = 0.0
    for use in uses:
        latest = max(latest, use.started)
        called, *returned = tool_facts(use, node_id)
        placed.append((latest, 1, called))
        placed += [(max(latest, fact.at), 2, fact) for fact in returned]
    yield from (fact for *_, fact in sorted(placed, key=lambda each: each[:2]))


def tool_facts(use: ToolUse, node_id: str) -> Iterator[Event]:
    """A recorded call of a tool, told of `node_id`."""
    yield _called(use, node_id)
    if use.content is not None and use.ended is not None:
        yield ToolReturned(at=use.ended, node=node_id, call=use.call, content=use.content, ok=use.ok, reads=use.reads)


def _called(use: ToolUse, node_id: str) -> ToolCalled:
    return ToolCalled(at=use.started, node=node_id, call=use.call, name=use.name, arguments=use.arguments)


def end_facts(node: Node) -> Iterator[Event]:
    """How a recorded node ended, told again of itself."""
    at, usage = node.ended or 0.0, node.usage.minus(node.plan_usage)
    if node.state is NodeState.DONE:
        yield from result_facts(node, node.id)
    elif node.state is NodeState.FAILED:
        yield Failed(at=at, node=node.id, error=node.error or "", kind=node.error_kind, usage=usage, text=node.partial)
    elif node.state is NodeState.SUPERSEDED:
        yield Superseded(at=at, node=node.id, reason=node.note)
    else:
        yield Cancelled(at=at, node=node.id, reason=node.note, usage=usage, text=node.partial)


def _planning(phases: Sequence[Phase]) -> Sequence[Phase]:
    """The phases up to the end of planning: failed attempts, then the one that gave the plan."""
    kinds = [phase.kind for phase in phases]
    return phases[: kinds.index("plan") + 1] if "plan" in kinds else ()


def _answering(phases: Sequence[Phase]) -> Sequence[Phase]:
    rest = phases[len(_planning(phases)) :]
    return [phase for phase in rest if phase.kind != "wait"]


_BEGINNINGS: dict[str, type[PlanStarted] | type[Started] | type[SynthesisStarted]] = {
    "plan": PlanStarted,
    "execute": Started,
    "synthesize": SynthesisStarted,
}


def _stage(phases: Sequence[Phase], node_id: str) -> Iterator[Event]:
    """Each beginning of a stage, that is of each of its calls; and which of them failed."""
    begins = _BEGINNINGS.get(phases[-1].kind) if phases else None
    if begins is None:
        return
    for phase in phases:
        if phase.kind != "wait":
            yield begins(at=phase.started, node=node_id)
        if phase.kind == "failed":
            yield Retried(at=phase.ended or phase.started, node=node_id, reason="")
