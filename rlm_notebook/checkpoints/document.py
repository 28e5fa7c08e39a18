"""The JSON document of a run: pydantic models, from which the shipped JSON Schema is generated.

A file may come from a stranger: the whole of it is validated before any part is used, including the shape of the tree.
Nothing in it is ever executed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, FailFast, Field, WithJsonSchema

from ..core.plan import plan_from_json
from ..core.recordable import LATEST
from ..core.tree import Cell, Node, NodeState, Phase, Recorded, Rejection, Round, RunState, ToolUse, Tree, TreeHeader
from ..core.usage import NOTHING, Usage

__all__ = ["Document", "document_of", "json_schema", "recorded_of", "require_acyclic"]

FORMAT = "rlm-checkpoint"
VERSION = 1
#: The largest count in a document; real runs stay far below it.
MOST = 2**63 - 1
#: The deepest nesting of lists and objects in values from a model or a tool.
DEEPEST = 100
SCHEMA_PATH = Path(__file__).with_name("schema.json")


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


Count = Annotated[int, Field(le=MOST, ge=-MOST)]
Moment = Annotated[float, Field(ge=0, le=LATEST)]


def _shallow(value: Any) -> Any:
    """Refuses a value that is nested too deeply to be written again."""
    level, depth = [value], 0
    while level:
        items = (item for each in level for item in (each.values() if isinstance(each, dict) else each))
        level = [item for item in items if isinstance(item, dict | list)]
        depth += bool(level)
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return value


Anything = Annotated[dict[str, Any], AfterValidator(_shallow)]


def _all_texts(value: Any) -> Any:
    if isinstance(value, dict) and not all(isinstance(item, str) for item in value.values()):
        raise ValueError("it contains a value that is not a string")
    return value


T = TypeVar("T")
#: Validation stops at the first fault: a list of all faults of a hostile file would not fit into memory.
Many = Annotated[list[T], FailFast()]
Digests = Annotated[dict[str, str], BeforeValidator(_all_texts)]


class UsageDocument(_Part):
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    cached_tokens: Count = 0
    reasoning_tokens: Count = 0
    calls: Count = 0
    cost_usd: float | None = 0.0


class PhaseDocument(_Part):
    kind: str
    started: Moment
    ended: Moment | None = None


class ToolUseDocument(_Part):
    call: str
    name: str
    arguments: Anything = Field(default_factory=dict)
    started: Moment
    content: str | None = None
    ok: bool = True
    ended: Moment | None = None
    reads: Digests = Field(default_factory=dict)
    asks: bool = False


class CallDocument(_Part):
    id: str
    name: str
    arguments: Anything | str = Field(default_factory=dict)
    #: The names of the arguments whose values are masked.
    secret: Many[str] = Field(default_factory=list)


class RoundDocument(_Part):
    """A reply with tool calls, of a node that was interrupted before its answer."""

    content: str
    calls: Many[CallDocument] = Field(default_factory=list)
    usage: UsageDocument = Field(default_factory=UsageDocument)
    model: str = ""


class CellDocument(_Part):
    """A cell of a code node, and what came of it."""

    code: str
    output: str = ""
    value: str | None = None
    error: str | None = None
    seconds: Moment = 0.0
    text: str = ""
    usage: UsageDocument = Field(default_factory=UsageDocument)
    model: str = ""
    started: Moment = 0.0
    ended: Moment | None = None
    note: str = ""


class ResultDocument(_Part):
    content: str
    metadata: Anything = Field(default_factory=dict)


class KeysDocument(_Part):
    plan: str = ""
    result: str = ""


class PlanDocument(_Part):
    """A plan as the planner returned it."""

    model_config = ConfigDict(extra="allow")
    decision: Literal["EXECUTE", "RECURSE", "PROGRAM"]


def _followable(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan from a file is executed like one from a planner: it must be valid, without a dependency cycle."""
    plan_from_json(_shallow(plan))
    return plan


#: Stored unchanged; `PlanDocument` only describes it in the schema.
PlanGiven = Annotated[dict[str, Any], AfterValidator(_followable), WithJsonSchema(PlanDocument.model_json_schema())]


class RejectionDocument(_Part):
    """A plan that the user rejected, and why."""

    plan: PlanGiven
    reason: str = ""
    at: Moment = 0.0


class NodeDocument(_Part):
    id: str = Field(pattern=r"^0(\.(0|[1-9][0-9]*))*$")
    parent: str | None = None
    depth: int = Field(ge=0)
    task: str
    agent: str = ""
    model: str = ""
    depends_on: Many[str] = Field(default_factory=list)
    state: Literal[
        "pending",
        "planning",
        "running",
        "waiting",
        "synthesizing",
        "done",
        "failed",
        "cancelled",
        "superseded",
    ]
    decision: Literal["EXECUTE", "RECURSE", "PROGRAM"] | None = None
    limited: str = ""
    note: str = ""
    plan: PlanGiven | None = None
    result: ResultDocument | None = None
    error: str | None = None
    error_kind: str = ""
    usage: UsageDocument = Field(default_factory=UsageDocument)
    plan_usage: UsageDocument = Field(default_factory=UsageDocument)
    plan_model: str = ""
    keys: KeysDocument = Field(default_factory=KeysDocument)
    started: Moment | None = None
    ended: Moment | None = None
    phases: Many[PhaseDocument] = Field(default_factory=list)
    tool_calls: Many[ToolUseDocument] = Field(default_factory=list)
    attempts: int = Field(default=0, ge=0)
    reads: Digests = Field(default_factory=dict)
    rounds: Many[RoundDocument] = Field(default_factory=list)
    partial: str = ""
    cells: Many[CellDocument] = Field(default_factory=list)
    #: The function of a cell that asked for this node, and the number of equal calls before it.
    query: str = ""
    repeat: int = Field(default=0, ge=0)
    rejected: Many[RejectionDocument] = Field(default_factory=list)


class ParentDocument(_Part):
    run_id: str
    node: str = "0"


class Document(_Part):
    """One run: the tree, what it used, and the answer."""

    format: Literal["rlm-checkpoint"]
    version: Literal[1]
    run_id: str
    execution: str = ""
    request_key: str
    cell_id: str = ""
    created: Moment
    started: Moment
    updated: Moment
    status: Literal["pending", "running", "paused", "done", "failed", "cancelled"]
    error: str = ""
    task: str
    engine: Anything = Field(default_factory=dict)
    nodes: Many[NodeDocument] = Field(default_factory=list)
    earlier: Many[NodeDocument] = Field(default_factory=list)
    usage: UsageDocument = Field(default_factory=UsageDocument)
    active_seconds: Moment = 0.0
    result: ResultDocument | None = None
    parent: ParentDocument | None = None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a checkpoint; `schema.json` beside this file is this, committed."""
    schema = Document.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "rlm_notebook checkpoint, version 1"
    return schema


def document_of(recorded: Recorded) -> dict[str, Any]:
    """The document of a run: plain JSON values, with the keys in a stable order."""
    document = lazy_document_of(recorded)
    return {**document, "nodes": list(document["nodes"]), "earlier": list(document["earlier"])}


def lazy_document_of(recorded: Recorded) -> dict[str, Any]:
    """The same, but "nodes" and "earlier" are iterators, which create one node at a time."""
    tree = recorded.tree
    root = tree.root
    started = tree.started or 0.0
    return {
        "format": FORMAT,
        "version": VERSION,
        "run_id": tree.run_id,
        "execution": tree.execution,
        "request_key": tree.request_key,
        "cell_id": recorded.cell_id,
        "created": recorded.created or started,
        "started": started,
        "updated": tree.ended or started,
        "status": tree.status,
        "error": tree.error,
        "task": tree.task,
        "engine": tree.settings,
        "nodes": map(_node, tree.walk()),
        "earlier": map(_node, recorded.earlier),
        "usage": recorded.spent.to_json(),
        "active_seconds": recorded.active_seconds,
        "result": _result(root) if root is not None else None,
        "parent": tree.parent,
    }


def _node(node: Node) -> dict[str, Any]:
    rounds = [
        {"content": each.content, "calls": list(each.calls), "usage": each.usage.to_json(), "model": each.model}
        for each in node.rounds
    ]
    return {
        "id": node.id,
        "parent": node.parent,
        "depth": node.depth,
        "task": node.task,
        "agent": node.agent,
        "model": node.model,
        "depends_on": list(node.depends_on),
        "state": str(node.state),
        "decision": node.decision,
        "limited": node.limited,
        "note": node.note,
        "plan": node.plan,
        "result": _result(node),
        "error": node.error,
        "error_kind": node.error_kind,
        "usage": node.usage.to_json(),
        "plan_usage": node.plan_usage.to_json(),
        "plan_model": node.plan_model,
        "keys": {"plan": node.plan_key, "result": node.result_key},
        "started": node.started,
        "ended": node.ended,
        "phases": [{"kind": p.kind, "started": p.started, "ended": p.ended} for p in node.phases],
        "tool_calls": [_tool_use(use) for use in node.tool_calls],
        "attempts": node.attempts,
        "reads": node.reads,
        # Only unfinished nodes have these.
        **({"rounds": rounds} if rounds else {}),
        **({"partial": node.partial} if node.partial else {}),
        # Of code nodes and of their sub-queries.
        **({"cells": [_cell(each) for each in node.cells]} if node.cells else {}),
        **({"query": node.query, "repeat": node.repeat} if node.query else {}),
        **({"rejected": [asdict(each) for each in node.rejected]} if node.rejected else {}),
    }


def _result(node: Node) -> dict[str, Any] | None:
    return {"content": node.result, "metadata": node.metadata} if node.result is not None else None


def _tool_use(use: ToolUse) -> dict[str, Any]:
    return {
        "call": use.call,
        "name": use.name,
        "arguments": use.arguments,
        "started": use.started,
        "content": use.content,
        "ok": use.ok,
        "ended": use.ended,
        **({"reads": use.reads} if use.reads else {}),
        **({"asks": True} if use.awaiting_approval else {}),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "code": cell.code,
        "output": cell.output,
        "value": cell.value,
        "error": cell.error,
        "seconds": cell.seconds,
        "text": cell.text,
        "usage": cell.usage.to_json(),
        "model": cell.model,
        "started": cell.started,
        "ended": cell.ended,
        **({"note": cell.note} if cell.note else {}),
    }


def recorded_of(data: object) -> Recorded:
    """The run of a document. Raises `ValueError` (pydantic's included) naming the field that is wrong."""
    document = Document.model_validate(data)
    # Every node occurs once, after its parent: no cycle, no orphan.
    seen: set[str] = set()
    for index, node in enumerate(document.nodes):
        above = node.id.rpartition(".")[0] or None
        if node.id in seen:
            raise ValueError(f"nodes.{index}.id: {node.id!r} is there twice")
        if node.parent != above or (above is not None and above not in seen):
            raise ValueError(f"nodes.{index}.parent: {node.parent!r} cannot be the parent of {node.id!r}")
        seen.add(node.id)
    require_acyclic(document.nodes)
    parent = document.parent.model_dump() if document.parent else None
    header = TreeHeader(
        document.run_id, document.execution, document.task, document.request_key, document.engine, parent
    )
    state = RunState(document.status, document.error, document.started, document.updated)
    tree = Tree.of(map(_restored, document.nodes), header, state)
    return Recorded(
        tree,
        tuple(_restored(node) for node in document.earlier),
        cell_id=document.cell_id,
        created=document.created,
        spent=_usage(document.usage),
        active_seconds=document.active_seconds,
    )


class _Depending(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def depends_on(self) -> Sequence[str]: ...


def require_acyclic(nodes: Iterable[_Depending]) -> None:
    """Nodes depend only on siblings, without cycles. Raises `ValueError` naming the first node that violates this."""
    graph = {node.id: node.depends_on for node in nodes if node.depends_on}
    for node, dependencies in graph.items():
        parent = node.rpartition(".")[0]
        if not parent or any(each.rpartition(".")[0] != parent for each in dependencies):
            others = ", ".join(dependencies)
            raise ValueError(f"nodes.depends_on: {node!r} cannot depend on {others}: only on its siblings")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ValueError(f"nodes.depends_on: they wait for each other in a circle, {circle}") from None


def _restored(node: NodeDocument) -> Node:
    return Node(
        id=node.id,
        parent=node.parent,
        task=node.task,
        agent=node.agent,
        model=node.model,
        state=NodeState(node.state),
        decision=node.decision,
        depends_on=tuple(node.depends_on),
        plan=node.plan,
        result=node.result.content if node.result else None,
        error=node.error,
        error_kind=node.error_kind,
        usage=_usage(node.usage),
        attempts=node.attempts,
        phases=tuple(Phase(p.kind, p.started, p.ended) for p in node.phases),
        started=node.started,
        ended=node.ended,
        note=node.note,
        limited=node.limited,
        plan_key=node.keys.plan,
        result_key=node.keys.result,
        plan_usage=_usage(node.plan_usage),
        plan_model=node.plan_model,
        metadata=node.result.metadata if node.result else {},
        reads=node.reads,
        tool_calls=tuple(
            ToolUse(**use.model_dump(exclude={"asks"}), awaiting_approval=use.asks) for use in node.tool_calls
        ),
        rounds=tuple(
            Round(
                each.content,
                tuple(call.model_dump(exclude=set() if call.secret else {"secret"}) for call in each.calls),
                _usage(each.usage),
                each.model,
            )
            for each in node.rounds
        ),
        partial=node.partial,
        cells=tuple(Cell(**{**cell.model_dump(), "usage": _usage(cell.usage)}) for cell in node.cells),
        query=node.query,
        repeat=node.repeat,
        rejected=tuple(Rejection(each.plan, each.reason, each.at) for each in node.rejected),
    )


def _usage(usage: UsageDocument) -> Usage:
    found = Usage(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
        usage.calls,
        usage.cost_usd,
    )
    # Many usages are empty. Sums skip the shared constant, which they recognise by identity.
    return found if found != NOTHING else NOTHING


def write_schema() -> None:
    """Regenerates `schema.json`: `python -m rlm_notebook.checkpoints.document`."""
    SCHEMA_PATH.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schema()
