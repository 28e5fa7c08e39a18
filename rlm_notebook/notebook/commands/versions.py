"""`%rlm versions`, `restore`: what a run was before it was changed in its tree, and going back to it."""

from __future__ import annotations

import argparse
import asyncio
from datetime import datetime
from pathlib import Path

from ...checkpoints.json_file import JsonFile, require_at_rest
from ...checkpoints.selection import recorded_in
from ...core.changes import changes_of, described_changes
from ...core.tree import NodeState, Recorded
from ...exceptions import CheckpointError, ConfigurationError
from ...host.console import say
from ...runtime.run_view import RunView
from ...views.table import Table
from ..kernel.session import Session
from .registry import Argument, Command
from .run_lookup import file_of

__all__ = ["RESTORE", "VERSIONS"]

_COLUMNS = ("version", "what", "status", "when", "nodes", "calls", "cost", "answer")


def _versions(session: Session, options: argparse.Namespace) -> Table:
    path = file_of(session, options.name)
    present = recorded_in(path)
    if present is None:
        raise CheckpointError(f"there is no run in {path}; `%rlm runs` lists what there is")
    versions = JsonFile(path).versions()
    same = [(number, each) for number, each in enumerate(versions, start=1) if _same_task(each, present)]
    rows = [("now", *_facts(present)), *((str(number), *_facts(each)) for number, each in same)]
    note = f"%rlm restore {path.stem} VERSION goes back to one of them" if same else "there is no other version"
    if others := len(versions) - len(same):
        copies = f"{others} {'copy' if others == 1 else 'copies'} of runs with other tasks"
        note += f"; {copies} beside it: `%rlm runs --all` lists them"
    return Table(_COLUMNS, tuple(rows), note)


def _same_task(version: Recorded, present: Recorded) -> bool:
    """Whether both answer one request: an earlier task of the cell left a copy, but no version."""
    return version.tree.request_key == present.tree.request_key


def _facts(recorded: Recorded) -> tuple[str, ...]:
    tree = recorded.tree
    done = sum(node.state is NodeState.DONE for node in tree)
    cost = "unknown" if recorded.spent.cost_usd is None else f"${recorded.spent.cost_usd:.4f}"
    answer = tree.root.result if tree.root is not None and tree.root.result is not None else tree.error
    return (
        described_changes(changes_of(tree)) or "as computed",
        tree.status,
        datetime.fromtimestamp(tree.ended or tree.started or 0).strftime("%Y-%m-%d %H:%M:%S"),
        str(done) if done == len(tree) else f"{done} of {len(tree)}",
        str(recorded.spent.calls),
        cost,
        " ".join(answer.split()),
    )


def _restore(session: Session, options: argparse.Namespace) -> None:
    path = file_of(session, options.name)
    file = JsonFile(path)
    versions = file.versions()
    if not 1 <= options.version <= len(versions):
        there = f"1 to {len(versions)}" if versions else "none"
        raise ConfigurationError(
            f"{path.stem} has no version {options.version} (there: {there}); `%rlm versions {path.stem}` lists them"
        )
    if session.live_run(path) is not None:
        raise ConfigurationError(f"{path.stem} is still running; wait for it, or `%rlm cancel {path.stem}`")
    wanted, present = versions[options.version - 1], recorded_in(path)
    if present is not None and not _same_task(wanted, present):
        name = f"{path.stem}.{options.version}"
        raise ConfigurationError(
            f"{name} is no version of {path.stem}: it is a run with another task; `%rlm show {name}` shows it"
        )
    execution, what = wanted.tree.execution, described_changes(changes_of(wanted.tree)) or "as computed"
    run = _shown(session, path)
    if run is not None:
        # The tree, the variables and the answer of its cell follow.
        run.internals.continue_as(lambda: run.internals.restored(execution))
    else:
        require_at_rest(path)
        file.restore(execution)
    where = "its cell shows it" if run is not None else "execute its cell to show it: no model is called"
    say(f"rlm: {path.stem} is version {options.version} again ({what}); {where}")


def _shown(session: Session, path: Path) -> RunView | None:
    """The run of this session that shows what the file holds, if it can continue here."""
    run = session.kept_in(path)
    if run is None or run.internals.latest.checkpoint != str(path) or not run.internals.latest.internals.versioned:
        return None
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None
    return run.internals.latest


_RUN = Argument("name", "the run", metavar="RUN")
VERSIONS = Command("what a run was before it was changed in its tree", _versions, _RUN)
RESTORE = Command(
    "go back to a version of a run",
    _restore,
    _RUN,
    Argument("version", "its number; default: 1", metavar="VERSION", nargs="?", kind=int, default=1),
)
