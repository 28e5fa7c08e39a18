"""Typed results: an answer that validates as a type, told to the model as JSON Schema, repaired when it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from .core.json_text import JsonText, json_whole
from .core.keys import digest
from .exceptions import ConfigurationError

__all__ = ["OutputType", "TypeMismatch"]

#: The only member of the object in which a value is given whose type is none.
WRAPPER = "result"


class TypeMismatch(ValueError):
    """The text is no value of the type; the message says why, in words for the model."""


class OutputType:
    """Any type that pydantic can validate: models, dataclasses, `list[int]`, `Literal[...]`, ...

    `schema` is what a provider is given: always that of an object, because no other is taken everywhere. A type that
    is none (a list, a number, a union) stands in it as the member "result"; what comes back is read with or without.
    Raises `ConfigurationError` for what pydantic cannot describe as JSON Schema.
    """

    def __init__(self, wanted: Any) -> None:
        if isinstance(wanted, str):
            raise ConfigurationError(f"output_type={wanted!r:.60} is a text; pass the type itself, such as list[int]")
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(wanted)
            self._described: dict[str, Any] = self._adapter.json_schema()
        except (PydanticSchemaGenerationError, PydanticUserError, TypeError) as error:
            said = str(error).splitlines()[0].partition(". ")[0]
            raise ConfigurationError(
                f"output_type={wanted!r} cannot be described as JSON Schema ({said}); "
                "use a pydantic model, a dataclass or a type such as list[int]"
            ) from None
        plain = _inlined(self._described)
        self._wrapped = plain.get("type") != "object"
        self.schema: dict[str, Any] = _wrapped(self._described) if self._wrapped else plain

    @cached_property
    def digest(self) -> str:
        return digest(self._described)

    @property
    def instructions(self) -> str:
        """What the model is told, whether or not its provider can be given a schema."""
        return "Reply with one JSON value and nothing else. It must validate against this JSON Schema:\n" + json.dumps(
            self.schema, ensure_ascii=False
        )

    def parse(self, text: str, *, cut_off: bool = False) -> Any:
        """The value in a reply: the text as a whole, else the last value that begins a fenced block, else the last
        one in it; what resembles nothing of the type is passed over. Else the text itself, for a type such as `str`.

        Of a reply that was `cut_off`, a bare number or word is none: its beginning looks like the whole.
        Raises `TypeMismatch`.
        """
        found, problem = JsonText.of(text), "the reply holds no JSON value"
        for value in self._candidates(text, found):
            if cut_off and isinstance(value, int | float) and not isinstance(value, bool):
                raise TypeMismatch("the reply ends before its value does")
            try:
                return self._fitted(value)
            except ValidationError as error:
                problem = _in_words(error)
        if found.unclosed:
            problem = "the JSON value is not whole: its outermost bracket never closes"
        try:
            if self._is_any_text or not (found.unclosed or cut_off):
                return self._adapter.validate_python(text.strip(), strict=False)
        except ValidationError:
            pass
        raise TypeMismatch(problem)

    @property
    def _is_any_text(self) -> bool:
        """Whether the type takes texts of any form, so that one which was cut off is still one."""
        return self._described.get("type") == "string" and not {"enum", "const", "format"} & set(self._described)

    def _candidates(self, text: str, found: JsonText) -> Iterator[Any]:
        """The one value that is meant; only if that is no text of JSON, whatever else the text may be read as."""
        whole = json_whole(text)
        if whole is not None:
            yield whole[0]
            return
        if self._described.get("type") == "string":
            # JSON in a text is a part of the text.
            return
        values = list(found.values())
        meant = (value for value in values if self._resembles(value))
        yield from [next(meant, values[0])] if values else []

    def _resembles(self, value: Any) -> bool:
        """Whether a value may be meant as one of the type, be it valid or not: not some example on the way."""
        wraps = self._wrapped and isinstance(value, dict) and WRAPPER in value
        return wraps or _resembles(value, self._described, self._described.get("$defs", {}))

    def _fitted(self, value: Any) -> Any:
        if self._wrapped and isinstance(value, dict) and WRAPPER in value:
            try:
                return self._adapter.validate_python(value[WRAPPER], strict=False)
            except ValidationError:
                if set(value) == {WRAPPER} and not _resembles(value, self._described, self._described.get("$defs", {})):
                    raise
        return self._adapter.validate_python(value, strict=False)


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with a root of its own: that of a recursive type is a reference to one of its definitions."""
    root = schema
    for _ in range(len(schema.get("$defs", {}))):
        if "$ref" not in root:
            break
        named = schema["$defs"].get(str(root["$ref"]).rpartition("/")[2], {})
        root = {**named, **{name: value for name, value in root.items() if name != "$ref"}}
    return root


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object whose only member is such a value."""
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
    """Whether an object has a member that the schema names, a list such items; at most three levels deep."""
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


def _in_words(error: ValidationError) -> str:
    said = [f"{'.'.join(map(str, each['loc'])) or 'value'}: {each['msg']}" for each in error.errors(include_url=False)]
    return "; ".join(said[:5])
