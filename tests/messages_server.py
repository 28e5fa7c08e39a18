"""A server on 127.0.0.1 that speaks Anthropic's Messages API, with the scripts and misbehaviours of `FaultServer`.

An `Act` means the same here: its content, tool calls and usage become a message, or the events of one.

    async with MessagesServer([Act(status=529)]) as server:
        AnthropicModel("m", base_url=server.url)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.fault_server import Act, FaultServer, Seen

STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "stop": "end_turn", "content_filter": "refusal"}


def refusal(status: int, message: str, kind: str, *, headers: dict[str, str] | None = None) -> Act:
    """An error in the form that Anthropic gives it."""
    error = {"type": "error", "error": {"type": kind, "message": message}}
    return Act(status=status, body=error, headers=headers or {})


@dataclass(frozen=True)
class MessageSeen(Seen):
    """A request of the Messages API."""

    @property
    def is_call(self) -> bool:
        return self.path.partition("?")[0].endswith("/v1/messages")

    @property
    def last_user_text(self) -> str:
        turns = [turn["content"] for turn in self.body.get("messages", ()) if turn["role"] == "user"]
        return "".join(block.get("text", "") for block in turns[-1]) if turns else ""

    @property
    def wants_plan(self) -> bool:
        told = [self.body.get(name) for name in ("output_config", "system", "tools")]
        return '"decision"' in json.dumps(told).replace("\\", "")

    @property
    def forced_tool(self) -> str:
        return str(self.body.get("tool_choice", {}).get("name", ""))


class MessagesServer(FaultServer):
    reads = MessageSeen

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _act(self, seen: Seen) -> Act:
        act = super()._act(seen)
        if act.body is not None or act.chunks is not None:
            return act
        assert isinstance(seen, MessageSeen)
        message = _message(act, seen)
        if seen.streaming:
            return replace(act, chunks=[_event(event) for event in _events(message, act)])
        return replace(act, body=message)


def _message(act: Act, seen: MessageSeen) -> dict[str, Any]:
    return {
        "id": f"msg_{seen.index}",
        "type": "message",
        "role": "assistant",
        "model": seen.body.get("model", ""),
        "content": list(_blocks(act, seen)),
        "stop_reason": STOP_REASONS[act.finish_reason or ("tool_calls" if act.tool_calls else "stop")],
        "stop_sequence": None,
        **({} if act.usage is None else {"usage": _usage(act.usage)}),
    }


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's counts as Anthropic counts: what came from the cache stands beside the rest of the prompt."""
    cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    return {
        "input_tokens": usage["prompt_tokens"] - cached,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage["completion_tokens"],
    }


def _blocks(act: Act, seen: MessageSeen) -> Iterator[dict[str, Any]]:
    if seen.forced_tool and act.content:
        yield {"type": "tool_use", "id": "toolu_reply", "name": seen.forced_tool, "input": json.loads(act.content)}
        return
    if act.content:
        yield {"type": "text", "text": act.content}
    for call in act.tool_calls:
        function = call["function"]
        yield {
            "type": "tool_use",
            "id": call["id"],
            "name": function["name"],
            "input": json.loads(function["arguments"]),
        }


def _event(event: Mapping[str, Any]) -> str:
    """The data of an event, and its name: the order of an event's lines does not matter."""
    return f"{json.dumps(event)}\nevent: {event['type']}"


def _events(message: Mapping[str, Any], act: Act) -> Iterator[dict[str, Any]]:
    opened = {**message, "content": [], "stop_reason": None}
    if "usage" in opened:
        opened["usage"] = {**opened["usage"], "output_tokens": 1}
    yield {"type": "message_start", "message": opened}
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        yield from _block_events(index, block, act.piece)
    usage = {"usage": {"output_tokens": message["usage"]["output_tokens"]}} if "usage" in message else {}
    yield {"type": "message_delta", "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None}, **usage}
    yield {"type": "message_stop"}


def _block_events(index: int, block: Mapping[str, Any], piece: int) -> Iterator[dict[str, Any]]:
    is_text = block["type"] == "text"
    text = block["text"] if is_text else json.dumps(block["input"], ensure_ascii=False)
    empty = {**block, "text": ""} if is_text else {**block, "input": {}}
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    for start in range(0, len(text), piece):
        more = text[start : start + piece]
        delta = {"type": "text_delta", "text": more} if is_text else {"type": "input_json_delta", "partial_json": more}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}
