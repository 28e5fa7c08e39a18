"""The tree of a run: the fold of its events.

`Tree.apply` is the only place where state changes. Legal transitions are a table, and an illegal event is a missing
key. The tree reads no clock: all times are those of the events.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .events import (
    Event,
    NodeCreated,
    Planned,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
)
from .node import Cell, Node, NodeState, Phase, Rejection, Round, ToolUse
from .text import counted, pretty, printable
from .transitions import CHANGES, NEW, IllegalEvent, changed, decision_of
from .usage import NOTHING, Usage

__all__ = [
    "TRANSITIONS",
    "Cell",
    "IllegalEvent",
    "Node",
    "NodeState",
    "Phase",
    "Recorded",
    "Rejection",
    "Round",
    "RunState",
    "ToolUse",
    "Tree",
    "TreeHeader",
    "living",
    "unfinished",
]

#: The most nodes that are listed when a tree is printed.
TEXT_LINES = 400

_S = NodeState
_ANYWHERE: dict[str, NodeState] = {"Failed": _S.FAILED, "Cancelled": _S.CANCELLED, "Superseded": _S.SUPERSEDED}
_DURING_A_CALL = ("Token", "Retried", "Replied", "ToolCalled", "ToolReturned")


def _row(*stays: str, **moves: NodeState) -> dict[str, NodeState | None]:
    """One row of the table; `None`: the state stays."""
    return {**dict.fromkeys(stays), **moves, **_ANYWHERE}


#: For each state the events that may follow, and the state that each leads to. Forward only.
TRANSITIONS: dict[NodeState, dict[str, NodeState | None]] = {
    _S.PENDING: _row(
        "Planned:EXECUTE",
        **{"PlanStarted": _S.PLANNING, "Planned:RECURSE": _S.WAITING, "Planned:PROGRAM": _S.WAITING},
        **{"Started": _S.RUNNING, "Finished": _S.DONE},
    ),
    # A stage begins again with each of its calls: a retry, the round after a tool call.
    _S.PLANNING: _row(
        "PlanStarted",
        *_DURING_A_CALL,
        **{"Planned:EXECUTE": _S.WAITING, "Planned:RECURSE": _S.WAITING, "Planned:PROGRAM": _S.WAITING},
        **{"Started": _S.RUNNING, "Finished": _S.DONE},
    ),
    _S.RUNNING: _row("Started", "CellWritten", "CellRan", *_DURING_A_CALL, Finished=_S.DONE),
    # For its sub-tasks, or for a slot. A plan that waits for approval may be replaced by an edited one, as long as no
    # sub-task exists; after a rejection the planner is called again, without a way back to an earlier state.
    _S.WAITING: _row(
        "Planned:RECURSE",
        "Planned:EXECUTE",
        "Planned:PROGRAM",
        "PlanRejected",
        "PlanStarted",
        "Retried",
        **{"Started": _S.RUNNING, "SynthesisStarted": _S.SYNTHESIZING, "Finished": _S.DONE},
    ),
    _S.SYNTHESIZING: _row("SynthesisStarted", *_DURING_A_CALL, Finished=_S.DONE),
    _S.DONE: {"Superseded": _S.SUPERSEDED},
    _S.FAILED: {"Superseded": _S.SUPERSEDED},
    _S.CANCELLED: {"Superseded": _S.SUPERSEDED},
    _S.SUPERSEDED: {},
}

#: The decisions that a waiting node must have for these events; it has none after its plan was rejected.
_DECISIONS: dict[str, tuple[str | None, ...]] = {
    "Started": ("EXECUTE", "PROGRAM"),
    "SynthesisStarted": ("RECURSE",),
    "PlanRejected": ("RECURSE", "PROGRAM"),
    "PlanStarted": (None,),
    "Retried": (None,),
}


#: The states in which a node may get children.
_PARENTS = (_S.PLANNING, _S.WAITING)
_CODE_PARENTS = (_S.WAITING, _S.RUNNING)


@dataclass(frozen=True, slots=True)
class TreeHeader:
    """What is fixed from the start of a run on.

    `execution` differs for each execution of a run; `settings` is the engine as checkpoints record it; `parent` names
    the run and the node that this one was edited from.
    """

    run_id: str = ""
    execution: str = ""
    task: str = ""
    request_key: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    parent: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run as a whole.

    `status` is "pending", "running", "paused", "done", "failed" or "cancelled"; `started` and `ended` are in seconds
    since the epoch.
    """

    status: str = "pending"
    error: str = ""
    started: float | None = None
    ended: float | None = None


def living(nodes: Iterable[Node]) -> Iterator[Node]:
    """Those of the nodes that are not superseded."""
    return (node for node in nodes if node.state is not NodeState.SUPERSEDED)


class Tree:
    """The nodes by id, in the order of their creation, and the state of the run as a whole; `str()` draws it.

    Read-only outside this class: `apply` changes a tree, `of` and `with_nodes` make one of what was recorded.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._children: dict[str, list[str]] = {}
        self._above: tuple[str, tuple[str, ...]] = ("", ())
        self._usage = NOTHING
        self._header = TreeHeader()
        self._state = RunState()

    @classmethod
    def of(cls, nodes: Iterable[Node], header: TreeHeader | None = None, state: RunState | None = None) -> Tree:
        """A tree of recorded nodes; parents come before their children."""
        tree = cls()
        tree._header, tree._state = header or tree._header, state or tree._state
        for node in nodes:
            tree._add(node)
            tree._usage += node.usage
        return tree

    def with_nodes(self, nodes: Iterable[Node]) -> Tree:
        """A tree of other nodes with the same header and state."""
        return Tree.of(nodes, self._header, self._state)

    @property
    def header(self) -> TreeHeader:
        return self._header

    @property
    def state(self) -> RunState:
        return self._state

    @property
    def run_id(self) -> str:
        return self._header.run_id

    @property
    def execution(self) -> str:
        return self._header.execution

    @property
    def task(self) -> str:
        return self._header.task

    @property
    def request_key(self) -> str:
        return self._header.request_key

    @property
    def settings(self) -> dict[str, Any]:
        return self._header.settings

    @property
    def parent(self) -> dict[str, Any] | None:
        return self._header.parent

    @property
    def status(self) -> str:
        return self._state.status

    @property
    def error(self) -> str:
        return self._state.error

    @property
    def started(self) -> float | None:
        return self._state.started

    @property
    def ended(self) -> float | None:
        return self._state.ended

    def __str__(self) -> str:
        """One line a node, at most 400; `views.outline` adds symbols and durations."""
        lines = [
            f"{'  ' * node.depth}{node.state}  {printable(node.title)}  {printable(node.remark)}".rstrip()
            for node in itertools.islice(self, TEXT_LINES)
        ]
        if len(self) > TEXT_LINES:
            lines.append(f"… and {counted(len(self) - TEXT_LINES, 'more node')}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Tree: {counted(len(self), 'node')}, {self.status}>"

    _repr_pretty_ = pretty

    def __getitem__(self, node_id: str) -> Node:
        return self._nodes[node_id]

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._nodes

    def __iter__(self) -> Iterator[Node]:
        # A copy, made in one step: a detached run adds nodes in its own thread while a cell displays it.
        return iter(list(self._nodes.values()))

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def root(self) -> Node | None:
        return self._nodes.get("0")

    @property
    def usage(self) -> Usage:
        """The sum over all nodes."""
        return self._usage

    def children(self, node_id: str) -> list[Node]:
        """The children of a node, in the plan's order."""
        return [self._nodes[child] for child in self._children.get(node_id, ())]

    def child_count(self, node_id: str) -> int:
        """How many children a node has."""
        return len(self._children.get(node_id, ()))

    def ancestors(self, node_id: str) -> list[Node]:
        """The ancestors of a node, from the root down to its parent."""
        found: list[Node] = []
        parent = self._nodes[node_id].parent
        while parent is not None:
            found.append(self._nodes[parent])
            parent = found[-1].parent
        return found[::-1]

    def tasks_above(self, node_id: str) -> tuple[str, ...]:
        """The tasks of the ancestors, from the root down; siblings that are queried in a row share one tuple."""
        parent = self._nodes[node_id].parent
        if parent is None:
            return ()
        if self._above[0] != parent:
            self._above = (parent, tuple(above.task for above in self.ancestors(node_id)))
        return self._above[1]

    def walk(self, node_id: str = "0") -> Iterator[Node]:
        """A node and its descendants, depth first, in the plan's order."""
        stack = [node_id] if node_id in self._nodes else []
        while stack:
            current = stack.pop()
            yield self._nodes[current]
            stack.extend(reversed(self._children.get(current, ())))

    def critical_path(self) -> list[Node]:
        """The chain of nodes that determined how long the run took: at each split, the sub-task that ended last."""
        path = [self._nodes["0"]] if self._nodes else []
        while path and (begun := [child for child in self.children(path[-1].id) if child.started is not None]):
            path.append(max(begun, key=lambda node: node.ended if node.ended is not None else float("inf")))
        return path

    def apply(self, event: Event) -> Node | None:
        """Apply the event; returns the changed node (`None` for an event of the run).

        Raises `IllegalEvent` if the event cannot follow the earlier ones; the tree is then unchanged.
        """
        kind = type(event)
        if kind in CHANGES:
            node = self._nodes.get(event.node)
            if node is None:
                raise IllegalEvent(f"{type(event).__name__} for node {event.node!r}, which does not exist")
            trigger = f"Planned:{decision_of(event)}" if isinstance(event, Planned) else kind.__name__
            row = TRANSITIONS[node.state]
            decisions = _DECISIONS.get(trigger) if node.state is _S.WAITING else None
            if trigger not in row or (decisions is not None and node.decision not in decisions):
                raise IllegalEvent(f"node {node.id} is {node.state}: {trigger} cannot follow")
            state = row[trigger] or node.state
            now = CHANGES[kind](node, event, state)
            self._nodes[node.id] = now
            if now.usage is not node.usage:
                self._usage += event.usage  # type: ignore[attr-defined]
            return now
        if isinstance(event, NodeCreated):
            return self._create(event)
        self._state = self._next_state(event)
        if isinstance(event, RunStarted):
            self._header = TreeHeader(
                event.run_id, event.execution, event.task, event.request_key, event.settings, event.parent
            )
        return None

    def _next_state(self, event: Event) -> RunState:
        match event:
            case RunStarted():
                after, state = ["pending"], RunState("running", started=event.at)
            case RunPaused():
                after, state = ["running"], replace(self._state, status="paused")
            case RunResumed():
                after, state = ["paused"], replace(self._state, status="running")
            case RunFinished():
                # "done" and then "failed": the answer existed, but could not be written to the checkpoint.
                after = ["running", "paused", *(["done"] if event.status == "failed" else [])]
                state = replace(self._state, status=event.status, error=event.error, ended=event.at)
            case _:
                raise IllegalEvent(f"{type(event).__name__} is no event of a run")
        if self.status not in after:
            raise IllegalEvent(f"the run is {self.status}, not {' or '.join(after)}")
        return state

    def _create(self, event: NodeCreated) -> Node:
        if event.node in self._nodes:
            raise IllegalEvent(f"node {event.node} exists already")
        if event.node.rpartition(".")[0] != (event.parent or "") or (event.parent is None and event.node != "0"):
            raise IllegalEvent(f"node {event.node!r} cannot be a child of {event.parent!r}")
        if event.parent is not None:
            parent = self._nodes.get(event.parent)
            # While the parent is planning, too: a streamed plan starts its sub-tasks early. While it is running only
            # from its cells.
            states = _PARENTS if parent is None or parent.decision != "PROGRAM" else _CODE_PARENTS
            if parent is None or parent.state not in states or parent.decision == "EXECUTE":
                state = parent.state if parent is not None else None
                raise IllegalEvent(f"node {event.node}: parent {event.parent} is {state}")
        return self._add(
            changed(
                NEW,
                id=event.node,
                parent=event.parent,
                task=event.task,
                agent=event.agent,
                model=event.model,
                depends_on=event.depends_on,
                note=event.note,
                query=event.query,
                repeat=event.repeat,
                metadata={},
                reads={},
            )
        )

    def _add(self, node: Node) -> Node:
        self._nodes[node.id] = node
        if node.parent is not None:
            self._children.setdefault(node.parent, []).append(node.id)
        return node


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded run: its tree, and the nodes of earlier trees that may still be reused.

    `created` is in seconds since the epoch, `spent` and `active_seconds` are sums over all executions.
    """

    tree: Tree
    earlier: tuple[Node, ...] = ()
    cell_id: str = ""
    created: float = 0.0
    spent: Usage = NOTHING
    active_seconds: float = 0.0


def unfinished(tree: Tree) -> list[Node]:
    """The nodes that failed or were cancelled."""
    return [node for node in tree if node.state in (NodeState.FAILED, NodeState.CANCELLED)]
