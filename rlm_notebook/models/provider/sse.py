"""A body as a stream of server-sent events, read in bytes; and a body that is none of that.

The SDKs decode streams themselves, but take whatever is no event for silence: a server that answers a streaming request
with one JSON object, or with a web page, seems to say nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, NamedTuple

from .http_clients import let_go

__all__ = ["END", "Event", "NotJSON", "Whole", "decoded", "events"]


class Event(NamedTuple):
    """An event of a stream: its name, if it has one, and what its data decodes to."""

    name: str
    data: Any


#: The end, as a server announces it.
END = Event("[DONE]", None)


class Whole(NamedTuple):
    """A body that is no stream, decoded."""

    data: Any


class NotJSON(ValueError):
    """What came is no JSON; `text` is its beginning."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(problem)
        self.text = text


_LINE = re.compile(rb"\r\n|\n|\r(?!\Z)")
#: How a body begins that is JSON, or a web page.
_NO_EVENTS = (b"{", b"[", b"<")


async def events(response: Any) -> AsyncGenerator[Event | Whole, None]:
    """The events of an open response, up to `END`; or one `Whole`, if it is no stream.

    Raises `NotJSON`, and what the transport raises.
    """
    decoder = _Decoder()
    try:
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                for event in decoder.add(chunk):
                    yield event
                    if event is END:
                        return
        for last in decoder.end():
            yield last
    finally:
        await response.aclose()
        await let_go()


class _Decoder:
    """From bytes to events."""

    def __init__(self) -> None:
        self._bytes = b""
        self._body: list[bytes] = []
        self._is_stream: bool | None = None
        self._name = ""
        self._data: list[bytes] = []

    def add(self, chunk: bytes) -> Iterator[Event]:
        if self._is_stream is False:
            self._body.append(chunk)
            return
        self._bytes += chunk
        if self._is_stream is None and (start := self._bytes.lstrip(b"\xef\xbb\xbf \t\r\n")):
            self._is_stream = not start.startswith(_NO_EVENTS)
        if self._is_stream:
            *lines, self._bytes = _LINE.split(self._bytes)
            for line in lines:
                yield from self._line(line)

    def end(self) -> Iterator[Event | Whole]:
        if self._is_stream is False:
            yield from _whole(b"".join((self._bytes, *self._body)))
            return
        for line in (self._bytes.rstrip(b"\r"), b""):
            yield from self._line(line)

    def _line(self, line: bytes) -> Iterator[Event]:
        if not line:
            name, data = self._name, b"\n".join(self._data)
            self._name, self._data = "", []
            if data.strip() == b"[DONE]":
                yield END
            elif data.strip():
                yield from _events(name, data)
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        elif line.lstrip()[:1] == b"{":
            # Behind comments that keep a connection alive, some servers send a plain body.
            self._data.append(line)
        elif field == b"error":
            # No field of the standard, but what some servers write when they fail in the middle.
            self._name = "error"
            self._data.append(value.removeprefix(b" "))
        elif field == b"event":
            self._name = value.strip().decode("utf-8", "replace")


def _whole(body: bytes) -> Iterator[Event | Whole]:
    """A body that is no stream of events; or one with an event in each line."""
    try:
        yield Whole(decoded(body))
    except NotJSON:
        lines = [line for line in body.split(b"\n") if line.strip()]
        if len(lines) == 1 or not all(line.startswith(b"{") for line in lines):
            raise
        yield from (Event("", decoded(line)) for line in lines)
        yield END


def _events(name: str, data: bytes) -> Iterator[Event]:
    """The event in some data; or those in its lines, where a server leaves out the empty lines between them."""
    try:
        yield Event(name, decoded(data))
    except NotJSON:
        lines = [line for line in data.split(b"\n") if line.strip()]
        if len(lines) == 1:
            raise
        for line in lines:
            yield END if line.strip() == b"[DONE]" else Event(name, decoded(line))


def decoded(body: bytes) -> Any:
    """The JSON value of a body; raises `NotJSON`."""
    text = body.decode("utf-8-sig", "replace")
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        raise NotJSON(" ".join(text[:2_000].split())[:200], f"{type(error).__name__}: {error}") from None
