"""The form that nearly every model server speaks: chat completions, whole or streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from ..core.limits import Usage
from ..ports import Reply
from .clients import let_go
from .openai_errors import TOOLS_WITH_REASONING, Target
from .openai_reply import Written, count, excerpt, steadily
from .openai_request import Wanted, arguments_text
from .pace import Told

__all__ = ["OPTIONAL", "body", "pieces"]

#: What a server need not take; what it refuses of it is left out.
OPTIONAL: tuple[str, ...] = ("response_format", "temperature", "stream_options", "max_completion_tokens", "max_tokens")


def body(wanted: Wanted) -> dict[str, Any]:
    """The request as it is sent, without what the server does not take."""
    request = wanted.request
    sent: dict[str, Any] = {"model": wanted.model, "messages": [_message(message) for message in wanted.messages]}
    if request.tools:
        sent["tools"] = [{"type": "function", "function": dict(tool)} for tool in request.tools]
    if (form := wanted.format) is not None:
        kind = form.pop("type")
        sent["response_format"] = {"type": kind, kind: form} if form else {"type": kind}
    if request.streaming:
        sent |= {"stream": True, "stream_options": {"include_usage": True}}
    sent[_tokens_name(wanted)] = wanted.max_output_tokens
    sent["temperature"] = wanted.temperature
    without_reasoning = request.tools and TOOLS_WITH_REASONING in wanted.refused
    sent["reasoning_effort"] = "none" if without_reasoning else wanted.reasoning_effort
    return {name: value for name, value in sent.items() if value is not None and name not in wanted.refused}


def _tokens_name(wanted: Wanted) -> str:
    """OpenAI renamed the limit; other servers know the old name. Whichever is refused, the other one is tried."""
    names = ["max_completion_tokens", "max_tokens"]
    if not wanted.official:
        names.reverse()
    return next((name for name in names if name not in wanted.refused), names[0])


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    wire = dict(message)
    if calls := message.get("tool_calls"):
        wire["tool_calls"] = [call if "function" in call else _call(call) for call in calls]
    return wire


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": arguments_text(call)}
    return {"id": call.get("id", ""), "type": "function", "function": function}


async def pieces(
    client: Any, sent: dict[str, Any], first_call: int, target: Target, told: Told, stall: float | None
) -> AsyncGenerator[str | Reply, None]:
    """Make the request: text as it comes (if it is streamed), then the reply."""
    raw = await client.chat.completions.with_raw_response.create(**sent)
    told(raw.headers)
    response = raw.parse()
    written = Written(sent["model"], first_call, target)
    if not sent.get("stream"):
        yield _whole(response, written)
        return
    async with response:
        async for chunk in steadily(response, written, stall, target):
            if text := _add(written, chunk):
                yield text
    del raw, response
    await let_go()
    if not written.finish_reason and written.usage is None:
        raise written.cut_off()
    yield written.reply()


def _whole(completion: Any, written: Written) -> Reply:
    choices = getattr(completion, "choices", None)
    written.usage = _usage(getattr(completion, "usage", None), written.target)
    if not choices or getattr(choices[0], "message", None) is None:
        wrong = f"the reply holds no answer ({excerpt(completion)})"
        advice = "is this an OpenAI-compatible server?"
        raise written.target.error(wrong, advice, retryable=True, usage=written.usage)
    written.model = getattr(completion, "model", None) or written.model
    _add_choice(written, choices[0].message, getattr(choices[0], "finish_reason", None) or "stop")
    return written.reply()


def _add(written: Written, chunk: Any) -> str:
    """The new text of a streamed chunk."""
    written.usage = _usage(getattr(chunk, "usage", None), written.target) or written.usage
    written.model = getattr(chunk, "model", None) or written.model
    choices = getattr(chunk, "choices", None)
    if not choices:
        return ""  # the chunk with the usage has none
    return _add_choice(written, getattr(choices[0], "delta", None), getattr(choices[0], "finish_reason", None) or "")


def _add_choice(written: Written, message: Any, finish_reason: str) -> str:
    written.refusal += getattr(message, "refusal", None) or ""
    written.finish_reason = finish_reason or written.finish_reason
    for position, call in enumerate(getattr(message, "tool_calls", None) or ()):
        _add_call(written, position, call)
    return written.add_text(_text(getattr(message, "content", None)))


def _add_call(written: Written, position: int, call: Any) -> None:
    index = getattr(call, "index", None)
    slot = written.call_at(position if index is None else index, call.id)
    if call.function is not None:
        slot["name"] = slot["name"] or call.function.name or ""
        slot["arguments"] = _joined(slot["arguments"], call.function.arguments)


def _text(content: Any) -> str:
    """The text of a message's content, which some servers give as a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text") if isinstance(part, dict) else part) for part in content)
    return content if isinstance(content, str) else ""


def _joined(known: Any, more: Any) -> Any:
    """Arguments come as pieces of JSON text; some servers send them decoded, at once."""
    return more if isinstance(more, dict) else known + (more or "")


def _usage(raw: Any, target: Target) -> Usage | None:
    """Tokens as the provider counted them; the price is known only where there is none."""
    if raw is None:
        return None
    return Usage(
        prompt_tokens=count(raw, "prompt_tokens"),
        completion_tokens=count(raw, "completion_tokens"),
        cached_tokens=count(getattr(raw, "prompt_tokens_details", None), "cached_tokens"),
        reasoning_tokens=count(getattr(raw, "completion_tokens_details", None), "reasoning_tokens"),
        cost_usd=0.0 if target.free else None,
    )
