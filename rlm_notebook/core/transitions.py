"""How each event changes its node. The tree has checked before that the event may follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .construction import changer
from .events import (
    Cancelled,
    CellRan,
    CellWritten,
    Event,
    Failed,
    Finished,
    Planned,
    PlanRejected,
    PlanStarted,
    Replied,
    Retried,
    Started,
    Superseded,
    SynthesisStarted,
    Token,
    ToolCalled,
    ToolReturned,
)
from .node import Cell, Node, NodeState, Phase, Rejection, Round, ToolUse

__all__ = ["CHANGES", "NEW", "IllegalEvent", "changed", "decision_of"]


class IllegalEvent(ValueError):
    """An event that cannot follow the earlier ones: an error of the code that emitted it."""


def decision_of(event: Planned) -> Any:
    """The decision of a plan; at a limit it is EXECUTE, whatever the plan states."""
    return "EXECUTE" if event.limited else event.plan.get("decision")


def _ended(node: Node, at: float) -> float:
    """The end of a node, never before its start, which an execution with another clock may have recorded."""
    return at if node.started is None else max(at, node.started)


def _failed(node: Node, event: Failed, state: NodeState) -> Node:
    phases = _closed(node.phases, event.at, kind="failed" if node.at_work else None)
    usage = node.usage + event.usage
    return changed(
        node,
        state=state,
        ended=_ended(node, event.at),
        error=event.error,
        error_kind=event.kind,
        usage=usage,
        phases=phases,
        partial=_longer(node, event.text),
    )


def _cancelled(node: Node, event: Cancelled, state: NodeState) -> Node:
    usage, note = node.usage + event.usage, event.reason or node.note
    phases, partial = _closed(node.phases, event.at), _longer(node, event.text)
    at = _ended(node, event.at)
    return changed(node, state=state, ended=at, note=note, usage=usage, phases=phases, partial=partial)


def _longer(node: Node, text: str) -> str:
    """The longest partial answer of all attempts."""
    return text if len(text) > len(node.partial) else node.partial


def _superseded(node: Node, event: Superseded, state: NodeState) -> Node:
    ended = node.ended if node.ended is not None else event.at
    note = event.reason or node.note
    return changed(node, state=state, ended=ended, note=note, phases=_closed(node.phases, event.at))


#: `changed(node, name=value, ...)`: the node with some fields changed.
changed: Callable[..., Node] = changer(Node)
#: The initial values of a node.
NEW = Node("", None, "")


def _planned(node: Node, event: Planned, state: NodeState) -> Node:
    waits = state is NodeState.WAITING
    phases = _entered(_worked(node), "wait", event.at) if waits else _closed(node.phases, event.at)
    return changed(
        node,
        state=state,
        decision=decision_of(event),
        plan=event.plan,
        plan_key=event.key,
        plan_usage=node.plan_usage + event.usage,
        plan_model=event.model or node.plan_model,
        limited=event.limited,
        usage=node.usage + event.usage,
        model=event.model or node.model,
        phases=phases,
    )


def _plan_rejected(node: Node, event: PlanRejected, state: NodeState) -> Node:
    """The node is planned anew; its plan key stays, under which a later execution finds the rejection."""
    rejection = Rejection(node.plan or {}, event.reason, event.at)
    return changed(node, state=state, decision=None, plan=None, rejected=(*node.rejected, rejection))


def _begun(node: Node, kind: str, at: float, state: NodeState) -> Node:
    return changed(
        node,
        state=state,
        started=node.started if node.started is not None else at,
        attempts=node.attempts or 1,
        phases=_entered(node.phases, kind, at),
    )


def _tool_called(node: Node, event: ToolCalled) -> Node:
    """A call that awaits approval is a wait; when it is approved, a second event replaces it and work begins."""
    use = ToolUse(event.call, event.name, event.arguments, event.at, awaiting_approval=event.awaiting_approval)
    place = next(
        (at for at, other in enumerate(node.tool_calls) if other.awaiting_approval and other.call == event.call), None
    )
    if place is None:
        phases = _entered(node.phases, "wait", event.at) if event.awaiting_approval else _worked(node)
        return changed(node, tool_calls=(*node.tool_calls, use), phases=phases)
    phases = node.phases if node.at_work else _entered(node.phases, "execute", event.at)
    uses = (*node.tool_calls[:place], use, *node.tool_calls[place + 1 :])
    return changed(node, tool_calls=uses, phases=phases)


def _tool_returned(node: Node, event: ToolReturned) -> Node:
    uses = node.tool_calls
    for place, use in enumerate(uses):
        # Of several calls with the same id (models number the calls of each reply from the start), the running one.
        if use.call == event.call and use.ended is None:
            # In a replay the call may be later than now, if the clock was set back in between.
            at = max(event.at, use.started)
            # A call that was rejected returns without having been approved.
            ended = replace(
                use, content=event.content, ok=event.ok, ended=at, reads=event.reads, awaiting_approval=False
            )
            uses = (*uses[:place], ended, *uses[place + 1 :])
            break
    # After the last return of a round, the node waits for its next model call.
    is_last = node.at_work and all(use.ended is not None for use in uses)
    return changed(node, tool_calls=uses, phases=_entered(node.phases, "wait", event.at) if is_last else node.phases)


def _replied(node: Node, event: Replied) -> Node:
    for call in event.calls:
        named = isinstance(call.get("id"), str) and isinstance(call.get("name"), str)
        if not (named and isinstance(call.get("arguments"), dict | str)):
            raise IllegalEvent(f"node {node.id}: a call of a tool has an id, a name and arguments")
    latest = Round(event.content, event.calls, event.usage, event.model)
    return changed(node, rounds=(*node.rounds, latest), usage=node.usage + event.usage)


def _cell_written(node: Node, event: CellWritten) -> Node:
    cell = Cell(event.code, text=event.text, usage=event.usage, model=event.model, started=event.at)
    return changed(
        node,
        cells=(*node.cells, cell),
        usage=node.usage + event.usage,
        model=event.model or node.model,
        phases=_worked(node),
    )


def _cell_ran(node: Node, event: CellRan) -> Node:
    if not node.cells or node.cells[-1].ended is not None:
        raise IllegalEvent(f"node {node.id}: no cell is running")
    *before, cell = node.cells
    ended = replace(
        cell,
        output=event.stdout,
        value=event.value,
        error=event.error,
        seconds=event.seconds,
        note=event.note,
        ended=max(event.at, cell.started),
    )
    # The node waits for its next model call, or for nothing if it has its answer.
    return changed(node, cells=(*before, ended), phases=_entered(node.phases, "wait", event.at))


def _retried(node: Node, event: Retried) -> Node:
    return changed(
        node,
        attempts=node.attempts + 1,
        usage=node.usage + event.usage,
        phases=_entered(_closed(node.phases, event.at, kind="failed"), "wait", event.at),
        partial=_longer(node, event.text),
    )


def _finished(node: Node, event: Finished, state: NodeState) -> Node:
    return changed(
        node,
        state=state,
        result=event.content,
        result_key=event.key,
        metadata=event.metadata,
        reads=event.reads,
        usage=node.usage + event.usage,
        model=event.model or node.model,
        started=node.started if node.started is not None else event.at,
        ended=_ended(node, event.at),
        mark=event.mark,
        phases=_final_phases(node, event.content, event.at),
        rounds=(),
        partial="",
    )


def _final_phases(node: Node, answer: str, at: float) -> tuple[Phase, ...]:
    """The phases, all ended. If the answer came with the plan, the planning call becomes the "execute" phase."""
    if node.state is NodeState.WAITING and len(node.phases) > 1 and (node.plan or {}).get("answer") == answer:
        *before, plan, wait = node.phases
        if plan.kind == "plan":
            if at - wait.started < SHORTEST_WAIT:
                return (*before, Phase("execute", plan.started, max(at, wait.started)))
            return (*before, replace(plan, kind="execute"), *_closed((wait,), at))
    return _closed(_worked(node), at)


#: In seconds. A shorter wait for a slot is not recorded: nearly every call would have one.
SHORTEST_WAIT = 0.005


def _entered(phases: tuple[Phase, ...], kind: str, at: float) -> tuple[Phase, ...]:
    """The phases after the node enters the next one, at which the open one ends."""
    if phases:
        # Clocks may be set back, and replayed events have times of their own.
        at = max(at, phases[-1].ended or phases[-1].started)
    if not phases or phases[-1].kind != "wait" or phases[-1].ended is not None:
        return (*_closed(phases, at), Phase(kind, at))
    if kind == "wait":
        return phases
    *before, wait = phases
    # A wait for sub-tasks is recorded however short it was.
    if at - wait.started >= SHORTEST_WAIT or (kind == "synthesize" and (not before or before[-1].kind == "plan")):
        return (*_closed(phases, at), Phase(kind, at))
    if before and before[-1].kind == kind:
        return (*before[:-1], Phase(kind, before[-1].started))
    return (*before, Phase(kind, at))


_WORK = {NodeState.PLANNING: "plan", NodeState.RUNNING: "execute", NodeState.SYNTHESIZING: "synthesize"}


def _worked(node: Node) -> tuple[Phase, ...]:
    """The phases of a node that produces something, and therefore was at work: recorded runs of earlier versions have
    no event for the beginning of later calls."""
    kind = _WORK.get(node.state)
    if kind is None or node.at_work or not node.phases or node.phases[-1].ended is not None:
        return node.phases
    *before, wait = node.phases
    if before and before[-1].kind == kind:
        return (*before[:-1], Phase(kind, before[-1].started))
    return (*before, Phase(kind, wait.started))


def _closed(phases: tuple[Phase, ...], at: float, kind: str | None = None) -> tuple[Phase, ...]:
    """The phases with the last one ended, if it is open."""
    if not phases or phases[-1].ended is not None:
        return phases
    last = phases[-1]
    return (*phases[:-1], Phase(kind or last.kind, last.started, max(at, last.started)))


#: The changed node, for each kind of event that changes one.
CHANGES: dict[type[Event], Callable[[Node, Any, NodeState], Node]] = {
    PlanStarted: lambda node, event, state: _begun(node, "plan", event.at, state),
    PlanRejected: _plan_rejected,
    Started: lambda node, event, state: _begun(node, "execute", event.at, state),
    SynthesisStarted: lambda node, event, state: _begun(node, "synthesize", event.at, state),
    Planned: _planned,
    ToolCalled: lambda node, event, state: _tool_called(node, event),
    ToolReturned: lambda node, event, state: _tool_returned(node, event),
    Replied: lambda node, event, state: _replied(node, event),
    CellWritten: lambda node, event, state: _cell_written(node, event),
    CellRan: lambda node, event, state: _cell_ran(node, event),
    Retried: lambda node, event, state: _retried(node, event),
    Finished: _finished,
    Failed: _failed,
    Cancelled: _cancelled,
    Superseded: _superseded,
    Token: lambda node, event, state: node,
}
