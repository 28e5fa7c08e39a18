"""What a callable is called with: the messages and a context, as plain dicts of its own."""

from __future__ import annotations

from typing import Any

from ...core.content import content_text
from ...ports.model import Part, Request

__all__ = ["Context", "OwnCopy", "inputs_of"]


def inputs_of(request: Request) -> list[dict[str, Any]]:
    # Copies: whatever the callable does to its arguments, the next attempt sees the same request.
    if all(len(message) == 2 and isinstance(message["content"], str) for message in request.messages):
        return [vars(_Said(message["role"], str(message["content"]))) for message in request.messages]
    # Calls of tools and images in the form of the wire: such messages can be given to an SDK as they are.
    from ..openai.request import wire_messages

    return list(wire_messages(request.messages))


class _Said:
    """A message of a role and a text alone. Its `vars` are what a callable is given: such a dict shares its table of
    keys with all others of its kind, and takes half the memory of one that is written down."""

    def __init__(self, role: str, content: str) -> None:
        self.role = role
        self.content = content


def _copied(value: Any) -> Any:
    """A copy of a JSON value. It holds no cycles; `copy.deepcopy`, which looks out for them, takes three times as long
    and was the largest single cost of a node."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


class OwnCopy:
    """A callable's copy of the wanted schema: one for all its calls, and a new one once a call has changed it."""

    __slots__ = ("_copy", "_given")

    def __init__(self) -> None:
        self._given: Any = None
        self._copy: Any = None

    def of(self, schema: dict[str, Any] | None) -> Any:
        # A copy for each call was a fifth of the memory of the nodes that are in a call.
        if self._given is not schema or self._copy != schema:
            self._given, self._copy = schema, _copied(schema)
        return self._copy


class Context:
    """Its `vars` are what a callable is given, for the reason of `_Said`."""

    def __init__(self, request: Request, schema: Any) -> None:
        facts = request.facts
        self.mode = request.mode
        self.system_prompt = next((content_text(m["content"]) for m in request.messages if m["role"] == "system"), "")
        self.tools = [_copied(tool) for tool in request.tools]
        self.schema = schema
        self.task = facts.task
        self.task_id = facts.task_id
        self.depth = facts.depth
        self.goal = facts.goal
        self.breadcrumbs = list(facts.breadcrumbs)
        self.agent = facts.agent
        self.parts = [_part(part) for part in facts.parts]
        self.dependencies = [_part(part) for part in facts.dependencies]
        # There when they were asked for: `context.get("temperature", 0.7)` is what callables say. Last, so that all
        # that have none share one table of keys.
        if request.temperature is not None:
            self.temperature = request.temperature
        if request.max_output_tokens is not None:
            self.max_output_tokens = request.max_output_tokens


def _part(part: Part) -> dict[str, str]:
    return {"id": part.id, "task": part.task, "content": part.content}
