"""Tools from MCP servers: programs and addresses that offer tools over the Model Context Protocol.

Needs the extra `mcp`; the client is loaded, and a server started, when its tools are first needed.
"""

from __future__ import annotations

import difflib
import math
import os
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ...concurrency.loop_thread import wait_for_future
from ...core.text import printable
from ...exceptions import ConfigurationError
from ...host.installation import install_command
from .. import Tool
from .address import Address, address_of

if TYPE_CHECKING:
    from .connection import Connection
    from .offers import Approval, Offers

__all__ = ["MCPServer", "ServerTool", "mcp"]


def mcp(
    server: Any,
    *,
    name: str | None = None,
    env: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    approval: Approval = "auto",
    timeout: float | None = 120.0,
    start_timeout: float = 60.0,
    max_characters: int = 100_000,
) -> MCPServer:
    """The tools of an MCP server, for `tools=[server]` of an engine or agent and `%%rlm --tools server,server.search`.

    `server` is a command ("python server.py", ["uvx", "NAME"]; `python` is this Python), the address of a streamable
    HTTP server ("http://127.0.0.1:8000/mcp"), or the name of one in `.mcp.json`. It is started when its tools are first
    needed, never for a replay, and serves all runs until `close()` or the end of the process. `name` begins the names
    of its tools (`name__tool`). `env` and `headers` name environment variables: `{"TOKEN": "MY_TOKEN"}` gives the
    server the value of MY_TOKEN as TOKEN; a header may be "Bearer ${MY_TOKEN}". `approval="auto"`: tools that do not
    declare that they only read wait for `run.approve(node)` or a click; "always": all do; "never": none does.
    `timeout`: seconds for one call, `start_timeout` for the start. `max_characters`: of a result; more is left out, and
    the model is told so.

    Raises `ConfigurationError` for invalid arguments, and when a run starts and the server does not.
    """
    if approval not in ("auto", "always", "never"):
        raise ConfigurationError(f"mcp(approval={approval!r}): expected 'auto', 'always' or 'never'")
    for option, value in (("timeout", timeout), ("start_timeout", start_timeout), ("max_characters", max_characters)):
        if value is None and option == "timeout":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ConfigurationError(f"mcp({option}={value!r}): expected a number above 0")
    address = address_of(server, name=name, env=env, headers=headers, cwd=cwd)
    options = {
        "approval": approval,
        "timeout": timeout,
        "start_timeout": start_timeout,
        "max_characters": int(max_characters),
    }
    return MCPServer(address, options)


class MCPServer:
    """A server whose tools models may call; made by `mcp(...)`. `server.search` and `server["get-sum"]` are single
    tools of it."""

    def __init__(self, address: Address, options: Mapping[str, Any]) -> None:
        self._address = address
        self._options = dict(options)
        self._opened: Connection | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # By its arguments: another process has a session of its own.
        return MCPServer, (self._address, self._options)

    def __repr__(self) -> str:
        return f"<MCP server {self.name} ({self.address}): {self.state}>"

    @property
    def name(self) -> str:
        return self._address.name

    @property
    def address(self) -> str:
        """Its command or address, without values of environment variables."""
        return str(self._address)

    @property
    def state(self) -> str:
        """ "not started", "starting", "running" or "ended"."""
        return self._opened.state if self._opened is not None else "not started"

    @property
    def approval(self) -> Approval:
        given: Approval = self._options["approval"]
        return given

    @property
    def tools(self) -> dict[str, Tool]:
        """Its tools by the names that it gave them; starts it if need be. Raises `ConfigurationError`."""
        return dict(wait_for_future(self._connection().open()).tools)

    @property
    def known_tools(self) -> dict[str, Tool]:
        """The tools that it listed last; empty if it was not started."""
        return dict(self._opened.offers.tools) if self._opened is not None else {}

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the tools that it listed last, a line each: those left out, names and texts changed."""
        return self._opened.offers.problems if self._opened is not None else ()

    @property
    def log(self) -> str:
        """The path of the file with what it writes to stderr; "" for an address. It is removed at the end."""
        return "" if self._address.url else str(self._connection().log())

    @property
    def resources(self) -> list[tuple[str, str, str]]:
        """The uri, name and description of each of its resources; starts it if need be."""
        return wait_for_future(self._connection().resources())

    def read(self, uri: str) -> str:
        """The text of one of its resources, for a variable that `-c` or `variables=` offers by reference.

        Starts the server if need be. Raises `ToolError` for a resource that cannot be read.
        """
        return wait_for_future(self._connection().read(uri))

    def close(self) -> None:
        """Stop it. A later run starts it again."""
        if self._opened is not None:
            wait_for_future(self._opened.close())

    def restart(self) -> None:
        """Stop it and start it again; crashes so far no longer count."""
        self.close()
        connection = self._connection()
        connection.crashes = 0
        wait_for_future(connection.open())

    def __getitem__(self, tool: str) -> ServerTool:
        return ServerTool(self, tool)

    def __getattr__(self, tool: str) -> ServerTool:
        known = self.__dict__.get("_opened")
        if tool.startswith("_") or (known is not None and known.offers.tools and tool not in known.offers.tools):
            raise AttributeError(f"{type(self).__name__} has no tool and no attribute {tool!r}")
        return ServerTool(self, tool)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *filter(str.isidentifier, self.known_tools)})

    def as_tool(self) -> Tool:
        """The placeholder of its tools, which they replace when a run starts."""
        return self._placeholder(f"{self.name}__all", self, self._open)

    def _placeholder(self, name: str, held: Any, opens: Any) -> Tool:
        return Tool(
            name=name,
            description=f"tools of the MCP server {self.name}",
            function=held,
            parameters={"type": "object", "properties": {}},
            version="of a server",
            requires_approval=self.approval != "never",
            opens=opens,
        )

    def __call__(self) -> None:
        raise ConfigurationError(f"{self!r} is no tool itself; call server.TOOL(...), or give it to an engine as it is")

    def _open(self, only: str | None = None) -> Future[tuple[Tool, ...]]:
        """Its tools, or the only one that is wanted; it is started if need be."""
        made: Future[tuple[Tool, ...]] = Future()
        made.set_running_or_notify_cancel()

        def settle(done: Future[Offers]) -> None:
            try:
                tools = done.result().tools
                made.set_result(tuple(tools.values()) if only is None else (self._found(only, tools),))
            except BaseException as error:
                made.set_exception(error)

        self._connection().open().add_done_callback(settle)
        return made

    def _found(self, tool: str, tools: Mapping[str, Tool]) -> Tool:
        if tool in tools:
            return tools[tool]
        close = difflib.get_close_matches(tool, tools, n=1)
        left_out = next((each for each in self.problems if each.startswith(f"{printable(tool)}: left out")), "")
        hint = left_out or (f"did you mean {close[0]}?" if close else f"it has {', '.join(list(tools)[:20]) or 'none'}")
        raise ConfigurationError(f"the MCP server {self.name} has no tool {printable(tool)[:80]!r}; {hint}")

    def _connection(self) -> Connection:
        if self._opened is None:
            if find_spec("mcp") is None or find_spec("mcp_types") is None:
                raise ConfigurationError(
                    f"the MCP server {self.name} needs the client of the protocol: "
                    f"{install_command('mcp')} (mcp 2 or newer)"
                )
            from .connection import Connection

            self._opened = Connection(self._address, **self._options)
            # A cell that makes the server again drops this one, whose process would stay.
            weakref.finalize(self, self._opened.discard).atexit = False
        return self._opened


class ServerTool:
    """One tool of a server, by the server's name for it; found when it is first needed. Called, it waits for its
    result."""

    def __init__(self, server: MCPServer, tool: str) -> None:
        self.server = server
        self.tool = tool

    def __repr__(self) -> str:
        return f"<tool {printable(self.tool)!r} of {self.server!r}>"

    def as_tool(self) -> Tool:
        """The placeholder of the tool, which it replaces when a run starts."""
        from .offers import safe_name

        return self.server._placeholder(
            safe_name(self.server.name, self.tool), self, partial(self.server._open, self.tool)
        )

    def __call__(self, *unnamed: Any, **arguments: Any) -> str:
        """The result of a call by hand, as a model would read it. Raises `ToolError` and `ConfigurationError`."""
        from ...concurrency.loop_thread import background_loop

        (tool,) = wait_for_future(self.server._open(self.tool))
        if unnamed:
            named = ", ".join(f"{name}=..." for name in tool.parameters.get("properties", {}))
            raise TypeError(f"{self.tool}: give the arguments by name, as a model does: {self.tool}({named})")

        async def called() -> str:
            return str(await tool.function(**arguments))

        return wait_for_future(background_loop().submit(called()))
