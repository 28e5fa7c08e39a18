"""A reply while it is being written, in whatever form it came: text, calls of tools, tokens, how it ended.

Both forms of OpenAI's protocol fill a `Written`; what it may and may not be is decided here, once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..core.limits import Usage
from ..ports import Reply, ToolCall
from .openai_errors import Target

__all__ = ["Written", "count", "excerpt", "steadily"]


@dataclass
class Written:
    """What has been written so far.

    Tool calls without an id are numbered from `first_call` on, so that ids are unique within a conversation.
    """

    model: str
    first_call: int
    target: Target
    usage: Usage | None = None
    text: list[str] = field(default_factory=list)
    refusal: str = ""
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    finish_reason: str = ""
    #: Text or arguments are coming in: from here on a long silence is a broken stream, and not a model that thinks.
    flowing: bool = False

    def add_text(self, text: str) -> str:
        self.text.append(text)
        self.flowing = self.flowing or bool(text)
        return text

    def call_at(self, index: int, call_id: str | None) -> dict[str, Any]:
        """The call that a delta belongs to. Some servers give every call the same index, but another id."""
        known = self.calls.get(index)
        if known is not None and call_id and known["id"] not in ("", call_id):
            index = next((at for at, slot in self.calls.items() if slot["id"] == call_id), max(self.calls) + 1)
        slot = self.calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        slot["id"] = slot["id"] or call_id or ""
        self.flowing = True
        return slot

    def cut_off(self) -> Exception:
        return self.target.error(
            "the stream ended before the reply was complete", "try again", retryable=True, usage=self.usage
        )

    def reply(self) -> Reply:
        """The whole; raises `ModelError` for one that holds nothing, with what it has used all the same."""
        content = "".join(self.text)
        if not content.strip() and not self.calls:
            raise self._nothing()
        calls = tuple(_tool_call(self.first_call + at, slot) for at, (_, slot) in enumerate(sorted(self.calls.items())))
        return Reply(content, calls, self.usage, self.model, self.finish_reason or "stop")

    def _nothing(self) -> Exception:
        if self.refusal:
            return self._error(f"the model refuses ({self.refusal})", "reword the task")
        if self.finish_reason == "length":
            return self._error(
                "all output tokens were used before any answer was written",
                "allow more output tokens, or ask for less reasoning",
            )
        if self.finish_reason == "content_filter":
            return self._error("the provider's content filter removed the answer", "reword the task")
        return self._error("the reply is empty", "try again, or choose another model", retryable=True)

    def _error(self, wrong: str, advice: str, *, retryable: bool = False) -> Exception:
        return self.target.error(wrong, advice, retryable=retryable, usage=self.usage)


def _tool_call(position: int, slot: Mapping[str, Any]) -> ToolCall:
    arguments = slot["arguments"] or {}
    if isinstance(arguments, str):
        try:
            decoded = json.loads(arguments)
        except ValueError:
            decoded = None
        arguments = decoded if isinstance(decoded, dict) else arguments
    return ToolCall(slot["id"] or f"call_{position}", slot["name"], arguments)


def count(raw: Any, name: str) -> int:
    """A number of tokens out of whatever a server calls its usage; nobody is given tokens back."""
    value = raw.get(name) if isinstance(raw, dict) else getattr(raw, name, None)
    return max(0, value) if isinstance(value, int) else 0


def excerpt(reply: Any) -> str:
    """The beginning of what came in place of a reply; some gateways report a failure with status 200."""
    return str(getattr(reply, "error", None) or reply)[:200]


class Flowing(Protocol):
    """A reply while it is being written; `flowing` while it should go on coming."""

    flowing: bool


async def steadily(events: Any, written: Flowing, seconds: float | None, target: Target) -> AsyncIterator[Any]:
    """The same events; raises a retryable `ModelError` for a silence of so many seconds while text is flowing.

    Before the first text a model may think for minutes, and a server may load it: only the deadline bounds that.
    """
    following: Callable[[], Any] = aiter(events).__anext__
    while True:
        timer = asyncio.timeout(seconds if written.flowing else None)
        try:
            async with timer:
                event = await following()
        except StopAsyncIteration:
            return
        except TimeoutError:
            if not timer.expired():
                raise
            wrong = f"the stream stalled, nothing came for {seconds:g} s"
            raise target.error(wrong, "try again", retryable=True) from None
        yield event
