"""Replies and events of the SDKs of providers, as callables return them: objects, or plain mappings.

They are told by their shape, so neither SDK is needed, and what imitates one of them is read as well. The adapter that
reads a form is imported for the first reply in it: most callables return texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...exceptions import ModelError
from ...ports.model import Reply, Request
from ..provider.exchange import Writing
from ..provider.reply import Written, listed
from ..provider.sse import Event

__all__ = ["Caller", "events_of", "plain", "sdk_reply"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A callable, as the one who writes a reply."""

    name: str
    free: bool = False

    def error(self, wrong: str, advice: str, **facts: Any) -> ModelError:
        return ModelError(f"{self.name}: {wrong}; {advice}", **facts)


def plain(value: Any) -> Any:
    """An object of an SDK as a mapping, and a list of them; anything else as it is."""
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    dump = getattr(type(value), "model_dump", None)
    if dump is None or isinstance(value, type):
        return value
    dumped = value.model_dump(warnings=False)
    return dumped if isinstance(dumped, Mapping) else value


def sdk_reply(given: Mapping[str, Any], request: Request, name: str) -> Reply | None:
    """The reply in a completion, a response or a message; `None` if it is none of these."""
    kind = _kind_of(given)
    if kind is None:
        return None
    written, _, add_whole = _writing(kind, request, name)
    add_whole({"choices": [{"message": given}]} if kind == "part" else given)
    return written.reply()


def events_of(given: Mapping[str, Any], request: Request, name: str) -> tuple[Writing, Callable[[Event], str]] | None:
    """What takes in the events of a stream, if this is one of them."""
    kind = _kind_of_event(given)
    if kind is None:
        return None
    written, add, _ = _writing(kind, request, name)
    return written, add


def _kind_of(given: Mapping[str, Any]) -> str | None:
    content = given.get("content")
    if isinstance(given.get("choices"), list):
        return "chat"
    if isinstance(given.get("output"), list):
        return "responses"
    if given.get("type") == "message" and isinstance(content, list):
        return "messages"
    parts = list(listed(content)) if isinstance(content, list) and len(list(listed(content))) == len(content) else []
    if any(each.get("type") in ("tool_use", "thinking") for each in parts):
        return "messages"
    return "part" if parts or given.get("refusal") or given.get("function_call") else None


def _kind_of_event(given: Mapping[str, Any]) -> str | None:
    choices, kind = given.get("choices"), given.get("type")
    if given.get("object") == "chat.completion.chunk":
        return "chat"
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) and "delta" in choices[0]:
        return "chat"
    if isinstance(kind, str) and kind.startswith("response."):
        return "responses"
    if isinstance(kind, str) and kind.startswith(("message_", "content_block_")):
        return "messages"
    return None


def _writing(kind: str, request: Request, name: str) -> tuple[Writing, Callable[[Event], str], Callable[[Any], None]]:
    answered = sum(message["role"] == "tool" for message in request.messages)
    caller = Caller(name)
    if kind == "messages":
        from ..anthropic.reply import MessageWritten

        message = MessageWritten(name, answered, caller)
        return message, message.add, message.add_whole
    written = Written(name, answered, caller, {tool["name"] for tool in request.tools})
    from ..openai import chat, responses

    wire: Any = responses if kind == "responses" else chat
    return written, partial(wire.add, written), partial(wire.add_whole, written)
