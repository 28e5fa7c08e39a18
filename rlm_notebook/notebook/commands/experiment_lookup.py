"""Finds the saved experiments beside the notebook, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...checkpoints.location import rows_name
from ...exceptions import ConfigurationError
from ...host.console import say
from ..kernel.session import Session
from .run_lookup import experiments_kept, run_names

if TYPE_CHECKING:
    from ...experiments.experiment import Experiment
    from ...experiments.recorded import RecordedExperiment
    from ...experiments.study import Study

__all__ = ["experiment_named"]


def experiment_named(session: Session, name: str) -> Experiment | Study | RecordedExperiment | None:
    """The experiment with this name or path; `None` if it names none. A run comes first.

    What is recorded under a name comes before a variable of that name, and a line says so; but a variable that holds
    this very experiment also has the table of its rows, and is given instead.
    """
    from ...experiments.experiment import Experiment
    from ...experiments.recorded import RecordedExperiment
    from ...experiments.study import Study

    found, held = _recorded_rows(session, name), session.variables.get(name)
    if not isinstance(held, Experiment | Study | RecordedExperiment):
        return found
    if found is None:
        if name not in run_names(session):
            return held
        say(f"rlm: {name} is the recorded run; the variable {name}, an experiment, is not meant")
        return None
    if held.checkpoint != found.checkpoint:
        say(f"rlm: {name} is the experiment in {found.checkpoint}; the variable {name} holds another one")
        return found
    if isinstance(held, Experiment) and (rows := len(set(held.keys))) < len(found):
        say(f"rlm: {name} is the variable, with {rows} of the {len(found)} rows in {found.checkpoint}")
    return held


def _recorded_rows(session: Session, name: str) -> RecordedExperiment | None:
    from ...experiments.recorded import load_experiment

    if "/" in name or "\\" in name or name.endswith(".jsonl"):
        return load_experiment(Path(name).expanduser().absolute()) if name.endswith(".jsonl") else None
    if name in run_names(session):
        return None
    found = [path for path in experiments_kept(session) if rows_name(path) == name]
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise ConfigurationError(f"several experiments are named {name!r}: {listed}; give the path of one")
    return load_experiment(found[0]) if found else None
