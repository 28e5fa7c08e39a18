"""Which parameters of a tool are secret, by its JSON Schema: pydantic marks `SecretStr` and its like write-only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["calls_with_secrets", "secret_parameters"]


def secret_parameters(parameters: Mapping[str, Any]) -> set[str]:
    """The names of the parameters that are secret or contain a secret (a field of a model, an item of a list)."""
    # One search of the text is enough for nearly all schemas.
    if '"writeOnly": true' not in json.dumps(parameters, default=str):
        return set()
    shared = parameters.get("$defs", {})
    given = parameters.get("properties", {})
    return {name for name, schema in given.items() if _is_secret(schema, shared, set())}


def calls_with_secrets(tools: Iterable[Mapping[str, Any]], calls: Iterable[str]) -> bool:
    """Whether one of the called tools has a secret parameter; `tools` are tool schemas, as sent to a model."""
    called = set(calls)
    return bool(called) and any(
        tool.get("name") in called and secret_parameters(tool.get("parameters") or {}) for tool in tools
    )


def _is_secret(schema: Any, shared: Mapping[str, Any], seen: set[str]) -> bool:
    if isinstance(schema, list):
        return any(_is_secret(item, shared, seen) for item in schema)
    if not isinstance(schema, dict):
        return False
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name and name not in seen and _is_secret(shared.get(name), shared, seen | {name}):
        return True
    return schema.get("writeOnly") is True or any(_is_secret(item, shared, seen) for item in schema.values())
