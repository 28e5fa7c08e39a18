"""Starts the run of a cell: chooses its model, its engine and its file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

from ...checkpoints.heads import options_in
from ...checkpoints.json_file import JsonFile
from ...checkpoints.location import related
from ...core.limits import Budget
from ...core.tree import NodeState
from ...documents.patterns import has_pattern
from ...documents.source import named_sources
from ...exceptions import ConfigurationError
from ...host.console import say
from ...memory import SharedMemory
from ...models.registry import default_model, resolve_model
from ...models.unavailable import UnavailableModel
from ...ports.run import Journal
from ...runtime.engine_view import EngineView, engine_held
from ...runtime.options import EngineOptions
from ...runtime.run_view import RunView
from ...sandbox.options import CodeSandbox
from ..kernel.session import Session
from .default_model import (
    OFFLINE,
    chosen_model,
    keys_from,
    model_again,
    recorded_model,
    suggestions,
    why_default,
)
from .journal_choice import FileOrMemory, named_file
from .options import CellOptions
from .transformer import user_names
from .type_option import type_named
from .variables import tool_named, variable

__all__ = ["engine_for_rows", "open_servers", "request_key", "start"]


def start(session: Session, options: CellOptions, task: str, journal: Journal | None = None) -> RunView:
    """Starts the run of a cell, written to `journal` if one is given, else to the file that the options name.

    Needs a running event loop. Raises `ConfigurationError` and `CheckpointError`.
    """
    if options.env_file:
        session.print_once(keys_from(options.env_file))
    model, mode, asked = _model(session, options), options.mode, _request_arguments(session, options)
    key = _engine_before_its_file(session, options)[0].request_key(task, **asked)
    journal = journal or _journal(session, options, key, task)
    _require_at_rest(session, journal)
    if model is None:
        model, mode = _default_model(session, mode, journal, key)
    if model is _UNAVAILABLE:
        # Named like the recorded model, so that its results are found, also when the run is edited.
        recorded = journal.read() if journal is not None else None
        name = str(recorded.tree.settings.get("model") or "") if recorded is not None else ""
        model = UnavailableModel(name or "the model")
    run = _engine(session, options, model).start(
        task,
        checkpoint=journal,
        mode=cast(Any, mode),
        keep_plan=options.keep_plan,
        store=cast(Any, options.store or "full"),
        title=options.title,
        versioned=True,
        plan_only=options.dry_run,
        **asked,
    )
    session.began(run)
    return run


async def open_servers(session: Session, options: CellOptions) -> None:
    """Starts the servers that the tools of a cell come from, while the event loop goes on. A replay needs none.

    Raises `ConfigurationError` for a server that does not start.
    """
    if _mode(options) != "replay" and (options.tools or options.agents or options.model):
        if options.env_file:
            session.print_once(keys_from(options.env_file))
        engine, _ = _engine_before_its_file(session, options)
        await engine.open_servers()


def request_key(session: Session, options: CellOptions, task: str) -> str:
    """The key of a cell's request. It does not depend on the model, but an engine may define agents and tools."""
    engine, _ = _engine_before_its_file(session, options)
    return engine.request_key(task, **_request_arguments(session, options))


def _engine_before_its_file(session: Session, options: CellOptions) -> tuple[EngineView, str]:
    """The engine as far as the cell's line defines it, and the name of its model, "" if that depends on the file."""
    model = _model(session, options)
    if model is None or model is _UNAVAILABLE:
        return _engine(session, options, OFFLINE), ""
    engine = _engine(session, options, model)
    return engine, str(engine.settings()["model"])


#: The model of a replay whose model is not available here. A replay calls no model, so it needs none.
_UNAVAILABLE = object()


def _model(session: Session, options: CellOptions) -> Any:
    """The chosen model; `None` if none was chosen, `_UNAVAILABLE` if a replay has none."""
    replaying = _mode(options) == "replay"
    try:
        model = chosen_model(options.model, session.defaults.model, session.variables)
    except ConfigurationError:
        if not replaying:
            raise
        return _UNAVAILABLE
    return _UNAVAILABLE if model is None and replaying else model


def _mode(options: CellOptions) -> str:
    """The mode of the cell, or that of the session for a cell with a file and without a mode of its own."""
    of_session = os.environ.get("RLM_MODE") if options.mode == "resume" and not options.no_checkpoint else None
    return of_session or options.mode


def _request_arguments(session: Session, options: CellOptions) -> dict[str, Any]:
    """The parts of the request beside the task."""
    names = session.variables
    # What is no variable may be a file, a folder or a glob.
    others = [name for name in options.context if name not in names and not name.isidentifier()]
    paths = [name for name in others if has_pattern(name) or Path(name).expanduser().exists()]
    given = {name: variable(name, "--context", names) for name in options.context if name not in paths}
    variables = {**given, **named_sources([*paths, *options.source], given)}
    return {
        # A replay needs no file.
        "variables": SharedMemory(variables, replaying=_mode(options) == "replay"),
        "output_type": type_named(options.type, names) if options.type else None,
    }


# -- its file ------------------------------------------------------------------------------------------------------


def _journal(session: Session, options: CellOptions, request_key: str, task: str) -> Journal | None:
    if options.no_checkpoint:
        return None
    host = session.host
    if options.checkpoint:
        file = named_file(options.checkpoint, host.cell_id)
        if file.path is not None:
            host.use_named_file(file.path, request_key)
        return file
    engine, model = _engine_before_its_file(session, options)
    path = host.checkpoint_path(
        options.name,
        request_key,
        options.title or task,
        model=model,
        options=options_in(engine.settings()),
        mode=_mode(options),
        keep_plan=options.keep_plan,
    )
    also = related(path, options.name, request_key) if not path.exists() else []
    return FileOrMemory(JsonFile(path, cell_id=host.cell_id, related=also))


def _require_at_rest(session: Session, journal: Journal | None) -> None:
    """Raises `ConfigurationError` while a run of this session writes the cell's file."""
    path = journal.path if journal is not None else None
    run = session.live_run(path) if path is not None else None
    if run is None or path is None:
        return
    done = sum(node.state is NodeState.DONE for node in run.tree)
    holder = next((name for name, value in session.variables.items() if value is run and name != "_"), "_rlm")
    raise ConfigurationError(
        f"{path.stem} is still running ({done} of {len(run.tree)} nodes are done): `await {holder}` waits for its "
        f"answer, `%rlm cancel {path.stem}` stops it; then execute the cell again"
    )


# -- its engine ----------------------------------------------------------------------------------------------------


def _engine(session: Session, options: CellOptions, llm: Any) -> EngineView:
    names = session.variables
    # Each option of a cell under the name of an engine's option is that option.
    shared = {each.name for each in fields(EngineOptions)} & {each.name for each in fields(CellOptions)}
    on_line = {
        **{name: getattr(options, name) for name in shared},
        "agents": variable(options.agents, "--agents", names) if options.agents else None,
        "tools": [tool_named(name, names) for name in options.tools] or None,
        "budget": _budget(session, options),
        "code": None,
        "approve": {"all": True, "root": "root", None: None}[options.approve],
    }
    if options.code is not None or options.code_sandbox is not None:
        kind, when = options.code_sandbox or "monty", options.code or "planner"
        on_line["code"] = CodeSandbox(kind=cast(Any, kind), when=cast(Any, when))
    given = {name: value for name, value in on_line.items() if value is not None}
    agents, router = given.get("agents"), getattr(llm, "router_model", "planner")
    if isinstance(agents, Mapping) and agents and router not in agents:
        raise ConfigurationError(
            f"-a {options.agents}: {router!r} is not among the agents ({', '.join(map(str, agents))}), and it is the "
            f'one that plans; add it to them: {options.agents}[{router!r}] = "openai:gpt-5-mini", or another model'
        )
    if (engine := engine_held(llm)) is not None:
        default = {"budget": _default_budget(session)} if engine.budget is None else {}
        # Those of the engine come before those of the notebook.
        prices = {"prices": {**session.defaults.prices, **(engine.prices or {})}} if session.defaults.prices else {}
        return engine.replaced(**{**default, **prices, **given})
    defaults = {
        "max_depth": session.defaults.max_depth,
        "max_steps": session.defaults.max_steps,
        "max_concurrency": session.defaults.concurrency,
        "budget": _default_budget(session),
        "prices": dict(session.defaults.prices) or None,
    }
    return session.make_engine(llm, **{**defaults, **given})


def _default_budget(session: Session) -> Budget:
    """The default limit in dollars; models without a known price are not limited by it."""
    return Budget(usd=session.defaults.budget or None, unknown_price="ignore")


def _budget(session: Session, options: CellOptions) -> Budget | None:
    """The limits of the line; without one in dollars, the default in dollars also applies."""
    if not options.limits:
        return None
    if "usd" in options.limits:
        return Budget(**cast(Any, options.limits))
    return replace(_default_budget(session), **cast(Any, options.limits))


def engine_for_rows(
    session: Session, options: CellOptions, recorded: Callable[[], str]
) -> tuple[EngineView, Budget | None]:
    """The engine of a cell with `--over`, and the budget of all its rows together. `recorded` gives the name of the
    model in the cell's file, or "". Raises `ConfigurationError`."""
    if options.env_file:
        session.print_once(keys_from(options.env_file))
    model = _model(session, options)
    if model is None:
        model = model_again(recorded()) if options.mode != "fresh" else ""
        model = model or _default_model(session, options.mode, None, "")[0]
    if model is _UNAVAILABLE:
        # Named like the recorded model, so that its rows are found.
        model = UnavailableModel(recorded() or "the model")
    engine = _engine(session, options, model)
    # An engine of the notebook may have a budget: that is for each row.
    own = model.budget if isinstance(model, EngineOptions) else None
    return engine.replaced(budget=own), _budget(session, options) or _default_budget(session)


# -- its model -----------------------------------------------------------------------------------------------------


def _default_model(session: Session, mode: str, journal: Journal | None, request_key: str) -> tuple[Any, str]:
    """Without a chosen model: the recorded one, one whose key is set, or `offline`; and the mode to run in."""
    recorded = journal.read() if journal is not None and mode != "fresh" else None
    if known := recorded_model(recorded):
        return known, mode
    tree = recorded.tree if recorded is not None else None
    if tree is not None and tree.status == "done" and tree.request_key == request_key:
        # The answer of a model that is not available here is replayed, so that the default does not overwrite it.
        by_offline = str(tree.settings.get("model", "")).startswith(OFFLINE)
        if not by_offline:
            model = _of_this_session(session, journal, str(tree.settings.get("model", "")))
            return (_UNAVAILABLE if model is None else model), "replay"
    if (provider := default_model()) is not None:
        session.print_once(why_default(provider))
        return provider.spec, mode
    say(suggestions())
    return OFFLINE, mode


def _of_this_session(session: Session, journal: Journal | None, name: str) -> Any:
    """The recorded model, if this session has it: that of the last run in the file, else the only variable that holds a
    model of this name. A replay does not call it; what follows may: an edit, a retry, a plain run to compare."""
    run = session.kept_in(journal.path) if journal is not None and journal.path is not None else None
    options = run.internals.options if run is not None else None
    if isinstance(options, EngineOptions):
        used = options.llm
        if not isinstance(used, UnavailableModel) and _name_of_model(used) == name:
            return used
    variables = session.variables
    found = [variables[each] for each in user_names(variables) if _name_of_model(variables[each]) == name]
    return found[0] if found and all(each is found[0] for each in found) else None


def _name_of_model(value: Any) -> str:
    """The name of a model, callable or engine as it is recorded; "" for any other value."""
    if (engine := engine_held(value)) is not None:
        return str(engine.settings()["model"])
    if isinstance(value, type | str) or not (callable(value) or hasattr(value, "stream")):
        return ""
    try:
        return resolve_model(value).name
    except Exception:
        # Any object of the notebook may be here, also one that fails when it is looked at.
        return ""
