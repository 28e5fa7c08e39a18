"""Which model answers a cell that may not have named one, and what is said about that."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...core.records import Recorded
from ...exceptions import ConfigurationError
from ...models.discovery import LocalServer, local_servers, missing, price_of
from ...models.env_file import load_env_file
from ...models.registry import HOSTED, PROVIDERS, Provider
from .transformer import readers_own

__all__ = ["OFFLINE", "keys_from", "recorded_model", "said_model", "suggestions", "told_of", "variable"]

OFFLINE = "offline"
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def said_model(option: str | None, configured: str, variables: Mapping[str, Any]) -> Any:
    """What was chosen: by the option, `%config` or RLM_MODEL, in this order; `None` if nothing was.

    A name of a variable gives its value; anything else is a specification.
    """
    for source, said in (
        ("--model", option),
        ("%config RLMMagics.model", configured),
        ("RLM_MODEL", os.environ.get("RLM_MODEL")),
    ):
        if said:
            return _named(said, source, variables)
    return None


def _named(said: str, source: str, variables: Mapping[str, Any]) -> Any:
    if said in variables:
        if variables[said] is None:
            raise ConfigurationError(f"{source} {said}: this variable is None; give it a model or a callable")
        return variables[said]
    if said.isidentifier() and said != OFFLINE:
        raise ConfigurationError(
            f"{source} {said}: no variable of this notebook and no model; {_hint(said, variables)}"
        )
    return said


def _hint(said: str, variables: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(said, [OFFLINE, *readers_own(variables)], n=1)
    return f"did you mean {close[0]}?" if close else "a model is written openai:NAME, say; %%rlm --help lists the forms"


def variable(name: str, option: str, variables: Mapping[str, Any]) -> Any:
    """The variable that an option names; raises `ConfigurationError` naming the closest."""
    if name in variables:
        return variables[name]
    close = difflib.get_close_matches(name, readers_own(variables), n=1)
    hint = f"did you mean {close[0]}?" if close else "define it in a cell above"
    raise ConfigurationError(f"{option} {name}: there is no variable {name!r} in this notebook; {hint}")


def recorded_model(recorded: Recorded | None) -> str:
    """The specification of the model that made the recorded run, or "" if it is not to be had again.

    A callable cannot be had by its name, and `offline` was never a choice that binds anybody. The file may come from a
    stranger: a server elsewhere is not asked because a file says so.
    """
    name = str(recorded.tree.settings.get("model", "")) if recorded is not None else ""
    kind = name.partition(":")[0]
    if kind in ("http", "https"):
        return name if urlsplit(name).hostname in _THIS_MACHINE else ""
    return name if kind in PROVIDERS else ""


def suggestions() -> str:
    """The banner over a run for which no model was chosen: what answers, and what could be chosen."""
    return (
        f"rlm: NO MODEL CHOSEN - `{OFFLINE}` answers: rule-based, extractive, not a language model.\n"
        f"     Choose one: {', '.join(_choices())};\n"
        f'     for all cells: %config RLMMagics.model = "{HOSTED[0].spec}"'
    )


def _choices() -> list[str]:
    # Servers are asked for their models, by nobody's order: nothing follows from the answer but this line.
    return [
        *(f"-m {_example(server)} (answers at {server.url})" for server in local_servers()),
        *(f"-m {provider.spec} ({missing(provider) or 'ready'})" for provider in HOSTED),
        "-m http://HOST:PORT/v1#NAME",
        "-m VARIABLE (a model or callable of yours)",
    ]


def _example(server: LocalServer) -> str:
    return next(iter(server.specs), f"{server.name}:NAME")


def told_of(provider: Provider) -> str:
    """One line about a model that nobody named: why it answers, and what it costs."""
    price = price_of(provider.spec)
    return f"rlm: using {provider.spec}, because {provider.key_env} is set ({price}); choose with -m SPEC"


def keys_from(env_file: str) -> str:
    """Set what a `.env` file says, and give one line that names it. Raises `ConfigurationError`."""
    names = load_env_file(env_file)
    return f"rlm: set from {env_file}: {', '.join(names) or 'nothing that was not set already'}"
