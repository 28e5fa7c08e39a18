"""The form of OpenAI's own endpoint: responses, whole or streamed.

Its reasoning models take function tools in no other form. Nothing is stored at the provider.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...core.content import Content
from ..provider.errors import ErrorWithin, failed_within, require_no_error
from ..provider.reply import Written, excerpt, listed, text_of, usage_of
from ..provider.sse import Event
from ..provider.tool_calls import arguments_text, called
from .request import ProviderRequest

__all__ = ["OPTIONAL", "add", "add_whole", "body", "requested"]

#: What a server need not take; what it refuses of it is left out.
OPTIONAL: tuple[str, ...] = ("text", "temperature", "max_output_tokens", "reasoning", "store")
_LAST = ("response.completed", "response.incomplete", "response.failed")


def body(wanted: ProviderRequest) -> dict[str, Any]:
    """The request as it is sent, without what the server does not take."""
    request, form = wanted.request, wanted.format
    sent: dict[str, Any] = {
        "model": wanted.model,
        "input": [item for message in wanted.messages for item in _items(message)],
        "store": False,
        # Tools are strict here unless said otherwise, and strict ones have no optional parameters.
        "tools": [{"type": "function", **tool, "strict": False} for tool in request.tools] or None,
        "text": None if form is None else {"format": form},
        "stream": wanted.streams or None,
        "max_output_tokens": wanted.max_output_tokens,
        "temperature": wanted.temperature,
        "reasoning": None if wanted.reasoning_effort is None else {"effort": wanted.reasoning_effort},
    }
    return {name: value for name, value in sent.items() if value is not None and name not in wanted.refused}


def _items(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A message, and each call and each answer of a tool, is an item of its own."""
    if message["role"] == "tool":
        output = _parts(message["content"])
        yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}
        return
    calls = message.get("tool_calls") or ()
    if message["content"] or not calls:
        yield {"role": message["role"], "content": _parts(message["content"])}
    for call in calls:
        named = {"name": called(call)["name"], "arguments": arguments_text(call)}
        yield {"type": "function_call", "call_id": call.get("id", ""), **named}


def _parts(content: Content) -> Any:
    """Text as it is; texts and images as parts."""
    if isinstance(content, str):
        return content
    return [
        {"type": "input_text", "text": part}
        if isinstance(part, str)
        else {"type": "input_image", "image_url": part.data_url, "detail": "auto"}
        for part in content
    ]


def requested(client: Any) -> Any:
    """What makes the request."""
    return client.responses.with_raw_response.create


def add_whole(written: Written, response: Any) -> None:
    """A reply that is not streamed."""
    output = response.get("output") if isinstance(response, Mapping) else None
    if not isinstance(output, list) or not (output or response.get("status")):
        require_no_error(response, midway=False)
        wrong = f"the reply holds no answer ({excerpt(response)})"
        raise written.endpoint.error(wrong, "does this server speak the Responses API?", retryable=True)
    _end(written, response)
    for index, item in enumerate(listed(output)):
        _add_item(written, index, item)


def add(written: Written, event: Event) -> str:
    """The new text of a streamed event."""
    said = event.data if isinstance(event.data, Mapping) else {}
    kind, delta = said.get("type") or event.name, text_of(said.get("delta"))
    if kind == "response.output_text.delta":
        return written.add_text(delta)
    if kind == "response.refusal.delta":
        written.refusal += delta
    elif kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
        written.reasoning.append(delta)
    elif kind == "response.reasoning_summary_part.added" and written.reasoning:
        written.reasoning.append("\n\n")
    elif kind == "response.function_call_arguments.delta":
        # Some servers give a piece the index alone.
        index = said.get("output_index")
        written.calls.add_piece(said.get("item_id") or written.items.get(index, index), arguments=delta)
        written.flowing = True
    elif kind in ("response.output_item.added", "response.output_item.done"):
        item, ends = said.get("item"), kind.endswith("done")
        if isinstance(item, Mapping) and item.get("id"):
            written.items[said.get("output_index")] = item["id"]
        # Between two items a model may think again.
        written.flowing = written.flowing and not ends
        return _take_item(written, said.get("output_index"), item if isinstance(item, Mapping) else {}, ends=ends)
    elif kind in _LAST:
        response = said.get("response")
        return _finish(written, response if isinstance(response, Mapping) else {})
    elif kind == "error" or said.get("error"):
        require_no_error(said, midway=True, named="error")
    return ""


def _finish(written: Written, response: Mapping[str, Any]) -> str:
    """Takes in the whole that the last event repeats; the text in it that was not streamed."""
    _end(written, response)
    written.finished = True
    unseen = not (any(written.text) or written.refusal)
    texts = []
    for index, item in enumerate(listed(response.get("output"))):
        if item.get("type") == "message" and unseen:
            texts.append(_add_item(written, index, item))
        elif not written.calls.has(item.get("id") or index, item.get("call_id")):
            texts.append(_take_item(written, index, item, ends=True))
    return "".join(texts)


def _take_item(written: Written, index: Any, item: Mapping[str, Any], *, ends: bool) -> str:
    """Takes in an item of a stream; the text in it that was not streamed."""
    kind = item.get("type")
    if kind == "function_call":
        _add_call(written, index, item)
    elif ends and kind == "reasoning" and not any(written.reasoning):
        _add_item(written, index, item)
    elif ends and kind == "message" and not (any(written.text) or written.refusal):
        return _add_item(written, index, item)
    return ""


def _add_item(written: Written, index: Any, item: Mapping[str, Any]) -> str:
    _add_call(written, index, item)
    if item.get("type") == "reasoning":
        summary = [text_of(part) for part in listed(item.get("summary"))]
        written.reasoning.append("\n\n".join(summary) or text_of(item.get("content")))
    parts = list(listed(item.get("content"))) if item.get("type") == "message" else []
    written.refusal += "".join(text_of(part.get("refusal")) for part in parts)
    return written.add_text("".join(map(text_of, parts)))


def _add_call(written: Written, index: Any, item: Mapping[str, Any]) -> None:
    if item.get("type") == "function_call":
        # The finished item repeats the arguments that came piece by piece. The id of the item names the call, since
        # some servers give every item the same index.
        key, name, arguments = item.get("id") or index, item.get("name"), item.get("arguments")
        written.calls.replace(key, name, arguments, call_id=item.get("call_id"))


def _end(written: Written, response: Mapping[str, Any]) -> None:
    """Tokens, model, and how it ended; raises `ModelError` for a reply that failed."""
    written.usage = usage_of(response.get("usage"), "input", "output", written.endpoint) or written.usage
    written.model = text_of(response.get("model")) or written.model
    error = response.get("error")
    if response.get("status") == "failed" or error:
        told = ErrorWithin(error or "it did not say why", midway=True)
        raise failed_within(told, written.endpoint, written.usage)
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    written.finish_reason = text_of(reason) or text_of(response.get("status")) or "stop"
