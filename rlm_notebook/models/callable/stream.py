"""What a callable that streams has told so far: pieces of text, the events of an SDK, or the whole at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...concurrency.deadline import COUNT_SECONDS
from ...core.text import Halves
from ...ports.model import Reply, Request
from ..provider.exchange import Writing
from ..provider.sse import Event
from .reply import reply_from, unexpected
from .sdk_reply import Caller, events_of, plain

__all__ = ["Told"]


class Told:
    """Takes in the pieces; it is a `Writing`, whose reply is complete once the whole, or the last event, has come."""

    flowing = False

    def __init__(self, request: Request, name: str) -> None:
        self.caller = Caller(name)
        self._request = request
        self._name = name
        self._text: list[str] = []
        self._halves = Halves()
        self._whole: Any = None
        self._events: tuple[Writing, Callable[[Event], str]] | None = None

    @property
    def finished(self) -> bool:
        return self._whole is not None or (self._events is not None and self._events[0].finished)

    @property
    def grace(self) -> float:
        return COUNT_SECONDS if self._events is None else self._events[0].grace

    def add(self, piece: Any) -> str:
        """The new text."""
        if self._whole is not None:
            raise unexpected(self._name, piece, "nothing after the mapping that holds the whole reply")
        if isinstance(piece, str):
            return self._added(piece)
        given = plain(piece)
        if isinstance(given, Mapping):
            self._events = self._events or events_of(given, self._request, self._name)
            if self._events is not None:
                return self._added(self._events[1](Event(str(given.get("type") or ""), given)))
        self._whole = piece
        return ""

    def rest(self) -> str:
        """What was held back of the text."""
        return self._halves.rest()

    def reply(self) -> Reply:
        if self._events is not None:
            written = self._events[0]
            if not written.finished and not self._text:
                raise written.cut_off()
            return written.reply()
        text, whole = "".join(self._text), self._whole
        if isinstance(whole, Mapping) and whole.get("content") is None:
            whole = {**whole, "content": text}
        return reply_from(text if whole is None else whole, self._request, self._name)

    def cut_off(self) -> Exception:
        return self.caller.error("the stream ended before the reply was complete", "try again", retryable=True)

    def _added(self, piece: str) -> str:
        self._text.append(piece)
        return self._halves.add(piece)
