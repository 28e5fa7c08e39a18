"""Completion of `%%rlm` and `%rlm` lines: options and their values, runs, models, and variables of a matching type."""

from __future__ import annotations

import argparse
import re
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ...documents.images import Image
from ...documents.source import Source
from ...exceptions import RLMError
from ...models.discovery import KNOWN_SERVERS, local_servers
from ...models.registry import PROVIDERS
from ...ports.model import Model
from ...pricing import priced_models
from ...runtime.options import EngineOptions
from ...tools import Tool
from ...tools.mcp import MCPServer
from ..cell.line_parser import LineParser
from ..cell.options import parser as cell_parser
from ..kernel.session import Session
from .registry import command, command_names
from .run_lookup import experiment_names, run_names

__all__ = ["Completion", "completions"]

#: The end of the line that is replaced, and the texts that can replace it.
Completion = tuple[str, list[str]]

_CELL = re.compile(r"%%rlm\s")
_LINE = re.compile(r"(?:^|=)\s*%rlm\s")
_REFERENCE = re.compile(r"(?<!\\)\{\{([^\W\d]\w*)?$")


def completions(session: Session, text: str) -> Completion | None:
    """The completions at the end of `text`, a cell up to the cursor; `None` if the text is not ours to complete."""
    head, _, body = text.partition("\n")
    if _CELL.match(head):
        if not body and not text.endswith("\n"):
            return _last_word(session, cell_parser(), head[len("%%rlm") :])
        # In the body, `{{na` is completed to `{{name}}`.
        found = _REFERENCE.search(text)
        names = _variables(session, lambda value: True)
        return (found[0], _starting(found[0], (f"{{{{{name}}}}}" for name in names))) if found else None
    line = text.rpartition("\n")[2]
    found = _LINE.search(line)
    if found is None:
        return None
    words = line[found.end() :].lstrip()
    name, space, rest = words.partition(" ")
    if not space:
        return name, _starting(name, command_names())
    return _last_word(session, command(name).parser(name), f" {rest}") if name in command_names() else None


def _last_word(session: Session, parser: LineParser, line: str) -> Completion | None:
    """The last word of a line: an option, the value of one, or the command's argument."""
    *before, word = re.split(r"\s+", line)
    option, equals, value = word.partition("=")
    if equals and option.startswith("-"):
        return _value(session, _option(parser, option), value)
    given = _option(parser, before[-1]) if before else None
    if given is not None and given.nargs in (None, "?") and not word.startswith("-"):
        found = _value(session, given, word)
        if found is None or found[1] or given.nargs is None:
            return found
    arguments = [action for action in parser._actions if not action.option_strings]
    if word.startswith("-") or not arguments:
        return word, _starting(word, parser.option_names)
    return _value(session, arguments[0], word)


def _option(parser: LineParser, name: str) -> argparse.Action | None:
    """The option of that name, if it takes a value."""
    found = next((action for action in parser._actions if name in action.option_strings), None)
    return found if found is not None and found.nargs != 0 else None


def _value(session: Session, action: argparse.Action | None, word: str) -> Completion | None:
    if action is None:
        return None
    if action.choices is not None:
        return word, _starting(word, map(str, action.choices))
    # Of several names with commas, the last one is completed.
    last = word.rpartition(",")[2] if action.metavar == "NAMES" else word
    known = _candidates(session, action, last)
    return (last, _starting(last, known)) if known is not None else None


def _starting(word: str, known: Iterable[str]) -> list[str]:
    return sorted({each for each in known if each.startswith(word)})


# -- candidates ----------------------------------------------------------------------------------------------------


def _candidates(session: Session, action: argparse.Action, word: str) -> list[str] | None:
    """What the value of an option or argument may be; `None` where nothing is known of it."""
    match action.dest:
        case "agents":
            return _variables(session, lambda value: isinstance(value, dict))
        case "tools":
            tools = _variables(session, lambda value: isinstance(value, types.FunctionType | Tool | MCPServer))
            held = {name: session.variables[name] for name in tools}
            # Those of servers, as far as they were listed.
            servers = {name: value for name, value in held.items() if isinstance(value, MCPServer)}
            return [*tools, *(f"{name}.{tool}" for name, server in servers.items() for tool in server.known_tools)]
        case "context":
            return _variables(
                session,
                lambda value: (
                    isinstance(value, str | bytes | Path | Source | Image | list | dict | tuple)
                    or hasattr(value, "columns")
                ),
            )
        case "type":
            return _variables(session, lambda value: isinstance(value, type) or typing.get_origin(value) is not None)
        case "out":
            return _variables(session, lambda value: True)
    if action.dest == "name" or action.metavar == "RUN":
        try:
            return [*run_names(session), *experiment_names(session)]
        except RLMError:
            return []
    if action.metavar != "SPEC":
        return None
    kind, colon, _ = word.partition(":")
    if colon and kind in KNOWN_SERVERS:
        return [spec for server in local_servers({kind: KNOWN_SERVERS[kind]}) for spec in server.specs]
    if colon:
        return [f"{kind}:{name}" for name in priced_models(kind)]
    models = Model | EngineOptions | types.FunctionType
    held_models = _variables(session, lambda value: isinstance(value, models) and not isinstance(value, type))
    return ["offline", *(f"{name}:" for name in PROVIDERS), *held_models]


def _variables(session: Session, fits: Callable[[Any], bool]) -> list[str]:
    hidden = session.shell.user_ns_hidden
    return [
        name
        for name, value in session.variables.items()
        if not name.startswith("_") and name not in hidden and not isinstance(value, types.ModuleType) and fits(value)
    ]
