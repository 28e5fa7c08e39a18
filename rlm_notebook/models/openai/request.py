"""What a request wants of a model of OpenAI's kind, apart from the form in which it is sent; and the schema's ladder.

A server is asked for a strict schema first, then for any JSON object, then nothing but the prompt asks for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.content import Content, ImagePart, content_text, joined_content
from ...core.keys import digest
from ...ports.model import Request
from ..provider.errors import STREAM, STREAM_WITH_SCHEMA, STREAM_WITH_TOOLS
from ..provider.tool_calls import arguments_text, called

__all__ = [
    "RUNGS",
    "TOOLS_WITH_REASONING",
    "ProviderRequest",
    "wire_messages",
]

RUNGS = ("json_schema", "json_object")
TOOLS_WITH_REASONING = "tools with reasoning"


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """One request, with the model's own settings filled in; `refused` are the parts that its server does not take."""

    model: str
    request: Request
    official: bool
    temperature: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: str | None = None
    refused: frozenset[str] = field(default=frozenset())

    @property
    def rung(self) -> str:
        """The best form of the wanted reply's schema that has not been refused; "" for none."""
        if self.request.schema is None:
            return ""
        # Only where something was refused: digesting a schema takes longer than most else here.
        refused = self.refused
        taken = (r for r in RUNGS if not refused or (r not in refused and self.of_schema(r) not in refused))
        return next(taken, "")

    def of_schema(self, rung: str) -> str:
        """A rung for the wanted schema alone: what is refused or ignored for one may well be taken for another."""
        return f"{rung} {digest(self.request.schema)}"

    @property
    def streams(self) -> bool:
        """Whether the reply is to be streamed; some servers refuse that, or refuse it together with something else."""
        request = self.request
        parts = {STREAM, STREAM_WITH_TOOLS if request.tools else "", STREAM_WITH_SCHEMA if request.schema else ""}
        return request.streaming and not parts & self.refused

    @property
    def answered(self) -> int:
        """How many calls of tools this conversation has answered so far."""
        return sum(message["role"] == "tool" for message in self.request.messages)

    @property
    def format(self) -> dict[str, Any] | None:
        """The schema in the form that chat completions nest and responses do not."""
        schema = self.request.schema
        if not self.rung or schema is None:
            return None
        if self.rung == "json_object":
            return {"type": self.rung}
        title = re.sub(r"[^a-zA-Z0-9_-]", "_", str(schema.get("title") or "reply"))[:64]
        return {"type": self.rung, "name": title, "schema": schema, "strict": is_strict(schema)}

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Copies of the messages; where the server does not hold the model to the schema, the model itself is told."""
        messages: list[dict[str, Any]] = [dict(message) for message in self.request.messages]
        if self.request.schema is None or self.rung == "json_schema":
            return messages
        said = f"Reply with one JSON object that matches this JSON Schema:\n{json.dumps(self.request.schema)}"
        # In a place that every server takes.
        place = next((m for m in messages if m["role"] == "system"), messages[-1] if messages else None)
        if place is None:
            return [{"role": "user", "content": said}]
        place["content"] = joined_content(place["content"], said)
        return messages


def is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes this schema: every object is closed and requires all its properties."""
    if isinstance(schema, list):
        return all(is_strict(each) for each in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(schema.get("properties", {})):
            return False
    return all(is_strict(each) for each in schema.values())


def wire_messages(messages: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The messages as chat completions take them."""
    seen: list[Any] = []
    for message in messages:
        if seen and message["role"] != "tool":
            yield {"role": "user", "content": _wire_parts(seen)}
            seen = []
        wire, content = dict(message), message["content"]
        if not isinstance(content, str) and content is not None:
            if message["role"] == "tool":
                # A result of a tool is text alone: its images follow the results of the round.
                wire["content"] = content_text([part for part in content if isinstance(part, str)])
                seen += [each for part in content if isinstance(part, ImagePart) for each in (part.label, part)]
            else:
                wire["content"] = _wire_parts(content)
        if calls := message.get("tool_calls"):
            wire["tool_calls"] = [
                {
                    "id": call.get("id", ""),
                    "type": "function",
                    "function": {"name": called(call)["name"], "arguments": arguments_text(call)},
                }
                for call in calls
            ]
        yield wire
    if seen:
        yield {"role": "user", "content": _wire_parts(seen)}


def _wire_parts(content: Content) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": part.data_url}}
        for part in content
    ]
