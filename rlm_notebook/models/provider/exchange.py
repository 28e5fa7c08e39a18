"""What comes back for one request: a stream of events, or a whole, whichever was asked for.

Once a reply is complete, what happens to its connection is of no more interest: servers and proxies let it linger, cut
it off, reset it, or send something odd. It is waited for a moment, for the tokens used and so that the connection can
be used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from ...concurrency.deadline import Deadline, Pieces
from ...core.text import Halves
from ...ports.model import Reply
from .reply import Sender
from .sse import END, Event, Whole, events

__all__ = ["StreamTimeout", "Writing", "reply_of", "steadily"]

#: The call's own deadline must not end what is complete.
BEFORE_DEADLINE = 0.1


class Writing(Protocol):
    """A reply while it is being written.

    `flowing` while it should go on coming, `finished` once it is complete; for what may follow then, `grace` seconds
    are waited.
    """

    @property
    def flowing(self) -> bool: ...
    @property
    def finished(self) -> bool: ...
    @property
    def grace(self) -> float: ...
    def cut_off(self) -> Exception: ...
    def reply(self) -> Reply: ...


@dataclass(frozen=True, slots=True)
class StreamTimeout:
    """How long is waited for the next event: `stall` seconds while text is flowing, and never past the deadline."""

    stall: float | None
    deadline: Deadline

    def seconds(self, written: Writing) -> float | None:
        if not written.finished:
            # Before the first text a model may think for minutes, and a server may load it.
            return self.stall if written.flowing else None
        return max(0.0, min(written.grace, self.deadline.left - BEFORE_DEADLINE))


async def reply_of(
    response: Any,
    written: Writing,
    add: Callable[[Event], str],
    add_whole: Callable[[Any], None],
    timeout: StreamTimeout,
    endpoint: Sender,
    *,
    streaming: bool,
) -> Pieces:
    """The new text of each event as it comes (if it was to be streamed), then the reply."""
    halves, whole, ended = Halves(), False, False
    async with aclosing(events(response)) as coming, aclosing(steadily(coming, written, timeout, endpoint)) as steady:
        async for event in steady:
            if isinstance(event, Whole):
                add_whole(event.data)
                whole = True
                break
            if event is END:
                ended = True
                break
            try:
                text = halves.add(add(event))
            except Exception:
                if written.finished:
                    break
                raise
            if text and streaming:
                yield text
    if not (whole or ended or written.finished):
        raise written.cut_off()
    reply = written.reply()
    rest = reply.content if whole else halves.rest()
    if rest and streaming:
        yield rest
    yield reply


async def steadily(
    coming: AsyncIterator[Any], written: Writing, timeout: StreamTimeout, endpoint: Sender
) -> AsyncGenerator[Any, None]:
    """The same events; raises a retryable `ModelError` for a silence of more seconds than there is timeout for."""
    while True:
        seconds = timeout.seconds(written)
        timer = asyncio.timeout(seconds)
        try:
            async with timer:
                event = await anext(coming)
        except StopAsyncIteration:
            return
        except Exception as error:
            if written.finished:
                return
            if not (isinstance(error, TimeoutError) and timer.expired()):
                raise
            wrong = f"the stream stalled, nothing came for {seconds:g} s"
            raise endpoint.error(wrong, "try again", retryable=True) from None
        yield event
