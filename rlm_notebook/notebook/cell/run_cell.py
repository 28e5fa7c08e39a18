"""Runs one cell: from its line and body to its value, or to an error in one line."""

from __future__ import annotations

from dataclasses import replace

from IPython.core.error import UsageError

from ...exceptions import ConfigurationError, RLMError
from ...host.console import say
from ..kernel.session import Session
from .answer import Value, answer
from .errors import in_one_line
from .options import CellOptions, parse_options
from .transformer import interpolated

__all__ = ["run_cell"]

TITLE_CHARACTERS = 200
#: Characters that variables add to a task, beyond which the cell says that `-c` may be meant.
MOST_INSERTED = 100_000
_LONG_TASK = (
    "rlm: with its variables the task has {:,} characters, and prompts repeat it; -c NAME in place of {{{{NAME}}}} "
    "offers a long value by reference"
)


async def run_cell(session: Session, line: str, cell: str) -> Value | None:
    """The value of a cell. Its errors are shown as one line, or with `--debug` as a traceback."""
    debug = "--debug" in line.split()
    try:
        options = parse_options(line)
        if isinstance(options, CellOptions):
            if options.over:
                from .over import mapped

                return await mapped(session, options, cell)
            task = (cell if options.raw else interpolated(cell, session.variables)).strip("\n")
            if not task.strip():
                raise ConfigurationError("the cell is empty: write the task below the %%rlm line")
            if len(task) > len(cell) + MOST_INSERTED and options.view != "none":
                say(_LONG_TASK.format(len(task)))
            # The first line with text, before variables are inserted, is the title of the run.
            title = next((line.strip() for line in cell.splitlines() if line.strip()), "")[:TITLE_CHARACTERS]
            return await answer(session, replace(options, title=title), task)
        say(options)
        return None
    except (RLMError, UsageError) as error:
        if debug:
            raise
        failure = error
    raise in_one_line(failure, session.shell)
