"""Which model answers a cell that may not have named one, and what is said about that."""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..core.records import Recorded
from ..exceptions import ConfigurationError
from ..models.registry import LOCAL_SERVERS, default_openai_model

__all__ = ["OFFLINE", "recorded_model", "said_model", "suggestions", "variable"]

OFFLINE = "offline"
#: What a server on this machine needs at most to accept a connection, in seconds.
_KNOCK = 0.05
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
        return variables[said]
    if said.isidentifier() and said != OFFLINE:
        raise ConfigurationError(
            f"{source} {said}: no variable of this notebook and no model; {_hint(said, variables)}"
        )
    return said


def _hint(said: str, variables: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(said, [OFFLINE, *_public(variables)], n=1)
    return f"did you mean {close[0]}?" if close else "a model is written openai:NAME, say; %%rlm --help lists the forms"


def variable(name: str, option: str, variables: Mapping[str, Any]) -> Any:
    """The variable that an option names; raises `ConfigurationError` naming the closest."""
    if name in variables:
        return variables[name]
    close = difflib.get_close_matches(name, _public(variables), n=1)
    hint = f"did you mean {close[0]}?" if close else "define it in a cell above"
    raise ConfigurationError(f"{option} {name}: there is no variable {name!r} in this notebook; {hint}")


def _public(variables: Mapping[str, Any]) -> list[str]:
    return [name for name in variables if not name.startswith("_")]


def recorded_model(recorded: Recorded | None) -> str:
    """The specification of the model that made the recorded run, or "" if it is not to be had again.

    A callable cannot be had by its name, and `offline` was never a choice that binds anybody. The file may come from a
    stranger: a server elsewhere is not asked because a file says so.
    """
    name = str(recorded.tree.settings.get("model", "")) if recorded is not None else ""
    kind = name.partition(":")[0]
    if kind in ("http", "https"):
        return name if urlsplit(name).hostname in _THIS_MACHINE else ""
    return name if kind in ("openai", *LOCAL_SERVERS) else ""


def suggestions() -> str:
    """The banner over a run for which no model was chosen: what answers, and what could be chosen."""
    return (
        f"rlm: NO MODEL CHOSEN - `{OFFLINE}` answers: rule-based, extractive, not a language model.\n"
        f"     Choose one: {', '.join(_choices())};\n"
        f'     for all cells: %config RLMMagics.model = "{default_openai_model()}"'
    )


def _choices() -> list[str]:
    local = [f"-m {name}:NAME (answers at {url})" for name, url in LOCAL_SERVERS.items() if _answers(url)]
    return [
        *local,
        "-m openai:NAME (set OPENAI_API_KEY)",
        "-m http://HOST:PORT/v1#NAME",
        "-m VARIABLE (a model or callable of yours)",
    ]


def _answers(url: str) -> bool:
    """Somebody listens there. Nothing is sent, and nothing follows from it but a suggestion."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=_KNOCK):
            return True
    except OSError:
        return False
