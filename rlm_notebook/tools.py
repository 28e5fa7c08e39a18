"""Tools: plain functions that a model may call.

The JSON Schema comes from the signature, the annotations and the docstring; arguments are validated before the
function sees them. What is wrong with a definition is said when it is defined, not in the middle of a run.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from .core.keys import digest
from .core.outline import printable
from .exceptions import ConfigurationError

__all__ = ["Tool", "as_tools", "tool"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function a model may call: its name, what it does, and the JSON Schema of its parameters.

    `@tool` makes one of a function; of one made by hand, the arguments reach the function as the model gave them.
    `timeout` is in seconds, of one attempt; `retries`: how often the function is called again after it raised or took
    too long (0: it may not bear that); `version` enters the content keys (by default a digest of the source), so that
    a changed tool re-runs what used it; `requires_approval`: it is called after `run.approve(node)`, or a click.
    Raises `ConfigurationError` for values that cannot be.
    """

    name: str
    description: str
    function: Callable[..., Any]
    parameters: dict[str, Any]
    timeout: float | None = None
    version: str = ""
    retries: int = 0
    requires_approval: bool = False
    arguments_model: type[BaseModel] | None = field(repr=False, default=None)

    def __post_init__(self) -> None:
        if self.timeout is not None and not (isinstance(self.timeout, int | float) and self.timeout > 0):
            raise ConfigurationError(f"tool {self.name}: timeout={self.timeout!r}: expected seconds, more than 0")
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise ConfigurationError(f"tool {self.name}: retries={self.retries!r}: expected a whole number from 0 on")

    @property
    def schema(self) -> dict[str, Any]:
        """What a model is told: name, description, parameters."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}

    def validated(self, arguments: dict[str, Any] | str) -> dict[str, Any]:
        """The arguments as the function takes them; raises `ValueError` in words for the model."""
        if isinstance(arguments, str):
            raise ValueError(f"the arguments of {self.name} are not a JSON object: {arguments[:200]}")
        if self.arguments_model is None:
            return dict(arguments)
        try:
            checked = self.arguments_model.model_validate(arguments)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors(include_url=False)
            )
            raise ValueError(f"wrong arguments for {self.name}: {problems}") from error
        return {name: getattr(checked, name) for name in type(checked).model_fields}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    retries: int = 0,
    version: str | None = None,
    requires_approval: bool = False,
) -> Any:
    """Make a tool of a function; usable as `@tool` and as `@tool(timeout=5)`. What is said of it: see `Tool`.

    Raises `ConfigurationError` for a parameter without annotation, naming function and parameter.
    """

    def make(target: Callable[..., Any]) -> Tool:
        title = name or str(getattr(target, "__name__", type(target).__name__))
        model = _arguments_model(target, title)
        return Tool(
            name=title,
            description=description or inspect.getdoc(target) or "",
            function=target,
            parameters=_parameters(model),
            timeout=timeout,
            version=version if version is not None else _source_digest(target),
            retries=retries,
            requires_approval=requires_approval,
            arguments_model=model,
        )

    return make(function) if function is not None else make


def as_tools(given: Iterable[Any] | Callable[..., Any]) -> tuple[Tool, ...]:
    """Tools of functions and tools; raises `ConfigurationError` for what is neither, and for a name used twice."""
    items = [given] if callable(given) else list(given)
    tools = tuple(item if isinstance(item, Tool) else _from(item) for item in items)
    names = [each.name for each in tools]
    for each in names:
        if names.count(each) > 1:
            raise ConfigurationError(
                f"two tools are named {each!r}; give one of them another name with @tool(name=...)"
            )
    return tools


def _from(item: Any) -> Tool:
    if not callable(item):
        shown = printable(f"{item!r:.60}")
        raise ConfigurationError(f"tools: {shown} is not a function; pass functions, @tool functions or Tool values")
    made: Tool = tool(item)
    return made


def as_text(value: Any) -> str:
    """What a tool returned, as a model reads it: text as it is, all else as JSON, or as `str` gives it."""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


def _arguments_model(function: Callable[..., Any], title: str) -> type[BaseModel]:
    try:
        signature, hints = inspect.signature(function), get_type_hints(function, include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise ConfigurationError(f"tool {title}: its signature cannot be read ({error})") from error
    fields: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigurationError(f"tool {title}: parameter {parameter} cannot be filled by name; name it plainly")
        if parameter.name not in hints:
            raise ConfigurationError(
                f"tool {title}: parameter {parameter.name!r} has no annotation; write `{parameter.name}: str`, say"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    try:
        made: type[BaseModel] = create_model(title, __config__=ConfigDict(extra="forbid"), **fields)
    except Exception as error:
        raise ConfigurationError(f"tool {title}: its parameters cannot be described as JSON Schema: {error}") from error
    return made


def _parameters(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema.pop("title", None)
    return schema


def _source_digest(function: Callable[..., Any]) -> str:
    try:
        return digest(inspect.getsource(function))
    except (OSError, TypeError):
        return ""
