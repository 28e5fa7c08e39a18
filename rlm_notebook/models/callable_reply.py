"""How what a callable returned becomes a `Reply`: accepted where it can mean one thing only, refused with what came."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..core.limits import Usage
from ..exceptions import ModelError
from ..ports import Reply, Request, ToolCall

__all__ = ["reply_from", "unexpected"]

EXPECTED = '{"content": "text", "metadata": {...}}, a str, or {"tool_calls": [{"name": ..., "arguments": {...}}]}'


def reply_from(result: Any, request: Request, name: str) -> Reply:
    """What a callable returned, as a `Reply`; raises `ModelError` if that is not clear."""
    if isinstance(result, Reply):
        return result
    given = _as_mapping(result)
    if given is None:
        raise unexpected(name, result, EXPECTED)
    content, asked = given.get("content"), given.get("tool_calls")
    calls = _tool_calls(asked, request, name) if asked else ()
    if not (isinstance(content, str) or (content is None and calls)):
        raise unexpected(name, result, EXPECTED)
    if not calls and not (content or "").strip():
        raise ModelError(f'{name} returned an empty reply; return the answer as text in "content"')
    metadata = _as_json(given.get("metadata"), name)
    usage = _usage(metadata) if metadata else None
    return Reply(content or "", calls, usage, str(metadata.get("model") or name), metadata=metadata)


def _as_mapping(result: Any) -> Mapping[str, Any] | None:
    if isinstance(result, Mapping):
        return result
    if isinstance(result, str):
        return {"content": result}
    if isinstance(getattr(result, "content", None), str):
        return {part: getattr(result, part, None) for part in ("content", "metadata", "tool_calls")}
    return None


def unexpected(name: str, came: Any, expected: str) -> ModelError:
    shown = repr(came)
    shown = shown if len(shown) <= 200 else shown[:197] + "..."
    return ModelError(f"{name} returned {shown} ({type(came).__name__}); expected {expected}")


def _tool_calls(given: Any, request: Request, name: str) -> tuple[ToolCall, ...]:
    if isinstance(given, Mapping | str) or not hasattr(given, "__iter__"):
        raise unexpected(name, given, 'for "tool_calls" a list of {"name": ..., "arguments": {...}}')
    # Numbered on from the calls that were answered before, so that ids are unique within a conversation.
    answered = sum(message["role"] == "tool" for message in request.messages)
    return tuple(_tool_call(call, f"call_{answered + at}", name) for at, call in enumerate(given))


def _tool_call(given: Any, default_id: str, name: str) -> ToolCall:
    if isinstance(given, ToolCall):
        return given
    inner = given.get("function", given) if isinstance(given, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise unexpected(name, given, 'for each of "tool_calls" {"name": ..., "arguments": {...}}')
    return ToolCall(str(given.get("id") or default_id), inner["name"], _arguments(inner.get("arguments"), name))


def _arguments(given: Any, name: str) -> dict[str, Any] | str:
    if given is None or given == "":
        return {}
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, str):
        raise unexpected(name, given, 'for "arguments" a dict or its JSON text')
    try:
        decoded = json.loads(given)
    except ValueError:
        return given
    return decoded if isinstance(decoded, dict) else given


def _as_json(metadata: Any, name: str) -> dict[str, Any]:
    """Metadata goes into checkpoints; what JSON has no form for is kept as text."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise unexpected(name, metadata, 'for "metadata" a dict')
    written = json.dumps({str(key): value for key, value in metadata.items()}, default=str)
    # Numbers that JSON does not know (NaN, Infinity) become text too: a file that holds them cannot be read again.
    as_json: dict[str, Any] = json.loads(written, parse_constant=str)
    return as_json


def _usage(metadata: Mapping[str, Any]) -> Usage | None:
    """What a function says that it used. A count that is none is nothing, and nobody is given anything back."""
    given = metadata.get("usage")
    cost = _amount(metadata.get("cost_usd"))
    if not isinstance(given, Mapping):
        return None if cost is None else Usage(cost_usd=cost)
    names = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    return Usage(**{name: int(_amount(given.get(name)) or 0) for name in names}, cost_usd=cost)


def _amount(value: Any) -> float | None:
    """The number, if it is one that can be counted with; `None` else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, number) if math.isfinite(number) else None
