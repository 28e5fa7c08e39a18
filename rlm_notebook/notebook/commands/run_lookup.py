"""Finds the saved runs beside the notebook, by name."""

from __future__ import annotations

from pathlib import Path

from ...checkpoints.location import (
    is_archived,
    notebook_path,
    rows_files,
    rows_name,
    run_files,
    run_folder,
    run_folders,
)
from ...exceptions import ConfigurationError
from ...runtime.recorded_run import load_run
from ...runtime.run_view import RunView, is_run
from ..cell.line_parser import close_to
from ..kernel.session import Session

__all__ = [
    "experiment_names",
    "experiments_kept",
    "file_of",
    "folders",
    "run_named",
    "run_names",
    "runs_kept",
]


def folders(session: Session) -> list[Path]:
    """The folder beside the notebook; if its path is unknown, all `*.rlm` folders of the working directory."""
    notebook = notebook_path(session.variables)
    return [run_folder(notebook)] if notebook is not None else run_folders(Path.cwd())


def runs_kept(session: Session) -> list[Path]:
    """The JSON path of each run, archived ones included; beside an interrupted journal it may not exist yet."""
    return [path for folder in folders(session) for path in run_files(folder)]


def run_names(session: Session) -> list[str]:
    return [path.stem for path in runs_kept(session)]


def experiments_kept(session: Session) -> list[Path]:
    """The files of experiments."""
    return [path for folder in folders(session) for path in rows_files(folder)]


def experiment_names(session: Session) -> list[str]:
    return [rows_name(path) for path in experiments_kept(session)]


def file_of(session: Session, name: str) -> Path:
    """The JSON path for a name or a path. Raises `ConfigurationError` with the closest name."""
    if name.endswith(".json") or "/" in name or "\\" in name:
        return Path(name).expanduser().absolute()
    found = [path for path in runs_kept(session) if path.stem == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigurationError(f"several runs are named {name!r}: {', '.join(map(str, found))}; give the path of one")
    known = [path.stem for path in runs_kept(session) if not is_archived(path)]
    known += experiment_names(session)
    hint = close_to(name, [*run_names(session), *experiment_names(session)]) or f"there are: {', '.join(known)}"
    if name in experiment_names(session):
        hint = f"{name} is an experiment: `%rlm show {name}` shows its rows, `.run(0)` of that is the run of one"
    if not known:
        searched = ", ".join(map(str, folders(session))) or f"{Path.cwd()} (no *.rlm folder)"
        hint = f"nothing is saved in {searched}: run a %%rlm cell first, or give the path of a run's JSON"
    raise ConfigurationError(f"there is no run named {name!r} here; {hint}")


def run_named(session: Session, name: str) -> RunView:
    """The run for a name: a variable that holds one, a run under way, or a file."""
    found = session.variables.get(name)
    if is_run(found):
        return found
    path = file_of(session, name)
    return session.live_run(path) or load_run(path)
