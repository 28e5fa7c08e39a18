"""A run's engine as Python code, with the names that its model, agents, tools and variables have in the notebook.

"Copy as Python" joins it with a task. The code runs in the same notebook: a callable is named by its variable, and what
no variable holds is left out or, for the model, marked as to be filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Protocol, runtime_checkable

from IPython.core.getipython import get_ipython

from ...documents.source import Source
from ...models.registry import PROVIDERS
from ...runtime.engine_view import engine_held
from ...runtime.options import EngineOptions
from ...runtime.run_view import RunView
from ...tools.mcp import ServerTool
from ..cell.transformer import user_names

__all__ = ["python_code"]

#: Options of an engine that are written down as they are, where they are not the default.
_LITERALS = (
    *("router_model", "max_depth", "max_steps", "max_concurrency", "max_tool_rounds", "on_limit", "on_failure"),
    *("temperature", "call_timeout", "default_model", "thread_safe", "quotes"),
)


class Reference(Protocol):
    """A variable or source that a task was given by reference."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> Any: ...


@runtime_checkable
class Requested(Protocol):
    """The request of a live run, as far as it is read here."""

    @property
    def memory(self) -> Iterable[Reference]: ...


def python_code(run: RunView) -> dict[str, str]:
    """The code around a task: `engine`, an expression; `solve`, more arguments of `solve`; `note`, what to fill in."""
    shell = get_ipython()
    namespace = shell.user_ns if shell is not None else {}
    names = {name: namespace[name] for name in user_names(namespace)}
    options, request = run.internals.options, run.internals.request
    guarded = False
    if isinstance(options, EngineOptions):
        model, note = _model(options.llm, names)
        arguments = [model, *_options(options, names)]
        guarded = any(tool.requires_approval for tool in options.tools)
    else:
        model, note = _recorded(run, names)
        arguments = [model]
    given, imports = [], ""
    for reference in request.memory if isinstance(request, Requested) else ():
        if reference.name in names:
            given.append(f"{reference.name!r}: {reference.name}")
        elif isinstance(source := reference.value, Source):
            # A source of the cell's line.
            given.append(f"{reference.name!r}: Source({str(source.path)!r})")
            imports = "from rlm_notebook import Source"
    return {
        # A blocked caller cannot approve calls of tools.
        "engine": f"{'Async' if guarded else ''}RecursiveEngine({', '.join(arguments)})",
        "solve": f", variables={{{', '.join(given)}}}" if given else "",
        "note": "\n".join(filter(None, (imports, note))),
    }


def _model(llm: Any, names: Mapping[str, Any]) -> tuple[str, str]:
    if isinstance(llm, str):
        return repr(llm), ""
    if name := _name_of(llm, names):
        return name, ""
    # The cell may have named an engine, or an agent that was unwrapped.
    held = ((name, engine_held(value)) for name, value in names.items())
    engine = next((name for name, engine in held if engine is not None and engine.llm is llm), "")
    return (f"{engine}.llm", "") if engine else ("model", "model = ...  # no variable of this notebook holds the model")


def _recorded(run: RunView, names: Mapping[str, Any]) -> tuple[str, str]:
    """The model of a loaded run, by the name that its file holds: a spec, or the name of a callable."""
    recorded = str(run.tree.settings.get("model") or "offline")
    if recorded == "offline" or recorded.partition(":")[0] in PROVIDERS:
        return repr(recorded), ""
    called = recorded.rpartition(".")[2]
    if called in names:
        return called, ""
    return "model", f"model = ...  # recorded with {recorded!r}"


def _options(options: EngineOptions, names: Mapping[str, Any]) -> list[str]:
    found = []
    if agents := options.agents:
        # The engine has a copy of the notebook's dict, with the same values.
        dicts = {name: value for name, value in names.items() if type(value) is dict and value.keys() == agents.keys()}
        same = (name for name, held in dicts.items() if all(held[key] is value for key, value in agents.items()))
        found += [f"agents={name}" for name in list(same)[:1]]
    tools = []
    for tool in options.tools:
        name = _name_of(tool, names) or _name_of(tool.function, names)
        if not name and isinstance(tool.function, ServerTool) and (server := _name_of(tool.function.server, names)):
            name = f"{server}[{tool.function.tool!r}]"
        tools += [name] if name else []
    if tools:
        found.append(f"tools=[{', '.join(tools)}]")
    defaults = {each.name: each.default for each in fields(EngineOptions) if each.default is not MISSING}
    given = ((name, getattr(options, name)) for name in _LITERALS)
    return [*found, *(f"{name}={value!r}" for name, value in given if value != defaults[name])]


def _name_of(value: Any, names: Mapping[str, Any]) -> str:
    return next((name for name, held in names.items() if held is value), "")
