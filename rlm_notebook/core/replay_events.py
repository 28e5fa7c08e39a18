"""The events of a recorded node, for a run that reuses it: what happened, at the times that were recorded.

The tree of a run is the fold of its events, so a reused plan or result enters it as events like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from .events import (
    Cancelled,
    CellRan,
    CellWritten,
    Event,
    Failed,
    Finished,
    NodeCreated,
    Planned,
    PlanRejected,
    PlanStarted,
    Retried,
    Started,
    Superseded,
    SynthesisStarted,
    ToolCalled,
    ToolReturned,
)
from .tree import Cell, Node, NodeState, Phase, ToolUse
from .usage import NOTHING, Usage

__all__ = [
    "cell_events",
    "created_event",
    "end_events",
    "plan_events",
    "rejection_events",
    "result_events",
    "tool_events",
]


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
        query=node.query,
        repeat=node.repeat,
    )


def plan_events(node: Node, node_id: str, mark: str = "replayed") -> Iterator[Event]:
    """The planning of a recorded node, as events of `node_id`; none if it has no plan. Rejected plans come first."""
    if node.plan is None:
        return
    phases = _planning_phases(node)
    yield from rejection_events(node, node_id)
    at = max((each.at for each in node.rejected), default=node.started or 0.0)
    for event in _stage_events([phase for phase in phases if not _is_rejected(phase, node)], node_id):
        at = event.at
        yield event
    ended = phases[-1].ended if phases else None
    yield Planned(
        at=at if ended is None else max(at, ended),
        node=node_id,
        plan=node.plan,
        key=node.plan_key,
        usage=node.plan_usage,
        model=node.plan_model,
        limited=node.limited,
        mark=mark,
    )


def rejection_events(node: Node, node_id: str, usage: Usage = NOTHING) -> Iterator[Event]:
    """The rejected plans of a recorded node, as events of `node_id`; the last plan carries the `usage` of all."""
    plans = [phase for phase in node.phases if phase.kind == "plan" and _is_rejected(phase, node)]
    for number, rejection in enumerate(node.rejected):
        phase = plans[number] if number < len(plans) else Phase("plan", rejection.at, rejection.at)
        yield PlanStarted(at=phase.started, node=node_id)
        spent = usage if number == len(node.rejected) - 1 else NOTHING
        at = phase.ended or phase.started
        yield Planned(at=at, node=node_id, plan=rejection.plan, key=node.plan_key, usage=spent, mark="replayed")
        yield PlanRejected(at=rejection.at, node=node_id, reason=rejection.reason)


def _is_rejected(phase: Phase, node: Node) -> bool:
    """Whether a phase was over when the last rejected plan was rejected."""
    return bool(node.rejected) and (phase.ended or phase.started) <= node.rejected[-1].at


def result_events(node: Node, node_id: str, mark: str = "replayed") -> Iterator[Event]:
    """The answering of a recorded node, tool calls and cells included, as events of `node_id`."""
    phases = node.phases[len(_planning_phases(node)) :]
    stage = list(_stage_events([phase for phase in phases if phase.kind != "wait"], node_id))
    yield from stage[:1]
    # A wait that ends where a tool call begins was a wait for the approval of that call.
    waits = {phase.ended: phase for phase in node.phases if phase.kind == "wait"}
    approved = [(use, waits[use.started]) for use in node.tool_calls if use.started in waits]
    requests = [
        ToolCalled(
            at=wait.started,
            node=node_id,
            call=use.call,
            name=use.name,
            arguments=use.arguments,
            awaiting_approval=True,
        )
        for use, wait in approved
    ]
    # The approved call itself begins that work again.
    allowed = {use.started for use, _ in approved}
    begins = [event for event in stage[1:] if event.at not in allowed]
    yield from _in_order([*begins, *requests], node.tool_calls, node_id, node.cells)
    yield Finished(
        at=node.ended or 0.0,
        node=node_id,
        content=node.result or "",
        key=node.result_key,
        metadata=node.metadata,
        reads=node.reads,
        usage=_unaccounted(node),
        model=node.model,
        mark=mark,
    )


def _unaccounted(node: Node) -> Usage:
    """The usage that neither the plan nor a cell carries."""
    usage = node.usage.minus(node.plan_usage)
    for cell in node.cells:
        usage = usage.minus(cell.usage)
    return usage


def end_events(node: Node) -> Iterator[Event]:
    """The end of a recorded node, in whatever state it ended."""
    if node.state is NodeState.DONE:
        yield from result_events(node, node.id)
        return
    at, usage = node.ended or 0.0, _unaccounted(node)
    if node.cells:
        yield Started(at=node.cells[0].started, node=node.id)
        yield from (event for cell in node.cells for event in cell_events(cell, node.id))
    if node.state is NodeState.FAILED:
        yield Failed(at=at, node=node.id, error=node.error or "", kind=node.error_kind, usage=usage, text=node.partial)
    elif node.state is NodeState.SUPERSEDED:
        yield Superseded(at=at, node=node.id, reason=node.note)
    else:
        yield Cancelled(at=at, node=node.id, reason=node.note, usage=usage, text=node.partial)


def tool_events(use: ToolUse, node_id: str) -> Iterator[Event]:
    """A recorded tool call and its return, if it returned, as events of `node_id`."""
    yield ToolCalled(at=use.started, node=node_id, call=use.call, name=use.name, arguments=use.arguments)
    if use.content is not None and use.ended is not None:
        yield ToolReturned(at=use.ended, node=node_id, call=use.call, content=use.content, ok=use.ok, reads=use.reads)


def cell_events(cell: Cell, node_id: str) -> Iterator[Event]:
    """A recorded cell, and what came of it if it ran to its end, as events of `node_id`."""
    yield CellWritten(
        at=cell.started,
        node=node_id,
        code=cell.code,
        text=cell.text,
        usage=cell.usage,
        model=cell.model,
        mark="replayed",
    )
    if cell.ended is not None:
        yield CellRan(
            at=cell.ended,
            node=node_id,
            stdout=cell.output,
            value=cell.value,
            error=cell.error,
            seconds=cell.seconds,
            note=cell.note,
        )


def _in_order(others: Iterable[Event], uses: Iterable[ToolUse], node_id: str, cells: Iterable[Cell]) -> Iterator[Event]:
    """Tool calls and cells among other events, by time; at one moment model calls come first, then cells and tool
    calls, then returns.

    Cells and tool calls stay in their recorded order, even where executions with different clocks made them.
    """
    placed: list[tuple[float, int, Event]] = [
        (event.at, 1 if isinstance(event, ToolCalled) else 0, event) for event in others
    ]
    latest = 0.0
    for cell in cells:
        for event in cell_events(cell, node_id):
            latest = max(latest, event.at)
            # Of one rank, so that the sort keeps their order at one moment.
            placed.append((latest, 1, event))
    latest = 0.0
    for use in uses:
        latest = max(latest, use.started)
        called, *returned = tool_events(use, node_id)
        placed.append((latest, 1, called))
        placed += [(max(latest, event.at), 2, event) for event in returned]
    yield from (event for *_, event in sorted(placed, key=lambda each: each[:2]))


def _planning_phases(node: Node) -> Sequence[Phase]:
    """The phases up to the end of planning: failed attempts and rejected plans, then the one that gave the plan.

    If the answer came with the plan, the planning call is recorded as "execute", and a wait for its end may follow.
    """
    kinds = [phase.kind for phase in node.phases]
    plans = [at for at, kind in enumerate(kinds) if kind == "plan"]
    lasting = [at for at in plans if not _is_rejected(node.phases[at], node)]
    if lasting:
        return node.phases[: lasting[0] + 1]
    if "execute" in kinds and node.result is not None and (node.plan or {}).get("answer") == node.result:
        last = kinds.index("execute")
        return (*node.phases[:last], replace(node.phases[last], kind="plan"))
    return node.phases[: plans[-1] + 1] if plans else ()


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
