"""Arguments of tools that are marked as secret (`SecretStr` and its like): they are used, and told to nobody.

The model gave them and the function gets them; what is logged, kept and shown has a mask in their place. They cannot
be used again from what is kept, so a call that was stopped before it ended is asked for anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .core.redaction import redacted
from .ports import ToolCall
from .tools import Tool

__all__ = ["MASK", "is_masked", "masked", "secrets_of", "without"]

#: As pydantic shows a secret.
MASK = "**********"
#: What is shorter is in every text, and would only garble it.
_SHORTEST = 4


def masked(call: ToolCall, tools: Mapping[str, Tool]) -> ToolCall:
    """The call as it may be told: what is secret, or might be (a name that the tool does not know), is masked."""
    secret = _secret_parameters(tools.get(call.name))
    if not secret:
        return call
    if isinstance(call.arguments, str):
        return replace(call, arguments=MASK)
    known = tools[call.name].parameters.get("properties", {})
    told = {name: MASK if name in secret or name not in known else given for name, given in call.arguments.items()}
    return replace(call, arguments=told)


def is_masked(arguments: Mapping[str, Any] | str) -> bool:
    """Whether these arguments were told with a mask, and cannot be used."""
    return MASK in (arguments.values() if isinstance(arguments, Mapping) else [arguments])


def secrets_of(call: ToolCall, tools: Mapping[str, Tool]) -> list[str]:
    """The texts that must not be told, the longest first."""
    told = masked(call, tools)
    if told is call:
        return []
    if isinstance(call.arguments, str) or isinstance(told.arguments, str):
        return [str(call.arguments)]
    hidden = [given for name, given in call.arguments.items() if told.arguments[name] == MASK]
    return sorted({text for text in _texts(hidden) if len(text) >= _SHORTEST}, key=len, reverse=True)


def without(text: str, secrets: list[str]) -> str:
    """The text with a mask for each secret: a tool may repeat what it was given, above all in its errors."""
    return redacted(text, secrets, MASK)


def _secret_parameters(tool: Tool | None) -> set[str]:
    """Pydantic marks what is secret as write-only; so is a parameter that holds something secret."""
    if tool is None or '"writeOnly": true' not in json.dumps(tool.parameters):
        return set()
    shared = tool.parameters.get("$defs", {})
    return {name for name, schema in tool.parameters["properties"].items() if _is_secret(schema, shared, set())}


def _is_secret(schema: Any, shared: Mapping[str, Any], seen: set[str]) -> bool:
    if isinstance(schema, list):
        return any(_is_secret(item, shared, seen) for item in schema)
    if not isinstance(schema, dict):
        return False
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name and name not in seen and _is_secret(shared.get(name), shared, seen | {name}):
        return True
    return schema.get("writeOnly") is True or any(_is_secret(item, shared, seen) for item in schema.values())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
