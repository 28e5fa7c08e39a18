"""What can happen in a run: a small closed set of frozen facts.

A run is the fold of its events. An event says what happened, when (`at`, seconds since the epoch) and to which node
(`node`, a path such as "0.2.1"; "" for the run). It never says how anything should look. Everything in an event is
JSON, so the journal is these objects, one a line.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar

from pydantic import TypeAdapter

from .construction import quickly_made
from .limits import NOTHING, Usage

__all__ = [
    "Cancelled",
    "Event",
    "Failed",
    "Finished",
    "NodeCreated",
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
    """A fact about a run. `durable` events go to the journal before their result is used further."""

    durable: ClassVar[bool] = True
    node: str = ""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """`fresh`: nothing that was recorded before is part of this run. `execution` is another one each time that the run
    is started, also where no time has passed in between; `run_id` stays."""

    run_id: str
    task: str
    request_key: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    parent: dict[str, Any] | None = None
    fresh: bool = False
    execution: str = ""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCreated(Event):
    parent: str | None
    task: str
    agent: str = ""
    model: str = ""
    depends_on: tuple[str, ...] = ()
    note: str = ""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStarted(Event):
    pass


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Event):
    """`plan` as the planner gave it (or as a limit forced it); `limited` says which limit made it EXECUTE."""

    plan: dict[str, Any]
    key: str = ""
    usage: Usage = NOTHING
    model: str = ""
    limited: str = ""
    mark: str = ""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """The node's agent is asked for its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Event):
    """A piece of an answer as it streams in; never plan JSON, never thoughts, never kept.

    `anew`: what was told of the answer before is none of it (it turned out to be thoughts), and it begins here.
    """

    durable: ClassVar[bool] = False
    text: str
    anew: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied(Event):
    """A reply before the last: it asks for tools (`calls`: objects with "id", "name" and "arguments"), or, without
    any, is an answer that the model has to mend. `mark` is "" (just made) or "replayed"."""

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
    """`reads` are the content hashes of the references that this call read."""

    call: str
    content: str
    ok: bool = True
    reads: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried(Event):
    """An attempt failed and another one follows; `usage` is what the failed one cost, `text` what had come of an
    answer when it broke off (of `Failed` and `Cancelled`, too)."""

    reason: str
    usage: Usage = NOTHING
    text: str = ""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisStarted(Event):
    pass


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """The node's answer. `mark` is "" (just made), "cached" or "replayed"; `reads` are the content hashes of the
    references that the node read."""

    content: str
    key: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    usage: Usage = NOTHING
    model: str = ""
    reads: dict[str, str] = field(default_factory=dict)
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """`usage` of this and of `Cancelled`: what calls cost of which no event told before."""

    error: str
    kind: str = "ExecutionError"
    usage: Usage = NOTHING
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(Event):
    reason: str = ""
    usage: Usage = NOTHING
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded(Event):
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPaused(Event):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Event):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """`status`: "done", "failed" or "cancelled"; `usage` over all executions of this run so far."""

    status: str
    error: str = ""


KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__subclasses__()}
#: Keys in JSON that differ from the field's name: files that are there already have them.
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
        raise ValueError(f"it is no event: {str(data)[:80]}")
    return _reader(kind.__name__).validate_python({name: data[key] for name, key in _FIELDS[kind] if key in data})


@cache
def _reader(kind: str) -> TypeAdapter[Event]:
    return TypeAdapter(KINDS[kind])
