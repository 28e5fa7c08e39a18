"""From the options of a cell to a run that was started: its model, its engine, its file."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, cast

from ...async_engine import AsyncRecursiveEngine
from ...checkpoints.json_file import JsonFile
from ...core.limits import Budget
from ...core.records import Recorded
from ...core.tree import NodeState
from ...engine import RecursiveEngine
from ...exceptions import ConfigurationError
from ...models.registry import default_model
from ...models.unavailable import UnavailableModel
from ...ports import Journal
from ...runtime.run import Run
from ..commands.run_lookup import live_run
from ..kernel.session import Session
from .default_model import OFFLINE, keys_from, recorded_model, said_model, suggestions, told_of, variable
from .journal_choice import FileOrMemory, named_file
from .options import CellOptions
from .type_option import type_named

__all__ = ["request_key", "start"]


def start(session: Session, options: CellOptions, task: str, journal: Journal | None = None) -> Run:
    """Start what a cell asks for, kept in `journal` if one is given, else where the options say.

    Needs a running event loop. Raises `ConfigurationError` and `CheckpointError`.
    """
    if options.env_file:
        session.tell_once(keys_from(options.env_file))
    said, wanted = _said_model(session, options), request_key(session, options, task)
    journal = journal or _journal(session, options, wanted, task)
    _require_at_rest(session, journal)
    model, mode = (said, options.mode) if said is not None else _default(session, options.mode, journal, wanted)
    if model is _UNAVAILABLE:
        model = _unavailable(journal)
    asked = _asked(session, options)
    kept: Any = {"mode": mode, "keep_plan": options.keep_plan, "store": options.store or "full", "title": options.title}
    run = _engine(session, options, model).start(task, checkpoint=journal, **kept, **asked)
    session.began(run)
    return run


def request_key(session: Session, options: CellOptions, task: str) -> str:
    """What the request is. It does not depend on the model, but an engine brings agents and tools along."""
    said = _said_model(session, options)
    engine = _engine(session, options, OFFLINE if said is None or said is _UNAVAILABLE else said)
    return engine.request_key(task, **_asked(session, options))


def _said_model(session: Session, options: CellOptions) -> Any:
    # What is replayed asks nobody: its reader need not have the author's model, nor choose one.
    try:
        said = said_model(options.model, session.defaults.model, session.variables)
    except ConfigurationError:
        if not _replays(options):
            raise
        return _UNAVAILABLE
    return _UNAVAILABLE if said is None and _replays(options) else said


#: In the place of a model that a replay does without.
_UNAVAILABLE = object()


def _unavailable(journal: Journal | None) -> UnavailableModel:
    """Under the name of who answered, so that what is recorded is found under it, also when the run is edited."""
    recorded = journal.read() if journal is not None else None
    name = str(recorded.tree.settings.get("model") or "") if recorded is not None else ""
    return UnavailableModel(name or "the model")


def _replays(options: CellOptions) -> bool:
    of_session = os.environ.get("RLM_MODE") if options.mode == "resume" and not options.no_checkpoint else ""
    return "replay" in (options.mode, of_session)


def _asked(session: Session, options: CellOptions) -> dict[str, Any]:
    """What is asked for beside the task."""
    names = session.variables
    return {
        "variables": {name: variable(name, "--context", names) for name in options.context},
        "output_type": type_named(options.type, names) if options.type else None,
    }


# -- its file ------------------------------------------------------------------------------------------------------


def _journal(session: Session, options: CellOptions, request_key: str, task: str) -> Journal | None:
    if options.no_checkpoint:
        return None
    host = session.host
    if options.checkpoint:
        return named_file(options.checkpoint, host.cell_id)
    path = host.checkpoint_path(options.name, request_key, options.title or task)
    return FileOrMemory(JsonFile(path, cell_id=host.cell_id))


def _require_at_rest(session: Session, journal: Journal | None) -> None:
    """Two runs do not write one file: the one that is under way is to be waited for, or stopped."""
    path = journal.path if journal is not None else None
    run = live_run(session, path) if path is not None else None
    if run is None or path is None:
        return
    done = sum(node.state is NodeState.DONE for node in run.tree)
    waited = next((name for name, value in session.variables.items() if value is run and name != "_"), "_rlm")
    raise ConfigurationError(
        f"{path.stem} is still running ({done} of {len(run.tree)} nodes are done): `await {waited}` waits for its "
        f"answer, `%rlm cancel {path.stem}` stops it; then execute the cell again"
    )


# -- its engine ----------------------------------------------------------------------------------------------------


def _engine(session: Session, options: CellOptions, llm: Any) -> AsyncRecursiveEngine:
    said = _said(session, options)
    if isinstance(llm, AsyncRecursiveEngine | RecursiveEngine):
        engine = llm.async_engine if isinstance(llm, RecursiveEngine) else llm
        usual = {"budget": _usual_budget(session)} if engine.budget is None else {}
        return engine.replaced(**{**usual, **said})
    defaults = {
        "max_depth": session.defaults.max_depth,
        "max_steps": session.defaults.max_steps,
        "max_concurrency": session.defaults.concurrency,
        "budget": _usual_budget(session),
    }
    return AsyncRecursiveEngine(llm, **{**defaults, **said})


def _said(session: Session, options: CellOptions) -> dict[str, Any]:
    """The arguments of an engine that the line itself gives."""
    names = session.variables
    given = {
        "agents": variable(options.agents, "--agents", names) if options.agents else None,
        "tools": [variable(name, "--tools", names) for name in options.tools] or None,
        "max_depth": options.max_depth,
        "max_steps": options.max_steps,
        "max_concurrency": options.concurrency,
        "on_limit": options.on_limit,
        "on_failure": options.on_failure,
        "temperature": options.temperature,
        "budget": _budget(session, options),
        "approve": {"all": True, "root": "root", None: None}[options.approve],
    }
    return {name: value for name, value in given.items() if value is not None}


def _usual_budget(session: Session) -> Budget:
    """Nobody should be surprised by a bill; what has no known price is not limited in dollars."""
    return Budget(usd=session.defaults.budget or None, unknown_price="ignore")


def _budget(session: Session, options: CellOptions) -> Budget | None:
    """What the line limits; the default in dollars goes on holding beside it."""
    if not options.limits:
        return None
    if "usd" in options.limits:
        return Budget(**cast(Any, options.limits))
    return replace(_usual_budget(session), **cast(Any, options.limits))


# -- its model -----------------------------------------------------------------------------------------------------


def _default(session: Session, mode: str, journal: Journal | None, request_key: str) -> tuple[Any, str]:
    """Nothing was chosen: the recorded model, one whose key is set, `offline`; and the mode to run in."""
    recorded = journal.read() if journal is not None and mode != "fresh" else None
    if known := recorded_model(recorded):
        return known, mode
    if _is_answered(recorded, request_key):
        # A model that only its author has answered this already: nobody is asked again, nothing is overwritten.
        return _UNAVAILABLE, "replay"
    if (provider := default_model()) is not None:
        session.tell_once(told_of(provider))
        return provider.spec, mode
    print(suggestions())
    return OFFLINE, mode


def _is_answered(recorded: Recorded | None, request_key: str) -> bool:
    """The request is recorded with its answer, and what gave it was a choice (`offline` never is)."""
    if recorded is None or recorded.tree.status != "done" or recorded.tree.request_key != request_key:
        return False
    return not str(recorded.tree.settings.get("model", "")).startswith(OFFLINE)
