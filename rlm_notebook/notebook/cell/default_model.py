"""Chooses the model of a cell, and the line that explains the choice."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from operator import attrgetter
from typing import Any
from urllib.parse import urlsplit

from ...async_engine import AsyncRecursiveEngine
from ...core.records import Recorded
from ...engine import RecursiveEngine
from ...exceptions import ConfigurationError
from ...models.discovery import local_servers, missing, price_of
from ...models.env_file import load_env_file
from ...models.registry import HOSTED, PROVIDERS, Provider, resolve_model
from .transformer import user_names

__all__ = [
    "OFFLINE",
    "chosen_model",
    "keys_from",
    "model_again",
    "model_called",
    "model_name",
    "recorded_model",
    "suggestions",
    "tool_named",
    "variable",
    "why_default",
]

OFFLINE = "offline"
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def chosen_model(option: str | None, configured: str, variables: Mapping[str, Any]) -> Any:
    """The model chosen by the option, `%config` or RLM_MODEL, in this order; `None` if none of them is set.

    The name of a variable gives its value; anything else is a model specification. Raises `ConfigurationError`.
    """
    for source, name in (
        ("--model", option),
        ("%config RLMMagics.model", configured),
        ("RLM_MODEL", os.environ.get("RLM_MODEL")),
    ):
        if not name:
            continue
        if name in variables:
            if variables[name] is None:
                raise ConfigurationError(f"{source} {name}: this variable is None; give it a model or a callable")
            return variables[name]
        if name.isidentifier() and name != OFFLINE:
            close = difflib.get_close_matches(name, [OFFLINE, *user_names(variables)], n=1)
            forms = "a model is written openai:NAME, say; %%rlm --help lists the forms"
            hint = f"did you mean {close[0]}?" if close else forms
            raise ConfigurationError(f"{source} {name}: no variable of this notebook and no model; {hint}")
        return name
    return None


def variable(name: str, option: str, variables: Mapping[str, Any]) -> Any:
    """The value of the variable that an option names. Raises `ConfigurationError` with the closest name."""
    if name in variables:
        return variables[name]
    close = difflib.get_close_matches(name, user_names(variables), n=1)
    hint = f"did you mean {close[0]}?" if close else "define it in a cell above"
    raise ConfigurationError(f"{option} {name}: there is no variable {name!r} in this notebook; {hint}")


def tool_named(name: str, variables: Mapping[str, Any]) -> Any:
    """The function, tool or server that `--tools` names; `server.search` is one tool of a server. Raises
    `ConfigurationError`."""
    owner, dot, rest = name.partition(".")
    held = variables.get(owner)
    if not dot or name in variables or held is None:
        return variable(name if name in variables or not dot else owner, "--tools", variables)
    if hasattr(type(held), "as_tool") and hasattr(type(held), "__getitem__"):
        return held[rest]
    try:
        return attrgetter(rest)(held)
    except AttributeError:
        raise ConfigurationError(f"--tools {name}: {owner} has no {rest}; name a function or a server's tool") from None


def recorded_model(recorded: Recorded | None) -> str:
    """The specification of the recorded run's model, or "" if it is not used again."""
    return model_again(str(recorded.tree.settings.get("model", "")) if recorded is not None else "")


def model_again(name: str) -> str:
    """A recorded name, if it specifies a model that is used again; else "".

    A callable cannot be found by its name, and `offline` is not a choice to repeat. The file may come from a stranger:
    only servers on this machine are contacted because of it.
    """
    kind = name.partition(":")[0]
    if kind in ("http", "https"):
        return name if urlsplit(name).hostname in _THIS_MACHINE else ""
    return name if kind in PROVIDERS else ""


def model_called(name: str, variables: Mapping[str, Any]) -> Any:
    """The model of this name that a variable holds; `None` if there is none, or if several differ."""
    found = [variables[each] for each in user_names(variables) if model_name(variables[each]) == name]
    return found[0] if found and all(each is found[0] for each in found) else None


def model_name(value: Any) -> str:
    """The name of a model, callable or engine as it is recorded; "" for any other value."""
    if isinstance(value, RecursiveEngine):
        value = value.async_engine
    if isinstance(value, AsyncRecursiveEngine):
        return str(value.settings()["model"])
    if isinstance(value, type | str) or not (callable(value) or hasattr(value, "stream")):
        return ""
    try:
        return resolve_model(value).name
    except Exception:
        # Any object of the notebook may be here, also one that fails when it is looked at.
        return ""


def suggestions() -> str:
    """The banner over a run without a chosen model: what answers it, and what can be chosen."""
    # The local servers are only asked for their models' names, for this line.
    choices = [
        *(
            f"-m {next(iter(server.specs), f'{server.name}:NAME')} (answers at {server.url})"
            for server in local_servers()
        ),
        *(f"-m {provider.spec} ({missing(provider) or 'ready'})" for provider in HOSTED),
        "-m http://HOST:PORT/v1#NAME",
        "-m VARIABLE (a model or callable of yours)",
    ]
    return (
        f"rlm: NO MODEL CHOSEN - `{OFFLINE}` answers: rule-based, extractive, not a language model.\n"
        f"     Choose one: {', '.join(choices)};\n"
        f'     for all cells: %config RLMMagics.model = "{HOSTED[0].spec}"'
    )


def why_default(provider: Provider) -> str:
    """One line about the default model: why it is used, and its price."""
    price = price_of(provider.spec)
    return f"rlm: using {provider.spec}, because {provider.key_env} is set ({price}); choose with -m SPEC"


def keys_from(env_file: str) -> str:
    """Sets the variables of a `.env` file; returns one line with their names. Raises `ConfigurationError`."""
    names = load_env_file(env_file)
    return f"rlm: set from {env_file}: {', '.join(names) or 'nothing that was not set already'}"
