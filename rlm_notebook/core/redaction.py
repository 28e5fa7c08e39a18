"""How much of a run's texts is kept: all of them, what a later run builds on, or hashes alone.

- "full": everything.
- "outputs": what models made - plans, results, errors - so that the run can be resumed and replayed; hashes in the
  place of what they were given: the task of the root, the instructions of agents, what tools were called with and
  what they returned. What models thought is left out, and so are unfinished rounds of tool calls.
- "hashes": tree, states, times and usage, and hashes in the place of every text: such a run can be shown and compared,
  nothing of it can be used again. A short text can be guessed from its hash.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal, get_args

from .events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    NodeCreated,
    Planned,
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
from .node import ENDED, THOUGHTS
from .records import Recorded
from .tree import Node, Tree

__all__ = ["STORES", "Store", "hashed", "kept_event", "kept_run", "narrower", "store_of"]

Store = Literal["full", "outputs", "hashes"]
#: From the most to the least.
STORES: tuple[Store, ...] = get_args(Store)
#: What is kept of a result's metadata where its text is not: nothing that a model wrote.
_PLAIN = ("sources", "edited")


def store_of(recorded: Recorded) -> Store:
    """What a recorded run holds of its texts."""
    said = recorded.tree.settings.get("store")
    known: Store = said if said in STORES else "full"
    return known


def narrower(store: Store, other: Store) -> bool:
    """Whether less is kept with `store` than with `other`."""
    return STORES.index(store) > STORES.index(other)


def kept_event(event: Event, store: Store) -> Event:
    """The event with as much of its texts as is to be kept."""
    if store == "full":
        return event
    if isinstance(event, RunStarted):
        return replace(event, task=hashed(event.task), settings=_settings(event.settings, store))
    if isinstance(event, NodeCreated) and event.parent is None:
        event = replace(event, task=hashed(event.task))
        return event if store == "outputs" else replace(event, note="")
    event = _without_inputs(event)
    return _without_texts(event) if store == "hashes" else event


def _without_inputs(event: Event) -> Event:
    match event:
        case Planned():
            return replace(event, plan=_without_thoughts(event.plan))
        case Finished():
            return replace(event, metadata=_without(event.metadata, THOUGHTS))
        case Replied():
            return replace(event, content="", calls=())
        case ToolCalled():
            return replace(event, arguments=_hashed_values(event.arguments))
        case ToolReturned():
            return replace(event, content=hashed(event.content))
        case Retried():
            return replace(event, reason="")
    return event


def _without_texts(event: Event) -> Event:
    match event:
        case NodeCreated():
            return replace(event, task=hashed(event.task), note="")
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


def kept_run(recorded: Recorded, store: Store) -> Recorded:
    """The run with as much of its texts as is to be kept; what holds less already stays as it is."""
    if not narrower(store, store_of(recorded)):
        return recorded
    tree = recorded.tree
    kept = Tree.of(_kept_node(node, store) for node in tree)
    kept.run_id, kept.request_key, kept.task = tree.run_id, tree.request_key, hashed(tree.task)
    kept.status, kept.settings = tree.status, _settings(tree.settings, store)
    kept.error = tree.error if store == "outputs" else tree.error.partition(":")[0]
    kept.started, kept.ended, kept.parent, kept.execution = tree.started, tree.ended, tree.parent, tree.execution
    earlier = tuple(_kept_node(node, store) for node in recorded.earlier) if store == "outputs" else ()
    return replace(recorded, tree=kept, earlier=earlier)


def _kept_node(node: Node, store: Store) -> Node:
    uses = tuple(
        replace(use, arguments=_hashed_values(use.arguments), content=_hashed_or_none(use.content))
        for use in node.tool_calls
    )
    plan = _without_thoughts(node.plan) if node.plan is not None else None
    task = hashed(node.task) if node.parent is None else node.task
    metadata = _without(node.metadata, THOUGHTS)
    node = replace(node, task=task, plan=plan, tool_calls=uses, rounds=(), metadata=metadata)
    if store == "outputs":
        return node
    return replace(
        node,
        task=task if node.parent is None else hashed(task),
        note="",
        plan=_hashed_plan(plan) if plan is not None else None,
        result=_hashed_or_none(node.result),
        metadata=_plain(node.metadata),
        error=node.error_kind if node.error is not None else None,
        partial="",
    )


def _without_thoughts(plan: dict[str, Any]) -> dict[str, Any]:
    return {**_without(plan, THOUGHTS), "thoughts": ""}


def _without(given: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != name} if name in given else given


def hashed(text: Any) -> str:
    """What was hashed already stays: a run that goes on tells again what it found."""
    return text if isinstance(text, str) and _HASH.fullmatch(text) else f"#{digest(text)}"


_HASH = re.compile(r"#[0-9a-f]{32}")


def _hashed_or_none(text: str | None) -> str | None:
    return hashed(text) if text is not None else None


def _hashed_values(given: dict[str, Any]) -> dict[str, Any]:
    return {name: hashed(value) for name, value in given.items()}


def _hashed_plan(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan of the same shape."""
    reduced = {**plan, "thoughts": ""}
    if plan.get("answer"):
        reduced["answer"] = hashed(plan["answer"])
    if plan.get("sub_tasks"):
        reduced["sub_tasks"] = [{**part, "task": hashed(part["task"])} for part in plan["sub_tasks"]]
    return reduced


def _plain(metadata: dict[str, Any]) -> dict[str, Any]:
    told = {name: metadata[name] for name in _PLAIN if name in metadata}
    return {**told, ENDED: reason} if (reason := ended_early(metadata.get(ENDED))) else told


def _settings(settings: dict[str, Any], store: Store) -> dict[str, Any]:
    agents = {name: _agent(agent) for name, agent in settings.get("agents", {}).items()}
    # A title is some of what was asked.
    kept = {name: value for name, value in settings.items() if name != "title"}
    return {**kept, **({"agents": agents} if agents else {}), "store": store}


def _agent(agent: dict[str, Any]) -> dict[str, Any]:
    texts = {name: hashed(agent[name]) for name in ("description", "instructions") if agent.get(name)}
    tools = [{"name": tool["name"], "version": tool["version"]} for tool in agent.get("tools", ())]
    return {**agent, **texts, "tools": tools}
