"""The two forms of OpenAI's protocol as a server speaks them: what a request asks for, and how an `Act` is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Event = dict[str, Any] | str


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; `index` counts the calls of models from 0, `at` is the server's clock."""

    index: int
    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes = b""
    at: float = 0.0

    @property
    def is_chat(self) -> bool:
        return self.path.partition("?")[0].endswith("/chat/completions")

    @property
    def is_responses(self) -> bool:
        return self.path.partition("?")[0].endswith("/responses")

    @property
    def is_call(self) -> bool:
        return self.is_chat or self.is_responses

    @property
    def streaming(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What has a role and a content, in either form."""
        return [item for item in self.body.get("messages", self.body.get("input", ())) if "role" in item]

    @property
    def form(self) -> dict[str, Any]:
        """The wanted form of the reply, as responses write it: {"type", "name", "schema", "strict"}, or {}."""
        if self.is_responses:
            return dict(self.body.get("text", {}).get("format", {}))
        given = dict(self.body.get("response_format", {}))
        return given | given.pop("json_schema", {})

    @property
    def effort(self) -> str | None:
        return self.body.get("reasoning_effort", self.body.get("reasoning", {}).get("effort"))

    @property
    def last_user_text(self) -> str:
        texts = [message["content"] for message in self.messages if message["role"] == "user"]
        return str(texts[-1]) if texts else ""

    @property
    def wants_plan(self) -> bool:
        system = [message["content"] or "" for message in self.messages if message["role"] == "system"]
        return '"decision"' in json.dumps(self.form) or "decision" in " ".join(system)


@dataclass(frozen=True)
class Act:
    """What one request gets: by default a good answer from the server's brain.

    `delay` is in seconds before the first byte, `drip` in seconds per byte. `broken` happens after `after` streamed
    pieces (or half of a plain body): "reset" (RST), "cut" (clean end without the rest), "hang" (nothing more comes).
    `usage` and `tool_calls` are given as chat completions write them, and are told in the form that was asked in.
    """

    content: str | None = None
    tool_calls: Sequence[dict[str, Any]] = ()
    finish_reason: str | None = None
    refusal: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | bytes | dict[str, Any] | None = None
    content_type: str = "application/json"
    delay: float = 0.0
    drip: float = 0.0
    broken: Literal["reset", "cut", "hang"] | None = None
    after: int = 2
    piece: int = 8
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        }
    )
    chunks: Sequence[Event] | None = None  # the exact events of a stream

    @property
    def finish(self) -> str:
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    @property
    def pieces(self) -> Iterator[str]:
        text = self.content or ""
        return (text[start : start + self.piece] for start in range(0, len(text), self.piece))


def whole(act: Act, seen: Seen) -> dict[str, Any]:
    """The reply to a request that is not streamed."""
    return _response(act, seen) if seen.is_responses else _completion(act, seen)


def events(act: Act, seen: Seen) -> Iterator[Event]:
    """What is streamed."""
    if act.chunks is not None:
        yield from act.chunks
    elif seen.is_responses:
        for number, event in enumerate(_response_events(act, seen)):
            yield {**event, "sequence_number": number}
    else:
        yield from _chunks(act, seen)


def encoded(event: Event) -> bytes:
    """A server-sent event; responses name their kind twice."""
    kind = event.get("type") if isinstance(event, dict) else None
    text = event if isinstance(event, str) else json.dumps(event)
    return f"event: {kind}\ndata: {text}\n\n".encode() if kind else f"data: {text}\n\n".encode()


# -- chat completions ------------------------------------------------------------------------------------------------


def _completion(act: Act, seen: Seen) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": act.content}
    if act.refusal is not None:
        message["refusal"] = act.refusal
    if act.tool_calls:
        message["tool_calls"] = list(act.tool_calls)
    completion = {
        "id": f"chatcmpl-{seen.index}",
        "object": "chat.completion",
        "created": 0,
        "model": seen.body.get("model", ""),
        "choices": [{"index": 0, "message": message, "finish_reason": act.finish}],
    }
    return completion if act.usage is None else {**completion, "usage": act.usage}


def _chunks(act: Act, seen: Seen) -> Iterator[Event]:
    common = {"id": f"chatcmpl-{seen.index}", "object": "chat.completion.chunk", "created": 0}
    common["model"] = seen.body.get("model", "")
    for delta in _deltas(act):
        yield {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**common, "choices": [{"index": 0, "delta": {}, "finish_reason": act.finish}]}
    if act.usage is not None and seen.body.get("stream_options", {}).get("include_usage"):
        yield {**common, "choices": [], "usage": act.usage}
    yield "[DONE]"


def _deltas(act: Act) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    if act.refusal is not None:
        yield {"refusal": act.refusal}
    for piece in act.pieces:
        yield {"content": piece}
    for index, call in enumerate(act.tool_calls):
        function = call["function"]
        named = {"index": index, "id": call["id"], "type": "function"}
        yield {"tool_calls": [{**named, "function": {"name": function["name"], "arguments": ""}}]}
        for piece in _in_fours(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _in_fours(text: str) -> Iterator[str]:
    return (text[start : start + 4] for start in range(0, len(text), 4))


# -- responses -------------------------------------------------------------------------------------------------------


def _response(act: Act, seen: Seen) -> dict[str, Any]:
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(act.finish)
    return {
        "id": f"resp_{seen.index}",
        "object": "response",
        "created_at": 0,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "error": None,
        "model": seen.body.get("model", ""),
        "output": list(_items(act)),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": _response_usage(act.usage),
    }


def _response_usage(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": usage.get("prompt_tokens_details", {"cached_tokens": 0}),
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": usage.get("completion_tokens_details", {"reasoning_tokens": 0}),
        "total_tokens": usage["total_tokens"],
    }


def _items(act: Act) -> Iterator[dict[str, Any]]:
    yield {"type": "reasoning", "id": "rs_0", "summary": []}
    if act.content or act.refusal is not None:
        yield {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "content": [_part(act)]}
    for number, call in enumerate(act.tool_calls):
        function = {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
        named = {"id": f"fc_{number}", "call_id": call["id"], "status": "completed"}
        yield {"type": "function_call", **named, **function}


def _part(act: Act) -> dict[str, Any]:
    if act.refusal is not None:
        return {"type": "refusal", "refusal": act.refusal}
    return {"type": "output_text", "text": act.content, "annotations": []}


def _response_events(act: Act, seen: Seen) -> Iterator[dict[str, Any]]:
    response = _response(act, seen)
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        at = {"output_index": index, "item_id": item["id"]}
        empty = {"content": []} if item["type"] == "message" else {"arguments": ""} if "arguments" in item else {}
        yield {"type": "response.output_item.added", "output_index": index, "item": {**item, **empty}}
        for kind, delta in _item_deltas(act, item):
            yield {"type": f"response.{kind}.delta", **at, "content_index": 0, "logprobs": [], "delta": delta}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{response['status']}", "response": response}


def _item_deltas(act: Act, item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if item["type"] == "function_call":
        yield from (("function_call_arguments", piece) for piece in _in_fours(item["arguments"]))
    elif item["type"] == "message" and act.refusal is not None:
        yield "refusal", act.refusal
    elif item["type"] == "message":
        yield from (("output_text", piece) for piece in act.pieces)
