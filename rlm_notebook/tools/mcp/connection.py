"""One session with a server, which one task owns from its start to its end.

Theory of operation
===================
A client has cancel scopes, which belong to the task that entered them: entered in one cell and left in another, they
end in an `ExceptionGroup`. So the whole life of a session is in one task, the *owner*, on the background loop of this
process. It starts the server, lists its tools, waits until the session is to end, and stops the server. Calls are tasks
of the same loop, and a caller in any loop or thread waits for a future. A cancelled call cancels its task, which tells
the server so; the session stays usable.

States: *not started*; *starting*; *running*; *ended* (by `close`, by a crash, or because it did not start). A call or a
run starts a server that is not running. One that crashed is started again `RESTARTS` times at most, counted over all
runs until `restart`.

What must never happen: a call is made twice (a call that a crash interrupted fails, and the model is told); a process
is left when this one ends; an error of a server takes another session, or the loop, with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from mcp import Client, MCPError
from mcp_types import Implementation
from pydantic import ValidationError

from ...concurrency.at_exit import end_at_exit
from ...concurrency.loop_thread import background_loop
from ...core.content import PicturedText
from ...core.error_text import described
from ...core.text import printable
from ...exceptions import ConfigurationError, ToolError
from ...host.credentials import without_keys
from ...version import __version__
from .address import Address, Launch
from .http import Http
from .offers import Approval, Offers, offers_of
from .results import images_of_result, text_of_resource, text_of_result
from .stdio import Stdio

__all__ = ["RESTARTS", "Connection"]

T = TypeVar("T")
# What the client logs of a server is in our errors; without a handler, Python would print it.
logging.getLogger("mcp").addHandler(logging.NullHandler())
RESTARTS = 3
#: A list of tools that is younger is not asked for again, in seconds: many runs may start at once.
LIST_AGE = 5.0
#: A running server that does not list its tools within these seconds, and has no call to work on, hangs: it is started
#: again.
LIST_PATIENCE = 15.0
MOST_TOOLS = 5_000
#: Seconds that the servers have to end when this process does.
AT_EXIT = 8.0


class Connection:
    """The session of one server handle. Its public methods return at once, and may be called in any thread."""

    def __init__(
        self,
        address: Address,
        *,
        approval: Approval,
        timeout: float | None,
        start_timeout: float,
        max_characters: int,
    ) -> None:
        self.address = address
        self.state = "not started"
        self.offers = Offers()
        self.crashes = 0
        self._approval: Approval = approval
        self._timeout = timeout
        self._start_timeout = start_timeout
        self._most = max_characters
        self._log: Path | None = None
        self._link: Stdio | Http | None = None
        self._owner: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[Client] | None = None
        self._listed_at = -LIST_AGE
        self._why = ""
        #: Requests that wait for an answer.
        self._calls = 0
        self._listing = asyncio.Lock()
        self._process = os.getpid()

    # -- for any thread --------------------------------------------------------------------------------------------

    def open(self) -> Future[Offers]:
        """The tools as the server lists them now; it is started if it does not run."""
        return self._submit(self._open)

    async def call(self, name: str, version: str, arguments: dict[str, Any]) -> str:
        """The result of a tool as text. Raises `ToolError`, a message for the model."""
        return await asyncio.wrap_future(self._submit(lambda: self._call(name, version, arguments)))

    def read(self, uri: str) -> Future[str]:
        """The text of a resource."""

        async def work() -> str:
            found = await self._asked(f"read {printable(uri)[:200]}", lambda client: client.read_resource(uri))
            return without_keys(text_of_resource(found))

        return self._submit(work)

    def resources(self) -> Future[list[tuple[str, str, str]]]:
        """The uri, name and description of each resource."""

        async def work() -> list[tuple[str, str, str]]:
            listed = await self._asked("list its resources", lambda client: _listed(client, "resources"))
            return [(str(each.uri), each.name, each.description or "") for each in listed]

        return self._submit(work)

    def close(self) -> Future[None]:
        """Stop the server, if it runs; a call in flight fails."""
        return self._submit(self._close)

    def discard(self) -> None:
        """The handle is gone: stop the server, and remove the log."""
        self.close().add_done_callback(lambda _: self.end_now())

    def log(self) -> Path:
        """The file that holds what the server writes to stderr, while this process lives."""
        if self._log is None:
            handle, path = tempfile.mkstemp(prefix=f"rlm-mcp-{self.address.name}-", suffix=".log")
            os.close(handle)
            self._log = Path(path)
        return self._log

    def end_now(self) -> None:
        """When this process ends: kill what is left, and remove the log."""
        if self._link is not None:
            self._link.kill()
        if self._log is not None:
            with suppress(OSError):
                self._log.unlink()

    def _submit(self, work: Callable[[], Awaitable[T]]) -> Future[T]:
        end_at_exit(_end_all)
        _connections.add(self)
        if self._process != os.getpid():
            # A forked child has its parent's session, and no loop to use it on: it has one of its own.
            self._owner = self._ready = self._link = self._log = None
            self.state, self._listing, self._process = "not started", asyncio.Lock(), os.getpid()

        async def worked() -> T:
            return await work()

        return background_loop().submit(worked())

    # -- on the background loop ------------------------------------------------------------------------------------

    async def _client(self) -> Client:
        """The client of the running session, which is started if there is none. Raises `ConfigurationError`."""
        if self._owner is None or self._owner.done() or self._link is None or self._link.ended.is_set():
            if self._owner is not None and not self._owner.done():
                # A server that hangs takes a few seconds to end.
                if self._link is not None:
                    self._link.ended.set()
                await asyncio.wait([self._owner])
            if self.crashes > RESTARTS:
                raise ConfigurationError(
                    f"the MCP server {self.address.name} has crashed {self.crashes} times and is not started again"
                    f"{f' ({self._why})' if self._why else ''}; repair it, then call its restart()"
                )
            self._ready = asyncio.get_running_loop().create_future()
            self._owner = asyncio.create_task(self._own(self._ready))
        assert self._ready is not None
        return await asyncio.shield(self._ready)

    async def _own(self, ready: asyncio.Future[Client]) -> None:
        """The owner: one session from its start to its end."""
        self.state, self._why, closing = "starting", "", False
        try:
            where = self.address.resolved()
            link = self._link = Stdio(where, self.log()) if isinstance(where, Launch) else Http(where)
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._start_timeout):
                    client = await stack.enter_async_context(Client(link, cache=None, client_info=_OURSELVES))
                    self._offer(await _listed(client, "tools"))
                self.state = "running"
                ready.set_result(client)
                await link.ended.wait()
                closing = self.state == "closing"
                if not closing:
                    self._why = await link.why()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(await self._not_started(error))
                # Whoever asked may have been cancelled since.
                ready.exception()
            elif isinstance(error, asyncio.CancelledError):
                raise
        finally:
            started = ready.done() and not ready.cancelled() and ready.exception() is None
            if started and not closing and self._link is not None and self._link.crashed:
                self.crashes += 1
            self.state = "ended"

    async def _not_started(self, error: BaseException) -> ConfigurationError:
        if isinstance(error, ConfigurationError):
            return error
        why = "" if self._link is None else await self._link.why()
        if isinstance(error, TimeoutError):
            reason = f"it did not answer within {self._start_timeout:g} s (start_timeout)"
        else:
            reason = without_keys(_reason(error))[:500]
        self._why = why
        return ConfigurationError(
            f"the MCP server {self.address.name} ({without_keys(str(self.address))}) did not start: {reason}"
            f"{f'; {why}' if why else ''}"
        )

    def _offer(self, listed: list[Any]) -> None:
        if len(listed) > MOST_TOOLS:
            raise ConfigurationError(f"the server lists more than {MOST_TOOLS:,} tools; no model can choose among them")
        self.offers = offers_of(
            self.address.name,
            listed,
            self.call,
            approval=self._approval,
            timeout=self._timeout,
            before=self.offers,
        )
        self._listed_at = time.monotonic()

    async def _open(self) -> Offers:
        async with self._listing:
            client = await self._client()
            # A server may answer one request at a time.
            if not self._calls and time.monotonic() - self._listed_at >= LIST_AGE:
                try:
                    async with asyncio.timeout(LIST_PATIENCE):
                        self._offer(await _listed(client, "tools"))
                except TimeoutError:
                    assert self._link is not None
                    self._link.ended.set()
                    await self._client()
                except Exception as error:
                    raise await self._not_started(error) from None
        return self.offers

    async def _call(self, name: str, version: str, arguments: dict[str, Any]) -> str:
        try:
            client = await self._client()
        except ConfigurationError as error:
            raise ToolError(str(error)) from None
        known = self.offers.tools.get(name)
        if known is None or known.version != version:
            raise ToolError(
                f"{name}: the MCP server {self.address.name} was started again and now offers another tool by this "
                "name, or none; the call was not made. Start the run again to use it"
            )
        result = await self._answered(f"call {name}", client, client.call_tool(name, arguments))
        text = without_keys(text_of_result(result, self._most))
        if result.is_error:
            raise ToolError(text or f"{name} failed without a word")
        images = images_of_result(result, name)
        return PicturedText(text, images) if images else text

    async def _asked(self, what: str, ask: Callable[[Client], Awaitable[Any]]) -> Any:
        client = await self._client()
        return await self._answered(what, client, ask(client))

    async def _answered(self, what: str, client: Client, work: Awaitable[Any]) -> Any:
        """The server's answer. Raises `ToolError` for each way in which there is none."""
        link = self._link
        self._calls += 1
        try:
            return await work
        except asyncio.CancelledError:
            raise
        except Exception as error:
            assert link is not None
            # Of the session itself, or of the call alone.
            is_over = isinstance(error, MCPError) and (
                error.error.code == -32000 or "session" in error.error.message.lower()
            )
            of_server = isinstance(error, MCPError) and not is_over
            if not of_server and isinstance(link, Http) and not isinstance(error, ValueError | RuntimeError):
                link.ended.set()
            if not link.ended.is_set():
                raise ToolError(f"{self.address.name}: {_reason(error)[:1_000]}") from None
            why = await link.why()
            raise ToolError(
                f"the MCP server {self.address.name} ended before it answered ({what}){f': {why}' if why else ''}\n"
                "The call may have had effects; it is not repeated."
            ) from None
        finally:
            self._calls -= 1

    async def _close(self) -> None:
        if self._owner is None or self._owner.done():
            return
        if self.state != "running":
            # It is still starting.
            self._owner.cancel()
        elif self._link is not None:
            self.state = "closing"
            self._link.ended.set()
        await asyncio.wait([self._owner])


_OURSELVES = Implementation(name="rlm-notebook", version=__version__)


def _reason(error: BaseException) -> str:
    """An error of the client in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError | ConfigurationError):
        return printable(str(error))
    if isinstance(error, ValidationError):
        faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:3]]
        return f"the server's reply does not follow the protocol: {printable('; '.join(faults))}"
    return printable(described(error))


async def _listed(client: Client, kind: Literal["tools", "resources"]) -> list[Any]:
    """What a server lists, page by page; no further page once there are more than `MOST_TOOLS`."""
    if getattr(client.server_capabilities, kind) is None:
        return []
    ask: Callable[..., Awaitable[Any]] = client.list_tools if kind == "tools" else client.list_resources
    found: list[Any] = []
    cursor: str | None = None
    seen = set[str]()
    while len(found) <= MOST_TOOLS:
        page = await ask(cursor=cursor)
        found += getattr(page, kind)
        cursor = page.next_cursor
        if not cursor or cursor in seen:
            break
        seen.add(cursor)
    return found


# -- the end of the process ----------------------------------------------------------------------------------------

_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _end_all() -> None:
    """End all servers."""
    open_ones = list(_connections)
    ends = time.monotonic() + AT_EXIT
    with suppress(Exception):
        closing = [connection.close() for connection in open_ones]
        for each in closing:
            each.result(max(0.1, ends - time.monotonic()))
    for connection in open_ones:
        connection.end_now()
