"""A reply while it is being written, in whatever form it came: text, calls of tools, tokens, how it ended.

Both forms of OpenAI's protocol fill a `Written`; what it may and may not be is decided here, once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...concurrency.deadline import COUNT_SECONDS, DOUBT_SECONDS, END_SECONDS
from ...core.finish_reason import finish_reason
from ...core.text import well_formed
from ...core.usage import Usage
from ...exceptions import ModelError
from ...ports.model import Reply
from .tool_calls import CallsWritten

__all__ = ["Sender", "Written", "count", "excerpt", "listed", "text_of", "thoughts_in", "usage_of"]


class Sender(Protocol):
    """Who writes the reply: an endpoint, or a callable."""

    @property
    def free(self) -> bool: ...

    def error(self, wrong: str, advice: str, **facts: Any) -> ModelError: ...


@dataclass
class Written:
    """What has been written so far.

    Tool calls without an id are numbered from `first_call` on, so that ids are unique within a conversation.
    """

    model: str
    first_call: int
    endpoint: Sender
    offered: Collection[str] = ()
    usage: Usage | None = None
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: str = ""
    calls: CallsWritten = field(init=False)
    finish_reason: str = ""
    #: The index of the choice that is read, once there is one.
    choice: tuple[Any] | None = None
    #: The ids of items, by their index in the output.
    items: dict[Any, str] = field(default_factory=dict)
    #: Text or arguments are coming in: from here on a long silence is a broken stream, and not a model that thinks.
    flowing: bool = False
    #: The reply is complete. Nothing but its usage can follow, and nothing that follows can spoil it.
    finished: bool = False
    #: Text came together with the reason to finish. Some servers give a reason with each piece.
    doubtful: bool = False

    def __post_init__(self) -> None:
        self.calls = CallsWritten(self.offered)

    @property
    def grace(self) -> float:
        """How long to wait for what may follow a complete reply."""
        if self.doubtful:
            return DOUBT_SECONDS
        return COUNT_SECONDS if self.usage is None else END_SECONDS

    def add_text(self, text: str) -> str:
        self.text.append(text)
        self.flowing = self.flowing or bool(text)
        return text

    def cut_off(self) -> Exception:
        return self.endpoint.error(
            "the stream ended before the reply was complete", "try again", retryable=True, usage=self.usage
        )

    def reply(self) -> Reply:
        """The whole; raises `ModelError` for one that holds nothing, with what it has used all the same."""
        content, reasoning = well_formed("".join(self.text)), well_formed("".join(self.reasoning))
        ended = finish_reason(self.finish_reason, calls=bool(self.calls))
        if ended == "error":
            raise self._error("the server ended the reply with an error", "try again later", retryable=True)
        thought = reasoning.strip() and ended in ("", "stop")
        if not content.strip() and not self.calls and (self.refusal or not thought):
            raise self._nothing(ended)
        calls = self.calls.calls(self.first_call)
        ended = ended or ("tool_calls" if calls else "stop")
        return Reply(content, calls, self.usage, well_formed(self.model), ended, reasoning=reasoning)

    def _nothing(self, ended: str) -> Exception:
        if self.refusal:
            return self._error(f"the model refuses ({self.refusal})", "reword the task")
        if ended == "length":
            return self._error(
                "all output tokens were used before any answer was written",
                "allow more output tokens, or ask for less reasoning",
            )
        if ended == "content_filter":
            return self._error("the provider's content filter removed the answer", "reword the task")
        return self._error("the reply is empty", "try again, or choose another model", retryable=True)

    def _error(self, wrong: str, advice: str, *, retryable: bool = False) -> Exception:
        return self.endpoint.error(wrong, advice, retryable=retryable, usage=self.usage)


def count(raw: Any, name: str) -> int:
    """A number of tokens out of whatever a server calls its usage; nobody is given tokens back."""
    value = raw.get(name) if isinstance(raw, Mapping) else None
    return max(0, value) if isinstance(value, int) else 0


def usage_of(raw: Any, read: str, written: str, sender: Sender) -> Usage | None:
    """Tokens as the provider counted them, under its words for what was read and written.

    The price is known only where there is none. `None` where nothing was counted.
    """
    if not isinstance(raw, Mapping):
        return None
    return Usage(
        prompt_tokens=count(raw, f"{read}_tokens"),
        completion_tokens=count(raw, f"{written}_tokens"),
        cached_tokens=count(raw.get(f"{read}_tokens_details"), "cached_tokens"),
        reasoning_tokens=count(raw.get(f"{written}_tokens_details"), "reasoning_tokens"),
        cost_usd=0.0 if sender.free else None,
    )


def excerpt(reply: Any) -> str:
    """The beginning of what came in place of a reply."""
    return str(reply)[:200]


def listed(value: Any) -> Iterator[Mapping[str, Any]]:
    """The mappings in what should be a list of them."""
    return (each for each in (value if isinstance(value, list | tuple) else ()) if isinstance(each, Mapping))


def text_of(content: Any) -> str:
    """The text of a message's content, which some servers give as a list of parts; thoughts are no part of it."""
    if isinstance(content, list | tuple):
        return "".join(text_of(each) for each in content)
    if isinstance(content, Mapping):
        return "" if "thinking" in content or _is_thought(content) else text_of(content.get("text"))
    return content if isinstance(content, str) else ""


def thoughts_in(message: Mapping[str, Any]) -> str:
    """What a message tells of the model's reasoning. Some servers tell it twice, under two names."""
    told = (_thought(message.get(name)) for name in ("reasoning_content", "reasoning", "thinking", "reasoning_details"))
    return next((text for text in told if text), "") or _thought(
        [each for each in listed(message.get("content")) if "thinking" in each or _is_thought(each)]
    )


def _is_thought(block: Mapping[str, Any]) -> bool:
    return str(block.get("type", "")).startswith(("thinking", "reasoning", "redacted_thinking"))


def _thought(given: Any) -> str:
    if isinstance(given, list | tuple):
        return "".join(_thought(each) for each in given)
    if isinstance(given, Mapping):
        names = ("text", "thinking", "summary", "content", "reasoning_content")
        return next((text for name in names if (text := _thought(given.get(name)))), "")
    return given if isinstance(given, str) else ""
