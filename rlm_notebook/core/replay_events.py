"""The events of a recorded node, for a run that reuses it: what happened, at the times that were recorded.

The tree of a run is the fold of its events, so a reused plan or result enters it as events like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

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
from .tree import Node, NodeState, Phase, ToolUse

__all__ = ["created_event", "end_events", "plan_events", "result_events", "tool_events"]


def created_event(node: Node) -> NodeCreated:
    """The creation of a recorded node."""
    return NodeCreated(
        at=node.started or 0.0,
        node=node.id,
        parent=node.parent,
        task=node.task,
        agent=node.agent,
        depends_on=node.depends_on,
        note=node.note,
    )


def plan_events(node: Node, node_id: str, mark: str = "replayed") -> Iterator[Event]:
    """The planning of a recorded node, as events of `node_id`; none if it has no plan."""
    if node.plan is None:
        return
    at = node.started or 0.0
    phases = _planning_phases(node)
    for event in _stage_events(phases, node_id):
        at = event.at
        yield event
    ended = phases[-1].ended if phases else None
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


def result_events(node: Node, node_id: str, mark: str = "replayed") -> Iterator[Event]:
    """The answering of a recorded node, tool calls included, as events of `node_id`."""
    phases = node.phases[len(_planning_phases(node)) :]
    stage = list(_stage_events([phase for phase in phases if phase.kind != "wait"], node_id))
    yield from stage[:1]
    # A wait that ends where a tool call begins was a wait for the approval of that call.
    waits = {phase.ended: phase for phase in node.phases if phase.kind == "wait"}
    approved = [(use, waits[use.started]) for use in node.tool_calls if use.started in waits]
    requests = [replace(_called(use, node_id), at=wait.started, awaiting_approval=True) for use, wait in approved]
    # The approved call itself begins that work again.
    allowed = {use.started for use, _ in approved}
    begins = [event for event in stage[1:] if event.at not in allowed]
    yield from _in_order([*begins, *requests], node.tool_calls, node_id)
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


def end_events(node: Node) -> Iterator[Event]:
    """The end of a recorded node, in whatever state it ended."""
    at, usage = node.ended or 0.0, node.usage.minus(node.plan_usage)
    if node.state is NodeState.DONE:
        yield from result_events(node, node.id)
    elif node.state is NodeState.FAILED:
        yield Failed(at=at, node=node.id, error=node.error or "", kind=node.error_kind, usage=usage, text=node.partial)
    elif node.state is NodeState.SUPERSEDED:
        yield Superseded(at=at, node=node.id, reason=node.note)
    else:
        yield Cancelled(at=at, node=node.id, reason=node.note, usage=usage, text=node.partial)


def tool_events(use: ToolUse, node_id: str) -> Iterator[Event]:
    """A recorded tool call and its return, if it returned, as events of `node_id`."""
    yield _called(use, node_id)
    if use.content is not None and use.ended is not None:
        yield ToolReturned(at=use.ended, node=node_id, call=use.call, content=use.content, ok=use.ok, reads=use.reads)


def _called(use: ToolUse, node_id: str) -> ToolCalled:
    return ToolCalled(at=use.started, node=node_id, call=use.call, name=use.name, arguments=use.arguments)


def _in_order(others: Iterable[Event], uses: Iterable[ToolUse], node_id: str) -> Iterator[Event]:
    """Tool calls among other events, by time; at one moment model calls come first, then tool calls, then returns.

    Tool calls stay in their recorded order, even where executions with different clocks made them.
    """
    placed: list[tuple[float, int, Event]] = [
        (event.at, 1 if isinstance(event, ToolCalled) else 0, event) for event in others
    ]
    latest = 0.0
    for use in uses:
        latest = max(latest, use.started)
        called, *returned = tool_events(use, node_id)
        placed.append((latest, 1, called))
        placed += [(max(latest, event.at), 2, event) for event in returned]
    yield from (event for *_, event in sorted(placed, key=lambda each: each[:2]))


def _planning_phases(node: Node) -> Sequence[Phase]:
    """The phases up to the end of planning: failed attempts, then the one that gave the plan.

    If the answer came with the plan, the planning call is recorded as "execute", and a wait for its end may follow.
    """
    kinds = [phase.kind for phase in node.phases]
    if "plan" in kinds:
        return node.phases[: kinds.index("plan") + 1]
    if "execute" in kinds and node.result is not None and (node.plan or {}).get("answer") == node.result:
        last = kinds.index("execute")
        return (*node.phases[:last], replace(node.phases[last], kind="plan"))
    return ()


_BEGINNINGS: dict[str, type[PlanStarted] | type[Started] | type[SynthesisStarted]] = {
    "plan": PlanStarted,
    "execute": Started,
    "synthesize": SynthesisStarted,
}


def _stage_events(phases: Sequence[Phase], node_id: str) -> Iterator[Event]:
    """The beginning of each model call of a stage, and the failures among them."""
    begins = _BEGINNINGS.get(phases[-1].kind) if phases else None
    if begins is None:
        return
    for phase in phases:
        if phase.kind != "wait":
            yield begins(at=phase.started, node=node_id)
        if phase.kind == "failed":
            yield Retried(at=phase.ended or phase.started, node=node_id, reason="")
