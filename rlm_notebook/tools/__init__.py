"""Tools: plain functions that a model may call.

The JSON Schema comes from the signature, the annotations and the docstring; arguments are validated before the function
is called. A faulty definition raises an error when it is defined, not in the middle of a run.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from ..concurrency.loop_thread import wait_for_future
from ..core.content import TextValue
from ..core.text import printable
from ..exceptions import ConfigurationError
from ..values import json_text, table_text
from .code_version import code_version

__all__ = ["Tool", "as_tools", "opened", "tool"]


class _OfCode(str):
    """A version that was derived from the code, not given by the user."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A function a model may call: its name, a description, and the JSON Schema of its parameters.

    `@tool` creates one from a function. The function of a `Tool` that is constructed directly gets the arguments as the
    model sent them, without validation.

    - `timeout`: seconds for one attempt.
    - `retries`: how often the function is called again after it raised or timed out (0 by default: a tool may not be
      idempotent).
    - `requires_approval`: it is called only after `run.approve(node)` or a click in the widget.
    - `version` is part of the content keys, so that a changed tool re-runs the nodes that used it. By default it is a
      digest of the code with the functions, classes and small data that it uses; give one where the result depends on
      more (`unseen` lists what is known): the state of an object, functions of another module, files, a database.
    - `opens`: this is the placeholder of tools that exist when a run starts; a function that returns their future.

    Raises `ConfigurationError` for an invalid name, description, schema, timeout or number of retries.
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
    _parameter_of: Mapping[str, str] = field(repr=False, default_factory=dict)
    opens: Callable[[], Future[tuple[Tool, ...]]] | None = field(repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            shown = printable(f"{self.name!r:.80}")
            raise ConfigurationError(
                f"a tool cannot be named {shown}: providers take up to 64 letters (a-z, A-Z), digits, _ and -; "
                "name it with @tool(name=...)"
            )
        if not isinstance(self.description, str):
            raise ConfigurationError(f"tool {self.name}: description={self.description!r:.60}: expected a text")
        if not callable(self.function):
            raise ConfigurationError(f"tool {self.name}: function={self.function!r:.60} cannot be called")
        if not _is_object_schema(self.parameters):
            raise ConfigurationError(
                f"tool {self.name}: parameters={self.parameters!r:.60} is no JSON Schema of an object; write "
                '{"type": "object", "properties": {...}}'
            )
        if not self.version or isinstance(self.version, _OfCode):
            # Also for a copy: it may have another function.
            object.__setattr__(self, "version", _OfCode(code_version(self.function).digest))
        if self.timeout is not None and not (isinstance(self.timeout, int | float) and self.timeout > 0):
            raise ConfigurationError(f"tool {self.name}: timeout={self.timeout!r}: expected seconds, more than 0")
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise ConfigurationError(f"tool {self.name}: retries={self.retries!r}: expected a whole number from 0 on")

    @property
    def schema(self) -> dict[str, Any]:
        """The schema that a model gets: name, description, parameters."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}

    @property
    def unseen(self) -> tuple[str, ...]:
        """Known dependencies whose changes do not change the version, in words."""
        return code_version(self.function).unseen if isinstance(self.version, _OfCode) else ()

    @property
    def identity(self) -> dict[str, Any]:
        """The tool's part of content keys: everything that a model sees of it, and its version."""
        identity = {"name": self.name, "schema": self.parameters, "version": str(self.version)}
        in_code = isinstance(self.version, _OfCode) and inspect.isroutine(self.function)
        # A description that is the docstring is covered by the version already.
        if in_code and self.description == (inspect.getdoc(self.function) or ""):
            return identity
        return {**identity, "description": self.description}

    def renewed(self) -> Tool:
        """The tool with the current version of its code: functions that it uses may have been redefined."""
        current = replace(self)
        return self if current.version == self.version else current

    def validated(self, arguments: dict[str, Any] | str) -> dict[str, Any]:
        """The arguments as the function takes them; raises `ValueError` with a message for the model."""
        if isinstance(arguments, str):
            try:
                reason = f"a {type(json.loads(arguments)).__name__} came; write {{...}}"
            except (ValueError, RecursionError) as error:
                reason = f"{error}; write one complete object"
            raise ValueError(f"the arguments of {self.name} are not a JSON object: {arguments[:200]} ({reason})")
        if self.arguments_model is None:
            return dict(arguments)
        try:
            checked = self.arguments_model.model_validate(arguments)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors(include_url=False)
            )
            raise ValueError(f"wrong arguments for {self.name}: {problems}") from error
        return {self._parameter_of.get(name, name): getattr(checked, name) for name in type(checked).model_fields}

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
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
    """Create a `Tool` from a function; usable as `@tool` and as `@tool(timeout=5)`. The options are those of `Tool`.

    Raises `ConfigurationError` for a parameter without annotation, naming function and parameter.

        @tool(timeout=10)
        def temperature(city: str) -> float:
            "The current temperature of a city, in degrees Celsius."
    """

    def make(target: Callable[..., Any]) -> Tool:
        if not callable(target):
            raise ConfigurationError(f"tool: {printable(f'{target!r:.60}')} cannot be called; give a function")
        inner = target
        while isinstance(inner, functools.partial):
            inner = inner.func
        # No provider accepts the brackets of "<lambda>".
        title = name if name is not None else str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")
        text = description or inspect.getdoc(inner)
        if not text and not isinstance(inner, type) and not inspect.isroutine(inner):
            text = inspect.getdoc(type(inner).__call__)
        model, parameter_of = _arguments_model(target, str(title) or "tool")
        schema = model.model_json_schema()
        schema.pop("title", None)
        return Tool(
            name=title,
            description=text or "",
            function=target,
            parameters=schema,
            timeout=timeout,
            version=version or "",
            retries=retries,
            requires_approval=requires_approval,
            arguments_model=model,
            _parameter_of=parameter_of,
        )

    return make(function) if function is not None else make


def as_tools(given: Iterable[Any] | Callable[..., Any]) -> tuple[Tool, ...]:
    """Functions, tools and servers as tools. Raises `ConfigurationError` for anything else, and for a name used twice.

    A server, or a tool of one, is the placeholder that its `as_tool()` returns.
    """
    tools: list[Tool] = []
    items: Iterable[Any] = [given] if callable(given) else given
    for item in items:
        # Asked of the type, because some objects have every attribute.
        if hasattr(type(item), "as_tool"):
            tools.append(item.as_tool())
            continue
        if not callable(item):
            shown = printable(f"{item!r:.60}")
            raise ConfigurationError(
                f"tools: {shown} is not a function; pass functions, @tool functions or Tool values"
            )
        tools.append(item if isinstance(item, Tool) else tool(item))
    for name, count in Counter(each.name for each in tools).items():
        if count > 1:
            raise ConfigurationError(
                f"two tools are named {name!r}; give one of them another name with @tool(name=...)"
            )
    return tuple(tools)


def opened(tools: Iterable[Tool]) -> tuple[Tool, ...]:
    """The tools, those of servers in the places of their placeholders; blocks until the servers have started.

    A tool that was given with its server and by itself is one tool. Raises `ConfigurationError` for a server that does
    not start, and for a name used twice.
    """
    # All servers start at once.
    futures = [tool.opens() if tool.opens is not None else tool for tool in tools]
    found: list[Tool] = []
    for each in futures:
        made: tuple[Tool, ...] = (each,) if isinstance(each, Tool) else wait_for_future(each)
        found += made
    return as_tools({id(tool): tool for tool in found}.values())


#: Tool names that all providers accept.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _is_object_schema(schema: Any) -> bool:
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return False
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list | tuple):
        return False
    if not all(isinstance(name, str) for name in (*properties, *required)):
        return False
    if not all(isinstance(each, dict | bool) for each in properties.values()):
        return False
    try:
        return bool(json.dumps(schema))
    except (TypeError, ValueError, RecursionError):
        return False


def as_text(value: Any) -> str:
    """The result of a tool as text for the model: text as it is, a table as CSV, all else as JSON, iterators as lists.

    Raises `NoText` for a value that cannot be written completely.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, TextValue):
        return value.content
    if (table := table_text(value)) is not None:
        return table
    text = json_text(value, collecting=True, spoken=True)
    return (
        json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
        if isinstance(value, BaseModel)
        else text
    )


def _arguments_model(function: Callable[..., Any], title: str) -> tuple[type[BaseModel], dict[str, str]]:
    """A pydantic model of a function's parameters, and the name of the parameter for each of its fields."""
    try:
        signature = inspect.signature(function)
        # What a partial binds by name is no parameter of the tool.
        bound, inner = set[str](), function
        while isinstance(inner, functools.partial):
            bound.update(inner.keywords)
            inner = inner.func
        hints = _hints(inner)
    except (TypeError, ValueError, NameError) as error:
        raise ConfigurationError(f"tool {title}: its signature cannot be read ({error})") from error
    fields: dict[str, Any] = {}
    parameters: dict[str, str] = {}
    for parameter in signature.parameters.values():
        if parameter.name in bound:
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigurationError(f"tool {title}: parameter {parameter} cannot be filled by name; name it plainly")
        if parameter.name not in hints:
            raise ConfigurationError(
                f"tool {title}: parameter {parameter.name!r} has no annotation; write `{parameter.name}: str`, say"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        hint = hints[parameter.name]
        if default is None:
            # A default of `None` means that `None` is accepted, whatever the annotation says.
            if get_origin(hint) is Annotated:
                kind, *metadata = get_args(hint)
                hint = Annotated[(kind | None, *metadata)]
            else:
                hint = hint | None
        field_name = parameter.name
        if parameter.name.startswith("_") or hasattr(BaseModel, parameter.name):
            # A field of a pydantic model cannot have this name; its alias, which is in the JSON, can.
            field_name = f"parameter_{len(parameters)}_{parameter.name.strip('_')}"
            shown = parameter.name.replace("_", " ").strip().title()
            hint = Annotated[hint, Field(alias=parameter.name, title=shown)]
        fields[field_name], parameters[field_name] = (hint, default), parameter.name
    try:
        config = ConfigDict(extra="forbid", protected_namespaces=())
        made: type[BaseModel] = create_model(title, __config__=config, **fields)
        made.model_json_schema()
    except Exception as error:
        raise ConfigurationError(f"tool {title}: its parameters cannot be described as JSON Schema: {error}") from error
    return made, parameters


def _hints(function: Any) -> dict[str, Any]:
    """The annotations of the called code: an object's `__call__`, a class's `__init__`."""
    called = [function]
    if isinstance(function, type):
        called = [function, *filter(inspect.isfunction, [function.__dict__.get("__init__")])]
    elif not inspect.isroutine(function) and not hasattr(function, "__wrapped__"):
        called = [type(function).__call__]
    return {name: hint for each in called for name, hint in get_type_hints(each, include_extras=True).items()}
