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
    references = list(request.memory) if isinstance(request, Requested) else []
    variables = {each.name: _reference(each, names) for each in references}
    given = ", ".join(f"{name!r}: {written}" for name, written in variables.items() if written)
    if any(written.startswith("Source(") for written in variables.values()):
        note = "\n".join(filter(None, ("from rlm_notebook import Source", note)))
    return {
        # A blocked caller cannot approve calls of tools.
        "engine": f"{'Async' if guarded else ''}RecursiveEngine({', '.join(arguments)})",
        "solve": f", variables={{{given}}}" if given else "",
        "note": note,
    }


def _reference(reference: Reference, names: Mapping[str, Any]) -> str:
    """A variable of the notebook by its name, a source of the cell's line by its path; "" for any other value."""
    if reference.name in names:
        return reference.name
    source = reference.value
    return f"Source({str(source.path)!r})" if isinstance(source, Source) else ""


def _model(llm: Any, names: Mapping[str, Any]) -> tuple[str, str]:
    if isinstance(llm, str):
        return repr(llm), ""
    if name := _name_of(llm, names):
        return name, ""
    # The cell may have named an engine, or an agent that was unwrapped.
    engine = next((name for name, value in names.items() if _held(value, "llm") is llm), "")
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
    if options.agents:
        agents = options.agents
        same = (name for name, value in names.items() if _is_same(value, agents))
        if name := next(same, ""):
            found.append(f"agents={name}")
    tools = [
        _name_of(tool, names) or _name_of(tool.function, names) or _of_server(tool.function, names)
        for tool in options.tools
    ]
    if named := [name for name in tools if name]:
        found.append(f"tools=[{', '.join(named)}]")
    defaults = {each.name: each.default for each in fields(EngineOptions) if each.default is not MISSING}
    given = ((name, getattr(options, name)) for name in _LITERALS)
    return [*found, *(f"{name}={value!r}" for name, value in given if value != defaults[name])]


def _name_of(value: Any, names: Mapping[str, Any]) -> str:
    return next((name for name, held in names.items() if held is value), "")


def _of_server(function: Any, names: Mapping[str, Any]) -> str:
    """One tool of a server of the notebook."""
    if not isinstance(function, ServerTool):
        return ""
    server = _name_of(function.server, names)
    return f"{server}[{function.tool!r}]" if server else ""


def _is_same(value: Any, agents: Mapping[str, Any]) -> bool:
    """Whether a dict of the notebook holds the same agents; the engine has a copy of it."""
    return (
        type(value) is dict
        and value.keys() == agents.keys()
        and all(value[name] is each for name, each in agents.items())
    )


def _held(engine: Any, name: str) -> Any:
    """An argument of an engine; reading attributes of other objects may execute code."""
    inner = engine.async_engine if type(engine).__name__ == "RecursiveEngine" else engine
    return getattr(inner, name) if isinstance(inner, EngineOptions) else None
