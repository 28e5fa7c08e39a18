"""A message of Anthropic's while it is being written, whole or event by event. Nothing in it is trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...concurrency.deadline import END_SECONDS
from ...core.finish_reason import finish_reason
from ...core.text import well_formed
from ...core.usage import Usage
from ...ports.model import Reply, ToolCall
from ..provider.errors import require_no_error
from ..provider.reply import Sender, excerpt, listed, text_of
from ..provider.sse import Event
from ..provider.tool_calls import arguments_from

__all__ = ["MessageWritten"]


@dataclass
class _Block:
    kind: str = "text"
    id: str = ""
    name: str = ""
    text: str = ""
    input: Any = None

    @property
    def is_answer(self) -> bool:
        """Neither thinking nor a call of a tool."""
        return self.kind == "text"

    @property
    def content(self) -> str:
        """The text; of a tool that was called in one piece, the JSON of what it was given."""
        return self.text if self.text or self.input is None else json.dumps(self.input, ensure_ascii=False)


@dataclass
class MessageWritten:
    """A reply while it is being written, by one message or by many events.

    Tool calls without an id are numbered from `first_call` on, so that ids are unique within a conversation. What is
    given to `reply_tool` is the reply.
    """

    model: str
    first_call: int
    endpoint: Sender
    reply_tool: str = ""
    blocks: list[_Block] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    stop_reason: str = ""
    #: Whether text was the last that came: only then is silence a bad sign.
    flowing: bool = False
    finished: bool = False
    #: The event that says how the reply ended tells its tokens, too.
    grace: float = END_SECONDS
    _places: dict[Any, _Block] = field(default_factory=dict)

    @classmethod
    def of(cls, body: Mapping[str, Any], endpoint: Sender) -> MessageWritten:
        """The reply to a call with this body, which may hold answers of tools already."""
        answered = sum(block["type"] == "tool_result" for turn in body["messages"] for block in turn["content"])
        return cls(body["model"], answered, endpoint, body.get("tool_choice", {}).get("name", ""))

    def add_whole(self, message: Any) -> None:
        content = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(content, list):
            require_no_error(message, midway=False)
            wrong = f"the reply holds no answer ({excerpt(message)})"
            raise self.endpoint.error(wrong, "is this a server that speaks Anthropic's Messages API?", retryable=True)
        self._add_facts(message)
        for index, block in enumerate(listed(content)):
            self._open(index, block)
        # A whole message is complete, whether or not it says so.
        self.stop_reason = text_of(message.get("stop_reason")) or "end_turn"

    def add(self, event: Event) -> str:
        """The new text of a streamed event."""
        said = event.data if isinstance(event.data, Mapping) else {}
        kind, index, delta = said.get("type") or event.name, said.get("index"), _mapping(said.get("delta"))
        require_no_error(event.data, midway=True, named=kind)
        self.flowing = bool(delta.get("text"))
        if kind == "message_start":
            self._add_facts(_mapping(said.get("message")))
        elif kind == "content_block_start":
            block = self._open(index, _mapping(said.get("content_block")))
            return block.text if block.is_answer else ""
        elif kind == "content_block_delta":
            kind = "thinking" if "thinking" in delta else "text"
            block = self._places.get(index) or self._open(index, {"type": kind})
            # Signatures come as deltas of another name.
            more = "".join(text_of(delta.get(name)) for name in ("text", "partial_json", "thinking"))
            block.text += more
            return more if block.is_answer else ""
        elif kind == "message_delta":
            self._count(said.get("usage"))
            self.stop_reason = text_of(delta.get("stop_reason")) or self.stop_reason
            self.finished = bool(self.stop_reason)
        elif kind == "message_stop":
            self.finished = True
        return ""

    def _add_facts(self, message: Mapping[str, Any]) -> None:
        self._count(message.get("usage"))
        self.model = text_of(message.get("model")) or self.model

    def _count(self, usage: Any) -> None:
        """The counts so far: each event tells some of them, and the last word holds."""
        usage = _mapping(usage)
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
            value = usage.get(name)
            if isinstance(value, int) and value >= 0:
                self.counts[name] = value
        thinking = _mapping(usage.get("output_tokens_details")).get("thinking_tokens")
        if isinstance(thinking, int) and thinking >= 0:
            self.counts["thinking_tokens"] = thinking

    def _open(self, index: Any, block: Mapping[str, Any]) -> _Block:
        told = {name: block.get(name) for name in ("id", "name", "text")}
        texts = {name: value for name, value in told.items() if isinstance(value, str)}
        opened = _Block(text_of(block.get("type")), **texts, input=block.get("input"))
        opened.text = opened.text or text_of(block.get("thinking"))
        if opened.kind == "tool_use" and self.reply_tool and opened.name == self.reply_tool:
            opened.kind = "text"
        # Some servers give every block the same index, or none.
        self.blocks.append(opened)
        self._places[index] = opened
        return opened

    def cut_off(self) -> Exception:
        wrong = "the stream ended before the reply was complete"
        return self.endpoint.error(wrong, "try again", retryable=True, usage=self._usage())

    def reply(self) -> Reply:
        usage = self._usage()
        content = "".join(block.content for block in self.blocks if block.is_answer)
        reasoning = "\n\n".join(block.text for block in self.blocks if block.kind == "thinking" and block.text)
        called = [block for block in self.blocks if block.kind == "tool_use" and not block.is_answer]
        calls = tuple(
            ToolCall(
                well_formed(block.id) or f"call_{position}",
                well_formed(block.name),
                arguments_from(block.text or block.input),
            )
            for position, block in enumerate(called, self.first_call)
        )
        ended = finish_reason(self.stop_reason, calls=bool(calls))
        thought = reasoning.strip() and ended in ("", "stop")
        if not content.strip() and not calls and not thought:
            raise self._nothing(ended, usage)
        ended = ended or ("tool_calls" if calls else "stop")
        model, reasoning = well_formed(self.model), well_formed(reasoning)
        return Reply(well_formed(content), calls, usage, model, ended, reasoning=reasoning)

    def _usage(self) -> Usage | None:
        """Tokens as users know them from other providers: what came from the cache is a part of the prompt."""
        if "output_tokens" not in self.counts:
            return None
        get = self.counts.get
        cached = get("cache_read_input_tokens", 0)
        return Usage(
            prompt_tokens=get("input_tokens", 0) + cached + get("cache_creation_input_tokens", 0),
            completion_tokens=get("output_tokens", 0),
            cached_tokens=cached,
            reasoning_tokens=get("thinking_tokens", 0),
            cost_usd=0.0 if self.endpoint.free else None,
        )

    def _nothing(self, ended: str, usage: Usage | None) -> Exception:
        """What it used is paid for all the same."""
        if ended == "content_filter":
            return self.endpoint.error("the model refuses to answer", "reword the task", usage=usage)
        if ended == "length":
            wrong = "all output tokens were used before any answer was written"
            return self.endpoint.error(wrong, "allow more output tokens", usage=usage)
        wrong = "the reply is empty"
        return self.endpoint.error(wrong, "try again, or choose another model", retryable=True, usage=usage)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
