"""How what a callable returned becomes a `Reply`: accepted where it can mean one thing only, refused with what came."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...core.finish_reason import finish_reason
from ...core.recordable import plain as recordable
from ...core.recordable import plain_arguments
from ...core.text import well_formed, well_formed_value
from ...core.usage import Usage
from ...exceptions import ModelError
from ...ports.model import Reply, Request, ToolCall
from ..provider.reply import thoughts_in
from ..provider.tool_calls import arguments_from, called
from .sdk_reply import plain, sdk_reply

__all__ = ["reply_from", "unexpected"]

EXPECTED = '{"content": "text", "metadata": {...}}, a str, or {"tool_calls": [{"name": ..., "arguments": {...}}]}'

#: What libraries call the reason for which a reply ended.
ENDED = ("finish_reason", "stop_reason", "done_reason")


def reply_from(result: Any, request: Request, name: str) -> Reply:
    """What a callable returned, as a `Reply`; raises `ModelError` if that is not clear."""
    if isinstance(result, str):
        result = {"content": result}
    if type(result) is dict and type(result.get("content")) is str and result.keys() <= _TEXT_ALONE:
        # What most functions return; all that follows is for what else this may be.
        metadata = result.get("metadata")
        if result["content"].strip() and (metadata is None or (type(metadata) is dict and not metadata)):
            return Reply(well_formed(result["content"]), model=well_formed(name))
        return _reply_of(result, (), "", name)
    if isinstance(result, Reply):
        return _well_formed(result)
    given = _as_mapping(result)
    if given is None:
        raise unexpected(name, result, EXPECTED)
    if (reply := sdk_reply(given, request, name)) is not None:
        return reply
    content, asked = given.get("content"), given.get("tool_calls")
    calls = _tool_calls(plain(asked), request, name) if asked else ()
    reasoning = thoughts_in(given)
    if not (isinstance(content, str) or (content is None and (calls or reasoning))):
        raise unexpected(name, result, EXPECTED)
    return _reply_of(given, calls, reasoning, name)


_TEXT_ALONE = frozenset({"content", "metadata"})


def _reply_of(given: Mapping[str, Any], calls: tuple[ToolCall, ...], reasoning: str, name: str) -> Reply:
    """The reply of these parts; raises `ModelError` for one that says nothing."""
    content = given.get("content") or ""
    if not (calls or reasoning or content.strip()):
        raise ModelError(f'{name} returned an empty reply; return the answer as text in "content"')
    told, metadata = given.get("metadata"), {}
    if told is not None:
        if not isinstance(told, Mapping):
            raise unexpected(name, told, 'for "metadata" a dict')
        # For checkpoints: what JSON has no form for is kept as text. A copy: the function may go on with its own.
        metadata = recordable(told, fresh=True)
    usage = _usage(metadata) if metadata else None
    said = next((source[name] for source in (given, metadata) for name in ENDED if source.get(name)), None)
    ended = finish_reason(said, calls=bool(calls)) or ("tool_calls" if calls else "stop")
    model = str(metadata.get("model") or name)
    return _well_formed(Reply(content, calls, usage, model, ended, metadata, reasoning=reasoning))


def _well_formed(reply: Reply) -> Reply:
    """The reply with texts that can be kept and shown; a model of the user's own may give anything."""
    metadata = recordable(reply.metadata) if isinstance(reply.metadata, Mapping) else reply.metadata
    texts = {"content": reply.content, "model": reply.model, "reasoning": reply.reasoning, "metadata": metadata}
    changed = {
        part: clean for part, value in texts.items() if (clean := well_formed_value(value)) is not getattr(reply, part)
    }
    calls = reply.tool_calls
    if isinstance(calls, tuple | list) and all(isinstance(call, ToolCall) for call in calls):
        clean_calls = tuple(map(_well_formed_call, calls))
        if any(clean is not call for clean, call in zip(clean_calls, calls, strict=True)):
            changed["tool_calls"] = clean_calls
    return replace(reply, **changed) if changed else reply


def _well_formed_call(call: ToolCall) -> ToolCall:
    parts = (call.id, call.name, call.arguments)
    arguments = plain_arguments(call.arguments) if isinstance(call.arguments, Mapping | str) else call.arguments
    clean = [well_formed_value(part) for part in (call.id, call.name, arguments)]
    return ToolCall(*clean) if any(new is not old for new, old in zip(clean, parts, strict=True)) else call


def _as_mapping(result: Any) -> Mapping[str, Any] | None:
    result = plain(result)
    if isinstance(result, Mapping):
        content = result.get("content")
        return {**result, "content": plain(content)} if isinstance(content, list | tuple) else result
    if isinstance(getattr(result, "content", None), str):
        parts = ("content", "metadata", "tool_calls", "reasoning", "reasoning_content", *ENDED)
        return {part: getattr(result, part, None) for part in parts}
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
    calls: list[ToolCall] = []
    for at, call in enumerate(given, answered):
        if isinstance(call, ToolCall):
            calls.append(call)
            continue
        inner = called(call) if isinstance(call, Mapping) else None
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            raise unexpected(name, call, 'for each of "tool_calls" {"name": ..., "arguments": {...}}')
        # "args" and "input" are what other libraries call them.
        arguments = next((inner[key] for key in ("arguments", "args", "input") if inner.get(key) is not None), None)
        if not isinstance(arguments, Mapping | str | None):
            raise unexpected(name, arguments, 'for "arguments" a dict or its JSON text')
        calls.append(ToolCall(str(call.get("id") or f"call_{at}"), inner["name"], arguments_from(arguments)))
    return tuple(calls)


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
