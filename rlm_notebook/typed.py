"""Typed results: an answer that validates as a type, told to the model as JSON Schema, repaired when it does not."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from .core.json_text import json_values
from .core.keys import digest
from .exceptions import ConfigurationError

__all__ = ["OutputType", "Unfit"]


class Unfit(ValueError):
    """The text is no value of the type; the message says why, in words for the model."""


class OutputType:
    """Any type that pydantic can validate: models, dataclasses, `list[int]`, `Literal[...]`, ...

    Raises `ConfigurationError` for what pydantic cannot describe as JSON Schema.
    """

    def __init__(self, wanted: Any) -> None:
        if isinstance(wanted, str):
            raise ConfigurationError(f"output_type={wanted!r:.60} is a text; pass the type itself, such as list[int]")
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(wanted)
            self.schema: dict[str, Any] = self._adapter.json_schema()
        except (PydanticSchemaGenerationError, PydanticUserError, TypeError) as error:
            said = str(error).splitlines()[0].partition(". ")[0]
            raise ConfigurationError(
                f"output_type={wanted!r} cannot be described as JSON Schema ({said}); "
                "use a pydantic model, a dataclass or a type such as list[int]"
            ) from None

    @cached_property
    def digest(self) -> str:
        return digest(self.schema)

    @property
    def instructions(self) -> str:
        """What the model is told, whether or not its provider can be given a schema."""
        return "Reply with one JSON value and nothing else. It must validate against this JSON Schema:\n" + json.dumps(
            self.schema, ensure_ascii=False
        )

    def parse(self, text: str) -> Any:
        """The value in a reply, wherever in the text its JSON stands; else the text itself, for a type such as `str`.

        Raises `Unfit`.
        """
        problem = "the reply holds no JSON value"
        for value in json_values(text):
            try:
                return self._adapter.validate_python(value, strict=False)
            except ValidationError as error:
                problem = _in_words(error)
        try:
            return self._adapter.validate_python(text.strip(), strict=False)
        except ValidationError:
            raise Unfit(problem) from None


def _in_words(error: ValidationError) -> str:
    said = [f"{'.'.join(map(str, each['loc'])) or 'value'}: {each['msg']}" for each in error.errors(include_url=False)]
    return "; ".join(said[:5])
