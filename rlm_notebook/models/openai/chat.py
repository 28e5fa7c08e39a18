"""The form that nearly every model server speaks: chat completions, whole or streamed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..provider.errors import require_no_error
from ..provider.reply import Written, excerpt, listed, text_of, thoughts_in, usage_of
from ..provider.sse import Event
from .request import TOOLS_WITH_REASONING, ProviderRequest, wire_messages

__all__ = ["OPTIONAL", "add", "add_whole", "body", "requested"]

#: What a server need not take; what it refuses of it is left out.
OPTIONAL: tuple[str, ...] = ("response_format", "temperature", "stream_options", "max_completion_tokens", "max_tokens")


def body(wanted: ProviderRequest) -> dict[str, Any]:
    """The request as it is sent, without what the server does not take."""
    request = wanted.request
    sent: dict[str, Any] = {"model": wanted.model, "messages": list(wire_messages(wanted.messages))}
    if request.tools:
        sent["tools"] = [{"type": "function", "function": dict(tool)} for tool in request.tools]
    if (form := wanted.format) is not None:
        kind = form.pop("type")
        sent["response_format"] = {"type": kind, kind: form} if form else {"type": kind}
    if wanted.streams:
        sent |= {"stream": True, "stream_options": {"include_usage": True}}
    # OpenAI renamed the limit; other servers know the old name. Whichever is refused, the other one is tried.
    names = ["max_completion_tokens", "max_tokens"] if wanted.official else ["max_tokens", "max_completion_tokens"]
    sent[next((name for name in names if name not in wanted.refused), names[0])] = wanted.max_output_tokens
    sent["temperature"] = wanted.temperature
    without_reasoning = request.tools and TOOLS_WITH_REASONING in wanted.refused
    sent["reasoning_effort"] = "none" if without_reasoning else wanted.reasoning_effort
    return {name: value for name, value in sent.items() if value is not None and name not in wanted.refused}


def requested(client: Any) -> Any:
    """What makes the request."""
    return client.chat.completions.with_raw_response.create


def add_whole(written: Written, completion: Any) -> None:
    """A reply that is not streamed."""
    choice = _choice(written, completion) or {}
    message = choice.get("message") or choice.get("delta")
    written.usage = usage_of(_member(completion, "usage"), "prompt", "completion", written.endpoint)
    if choice.get("error"):
        require_no_error(completion, midway=True)
    if not isinstance(message, Mapping):
        require_no_error(completion, midway=False)
        wrong = f"the reply holds no answer ({excerpt(completion)})"
        advice = "is this an OpenAI-compatible server?"
        raise written.endpoint.error(wrong, advice, retryable=True, usage=written.usage)
    written.model = text_of(_member(completion, "model")) or written.model
    written.calls.add_whole(message.get("tool_calls"))
    _add_choice(written, message, choice)


def add(written: Written, event: Event) -> str:
    """The new text of a streamed chunk."""
    chunk = event.data
    require_no_error(chunk, midway=True, named=event.name)
    usage = usage_of(_member(chunk, "usage"), "prompt", "completion", written.endpoint)
    written.usage = usage or written.usage
    written.model = text_of(_member(chunk, "model")) or written.model
    choice = _choice(written, chunk)
    if choice is None:
        # The chunk with the usage, which is the last, has none. Without a reason to finish it may be a count so far.
        if usage is not None and written.flowing and not written.finished:
            written.finished, written.doubtful = True, True
        return ""
    message, whole = choice.get("delta") or {}, choice.get("message")
    if not message and isinstance(whole, Mapping):
        # Some servers put a whole message into a chunk, or all that was said once more.
        message = whole
        if written.flowing:
            message = {**whole, "content": text_of(whole.get("content")).removeprefix("".join(written.text))}
    written.calls.add(message.get("tool_calls"))
    text = _add_choice(written, message, choice)
    written.flowing = written.flowing or bool(written.calls)
    ends = bool(choice.get("finish_reason"))
    # Text after a reason to finish: the reason was none.
    written.finished = ends or (written.finished and not text)
    written.doubtful = bool(text) if ends else written.doubtful
    return text


def _add_choice(written: Written, message: Mapping[str, Any], choice: Mapping[str, Any]) -> str:
    written.refusal += text_of(message.get("refusal"))
    written.reasoning.append(thoughts_in(message))
    reason = choice.get("finish_reason")
    written.finish_reason = reason if isinstance(reason, str) and reason else written.finish_reason
    if isinstance(legacy := message.get("function_call"), Mapping):
        written.calls.add_piece("function_call", legacy.get("name"), legacy.get("arguments"))
    return written.add_text(text_of(message.get("content")))


def _choice(written: Written, reply: Any) -> Mapping[str, Any] | None:
    """The first choice, and in a stream the further pieces of that one; `None` where there is no choice at all."""
    choices = list(listed(_member(reply, "choices")))
    if not choices:
        return None
    if written.choice is None:
        written.choice = (choices[0].get("index"),)
    return next((each for each in choices if each.get("index") in (None, *written.choice)), {})


def _member(reply: Any, name: str) -> Any:
    return reply.get(name) if isinstance(reply, Mapping) else None
