"""The tree that a run's events fold to.

`Tree.apply` is the only place where state changes. What may follow what is a table, and an illegal event is a missing
key. The tree never looks at a clock: times are those of the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from .construction import changer, quickly_made
from .events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    NodeCreated,
    Planned,
    PlanStarted,
    Replied,
    Retried,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Started,
    Superseded,
    SynthesisStarted,
    Token,
    ToolCalled,
    ToolReturned,
)
from .limits import NOTHING, Usage
from .outline import outline

__all__ = ["TRANSITIONS", "IllegalEvent", "Node", "NodeState", "Phase", "Round", "ToolUse", "Tree"]


class NodeState(StrEnum):
    """Where a node is on its way; the last four are final."""

    PENDING = "pending"
    PLANNING = "planning"
    RUNNING = "running"
    WAITING = "waiting"
    SYNTHESIZING = "synthesizing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({NodeState.DONE, NodeState.FAILED, NodeState.CANCELLED, NodeState.SUPERSEDED})


class IllegalEvent(ValueError):
    """An event that cannot follow what happened: a fault of whoever emitted it."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a node's time: `kind` is "plan", "wait", "execute", "synthesize" or "failed".

    Work begins when a call has its turn, and not when it asks for one: until then a node that has begun is in "wait".
    """

    kind: str
    started: float
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One tool call of a node, and what it returned (`None` while it runs, or still `asks` to be allowed)."""

    call: str
    name: str
    arguments: dict[str, Any]
    started: float
    content: str | None = None
    ok: bool = True
    ended: float | None = None
    reads: dict[str, str] = field(default_factory=dict)
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """A reply of a node's model before the last: what it asked for ("id", "name", "arguments" of each call)."""

    content: str
    calls: tuple[dict[str, Any], ...] = ()
    usage: Usage = NOTHING
    model: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """One row of the tree, as it is after the events so far. Times are seconds since the epoch."""

    id: str
    parent: str | None
    task: str
    agent: str = ""
    model: str = ""
    state: NodeState = NodeState.PENDING
    decision: str | None = None
    depends_on: tuple[str, ...] = ()
    plan: dict[str, Any] | None = None
    result: str | None = None
    error: str | None = None
    error_kind: str = ""
    usage: Usage = NOTHING
    attempts: int = 0
    phases: tuple[Phase, ...] = ()
    started: float | None = None
    ended: float | None = None
    mark: str = ""
    note: str = ""
    limited: str = ""
    plan_key: str = ""
    result_key: str = ""
    plan_usage: Usage = NOTHING
    plan_model: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    tool_calls: tuple[ToolUse, ...] = ()
    reads: dict[str, str] = field(default_factory=dict)
    #: Until the node has its answer: what it takes to go on after the last finished call of a tool.
    rounds: tuple[Round, ...] = ()

    @property
    def depth(self) -> int:
        """The root has depth 0."""
        return self.id.count(".")

    @property
    def at_work(self) -> bool:
        """A call of its model or of a tool is under way: it waits neither for a turn nor for anybody."""
        return bool(self.phases) and self.phases[-1].ended is None and self.phases[-1].kind != "wait"

    @property
    def remark(self) -> str:
        """What is to be known of the node beside its state and error: what limited it, what its model notes."""
        limited = f"limited: {self.limited}" if self.limited else ""
        return limited or self.note or str(self.metadata.get("note") or "")

    @property
    def title(self) -> str:
        """The first line of the task that holds text."""
        return next((line.strip() for line in self.task.splitlines() if line.strip()), self.id)


_S = NodeState
_ANYWHERE: dict[str, NodeState] = {"Failed": _S.FAILED, "Cancelled": _S.CANCELLED, "Superseded": _S.SUPERSEDED}
_ASKING: dict[str, None] = dict.fromkeys(["Token", "Retried", "Replied", "ToolCalled", "ToolReturned"])


def _row(*stays: str, **moves: NodeState) -> dict[str, NodeState | None]:
    """One row of the table; `None` means: stays where it is."""
    return {**dict.fromkeys(stays), **moves, **_ANYWHERE}


#: What may happen to a node in which state, and where that leads. Forward only.
TRANSITIONS: dict[NodeState, dict[str, NodeState | None]] = {
    _S.PENDING: _row(
        "Planned:EXECUTE",
        **{"PlanStarted": _S.PLANNING, "Planned:RECURSE": _S.WAITING, "Started": _S.RUNNING, "Finished": _S.DONE},
    ),
    # A stage begins again with each of its calls: a retry, the round after a tool's.
    _S.PLANNING: _row(
        "PlanStarted",
        *_ASKING,
        **{"Planned:EXECUTE": _S.WAITING, "Planned:RECURSE": _S.WAITING, "Started": _S.RUNNING, "Finished": _S.DONE},
    ),
    _S.RUNNING: _row("Started", *_ASKING, Finished=_S.DONE),
    # For its parts, or for its turn. A plan that waits for approval may be replaced by an edited one, before any
    # sub-task is there.
    _S.WAITING: _row(
        "Planned:RECURSE",
        "Planned:EXECUTE",
        **{"Started": _S.RUNNING, "SynthesisStarted": _S.SYNTHESIZING, "Finished": _S.DONE},
    ),
    _S.SYNTHESIZING: _row("SynthesisStarted", *_ASKING, Finished=_S.DONE),
    _S.DONE: {"Superseded": _S.SUPERSEDED},
    _S.FAILED: {"Superseded": _S.SUPERSEDED},
    _S.CANCELLED: {"Superseded": _S.SUPERSEDED},
    _S.SUPERSEDED: {},
}

#: What a node that waits goes on with, by its decision.
_GOES_ON: dict[str, str] = {"Started": "EXECUTE", "SynthesisStarted": "RECURSE"}


class Tree:
    """Nodes by id, in the order they came into being, and what is known of the run as a whole; `str()` draws it."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._children: dict[str, list[str]] = {}
        self._above: tuple[str, tuple[str, ...]] = ("", ())
        self._usage = NOTHING
        self.run_id = ""
        self.task = ""
        self.request_key = ""
        self.settings: dict[str, Any] = {}
        self.parent: dict[str, Any] | None = None
        self.status = "pending"
        self.error = ""
        self.started: float | None = None
        self.ended: float | None = None

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> Tree:
        """A tree of nodes as they were recorded; parents come before their children."""
        tree = cls()
        for node in nodes:
            tree._add(node)
            tree._usage += node.usage
        return tree

    def __str__(self) -> str:
        return outline(self)

    def __repr__(self) -> str:
        return f"<Tree: {len(self)} nodes, {self.status}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def __getitem__(self, node_id: str) -> Node:
        return self._nodes[node_id]

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._nodes

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def root(self) -> Node | None:
        return self._nodes.get("0")

    @property
    def usage(self) -> Usage:
        """What all nodes have used."""
        return self._usage

    def children(self, node_id: str) -> list[Node]:
        """In the plan's order."""
        return [self._nodes[child] for child in self._children.get(node_id, ())]

    def ancestors(self, node_id: str) -> list[Node]:
        """From the root down to the parent."""
        found: list[Node] = []
        parent = self._nodes[node_id].parent
        while parent is not None:
            found.append(self._nodes[parent])
            parent = found[-1].parent
        return found[::-1]

    def tasks_above(self, node_id: str) -> tuple[str, ...]:
        """The tasks of the ancestors, from the root down; one tuple for siblings that are asked for in a row."""
        parent = self._nodes[node_id].parent
        if parent is None:
            return ()
        if self._above[0] != parent:
            self._above = (parent, tuple(above.task for above in self.ancestors(node_id)))
        return self._above[1]

    def walk(self, node_id: str = "0") -> Iterator[Node]:
        """A node and all below it, depth first, in the plan's order."""
        stack = [node_id] if node_id in self._nodes else []
        while stack:
            current = stack.pop()
            yield self._nodes[current]
            stack.extend(reversed(self._children.get(current, ())))

    def critical_path(self) -> list[Node]:
        """The chain of nodes that decided how long the run took: at each split, the part that ended last."""
        path = [self._nodes["0"]] if self._nodes else []
        while path and (parts := [child for child in self.children(path[-1].id) if child.started is not None]):
            path.append(max(parts, key=lambda node: node.ended if node.ended is not None else float("inf")))
        return path

    def apply(self, event: Event) -> Node | None:
        """Change what the event says; returns the node as it is now (`None` for an event of the run).

        Raises `IllegalEvent` if the event cannot follow what happened; the tree is then unchanged.
        """
        kind = type(event)
        if kind in _CHANGES:
            return self._advance(event)
        if isinstance(event, NodeCreated):
            return self._create(event)
        _RUN_CHANGES[kind](self, event)
        return None

    def _create(self, event: NodeCreated) -> Node:
        if event.node in self._nodes:
            raise IllegalEvent(f"node {event.node} exists already")
        if event.node.rpartition(".")[0] != (event.parent or "") or (event.parent is None and event.node != "0"):
            raise IllegalEvent(f"node {event.node!r} cannot be a child of {event.parent!r}")
        if event.parent is not None and not self._may_split(event.parent):
            raise IllegalEvent(f"node {event.node}: parent {event.parent} is {self._state_of(event.parent)}")
        return self._add(
            _with(
                _NEW,
                id=event.node,
                parent=event.parent,
                task=event.task,
                agent=event.agent,
                model=event.model,
                depends_on=event.depends_on,
                note=event.note,
                metadata={},
                reads={},
            )
        )

    def _add(self, node: Node) -> Node:
        self._nodes[node.id] = node
        if node.parent is not None:
            self._children.setdefault(node.parent, []).append(node.id)
        return node

    def _may_split(self, node_id: str) -> bool:
        node = self._nodes.get(node_id)
        return node is not None and node.state in (_S.PLANNING, _S.WAITING) and node.decision != "EXECUTE"

    def _state_of(self, node_id: str) -> NodeState | None:
        node = self._nodes.get(node_id)
        return node.state if node else None

    def _advance(self, event: Event) -> Node:
        node = self._nodes.get(event.node)
        if node is None:
            raise IllegalEvent(f"{type(event).__name__} for node {event.node!r}, which does not exist")
        trigger = _trigger(event)
        row = TRANSITIONS[node.state]
        if trigger not in row or (node.state is _S.WAITING and _GOES_ON.get(trigger, node.decision) != node.decision):
            raise IllegalEvent(f"node {node.id} is {node.state}: {trigger} cannot follow")
        state = row[trigger] or node.state
        changed = _CHANGES[type(event)](node, event, state)
        self._nodes[node.id] = changed
        if changed.usage is not node.usage:
            self._usage += event.usage  # type: ignore[attr-defined]
        return changed


def _trigger(event: Event) -> str:
    return f"Planned:{_decision(event)}" if isinstance(event, Planned) else type(event).__name__


def _decision(event: Planned) -> Any:
    return "EXECUTE" if event.limited else event.plan.get("decision")


def _failed(node: Node, event: Failed, state: NodeState) -> Node:
    phases = _closed(node.phases, event.at, kind="failed" if node.at_work else None)
    usage = node.usage + event.usage
    return _with(
        node, state=state, ended=event.at, error=event.error, error_kind=event.kind, usage=usage, phases=phases
    )


def _cancelled(node: Node, event: Cancelled, state: NodeState) -> Node:
    usage, note = node.usage + event.usage, event.reason or node.note
    return _with(node, state=state, ended=event.at, note=note, usage=usage, phases=_closed(node.phases, event.at))


def _superseded(node: Node, event: Superseded, state: NodeState) -> Node:
    ended = node.ended if node.ended is not None else event.at
    note = event.reason or node.note
    return _with(node, state=state, ended=ended, note=note, phases=_closed(node.phases, event.at))


def _with(node: Node, **changes: Any) -> Node:
    return _changed(node, changes)


_changed = changer(Node)
_NEW = Node("", None, "")


def _planned(node: Node, event: Planned, state: NodeState) -> Node:
    waits = state is _S.WAITING
    phases = _entered(_worked(node), "wait", event.at) if waits else _closed(node.phases, event.at)
    return _with(
        node,
        state=state,
        decision=_decision(event),
        plan=event.plan,
        plan_key=event.key,
        plan_usage=node.plan_usage + event.usage,
        plan_model=event.model or node.plan_model,
        limited=event.limited,
        usage=node.usage + event.usage,
        model=event.model or node.model,
        phases=phases,
    )


def _begun(node: Node, kind: str, at: float, state: NodeState) -> Node:
    return _with(
        node,
        state=state,
        started=node.started if node.started is not None else at,
        attempts=node.attempts or 1,
        phases=_entered(node.phases, kind, at),
    )


def _tool_called(node: Node, event: ToolCalled) -> Node:
    """Work is what a tool does, and not that somebody is asked whether it may."""
    use = ToolUse(event.call, event.name, event.arguments, event.at, asks=event.asks)
    asked = next((at for at, other in enumerate(node.tool_calls) if other.asks and other.call == event.call), None)
    if asked is None:
        phases = _entered(node.phases, "wait", event.at) if event.asks else _worked(node)
        return _with(node, tool_calls=(*node.tool_calls, use), phases=phases)
    phases = node.phases if node.at_work else _entered(node.phases, "execute", event.at)
    return _with(node, tool_calls=(*node.tool_calls[:asked], use, *node.tool_calls[asked + 1 :]), phases=phases)


def _tool_returned(node: Node, event: ToolReturned) -> Node:
    """After the last of a round the model is to be asked again, when it is the node's turn."""
    uses = _returned(node.tool_calls, event)
    over = node.at_work and all(use.ended is not None for use in uses)
    return _with(node, tool_calls=uses, phases=_entered(node.phases, "wait", event.at) if over else node.phases)


def _returned(uses: tuple[ToolUse, ...], event: ToolReturned) -> tuple[ToolUse, ...]:
    """Of several calls with the same id (models number each reply anew), the one that still runs."""
    for place, use in enumerate(uses):
        if use.call == event.call and use.ended is None:
            ended = replace(use, content=event.content, ok=event.ok, ended=event.at, reads=event.reads)
            return (*uses[:place], ended, *uses[place + 1 :])
    return uses


def _replied(node: Node, event: Replied) -> Node:
    if not all(_is_call(call) for call in event.calls):
        raise IllegalEvent(f"node {node.id}: a call of a tool has an id, a name and arguments")
    told = Round(event.content, event.calls, event.usage, event.model)
    return _with(node, rounds=(*node.rounds, told), usage=node.usage + event.usage)


def _is_call(call: dict[str, Any]) -> bool:
    named = isinstance(call.get("id"), str) and isinstance(call.get("name"), str)
    return named and isinstance(call.get("arguments"), dict | str)


def _retried(node: Node, event: Retried) -> Node:
    return _with(
        node,
        attempts=node.attempts + 1,
        usage=node.usage + event.usage,
        phases=_entered(_closed(node.phases, event.at, kind="failed"), "wait", event.at),
    )


def _finished(node: Node, event: Finished, state: NodeState) -> Node:
    return _with(
        node,
        state=state,
        result=event.content,
        result_key=event.key,
        metadata=event.metadata,
        reads=event.reads,
        usage=node.usage + event.usage,
        model=event.model or node.model,
        started=node.started if node.started is not None else event.at,
        ended=event.at,
        mark=event.mark,
        phases=_answered(node, event.at),
        rounds=(),
    )


def _answered(node: Node, at: float) -> tuple[Phase, ...]:
    """All phases ended. Where the answer came with the plan, that call was the work, and nothing was waited for."""
    if node.state is _S.WAITING and node.decision == "EXECUTE" and len(node.phases) > 1:
        plan, wait = node.phases[-2:]
        if plan.kind == "plan" and at - wait.started < SHORTEST_WAIT:
            return (*node.phases[:-2], Phase("execute", plan.started, max(at, wait.started)))
    return _closed(_worked(node), at)


#: A wait for a turn that was free is none, in seconds: nobody would see it, and each would be kept.
SHORTEST_WAIT = 0.005


def _entered(phases: tuple[Phase, ...], kind: str, at: float) -> tuple[Phase, ...]:
    """The phases with the next one, where the open one ends."""
    if phases:
        # Clocks may be set back, and what is told again has times of its own.
        at = max(at, phases[-1].ended or phases[-1].started)
    if not phases or phases[-1].kind != "wait" or phases[-1].ended is not None:
        return (*_closed(phases, at), Phase(kind, at))
    if kind == "wait":
        return phases
    *before, wait = phases
    # What waited for its parts has waited, however short that was.
    if at - wait.started >= SHORTEST_WAIT or (kind == "synthesize" and (not before or before[-1].kind == "plan")):
        return (*_closed(phases, at), Phase(kind, at))
    if before and before[-1].kind == kind:
        return (*before[:-1], Phase(kind, before[-1].started))
    return (*before, Phase(kind, at))


_WORK = {_S.PLANNING: "plan", _S.RUNNING: "execute", _S.SYNTHESIZING: "synthesize"}


def _worked(node: Node) -> tuple[Phase, ...]:
    """The phases of a node of which something comes: it was at work. Earlier versions told no call but the first."""
    kind = _WORK.get(node.state)
    if kind is None or node.at_work or not node.phases or node.phases[-1].ended is not None:
        return node.phases
    *before, wait = node.phases
    if before and before[-1].kind == kind:
        return (*before[:-1], Phase(kind, before[-1].started))
    return (*before, Phase(kind, wait.started))


def _closed(phases: tuple[Phase, ...], at: float, kind: str | None = None) -> tuple[Phase, ...]:
    """The phases with the open last one ended."""
    if not phases or phases[-1].ended is not None:
        return phases
    last = phases[-1]
    return (*phases[:-1], Phase(kind or last.kind, last.started, max(at, last.started)))


def _run_started(tree: Tree, event: RunStarted) -> None:
    if tree.status != "pending":
        raise IllegalEvent("a run starts once")
    tree.run_id, tree.task, tree.request_key = event.run_id, event.task, event.request_key
    tree.settings, tree.parent = event.settings, event.parent
    tree.started, tree.status = event.at, "running"


def _run_paused(tree: Tree, event: RunPaused) -> None:
    _require(tree, "running")
    tree.status = "paused"


def _run_resumed(tree: Tree, event: RunResumed) -> None:
    _require(tree, "paused")
    tree.status = "running"


def _run_finished(tree: Tree, event: RunFinished) -> None:
    # "done" and then "failed": the answer was there, but could not be kept.
    _require(tree, "running", "paused", *(["done"] if event.status == "failed" else []))
    tree.status, tree.error, tree.ended = event.status, event.error, event.at


def _require(tree: Tree, *allowed: str) -> None:
    if tree.status not in allowed:
        raise IllegalEvent(f"the run is {tree.status}, not {' or '.join(allowed)}")


#: The node after an event that the table allows.
_CHANGES: dict[type[Event], Callable[[Node, Any, NodeState], Node]] = {
    PlanStarted: lambda node, event, state: _begun(node, "plan", event.at, state),
    Started: lambda node, event, state: _begun(node, "execute", event.at, state),
    SynthesisStarted: lambda node, event, state: _begun(node, "synthesize", event.at, state),
    Planned: _planned,
    ToolCalled: lambda node, event, state: _tool_called(node, event),
    ToolReturned: lambda node, event, state: _tool_returned(node, event),
    Replied: lambda node, event, state: _replied(node, event),
    Retried: lambda node, event, state: _retried(node, event),
    Finished: _finished,
    Failed: _failed,
    Cancelled: _cancelled,
    Superseded: _superseded,
    Token: lambda node, event, state: node,
}

_RUN_CHANGES: dict[type[Event], Any] = {
    RunStarted: _run_started,
    RunPaused: _run_paused,
    RunResumed: _run_resumed,
    RunFinished: _run_finished,
}
