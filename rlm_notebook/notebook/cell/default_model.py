"""Chooses the model of a cell, and the line that explains the choice."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...core.tree import Recorded
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
    "recorded_model",
    "suggestions",
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
            held = variables[name]
            if isinstance(held, str) and ":" not in held:
                try:
                    resolve_model(held)
                except ConfigurationError as error:
                    problem = f"{source} {name}: this variable holds a text that names no model: {error}"
                    raise ConfigurationError(problem) from None
            return held
        if name.isidentifier() and name != OFFLINE:
            close = difflib.get_close_matches(name, [OFFLINE, *user_names(variables)], n=1)
            forms = "a model is written openai:NAME, say; %%rlm --help lists the forms"
            hint = f"did you mean {close[0]}?" if close else forms
            raise ConfigurationError(f"{source} {name}: no variable of this notebook and no model; {hint}")
        return name
    return None


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
