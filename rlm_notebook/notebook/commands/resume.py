"""`%rlm resume NAME`: resumes a saved run as its cell would, without the cell."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...agent import DEFAULT_AGENT
from ...checkpoints.json_file import JsonFile
from ...checkpoints.selection import recorded_in
from ...core.changes import requested_task
from ...core.reads import coarse
from ...core.redaction import store_of
from ...core.tree import Recorded
from ...exceptions import CheckpointError, ConfigurationError
from ..cell.answer import Value, answer
from ..cell.default_model import OFFLINE, chosen_model, recorded_model
from ..cell.options import CellOptions, add_options, options_in
from ..cell.start_run import request_key
from ..kernel.session import Session
from .registry import Argument, Command
from .run_lookup import file_of

__all__ = ["RESUME"]


async def _resume(session: Session, found: argparse.Namespace) -> Value:
    path = file_of(session, found.run)
    recorded = recorded_in(path)
    if recorded is None:
        raise CheckpointError(f"there is no run in {path}; `%rlm runs` lists what there is")
    if store_of(recorded) != "full":
        raise ConfigurationError(
            f'{path.stem} was recorded with store="{store_of(recorded)}": its task is not in the file; '
            "run its cell again"
        )
    options = options_in(found)
    if options.name or options.checkpoint or options.no_checkpoint:
        raise ConfigurationError("%rlm resume: a run stays in its file; leave out --name and --checkpoint")
    options = _as_recorded(session, options, recorded)
    model = str(recorded.tree.settings.get("model", "")) or OFFLINE
    needed = recorded.tree.status != "done" and model != OFFLINE
    if needed and chosen_model(options.model, session.defaults.model, session.variables) is None:
        # The answers of another model would replace all recorded results.
        raise ConfigurationError(
            f"{path.stem} was answered by {model}, which cannot be loaded from a file; name the model to resume with: "
            f"%rlm resume {path.stem} -m VARIABLE (or a model such as openai:NAME)"
        )
    _require_same(session, options, recorded, path)
    journal = JsonFile(path, cell_id=recorded.cell_id)
    return await answer(session, options, requested_task(recorded.tree), journal)


def _as_recorded(session: Session, options: CellOptions, recorded: Recorded) -> CellOptions:
    """The options of the line, completed by the recorded ones: model, limits, budget and approval."""
    settings = recorded.tree.settings
    limits, budget = _dict(settings, "limits"), _dict(settings, "budget")
    dollars, default = _number(budget, "usd"), session.defaults.budget
    then: dict[str, Any] = {
        "model": recorded_model(recorded) or None,
        "max_depth": _number(limits, "max_depth"),
        "max_steps": _number(limits, "max_steps"),
        "max_concurrency": _number(limits, "max_concurrency"),
        "on_limit": settings.get("on_limit"),
        "on_failure": settings.get("on_failure"),
        # What a person wanted to see before it is done is not done without them.
        "approve": {True: "all", "root": "root"}.get(settings.get("approve", False)),
        # A file may lower the default budget. Only the line itself can raise it.
        "usd": dollars if dollars and (not default or dollars < default) else None,
        "max_tokens": _number(budget, "tokens"),
        "timeout": _number(budget, "seconds"),
        "max_calls": _number(budget, "calls"),
    }
    missing = {name: value for name, value in then.items() if getattr(options, name) is None and value is not None}
    return replace(options, **missing, title=str(settings.get("title") or ""))


def _dict(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """A dict among the settings, or an empty one: the file may come from a stranger or an earlier version."""
    value = settings.get(name)
    return value if isinstance(value, dict) else {}


def _number(values: dict[str, Any], name: str) -> Any:
    value = values.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def _require_same(session: Session, options: CellOptions, recorded: Recorded, path: Path) -> None:
    """The options must give the request of the cell, or another run would replace this one."""
    tree = recorded.tree
    if request_key(session, options, requested_task(tree)) == tree.request_key:
        return
    agents = [name for name in _dict(tree.settings, "agents") if name != DEFAULT_AGENT]
    tools = tree.settings.get("tools")
    read = sorted({name for node in tree for name in coarse(node.reads)})
    named = {"agents": agents, "tools": tools if isinstance(tools, list) else [], "variables": read}
    known = [f"{kind} {', '.join(map(str, names))}" for kind, names in named.items() if names]
    parts = f" ({'; '.join(known)})" if known else ""
    raise ConfigurationError(
        f"{path.stem} was asked with more than its task{parts}, or these have changed; "
        "add the -a, -t, -c, --source and --type of its cell, or run that cell again"
    )


RESUME = Command(
    "resume a run that was stopped; the value is its answer",
    _resume,
    Argument("run", "the run's name, or the path of its JSON", metavar="RUN"),
    options=add_options,
)
