"""`%rlm runs`, `show`, `diff`, `gc`: the saved runs beside the notebook. Nothing here starts a run."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from IPython.core.error import UsageError

from ...checkpoints.location import is_archived, rows_name
from ...checkpoints.selection import recorded_in
from ...core.text import counted
from ...exceptions import CheckpointError, ConfigurationError
from ...experiments.experiment import Experiment
from ...experiments.recorded import RecordedExperiment, load_experiment
from ...experiments.study import Study
from ...host.console import say
from ...runtime.run_list import RunList, RunSummary, summary_of
from ...runtime.run_view import RunView
from ...views.diff import Difference
from ..kernel.session import Session
from .experiment_lookup import experiment_named
from .registry import Argument, Command
from .run_lookup import experiments_kept, file_of, folders, run_named, runs_kept

__all__ = ["DIFF", "GC", "RUNS", "SHOW"]

# -- runs ----------------------------------------------------------------------------------------------------------


_COUNTED = "calls, tokens, cost and time (in which calls were under way) are those of all executions"


def _runs(session: Session, options: argparse.Namespace) -> RunList:
    found = [summary_of(path) for path in runs_kept(session) if options.all or not is_archived(path)]
    runs = [
        replace(run, status="running") if run.status == "interrupted" and session.live_run(run.path) else run
        for run in found
    ] + [_of_rows(path) for path in experiments_kept(session)]
    where = ", ".join(map(str, folders(session))) or f"{Path.cwd()}: no *.rlm folder"
    return RunList(runs, f"in {where}; {_COUNTED}" if runs else f"no runs are kept yet (searched {where})")


def _of_rows(path: Path) -> RunSummary:
    """An experiment as a row of the list; never raises, as `summary_of`."""
    updated = datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.exists() else None
    known = RunSummary(rows_name(path), path, "unreadable", updated=updated, kind="experiment")
    try:
        recorded = load_experiment(path)
        summary = recorded.summary
    except CheckpointError as error:
        return replace(known, problem=str(error))
    return replace(
        known,
        status=summary.status,
        title=f"{counted(summary.rows, 'row')} of a table",
        nodes=summary.rows,
        done=summary.done,
        failed=summary.failed,
        calls=summary.calls,
        tokens=summary.tokens,
        cost_usd=summary.cost_usd,
        seconds=summary.seconds,
        model=recorded.model,
    )


RUNS = Command(
    "the saved runs and experiments beside this notebook; the value has `.to_frame()`",
    _runs,
    Argument("--all", "include the numbered copies of earlier runs", short="-a"),
)


# -- show ----------------------------------------------------------------------------------------------------------


def _show(session: Session, options: argparse.Namespace) -> RunView | RecordedExperiment | Experiment | Study:
    if options.name:
        rows = experiment_named(session, options.name)
        return rows if rows is not None else run_named(session, options.name)
    if session.last is None:
        raise UsageError("%rlm show: no run yet in this session; name one of `%rlm runs`")
    return session.last


SHOW = Command(
    "show a run or an experiment as it is recorded, read only",
    _show,
    Argument("name", "a name of `%rlm runs`, a path or a variable; default: the last run", metavar="RUN", nargs="?"),
)


# -- diff ----------------------------------------------------------------------------------------------------------


def _diff(session: Session, options: argparse.Namespace) -> Difference:
    """The differences as text, below the two trees side by side where a front end shows them."""
    old, new = run_named(session, options.old), run_named(session, options.new)
    session.host.display_comparison(old, new)
    return old.diff(new)


DIFF = Command(
    "the differences between two runs, node by node",
    _diff,
    Argument("old", "the earlier run, for example NAME.1, the previous NAME", metavar="RUN"),
    Argument("new", "the later run", metavar="RUN"),
)


# -- gc ------------------------------------------------------------------------------------------------------------


def _gc(session: Session, options: argparse.Namespace) -> None:
    if options.name is not None:
        # A run whose own file was deleted may still have copies.
        saved = runs_kept(session)
        names = {path.stem.rpartition(".")[0] if is_archived(path) else path.stem for path in saved}
        if options.name not in names:
            file_of(session, options.name)
            raise ConfigurationError(f"%rlm gc {options.name}: give the name of a run, as `%rlm runs` lists them")
    # Archived copies that hold a run; other files with such names are not touched.
    archived = [path for path in runs_kept(session) if is_archived(path) and path.is_file() and not path.is_symlink()]
    wanted = (path for path in archived if options.name in (None, path.stem.rpartition(".")[0]))
    copies = [path for path in wanted if _is_run(path)]
    size = sum(path.stat().st_size for path in copies)
    for path in copies if not options.dry_run else ():
        path.unlink()
    action = "would remove" if options.dry_run else "removed"
    for path in copies:
        say(f"rlm: {action} {path}")
    say(f"rlm: {action} {counted(len(copies), 'copy', 'copies')} of earlier runs, {size / 1024:.0f} KB")


def _is_run(path: Path) -> bool:
    try:
        return recorded_in(path) is not None
    except CheckpointError:
        return False


GC = Command(
    "remove the numbered copies of earlier runs",
    _gc,
    Argument("name", "only the copies of this run", metavar="RUN", nargs="?"),
    Argument("--dry-run", "only print what would be removed"),
)
