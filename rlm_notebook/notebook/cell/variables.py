"""The variables of the notebook that options name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from ...exceptions import ConfigurationError
from .transformer import user_names

__all__ = ["tool_named", "variable"]


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
