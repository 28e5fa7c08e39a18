"""Arguments of tools that are marked as secret (`SecretStr` and its like): they are used, and told to nobody.

The model gave them and the function gets them; what is logged, kept and shown has a mask in their place, and says by
name which are masked: a mask is a text like any other, and may be what a model meant. They cannot be used again from
what is kept, so a call that was stopped before it ended is asked for anew, and that call alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..core.masking import redacted
from ..core.secret_parameters import secret_parameters
from ..ports import ToolCall
from ..tools import Tool

__all__ = ["MASK", "is_masked", "masked", "masked_in", "secrets_of", "told_call", "without", "without_in"]

#: As pydantic shows a secret.
MASK = "**********"
#: Stands for all of the arguments, where they are no object.
WHOLE = ""
#: What is shorter is in every text, and would only garble it.
_SHORTEST = 4


def masked_in(call: ToolCall, tools: Mapping[str, Tool]) -> list[str]:
    """The names of the arguments that are secret, or might be (a name that the tool does not know)."""
    tool = tools.get(call.name)
    secret = secret_parameters(tool.parameters) if tool is not None else set()
    if tool is None or not secret:
        return []
    if isinstance(call.arguments, str):
        return [WHOLE]
    known = tool.parameters.get("properties", {})
    return [name for name in call.arguments if name in secret or name not in known]


def masked(call: ToolCall, tools: Mapping[str, Tool]) -> ToolCall:
    """The call as it may be told."""
    names = masked_in(call, tools)
    if not names:
        return call
    if isinstance(call.arguments, str):
        return replace(call, arguments=MASK)
    return replace(call, arguments={**call.arguments, **dict.fromkeys(names, MASK)})


def told_call(call: ToolCall, tools: Mapping[str, Tool]) -> dict[str, Any]:
    """The call as it is recorded: "secret" names what is masked, where something is."""
    names = masked_in(call, tools)
    told = {"id": call.id, "name": call.name, "arguments": masked(call, tools).arguments}
    return {**told, "secret": names} if names else told


def is_masked(told: Mapping[str, Any], tools: Mapping[str, Tool]) -> bool:
    """Whether a recorded call cannot be made, because some of its arguments were not kept."""
    if told.get("secret"):
        return True
    # Earlier versions did not say so: there, a mask in the place of a secret is one.
    call = ToolCall(told["id"], told["name"], told["arguments"])
    given = call.arguments if isinstance(call.arguments, dict) else {WHOLE: call.arguments}
    return any(given[name] == MASK for name in masked_in(call, tools))


def secrets_of(call: ToolCall, tools: Mapping[str, Tool]) -> list[str]:
    """The texts that must not be told, the longest first."""
    names = masked_in(call, tools)
    if isinstance(call.arguments, str):
        # Of what is no JSON the values as far as they can be made out, too: the model will say them again.
        hidden = [call.arguments, *_VALUE.findall(call.arguments)]
    else:
        hidden = [call.arguments[name] for name in names]
    found = {text for text in _texts(hidden) if len(text) >= _SHORTEST} if names else set()
    return sorted(found, key=len, reverse=True)


def without(text: str, secrets: list[str]) -> str:
    """The text with a mask for each secret: a tool may repeat what it was given, above all in its errors."""
    return redacted(text, secrets, MASK)


_VALUE = re.compile(r'[:\[,]\s*"((?:[^"\\]|\\.)+)')


def without_in(value: Any, secrets: list[str]) -> Any:
    """The same for all texts in a value."""
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
