"""SDK clients and their lifetimes: one for each event loop and endpoint, closed with the loop.

A client is bound to the loop that it first ran in. It has to outlive single calls (connections are reused) and to be
closed before its loop is. Nobody tells a library when a loop ends, but a loop does close the asynchronous generators
that were started in it: so each client is held by one. Loops that are never shut down are looked after at exit.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import functools
import importlib
import ipaddress
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["Endpoint", "client_for", "is_loopback", "without_credentials"]

CONNECT_SECONDS = 5.0
KEEPALIVE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to call, and with which key; credentials in the URL become a header, as the SDK's transports disagree.

    Its `repr` shows no secret.
    """

    url: str = field(repr=False)
    key: str = field(repr=False)
    max_connections: int

    @property
    def shown_url(self) -> str:
        return without_credentials(self.url)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query))

    @property
    def headers(self) -> dict[str, str]:
        parts = urlsplit(self.url)
        if parts.username is None:
            return {}
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def without_credentials(url: str) -> str:
    """The URL without "user:password@" and without its query, which may hold a key."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def is_loopback(url: str) -> bool:
    """Whether the URL leads to this very machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_Key = tuple[asyncio.AbstractEventLoop, Endpoint]
_open: dict[_Key, tuple[AsyncOpenAI, AsyncGenerator[AsyncOpenAI, None]]] = {}


async def client_for(endpoint: Endpoint) -> AsyncOpenAI:
    """The running loop's client for this endpoint, made on first use."""
    key = (asyncio.get_running_loop(), endpoint)
    if key not in _open:
        _close_at_exit()
        _close_all(only_of_closed_loops=True)
        lifetime = _lifetime(key)
        _open[key] = (await anext(lifetime), lifetime)
    return _open[key][0]


async def _lifetime(key: _Key) -> AsyncGenerator[AsyncOpenAI, None]:
    client = _connected(key[1])
    try:
        yield client
    finally:
        _open.pop(key, None)
        await client.close()


def _connected(endpoint: Endpoint) -> AsyncOpenAI:
    import openai

    return openai.AsyncOpenAI(
        api_key=endpoint.key,
        base_url=endpoint.shown_url,
        default_headers=endpoint.headers,
        default_query=endpoint.query,
        max_retries=0,
        timeout=openai.Timeout(None, connect=CONNECT_SECONDS),
        http_client=_transport(endpoint),
    )


def _transport(endpoint: Endpoint) -> Any:
    """aiohttp's transport where it is installed: four times the calls a second of the default one."""
    import openai

    # The SDK is built on httpx up to version 2, on httpx2 from version 3 on.
    http = importlib.import_module(openai.DefaultAsyncHttpxClient.__base__.__module__.partition(".")[0])
    limits = http.Limits(
        max_connections=endpoint.max_connections,
        max_keepalive_connections=endpoint.max_connections,
        keepalive_expiry=KEEPALIVE_SECONDS,
    )
    # A proxy of the environment cannot reach this machine's own servers.
    options: dict[str, Any] = {"limits": limits, "trust_env": not is_loopback(endpoint.url)}
    try:
        return openai.DefaultAioHttpClient(**options)
    except RuntimeError:
        return openai.DefaultAsyncHttpxClient(**options)


@functools.cache
def _close_at_exit() -> None:
    atexit.register(_close_all)


def _close_all(*, only_of_closed_loops: bool = False) -> None:
    for (loop, _), (_, lifetime) in list(_open.items()):
        if loop.is_closed() or not only_of_closed_loops:
            # At exit, a client that cannot be closed any more is closed by the operating system.
            with suppress(Exception):
                _finish(loop, lifetime)


def _finish(loop: asyncio.AbstractEventLoop, lifetime: AsyncGenerator[Any, None]) -> None:
    async def close() -> None:
        await lifetime.aclose()

    if loop.is_running():
        asyncio.run_coroutine_threadsafe(close(), loop).result(timeout=1)
    elif loop.is_closed():
        # Nothing can be awaited any more, and nothing needs to be: marking the client as closed is synchronous.
        close().send(None)
    else:
        loop.run_until_complete(close())
