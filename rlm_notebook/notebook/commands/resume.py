"""`%rlm resume NAME`: go on with a run that is kept, as its cell would, wherever that cell is."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...checkpoints.json_file import JsonFile
from ...checkpoints.selection import recorded_in
from ...core.records import Recorded
from ...core.redaction import store_of
from ...exceptions import CheckpointError, ConfigurationError
from ...runtime.team import DEFAULT_AGENT
from ..cell.default_model import OFFLINE, chosen_model, recorded_model
from ..cell.line_parser import LineParser
from ..cell.options import CellOptions, add_options, options_in
from ..cell.run_cell import Value, answer
from ..cell.start_run import request_key
from ..kernel.session import Session
from .registry import Command
from .run_lookup import file_of

__all__ = ["RESUME"]


async def _resume(session: Session, found: argparse.Namespace) -> Value:
    path = file_of(session, found.run)
    recorded = recorded_in(path)
    if recorded is None:
        raise CheckpointError(f"there is no run in {path}; `%rlm runs` lists what there is")
    _require_texts(recorded, path)
    options = _as_recorded(session, _require_own(options_in(found)), recorded)
    _require_model(session, options, recorded, path)
    _require_same(session, options, recorded, path)
    journal = JsonFile(path, cell_id=recorded.cell_id)
    return await answer(session, options, recorded.tree.task, journal)


def _require_own(options: CellOptions) -> CellOptions:
    if options.name or options.checkpoint or options.no_checkpoint:
        raise ConfigurationError("%rlm resume: a run is kept where it was; leave out --name and --checkpoint")
    return options


def _require_texts(recorded: Recorded, path: Path) -> None:
    if store_of(recorded) != "full":
        raise ConfigurationError(
            f'{path.stem} was recorded with store="{store_of(recorded)}": what was asked is not in the file; '
            "run its cell again"
        )


def _require_model(session: Session, options: CellOptions, recorded: Recorded, path: Path) -> None:
    """Who answered must go on: what another model says would take the place of all that is kept, half done as it is."""
    name = str(recorded.tree.settings.get("model", "")) or OFFLINE
    if recorded.tree.status == "done" or name == OFFLINE:
        return
    if chosen_model(options.model, session.defaults.model, session.variables) is None:
        raise ConfigurationError(
            f"{path.stem} was answered by {name}, which a file alone does not bring back; say who goes on: "
            f"%rlm resume {path.stem} -m VARIABLE (or a model such as openai:NAME)"
        )


def _as_recorded(session: Session, options: CellOptions, recorded: Recorded) -> CellOptions:
    """What the line does not say is as it was: the model if it can be had by its name, the limits, the budget."""
    settings = recorded.tree.settings
    limits, budget = _dict(settings, "limits"), _dict(settings, "budget")
    was: dict[str, Any] = {
        "model": recorded_model(recorded) or None,
        "max_depth": _number(limits, "max_depth"),
        "max_steps": _number(limits, "max_steps"),
        "concurrency": _number(limits, "max_concurrency"),
        "on_limit": settings.get("on_limit"),
        "on_failure": settings.get("on_failure"),
        "usd": _dollars(session, _number(budget, "usd")),
        "max_tokens": _number(budget, "tokens"),
        "timeout": _number(budget, "seconds"),
        "max_calls": _number(budget, "calls"),
    }
    missing = {name: value for name, value in was.items() if getattr(options, name) is None and value is not None}
    return replace(options, **missing, title=str(settings.get("title") or ""))


def _dict(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """The file may come from a stranger, and older ones say less."""
    value = settings.get(name)
    return value if isinstance(value, dict) else {}


def _number(values: dict[str, Any], name: str) -> Any:
    value = values.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def _dollars(session: Session, recorded: float | None) -> float | None:
    """A file may lower what is spent by default; to spend more takes a word of the reader's own."""
    usual = session.defaults.budget
    return recorded if recorded is not None and (not usual or recorded < usual) else None


def _require_same(session: Session, options: CellOptions, recorded: Recorded, path: Path) -> None:
    """The options must ask what the cell asked, or another run would take the place of this one."""
    tree = recorded.tree
    if request_key(session, options, tree.task) == tree.request_key:
        return
    agents = [name for name in _dict(tree.settings, "agents") if name != DEFAULT_AGENT]
    tools = tree.settings.get("tools")
    read = sorted({name for node in tree for name in node.reads})
    named = {"agents": agents, "tools": tools if isinstance(tools, list) else [], "variables": read}
    known = [f"{kind} {', '.join(map(str, names))}" for kind, names in named.items() if names]
    said = f" ({'; '.join(known)})" if known else ""
    raise ConfigurationError(
        f"{path.stem} was asked with more than its task{said}, or these have changed; "
        "add the -a, -t, -c and --type of its cell, or run that cell again"
    )


def _options(parser: LineParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the run's name, or the path of its JSON")
    add_options(parser)


RESUME = Command("go on with a run that was stopped; the value is its answer", _resume, _options)
