"""`%rlm NAME ...`: the line commands, by name.

To add one, for example `models`:

1. Define it in a module of this package (`models.py`) as a `Command`: one line of help, a function of the session and
   the parsed arguments, and its arguments.

        def _run(session: Session, options: argparse.Namespace) -> Any:
            ...                                     # print, or return the line's value

        MODELS = Command("the models and their prices", _run, Argument("spec", "only this model", metavar="SPEC"))

2. Add it to `_HOMES` below. Modules are loaded on first use, so that `%load_ext` costs nothing.

This module handles unknown commands and options, `--help`, completion and one-line errors. Completion depends on the
metavar: RUN completes to names of runs, SPEC to models, PATH to files, NAME to nothing; `choices` to themselves. If the
function returns a coroutine, the line blocks until it ends. `RLMError` and `UsageError` are shown as one line.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from importlib import import_module
from typing import Any

from IPython.core.error import UsageError

from ...host.console import say
from ..cell.blocking import wait_for
from ..cell.line_parser import LineParser, close_to, words_of
from ..kernel.session import Session

__all__ = ["Argument", "Command", "command", "command_names", "help_text", "run_command"]

#: The module of each command, and its name there.
_HOMES = {
    "help": "help.HELP",
    "runs": "runs.RUNS",
    "show": "runs.SHOW",
    "resume": "resume.RESUME",
    "cancel": "cancel.CANCEL",
    "diff": "runs.DIFF",
    "versions": "versions.VERSIONS",
    "restore": "versions.RESTORE",
    "export": "export.EXPORT",
    "gc": "runs.GC",
    "baseline": "baseline.BASELINE",
    "models": "models.MODELS",
    "tools": "tools.TOOLS",
    "doctor": "help.DOCTOR",
    "version": "help.VERSION",
}


@dataclass(frozen=True)
class Argument:
    """An argument of a line, or an option if its name begins with "--", in the words of argparse.

    `nargs="?"`: it may be left out. An option without `metavar` takes no value: it is true where it is given.
    """

    name: str
    help: str
    _: KW_ONLY
    short: str = ""
    metavar: str = ""
    nargs: str | None = None
    kind: type[str | int] = str
    default: Any = None


class Command:
    """One line command with its one-line `help`.

    `run` receives what was parsed, and returns the value of the line; `options` adds what `arguments` cannot say to the
    parser.
    """

    def __init__(
        self,
        help: str,
        run: Callable[[Session, argparse.Namespace], Any],
        *arguments: Argument,
        options: Callable[[LineParser], None] | None = None,
    ) -> None:
        self.help, self.run, self.arguments, self.options = help, run, arguments, options

    def parser(self, name: str) -> LineParser:
        made = LineParser(f"%rlm {name}", self.help)
        for each in self.arguments:
            names = [*([each.short] if each.short else []), each.name]
            if each.metavar:
                made.add_argument(
                    *names, help=each.help, metavar=each.metavar, nargs=each.nargs, type=each.kind, default=each.default
                )
            else:
                made.add_argument(*names, help=each.help, action="store_true")
        if self.options is not None:
            self.options(made)
        return made


def command_names() -> list[str]:
    return list(_HOMES)


def command(name: str) -> Command:
    """The command of that name. Raises `UsageError`, with the closest name, if there is none."""
    if name not in _HOMES:
        hint = close_to(name, _HOMES) or "`%rlm` lists the commands, and a task goes into a cell below `%%rlm`"
        raise UsageError(f"%rlm {name}: there is no such command; {hint}")
    module, _, constant = _HOMES[name].partition(".")
    found: Command = getattr(import_module(f".{module}", __package__), constant)
    return found


def run_command(session: Session, line: str) -> Any:
    """The value of a line; blocks for commands that need an event loop. Raises `UsageError` and `RLMError`."""
    name, *words = words_of(line, "%rlm") or ["help"]
    wanted = command(name)
    parser = wanted.parser(name)
    options = parser.read(words)
    if options.help:
        say(parser.format_help())
        return None
    value = wanted.run(session, options)
    return wait_for(session, lambda: value) if inspect.iscoroutine(value) else value


def help_text() -> str:
    """The commands, one a line."""
    return "\n".join(f"  %rlm {name:10} {command(name).help}" for name in _HOMES)
