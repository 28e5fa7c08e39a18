"""`%rlm tools`: the tools of the notebook, where each comes from, and whether its calls wait for approval."""

from __future__ import annotations

import argparse
import types
from collections.abc import Iterator, Mapping
from typing import Any

from ...agent import Agent
from ...exceptions import ConfigurationError
from ...runtime.options import EngineOptions
from ...tools import Tool, as_tools
from ...tools.mcp import MCPServer
from ...views.table import Table
from ..cell.variables import variable
from ..kernel.session import Session
from .registry import Argument, Command

__all__ = ["TOOLS"]

_COLUMNS = ("tool", "from", "asks for approval")
#: The tools of one server in the list of all.
MOST = 40
_NONE = "There are none. A function with annotations is one, and rlm_notebook.mcp(...) has those of a server."
Row = tuple[str, str, str]


def _tools(session: Session, options: argparse.Namespace) -> Table:
    hidden = session.shell.user_ns_hidden
    names = {name: value for name, value in session.variables.items() if name not in hidden and name[:1] != "_"}
    if options.name:
        server = variable(options.name, "%rlm tools", session.variables)
        if not isinstance(server, MCPServer):
            raise ConfigurationError(f"%rlm tools {options.name}: not an MCP server; %rlm tools lists all tools")
        found = server.tools
        return Table(_COLUMNS, tuple(_of_server(options.name, server, found)), _problems({options.name: server}))
    rows = list(dict.fromkeys(row for name, value in names.items() for row in _rows(name, value)))
    servers = {name: value for name, value in names.items() if isinstance(value, MCPServer)}
    return Table(_COLUMNS, tuple(rows), _problems(servers) if rows else _NONE)


def _rows(name: str, value: Any) -> Iterator[Row]:
    if isinstance(value, MCPServer):
        known = value.known_tools
        if not known:
            yield f"{name} ({value.state})", _server(name, value), f"%rlm tools {name} starts it and lists its tools"
        yield from _of_server(name, value, dict(list(known.items())[:MOST]))
        if len(known) > MOST:
            yield f"... {len(known) - MOST} more", _server(name, value), f"%rlm tools {name} lists all"
    elif isinstance(value, Tool):
        yield value.name, f"tool {name}", _asks(value)
    elif isinstance(value, types.FunctionType) and value.__module__ == "__main__":
        try:
            (made,) = as_tools([value])
        except ConfigurationError:
            return  # no tool: it lacks annotations
        yield made.name, f"function {name}", _asks(made)
    elif isinstance(value, Agent):
        yield from _held(f"agent {name}", value.tools)
    elif isinstance(value, EngineOptions):
        yield from _held(f"engine {name}", as_tools(value.tools))
        yield from _of_agents(name, value.agents or {})
    elif isinstance(value, Mapping):
        yield from _of_agents(name, value)


def _of_agents(name: str, agents: Mapping[Any, Any]) -> Iterator[Row]:
    for key, agent in list(agents.items()):
        if isinstance(agent, Agent):
            yield from _held(f"agent {key} of {name}", agent.tools)


def _held(where: str, tools: Any) -> Iterator[Row]:
    for tool in tools:
        yield tool.name, where, "see its server" if tool.opens is not None else _asks(tool)


def _of_server(name: str, server: MCPServer, tools: Mapping[str, Tool]) -> Iterator[Row]:
    for tool in tools.values():
        if server.approval != "auto":
            why = f"approval={server.approval!r}"
        else:
            why = "it does not say that it only reads" if tool.requires_approval else "it says that it only reads"
        yield tool.name, _server(name, server), f"{_asks(tool)}: {why}"


def _server(name: str, server: MCPServer) -> str:
    return f"MCP server {name}: {server.address}"


def _asks(tool: Tool) -> str:
    return "yes" if tool.requires_approval else "no"


def _problems(servers: Mapping[str, MCPServer]) -> str:
    found = [f"{name}: {problem}" for name, server in servers.items() for problem in server.problems]
    more = f"; and {len(found) - 10} more, in .problems of the server" if len(found) > 10 else ""
    return f"{'; '.join(found[:10])}{more}" if found else ""


TOOLS = Command(
    "the tools of the notebook, where they come from, and whether they ask",
    _tools,
    Argument("name", "all tools of this server, which is started if need be", metavar="NAME", nargs="?"),
)
