"""The transport to a server at an address: streamable HTTP, with a limit for the size of a reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from .address import Target

__all__ = ["Http"]

#: The longest reply from a server, in bytes; and of it one event of a stream.
LONGEST_MESSAGE = 32 * 1024 * 1024
#: Seconds to connect, and seconds without a byte. A call has a limit of its own.
CONNECT, SILENCE = 30.0, 3600.0


class Http:
    """One session at an address; an async context manager, as the client wants it. `ended` is set to end it."""

    def __init__(self, target: Target) -> None:
        self.ended = asyncio.Event()
        self._target = target
        self._stack = AsyncExitStack()
        #: Why this end of the connection closed it.
        self._note = ""

    async def __aenter__(self) -> tuple[Any, Any]:
        client = httpx2.AsyncClient(
            headers=dict(self._target.headers),
            timeout=httpx2.Timeout(CONNECT, read=SILENCE),
            event_hooks={"response": [self._limit]},
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(client)
            streams = await stack.enter_async_context(
                streamable_http_client(self._target.url, http_client=client, max_sse_event_size=LONGEST_MESSAGE)
            )
            self._stack = stack.pop_all()
        return streams

    async def __aexit__(self, *error: Any) -> None:
        self.ended.set()
        await self._stack.__aexit__(*error)

    def kill(self) -> None:
        """Nothing here is a process."""

    @property
    def crashed(self) -> bool:
        """Whether the server ended the connection, not this end."""
        return not self._note

    async def why(self) -> str:
        return self._note

    async def _limit(self, response: httpx2.Response) -> None:
        """Refuse the rest of a JSON reply beyond the limit; streams of events have a limit for each event."""
        if "event-stream" not in response.headers.get("content-type", ""):
            response.stream = _LimitedStream(response.stream, self._refuse)

    def _refuse(self) -> None:
        self._note = f"its reply has more than {LONGEST_MESSAGE:,} bytes, which are read at most; ask it for less"
        raise httpx2.ReadError(self._note)


class _LimitedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, refuse: Callable[[], None]) -> None:
        self._stream = stream
        self._refuse = refuse

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > LONGEST_MESSAGE:
                self._refuse()
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
