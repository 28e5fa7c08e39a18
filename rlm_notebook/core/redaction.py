"""How much of a run's texts is recorded: all of them, only those that a later run builds on, or hashes alone.

- "full": everything.
- "outputs": the outputs of models (plans, results, cells, errors), so that the run can be resumed and replayed, and
  hashes in place of the inputs: the task of the root, the instructions of agents, arguments and results of tools, what
  cells print and ask. The reasoning of models and unfinished rounds of tool calls are left out.
- "hashes": tree, states, times and usage, and a hash in place of every text. Such a run can be displayed and compared,
  but nothing of it can be reused. A short text can be guessed from its hash.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from .choices import STORES, Store
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
    Replied,
    Retried,
    RunFinished,
    RunStarted,
    Superseded,
    ToolCalled,
    ToolReturned,
)
from .finish_reason import ended_early
from .keys import digest
from .node import APPROVAL, EDITED, ENDED, THOUGHTS
from .quotes import QUOTES, quotes_of, quotes_to_json, without_passage
from .reads import coarse
from .tree import Node, Recorded, Tree

__all__ = ["hashed", "narrower", "redacted_event", "redacted_run", "store_of"]

#: The metadata of a result that "hashes" records: nothing that a model wrote.
_PLAIN_METADATA = ("sources",)
_HASH = re.compile(r"#[0-9a-f]{32}")


def store_of(recorded: Recorded) -> Store:
    """How much of its texts a recorded run holds."""
    store = recorded.tree.settings.get("store")
    known: Store = store if store in STORES else "full"
    return known


def narrower(store: Store, other: Store) -> bool:
    """Whether `store` records less than `other`."""
    return STORES.index(store) > STORES.index(other)


def redacted_event(event: Event, store: Store) -> Event:
    """The event with as much of its texts as `store` records."""
    if store == "full":
        return event
    if isinstance(event, RunStarted):
        return replace(event, task=hashed(event.task), settings=_settings(event.settings, store))
    if isinstance(event, NodeCreated) and event.parent is None:
        event = replace(event, task=hashed(event.task))
        return event if store == "outputs" else replace(event, note="")
    event = _without_inputs(event)
    return _without_outputs(event) if store == "hashes" else event


def _without_inputs(event: Event) -> Event:
    match event:
        case Planned():
            return replace(event, plan=_without_thoughts(event.plan))
        case Finished():
            return replace(event, metadata=_without_passages(event.metadata), reads=coarse(event.reads))
        case NodeCreated() if event.query:
            # Code writes parts of the input into its sub-queries.
            return replace(event, task=hashed(event.task))
        case CellRan():
            return replace(event, **_hashed_results(event.stdout, event.value, event.error, "stdout"))
        case Replied():
            return replace(event, content="", calls=())
        case ToolCalled():
            return replace(event, arguments={name: hashed(value) for name, value in event.arguments.items()})
        case ToolReturned():
            return replace(event, content=hashed(event.content), reads=coarse(event.reads))
        case Retried() | PlanRejected():
            return replace(event, reason="")
    return event


def _without_outputs(event: Event) -> Event:
    match event:
        case NodeCreated():
            return replace(event, task=hashed(event.task), note="")
        case CellWritten():
            return replace(event, code=hashed(event.code), text=hashed(event.text))
        case CellRan():
            return replace(event, note="")
        case Planned():
            return replace(event, plan=_hashed_plan(event.plan))
        case Finished():
            return replace(event, content=hashed(event.content), metadata=_plain(event.metadata))
        case Failed():
            return replace(event, error=event.kind, text="")
        case Retried():
            return replace(event, text="")
        case Cancelled():
            return replace(event, reason="", text="")
        case Superseded():
            return replace(event, reason="")
        case RunFinished():
            return replace(event, error=event.error.partition(":")[0])
    return event


def redacted_run(recorded: Recorded, store: Store) -> Recorded:
    """The run with as much of its texts as `store` records; a run that holds less already stays as it is."""
    if not narrower(store, store_of(recorded)):
        return recorded
    tree = recorded.tree
    header = replace(tree.header, task=hashed(tree.task), settings=_settings(tree.settings, store))
    state = replace(tree.state, error=tree.error if store == "outputs" else tree.error.partition(":")[0])
    redacted = Tree.of((_redacted_node(node, store) for node in tree), header, state)
    earlier = tuple(_redacted_node(node, store) for node in recorded.earlier) if store == "outputs" else ()
    return replace(recorded, tree=redacted, earlier=earlier)


def _redacted_node(node: Node, store: Store) -> Node:
    uses = tuple(
        replace(
            use,
            arguments={name: hashed(value) for name, value in use.arguments.items()},
            content=hashed(use.content) if use.content is not None else None,
            reads=coarse(use.reads),
        )
        for use in node.tool_calls
    )
    plan = _without_thoughts(node.plan) if node.plan is not None else None
    task = hashed(node.task) if node.parent is None or node.query else node.task
    cells = tuple(
        replace(cell, **_hashed_results(cell.output, cell.value, cell.error, "output")) for cell in node.cells
    )
    metadata = _without_passages(node.metadata)
    rejected = tuple(replace(each, plan=_without_thoughts(each.plan), reason="") for each in node.rejected)
    node = replace(node, task=task, plan=plan, tool_calls=uses, rounds=(), metadata=metadata, cells=cells)
    node = replace(node, rejected=rejected, reads=coarse(node.reads))
    if store == "outputs":
        return node
    return replace(
        node,
        task=hashed(task),
        note="",
        cells=tuple(replace(cell, code=hashed(cell.code), text=hashed(cell.text), note="") for cell in cells),
        plan=_hashed_plan(plan) if plan is not None else None,
        rejected=tuple(replace(each, plan=_hashed_plan(each.plan)) for each in rejected),
        result=hashed(node.result) if node.result is not None else None,
        metadata=_plain(node.metadata),
        error=node.error_kind if node.error is not None else None,
        partial="",
    )


def _without_thoughts(plan: dict[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in plan.items() if name != THOUGHTS}, "thoughts": ""}


def hashed(text: Any) -> str:
    """The hash of a text; a hash stays as it is, because a resumed run records its replayed events again."""
    return text if isinstance(text, str) and _HASH.fullmatch(text) else f"#{digest(text)}"


def _hashed_results(output: str, value: str | None, error: str | None, name: str) -> dict[str, Any]:
    """What came of a cell, as hashes; `name` is that of the field for what it printed."""
    texts = {name: output, "value": value, "error": error}
    return {field: hashed(text) if text else text for field, text in texts.items()}


def _hashed_plan(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan of the same shape, with hashes as texts."""
    mark = plan.get(EDITED)
    at_approval = isinstance(mark, dict) and mark.get("at") == APPROVAL
    reduced = {**plan, "thoughts": "", **({EDITED: APPROVAL if at_approval else True} if EDITED in plan else {})}
    if plan.get("answer"):
        reduced["answer"] = hashed(plan["answer"])
    if plan.get("sub_tasks"):
        reduced["sub_tasks"] = [{**each, "task": hashed(each["task"])} for each in plan["sub_tasks"]]
    return reduced


def _without_passages(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata without thoughts, and without what quotes found in the inputs."""
    kept = {name: value for name, value in metadata.items() if name != THOUGHTS}
    quotes = quotes_of(kept)
    return {**kept, QUOTES: quotes_to_json(map(without_passage, quotes))} if quotes else kept


def _plain(metadata: dict[str, Any]) -> dict[str, Any]:
    plain = {name: metadata[name] for name in _PLAIN_METADATA if name in metadata}
    # What it was before is a text of a model.
    plain |= {EDITED: True} if EDITED in metadata else {}
    plain |= {QUOTES: [{"state": each.state} for each in quotes]} if (quotes := quotes_of(metadata)) else {}
    return {**plain, ENDED: reason} if (reason := ended_early(metadata.get(ENDED))) else plain


def _settings(settings: dict[str, Any], store: Store) -> dict[str, Any]:
    agents = {}
    for name, agent in settings.get("agents", {}).items():
        texts = {field: hashed(agent[field]) for field in ("description", "instructions") if agent.get(field)}
        tools = [{"name": tool["name"], "version": tool["version"]} for tool in agent.get("tools", ())]
        agents[name] = {**agent, **texts, "tools": tools}
    # The title is part of the task's text.
    others = {name: value for name, value in settings.items() if name != "title"}
    return {**others, **({"agents": agents} if agents else {}), "store": store}
