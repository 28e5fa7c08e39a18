"""Typed results: an answer that validates as a type, which the model gets as JSON Schema."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from .core.json_text import JsonText, json_whole
from .core.keys import digest
from .exceptions import ConfigurationError

__all__ = ["OutputType", "TypeMismatch"]

#: The only member of the object that wraps a value whose type is not an object.
WRAPPER = "result"


class TypeMismatch(ValueError):
    """The text is not a value of the type; the message gives the reason and is sent to the model for a repair."""


class OutputType:
    """The type of a result: anything that pydantic validates (models, dataclasses, `list[int]`, `Literal[...]`, ...).

    `schema` is sent to the provider. It is always that of an object, because some providers accept no other: a list, a
    number or a union is wrapped as its member "result". A reply is read with or without the wrapper.
    Raises `ConfigurationError` for a type that pydantic cannot describe as JSON Schema.
    """

    def __init__(self, wanted: Any) -> None:
        if isinstance(wanted, str):
            raise ConfigurationError(f"output_type={wanted!r:.60} is a text; pass the type itself, such as list[int]")
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(wanted)
            self._described: dict[str, Any] = self._adapter.json_schema()
        except (PydanticSchemaGenerationError, PydanticUserError, TypeError) as error:
            reason = str(error).splitlines()[0].partition(". ")[0]
            raise ConfigurationError(
                f"output_type={wanted!r} cannot be described as JSON Schema ({reason}); "
                "use a pydantic model, a dataclass or a type such as list[int]"
            ) from None
        plain = _inlined(self._described)
        self._wrapped = plain.get("type") != "object"
        self.schema: dict[str, Any] = _wrapped(self._described) if self._wrapped else plain

    @cached_property
    def fields(self) -> list[str] | None:
        """The names of the type's fields; `None` for a type without named fields, such as a list or a number."""
        properties = _inlined(self._described).get("properties")
        return list(properties) if properties and not self._wrapped else None

    def to_json(self, value: Any) -> Any:
        """A value of the type as JSON holds it."""
        return self._adapter.dump_python(value, mode="json")

    @cached_property
    def digest(self) -> str:
        return digest(self._described)

    @property
    def instructions(self) -> str:
        """The instructions in the prompt, whether or not the provider accepts a schema."""
        return "Reply with one JSON value and nothing else. It must validate against this JSON Schema:\n" + json.dumps(
            self.schema, ensure_ascii=False
        )

    def parse(self, text: str, *, cut_off: bool = False) -> Any:
        """The value in a reply: the text as a whole, else the last value that begins a fenced block, else the last one.

        Values that do not resemble the type are skipped. If there is none, the text itself is tried, for a type such as
        `str`. In a reply that was `cut_off`, a bare number or word does not count, as it may be a truncated one.
        Raises `TypeMismatch`.
        """
        found, problem = JsonText.of(text), "the reply holds no JSON value"
        for value in self._candidates(text, found):
            if cut_off and isinstance(value, int | float) and not isinstance(value, bool):
                raise TypeMismatch("the reply ends before its value does")
            try:
                return self._fitted(value)
            except ValidationError as error:
                # Five are enough for a repair.
                first = error.errors(include_url=False)[:5]
                problem = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'value'}: {each['msg']}" for each in first)
        if found.unclosed:
            problem = "the JSON value is not whole: its outermost bracket never closes"
        # A type that accepts any text: a truncated one is still a text.
        is_any_text = self._described.get("type") == "string" and not {"enum", "const", "format"} & set(self._described)
        try:
            if is_any_text or not (found.unclosed or cut_off):
                return self._adapter.validate_python(text.strip(), strict=False)
        except ValidationError:
            pass
        raise TypeMismatch(problem)

    def _candidates(self, text: str, found: JsonText) -> list[Any]:
        """The value to validate, or none; a text that is JSON as a whole is that value."""
        whole = json_whole(text)
        if whole is not None:
            return [whole[0]]
        values = list(found.values())
        # For a type `str`, JSON in the text is part of the text.
        if self._described.get("type") == "string" or not values:
            return []
        # A value that resembles the type, valid or not, rather than an example in the prose before it.
        for value in values:
            wraps = self._wrapped and isinstance(value, dict) and WRAPPER in value
            if wraps or _resembles(value, self._described, self._described.get("$defs", {})):
                return [value]
        return [values[0]]

    def _fitted(self, value: Any) -> Any:
        if self._wrapped and isinstance(value, dict) and WRAPPER in value:
            try:
                return self._adapter.validate_python(value[WRAPPER], strict=False)
            except ValidationError:
                if set(value) == {WRAPPER} and not _resembles(value, self._described, self._described.get("$defs", {})):
                    raise
        return self._adapter.validate_python(value, strict=False)


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with an inline root: that of a recursive type is a reference to one of its definitions."""
    root = schema
    for _ in range(len(schema.get("$defs", {}))):
        if "$ref" not in root:
            break
        named = schema["$defs"].get(str(root["$ref"]).rpartition("/")[2], {})
        root = {**named, **{name: value for name, value in root.items() if name != "$ref"}}
    return root


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object whose only member is a value of this schema."""
    inner = {name: value for name, value in schema.items() if name != "$defs"}
    definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    return {
        "type": "object",
        "properties": {WRAPPER: inner},
        "required": [WRAPPER],
        "additionalProperties": False,
        **definitions,
    }


def _resembles(value: Any, schema: Any, definitions: dict[str, Any], depth: int = 0) -> bool:
    """Whether an object has a member that the schema names, and a list such items; three levels deep at most."""
    if not isinstance(schema, dict) or depth > 3:
        return True
    if "$ref" in schema:
        return _resembles(value, definitions.get(str(schema["$ref"]).rpartition("/")[2]), definitions, depth + 1)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return any(_resembles(value, each, definitions, depth + 1) for each in schema[choice])
    kind = schema.get("type")
    if kind == "object":
        named = schema.get("properties")
        return isinstance(value, dict) and (not named or any(name in value for name in named))
    if kind == "array":
        items = schema.get("items")
        return isinstance(value, list) and (not value or _resembles(value[0], items, definitions, depth + 1))
    return kind is None or not isinstance(value, dict | list)
