"""Tool arguments that are marked as secret (`SecretStr` and the like): used by the tool, never recorded or shown.

The tool gets the argument as the model wrote it. Events, files and displays hold a mask in its place, and "secret" in
a recorded call names the masked arguments, because a mask is a text that a model may also write. Masked arguments
cannot be restored from a file, so an interrupted call is requested from the model once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..core.masking import redacted
from ..core.secret_parameters import secret_parameters
from ..ports.model import ToolCall
from ..tools import Tool

__all__ = ["MASK", "is_masked", "masked", "masked_in", "recorded_call", "secrets_of", "without", "without_in"]

#: The mask that pydantic prints for a secret.
MASK = "**********"
#: The name for the arguments as a whole, where they are text and not an object.
WHOLE = ""
#: Shorter values are not masked in texts: they occur everywhere by chance.
_SHORTEST = 4


def masked_in(call: ToolCall, tools: Mapping[str, Tool]) -> list[str]:
    """The names of the arguments that are secret, or may be (names that the tool does not have)."""
    tool = tools.get(call.name)
    secret = secret_parameters(tool.parameters) if tool is not None else set()
    if tool is None or not secret:
        return []
    if isinstance(call.arguments, str):
        return [WHOLE]
    known = tool.parameters.get("properties", {})
    return [name for name in call.arguments if name in secret or name not in known]


def masked(call: ToolCall, tools: Mapping[str, Tool]) -> ToolCall:
    """The call with its secret arguments masked."""
    names = masked_in(call, tools)
    if not names:
        return call
    if isinstance(call.arguments, str):
        return replace(call, arguments=MASK)
    return replace(call, arguments={**call.arguments, **dict.fromkeys(names, MASK)})


def recorded_call(call: ToolCall, tools: Mapping[str, Tool]) -> dict[str, Any]:
    """The call as it is recorded; "secret" names the masked arguments, if any."""
    names = masked_in(call, tools)
    recorded = {"id": call.id, "name": call.name, "arguments": masked(call, tools).arguments}
    return {**recorded, "secret": names} if names else recorded


def is_masked(recorded: Mapping[str, Any], tools: Mapping[str, Tool]) -> bool:
    """Whether a recorded call cannot be made, because some of its arguments are masked."""
    if recorded.get("secret"):
        return True
    # Files of earlier versions have no "secret": there, a mask in the place of a secret argument is one.
    call = ToolCall(recorded["id"], recorded["name"], recorded["arguments"])
    given = call.arguments if isinstance(call.arguments, dict) else {WHOLE: call.arguments}
    return any(given[name] == MASK for name in masked_in(call, tools))


def secrets_of(call: ToolCall, tools: Mapping[str, Tool]) -> list[str]:
    """The secret values in a call as texts, the longest first."""
    names = masked_in(call, tools)
    if isinstance(call.arguments, str):
        # In text that is not JSON also each recognisable value: the model may repeat it.
        hidden = [call.arguments, *_VALUE.findall(call.arguments)]
    else:
        hidden = [call.arguments[name] for name in names]
    found = {text for text in _texts(hidden) if len(text) >= _SHORTEST} if names else set()
    return sorted(found, key=len, reverse=True)


def without(text: str, secrets: list[str]) -> str:
    """The text with a mask for each secret: tools repeat their arguments, above all in errors."""
    return redacted(text, secrets, MASK)


_VALUE = re.compile(r'[:\[,]\s*"((?:[^"\\]|\\.)+)')


def without_in(value: Any, secrets: list[str]) -> Any:
    """The value with a mask for each secret in any of its texts."""
    if isinstance(value, str):
        return without(value, secrets)
    if isinstance(value, dict):
        return {without_in(key, secrets): without_in(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [without_in(item, secrets) for item in value]
    return MASK if not isinstance(value, bool) and str(value) in secrets else value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
