"""The events of a run: a small closed set of frozen facts.

The state of a run is the fold of its events. An event states what happened, when (`at`, in seconds since the epoch) and
to which node (`node`, a path such as "0.2.1"; "" for the run). It never states how anything is displayed. All fields
are JSON values, so the journal is these objects, one a line.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar

from pydantic import TypeAdapter

from .construction import fast_init
from .usage import NOTHING, Usage

__all__ = [
    "Cancelled",
    "CellRan",
    "CellWritten",
    "Event",
    "Failed",
    "Finished",
    "NodeCreated",
    "PlanRejected",
    "PlanStarted",
    "Planned",
    "Replied",
    "Retried",
    "RunFinished",
    "RunPaused",
    "RunResumed",
    "RunStarted",
    "Started",
    "Superseded",
    "SynthesisStarted",
    "Token",
    "ToolCalled",
    "ToolReturned",
    "from_json",
    "to_json",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact about a run. `durable` events are written to the journal before their result is used."""

    durable: ClassVar[bool] = True
    node: str = ""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run starts, or is resumed: `run_id` then stays the same, and each start has an `execution` id of its own.

    `fresh`: nothing that was recorded before belongs to this run.
    """

    run_id: str
    task: str
    request_key: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    parent: dict[str, Any] | None = None
    fresh: bool = False
    execution: str = ""


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCreated(Event):
    """A node is added below `parent` (`None`: it is the root); `depends_on` are ids of siblings.

    `query` names the function of a code node's cell that asked for it, such as "llm_query"; `repeat` is the number of
    equal calls before it in that node.
    """

    parent: str | None
    task: str
    agent: str = ""
    model: str = ""
    depends_on: tuple[str, ...] = ()
    note: str = ""
    query: str = ""
    repeat: int = 0


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStarted(Event):
    """A call of the planner begins."""


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Event):
    """The node has a plan, from the planner or forced by a limit; `limited` names the limit that made it EXECUTE."""

    plan: dict[str, Any]
    key: str = ""
    usage: Usage = NOTHING
    model: str = ""
    limited: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRejected(Event):
    """The user rejected the node's plan, for this reason: the planner makes another."""

    reason: str = ""


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """A call of the node's agent for its answer begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Event):
    """A piece of a streamed answer; never plan JSON, never reasoning, never recorded.

    `anew`: the answer begins here; the pieces before it turned out to be reasoning and are to be dropped.
    """

    durable: ClassVar[bool] = False
    text: str
    anew: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied(Event):
    """A reply that is not the answer: it calls tools (`calls`: objects with "id", "name" and "arguments") or, without
    calls, is an answer that the model has to repair. `mark` is "" (from a model call) or "replayed"."""

    content: str
    calls: tuple[dict[str, Any], ...] = ()
    usage: Usage = NOTHING
    model: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(Event):
    """A tool call begins; with `awaiting_approval` (in JSON: "asks") it waits for the user's approval first, and the
    approved call is a second event without it."""

    call: str
    name: str
    arguments: dict[str, Any]
    awaiting_approval: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReturned(Event):
    """A tool call has returned; `reads` are the content hashes of the references that it read."""

    call: str
    content: str
    ok: bool = True
    reads: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellWritten(Event):
    """A cell of a code node begins to run. `text` is the reply that it is written in, with the `usage` and the `model`
    of that reply; the later cells of one reply have none. A reply without code is a cell without code. `mark` is ""
    (the reply is from a model call) or "replayed"."""

    code: str
    text: str = ""
    usage: Usage = NOTHING
    model: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRan(Event):
    """The cell has run: what it printed, the value of its last expression, its error; `note` states a difference from
    what was recorded of the same cell."""

    stdout: str = ""
    value: str | None = None
    error: str | None = None
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried(Event):
    """An attempt failed and another one follows; `usage` is that of the failed attempt. `text` (also of `Failed` and
    `Cancelled`) is the part of an answer that had arrived when it broke off."""

    reason: str
    usage: Usage = NOTHING
    text: str = ""


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisStarted(Event):
    """A call that joins the results of the sub-tasks begins."""


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """The node has its answer. `mark` is "" (from model calls), "cached" or "replayed"; `reads` are the content hashes
    of the references that the node read."""

    content: str
    key: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    usage: Usage = NOTHING
    model: str = ""
    reads: dict[str, str] = field(default_factory=dict)
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """The node failed; `kind` is the error's class. `usage` (also of `Cancelled`) is that of calls which no earlier
    event has accounted for."""

    error: str
    kind: str = "ExecutionError"
    usage: Usage = NOTHING
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(Event):
    """The node was cancelled, or the run it belongs to."""

    reason: str = ""
    usage: Usage = NOTHING
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded(Event):
    """The node no longer belongs to the plan of its parent; it stays in the tree, and its result may be reused."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPaused(Event):
    """The run starts no new call until it is resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Event):
    """A paused run starts calls again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The run ended with `status` "done", "failed" or "cancelled"."""

    status: str
    error: str = ""


KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__subclasses__()}
#: Keys in JSON that differ from the field's name: checkpoints that exist already have them.
_JSON_KEYS = {"awaiting_approval": "asks"}
_FIELDS: dict[type[Event], tuple[tuple[str, str], ...]] = {
    kind: tuple((f.name, _JSON_KEYS.get(f.name, f.name)) for f in fields(kind)) for kind in KINDS.values()
}


def to_json(event: Event) -> dict[str, Any]:
    """The event as a JSON object: its kind under "event", then its fields."""
    data: dict[str, Any] = {"event": type(event).__name__}
    for name, key in _FIELDS[type(event)]:
        value = getattr(event, name)
        data[key] = value.to_json() if isinstance(value, Usage) else value
    return data


def from_json(data: Any) -> Event:
    """The inverse of `to_json`; raises `ValueError` for an unknown kind, missing fields and wrong types."""
    kind = KINDS.get(str(data.get("event"))) if isinstance(data, dict) else None
    if kind is None:
        raise ValueError(f"this is not an event: {str(data)[:80]}")
    return _reader(kind.__name__).validate_python({name: data[key] for name, key in _FIELDS[kind] if key in data})


@cache
def _reader(kind: str) -> TypeAdapter[Event]:
    return TypeAdapter(KINDS[kind])
