"""What a request wants of a model of OpenAI's kind, apart from the form in which it is sent; and the schema's ladder.

A server is asked for a strict schema first, then for any JSON object, then nothing but the prompt asks for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..ports import Request

__all__ = ["RUNGS", "Wanted"]

RUNGS = ("json_schema", "json_object")


@dataclass(frozen=True, slots=True)
class Wanted:
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
        return next((rung for rung in RUNGS if rung not in self.refused), "")

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
        title = re.sub(r"[^\w-]", "_", str(schema.get("title", "reply")))[:64]
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
        place["content"] = f"{place['content']}\n\n{said}"
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


def arguments_text(call: Mapping[str, Any]) -> str:
    """The arguments of a call as a conversation repeats them: JSON text."""
    arguments = call["arguments"]
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
