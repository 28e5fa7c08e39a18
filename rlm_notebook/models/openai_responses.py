"""The form of OpenAI's own endpoint: responses, whole or streamed.

Its reasoning models take function tools in no other form. Nothing is stored at the provider.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

from ..core.limits import Usage
from ..ports import Reply
from .clients import let_go
from .openai_errors import Target, failed_midway
from .openai_reply import Written, count, excerpt, steadily
from .openai_request import Wanted, arguments_text
from .pace import Told

__all__ = ["OPTIONAL", "body", "pieces"]

#: What a server need not take; what it refuses of it is left out.
OPTIONAL: tuple[str, ...] = ("text", "temperature", "max_output_tokens", "reasoning", "store")
_FINISHED = {"max_output_tokens": "length", "content_filter": "content_filter"}
_LAST = ("response.completed", "response.incomplete", "response.failed")


def body(wanted: Wanted) -> dict[str, Any]:
    """The request as it is sent, without what the server does not take."""
    request, form = wanted.request, wanted.format
    sent: dict[str, Any] = {
        "model": wanted.model,
        "input": [item for message in wanted.messages for item in _items(message)],
        "store": False,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "text": None if form is None else {"format": form},
        "stream": request.streaming or None,
        "max_output_tokens": wanted.max_output_tokens,
        "temperature": wanted.temperature,
        "reasoning": None if wanted.reasoning_effort is None else {"effort": wanted.reasoning_effort},
    }
    return {name: value for name, value in sent.items() if value is not None and name not in wanted.refused}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    # Tools are strict here unless said otherwise, and strict ones have no optional parameters.
    return {"type": "function", **tool, "strict": False}


def _items(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A message, and each call and each answer of a tool, is an item of its own."""
    if message["role"] == "tool":
        yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": message["content"]}
        return
    calls = message.get("tool_calls") or ()
    if message["content"] or not calls:
        yield {"role": message["role"], "content": message["content"]}
    for call in calls:
        named = call.get("function", call)
        arguments = arguments_text(named)
        yield {"type": "function_call", "call_id": call.get("id", ""), "name": named["name"], "arguments": arguments}


async def pieces(
    client: Any, sent: dict[str, Any], first_call: int, target: Target, told: Told, stall: float | None
) -> AsyncGenerator[str | Reply, None]:
    """Make the request: text as it comes (if it is streamed), then the reply."""
    raw = await client.responses.with_raw_response.create(**sent)
    told(raw.headers)
    response = raw.parse()
    written = Written(sent["model"], first_call, target)
    if not sent.get("stream"):
        yield _whole(response, written)
        return
    async with response:
        async for event in steadily(response, written, stall, target):
            if text := _add(written, event):
                yield text
    del raw, response
    await let_go()
    if not written.finish_reason:
        raise written.cut_off()
    yield written.reply()


def _whole(response: Any, written: Written) -> Reply:
    output = getattr(response, "output", None)
    if not isinstance(output, list) or not (output or getattr(response, "status", None)):
        wrong = f"the reply holds no answer ({excerpt(response)})"
        raise written.target.error(wrong, "does this server speak the Responses API?", retryable=True)
    _end(written, response)
    for index, item in enumerate(output):
        _add_item(written, index, item)
    return written.reply()


def _add(written: Written, event: Any) -> str:
    """The new text of a streamed event."""
    kind = getattr(event, "type", "")
    if kind == "response.output_text.delta":
        return written.add_text(event.delta or "")
    if kind == "response.refusal.delta":
        written.refusal += event.delta or ""
    elif kind == "response.function_call_arguments.delta":
        written.call_at(event.output_index, None)["arguments"] += event.delta or ""
    elif kind in ("response.output_item.added", "response.output_item.done"):
        _add_call(written, event.output_index, event.item)
        # Between two items a model may think again.
        written.flowing = written.flowing and kind.endswith("added")
    elif kind in _LAST:
        _end(written, event.response)
        return _unseen(written, event.response)
    elif kind == "error":
        raise failed_midway(event.code, None, event.message, written.target)
    return ""


def _unseen(written: Written, response: Any) -> str:
    """The text of a reply that a gateway gives whole at the end, and not piece by piece before."""
    if written.text or written.refusal or written.calls:
        return ""
    for index, item in enumerate(getattr(response, "output", None) or ()):
        _add_item(written, index, item)
    return "".join(written.text)


def _add_item(written: Written, index: int, item: Any) -> None:
    _add_call(written, index, item)
    if getattr(item, "type", "") != "message":
        return
    for part in item.content or ():
        written.add_text(getattr(part, "text", None) or "")
        written.refusal += getattr(part, "refusal", None) or ""


def _add_call(written: Written, index: int, item: Any) -> None:
    if getattr(item, "type", "") != "function_call":
        return
    slot = written.call_at(index, item.call_id)
    slot["name"] = slot["name"] or item.name or ""
    # The finished item repeats the arguments that came piece by piece.
    slot["arguments"] = item.arguments or slot["arguments"]


def _end(written: Written, response: Any) -> None:
    """Tokens, model, and how it ended; raises `ModelError` for a reply that failed."""
    written.usage = _usage(getattr(response, "usage", None), written.target) or written.usage
    written.model = getattr(response, "model", None) or written.model
    status = getattr(response, "status", None)
    if status == "failed" or (error := getattr(response, "error", None)):
        error = getattr(response, "error", None)
        code, said = getattr(error, "code", None), getattr(error, "message", None)
        raise failed_midway(code, None, said or "it did not say why", written.target, usage=written.usage)
    reason = getattr(getattr(response, "incomplete_details", None), "reason", None)
    written.finish_reason = _FINISHED.get(reason or "", "tool_calls" if _calls(written, response) else "stop")


def _calls(written: Written, response: Any) -> bool:
    output = getattr(response, "output", None) or ()
    return bool(written.calls) or any(getattr(item, "type", "") == "function_call" for item in output)


def _usage(raw: Any, target: Target) -> Usage | None:
    """Tokens as the provider counted them; the price is known only where there is none."""
    if raw is None:
        return None
    return Usage(
        prompt_tokens=count(raw, "input_tokens"),
        completion_tokens=count(raw, "output_tokens"),
        cached_tokens=count(getattr(raw, "input_tokens_details", None), "cached_tokens"),
        reasoning_tokens=count(getattr(raw, "output_tokens_details", None), "reasoning_tokens"),
        cost_usd=0.0 if target.free else None,
    )
