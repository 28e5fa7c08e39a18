"""What is sent to Anthropic's Messages API.

It differs from OpenAI's in what it demands: a limit of output tokens, the system prompt apart, turns in blocks; and in
how it holds a model to a schema: by an output format, or by a tool that has to be called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...core.content import ImagePart, content_text
from ...core.keys import digest
from ...ports.model import Request
from ..provider.errors import STREAM, STREAM_WITH_TOOLS
from ..provider.tool_calls import arguments_as_object, arguments_from, called

__all__ = ["arguments_for", "body_of"]

#: The tool whose arguments are the reply, where a model cannot be held to a schema otherwise.
REPLY_TOOL = "reply"


def body_of(
    request: Request, known: Mapping[str, int], model: str, max_output_tokens: int, temperature: float | None
) -> dict[str, Any]:
    """The body of a call, without what is known to be refused."""
    rung = _rung(request, known)
    prompts = [content_text(message["content"]) for message in request.messages if message["role"] == "system"]
    if request.schema is not None and not rung:
        prompts.append(f"Reply with one JSON value that matches this JSON Schema:\n{json.dumps(request.schema)}")
    limit = request.max_output_tokens or max_output_tokens
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": min(limit, known.get("max_tokens", limit)),
        "messages": list(_turns(request.messages)),
        "stream": request.streaming and STREAM not in known and not (request.tools and STREAM_WITH_TOOLS in known),
        "temperature": temperature if request.temperature is None else request.temperature,
        "thinking": {"type": "disabled"} if "thinking" in known else None,
    }
    body["system"] = "\n\n".join(filter(None, prompts)) or None
    body |= _held_to_schema(request, rung)
    return {name: value for name, value in body.items() if value is not None and name not in _OPTIONAL & {*known}}


#: What is left out once it was refused.
_OPTIONAL = frozenset({"temperature"})


def _rung(request: Request, known: Mapping[str, int]) -> str:
    """How the reply is held to the wanted schema: by "output_config", by a "tool_choice", or by being told ("")."""
    schema = request.schema
    if schema is None or schema.get("type") != "object":
        return ""
    # What is refused for one schema may well be taken for another.
    taken = {rung for rung in ("output_config", "tool_choice") if not (known and f"{rung} {digest(schema)}" in known)}
    if "output_config" in taken and _is_closed(schema):
        return "output_config"
    return "tool_choice" if "tool_choice" in taken - known.keys() and not request.tools else ""


def _is_closed(schema: Any) -> bool:
    """Whether the output format takes this schema: every object in it is closed, and nothing bounds a value."""
    if isinstance(schema, list):
        return all(_is_closed(each) for each in schema)
    if not isinstance(schema, dict):
        return True
    if _BOUNDS & {*schema} or (schema.get("type") == "object" and schema.get("additionalProperties") is not False):
        return False
    return all(_is_closed(each) for each in schema.values())


_BOUNDS = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "maxItems", "uniqueItems", "patternProperties"),
    }
)


def _held_to_schema(request: Request, rung: str) -> dict[str, Any]:
    """The tools, and what holds the reply to the schema."""
    if rung == "tool_choice":
        described = {"name": REPLY_TOOL, "description": "Give the reply.", "input_schema": request.schema}
        return {"tools": [described], "tool_choice": {"type": "tool", "name": REPLY_TOOL}}
    sent: dict[str, Any] = {}
    if request.tools:
        sent["tools"] = [_tool(tool) for tool in request.tools]
    if rung == "output_config":
        sent[rung] = {"format": {"type": "json_schema", "schema": request.schema}}
    return sent


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    schema = tool.get("parameters") or {"type": "object", "properties": {}}
    return {"name": tool["name"], "description": tool.get("description", ""), "input_schema": schema}


def arguments_for(inputs: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """What a callable was given, for Anthropic's SDK: the keywords "system", "messages" and "tools" of a call.

    That API takes no system prompt among the messages, and calls of tools and their results as blocks of its own:

        client.messages.create(model=..., max_tokens=..., **arguments_for(inputs, context["tools"]))
    """
    said = {
        "system": "\n\n".join(m["content"] for m in inputs if m["role"] == "system" and m["content"]),
        "messages": list(_turns(inputs)),
        "tools": [_tool(tool) for tool in tools],
    }
    return {name: value for name, value in said.items() if value}


def _turns(messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The conversation in turns of blocks; what the tools returned is the user's turn, all of a round in one."""
    turn: dict[str, Any] | None = None
    for message in messages:
        if message["role"] == "system":
            continue
        role = "assistant" if message["role"] == "assistant" else "user"
        if turn is None or turn["role"] != role:
            if turn is not None:
                yield turn
            turn = {"role": role, "content": []}
        turn["content"] += _blocks(message)
    yield turn or {"role": "user", "content": _SAY_SOMETHING}


#: A request without a turn of the user is refused, and so is an empty block of text.
_SAY_SOMETHING = [{"type": "text", "text": "Go on."}]


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message["content"] or ""
    said = [block for part in ([content] if isinstance(content, str) else content) for block in _said(part)]
    if message["role"] == "tool":
        result = content if isinstance(content, str) else said
        return [{"type": "tool_result", "tool_use_id": _id(message.get("tool_call_id", "")), "content": result}]
    used = [
        {
            "type": "tool_use",
            "id": _id(call.get("id", "")),
            "name": called(call)["name"],
            "input": arguments_as_object(arguments_from(called(call)["arguments"])),
        }
        for call in message.get("tool_calls", ())
    ]
    return [*said, *used] or _SAY_SOMETHING


def _said(part: Any) -> Iterator[dict[str, Any]]:
    """A text or an image as a block; also in the form in which a callable was given it."""
    if isinstance(part, Mapping):
        media, _, data = str((part.get("image_url") or {}).get("url", "")).removeprefix("data:").partition(";base64,")
        part = str(part.get("text", "")) if part.get("type") == "text" else (media, data)
    elif isinstance(part, ImagePart):
        part = (part.media_type, part.base64)
    if not isinstance(part, str):
        media, data = part
        yield {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}
    elif part.strip():
        yield {"type": "text", "text": part}


def _id(text: str) -> str:
    """Ids of other providers' calls may hold what is refused here."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text) or "call"
