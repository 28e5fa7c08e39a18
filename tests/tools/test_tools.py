"""Tools: described by their signature, checked when they are defined and when they are called."""

import dataclasses
import enum
import functools
import itertools
import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, Field, SecretStr

from rlm_notebook import AsyncRecursiveEngine, ConfigurationError, ScriptedModel, Tool, tool
from rlm_notebook.tools import as_text, as_tools


class Colour(enum.Enum):
    RED = "red"


class Point(BaseModel):
    x: int
    y: int = 0


@tool
def find(words: list[str], limit: int = 5, colour: Colour = Colour.RED, near: Point | None = None) -> list[str]:
    """Find documents.

    All words have to be in them.
    """
    return [*words, str(limit), colour.value, str(near and near.x)]


def test_the_schema_is_that_of_signature_annotations_and_docstring() -> None:
    assert find.name == "find"
    assert find.description == "Find documents.\n\nAll words have to be in them."
    assert find.parameters["required"] == ["words"]
    assert find.parameters["properties"]["words"] == {"items": {"type": "string"}, "title": "Words", "type": "array"}
    assert find.parameters["properties"]["limit"]["default"] == 5
    assert find.schema == {"name": "find", "description": find.description, "parameters": find.parameters}


def test_descriptions_and_choices_of_parameters_are_in_the_schema() -> None:
    @tool
    def move(way: Annotated[Literal["up", "down"], Field(description="where to")]) -> None:
        """Move."""

    assert move.parameters["properties"]["way"]["enum"] == ["up", "down"]
    assert move.parameters["properties"]["way"]["description"] == "where to"


def test_arguments_arrive_as_the_types_of_the_signature() -> None:
    arguments = find.validated({"words": ["a"], "limit": "3", "colour": "red", "near": {"x": 1}})

    assert arguments == {"words": ["a"], "limit": 3, "colour": Colour.RED, "near": Point(x=1)}
    assert find(**arguments) == ["a", "3", "red", "1"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "words: Field required"),
        ({"words": "a"}, "words: Input should be a valid list"),
        ({"words": [], "limit": "many"}, "limit: .*integer"),
        ({"words": [], "colour": "blue"}, "colour: Input should be 'red'"),
        ({"words": [], "colour": "red", "size": 1}, "size: Extra inputs are not permitted"),
        ({"words": [], "near": {}}, "near.x: Field required"),
        ("{broken", "not a JSON object: {broken"),
    ],
)
def test_wrong_arguments_are_refused_in_words_for_the_model(arguments: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=f"find.*{expected}"):
        find.validated(arguments)


def bare(x):  # type: ignore[no-untyped-def]
    return x


def star(*args: int) -> None: ...


def double_star(**options: int) -> None: ...


def positional(x: int, /) -> None: ...


def unresolved(x: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


def no_json(x: Callable[[], int]) -> None: ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (no_json, "no_json: its parameters cannot be described as JSON Schema"),
        (bare, "bare: parameter 'x' has no annotation; write `x: str`"),
        (star, r"star: parameter \*args"),
        (double_star, "double_star: parameter"),
        (positional, "positional: parameter"),
        (unresolved, "unresolved: its signature cannot be read"),
    ],
)
def test_a_function_that_cannot_be_described_is_refused_when_it_is_defined(function: Any, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        tool(function)


def test_a_tool_takes_a_name_a_description_a_timeout_and_a_version() -> None:
    @tool(name="look_up", description="Looks things up.", timeout=2, version="7")
    def f(x: str) -> str:
        return x

    assert (f.name, f.description, f.timeout, f.version) == ("look_up", "Looks things up.", 2, "7")
    assert f("x") == "x"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"retries": -1}, "retries=-1"),
        ({"retries": 1.5}, "retries=1.5"),
        ({"retries": True}, "retries=True"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": "soon"}, "timeout='soon'"),
    ],
)
def test_invalid_options_of_a_tool_are_refused_when_it_is_defined(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError, match=f"tool find: {re.escape(expected)}"):
        tool(find.function, **options)


def test_the_function_of_a_constructed_tool_gets_unvalidated_arguments() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    made = Tool("twice", "Doubles.", lambda x: 2 * x, schema)
    assert made.schema == {"name": "twice", "description": "Doubles.", "parameters": schema}
    assert made(**made.validated({"x": 21})) == 42


def test_the_version_is_a_digest_of_the_source() -> None:
    def make(body: int) -> Tool:
        if body == 1:

            def f(x: int) -> int:
                return x + 1
        else:

            def f(x: int) -> int:
                return x + 2

        made: Tool = tool(f)
        return made

    assert make(1).version == make(1).version != make(2).version


def test_tools_are_functions_tools_or_one_of_them() -> None:
    def f(x: int) -> int:
        return x

    assert [each.name for each in as_tools([f, find])] == ["f", "find"]
    assert [each.name for each in as_tools(f)] == ["f"]
    assert as_tools(()) == ()
    with pytest.raises(ConfigurationError, match="'text' is not a function"):
        as_tools(["text"])
    with pytest.raises(ConfigurationError, match="two tools are named 'find'"):
        as_tools([find, tool(f, name="find")])


def test_methods_and_objects_can_be_tools() -> None:
    class Shelf:
        def take(self, title: str) -> str:
            """Take a book."""
            return f"took {title}"

    taken = as_tools([Shelf().take])[0]

    assert list(taken.parameters["properties"]) == ["title"]
    assert taken(title="x") == "took x"


AWKWARD = [
    *("schema", "json", "copy", "dict", "validate", "construct", "model_dump", "model_config", "model_extra"),
    *("model_fields", "model_fields_set", "model_fields_are", "_private", "__dunder", "self", "cls", "function"),
    *("list", "type", "name", "parameter_0_schema"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", AWKWARD)
def test_parameters_may_have_any_name(name: str) -> None:
    space: dict[str, Any] = {}
    exec(f"def awkward({name}: str, schema_: int = 3) -> str:\n    return {name} + '!'", space)
    made: Tool = tool(space["awkward"])

    assert list(made.parameters["properties"]) == [name, "schema_"]
    assert made.parameters["required"] == [name]
    assert made(**made.validated({name: "v"})) == "v!"
    with pytest.raises(ValueError, match=f"wrong arguments for awkward: {name}: Field required"):
        made.validated({"schema_": 4})


async def test_an_awkward_name_reaches_the_function_in_a_run() -> None:
    for name in AWKWARD:
        space: dict[str, Any] = {}
        exec(f"def awkward({name}: str) -> str:\n    return {name} + '!'", space)
        answer = await AsyncRecursiveEngine(calling("awkward", {name: "v"}), tools=[space["awkward"]]).solve("t")
        assert str(answer) == "v!"


def calling(name: str, arguments: dict[str, Any]) -> ScriptedModel:
    """A model that calls a tool once, and answers with what that gave."""

    def say(request: Any) -> Any:
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        told = [message["content"] for message in request.messages if message["role"] == "tool"]
        return told[0] if told else {"tool_calls": [{"name": name, "arguments": arguments}]}

    return ScriptedModel(say)


def test_an_alias_names_a_parameter_that_python_cannot() -> None:
    @tool
    def mail(sender: Annotated[str, Field(alias="from")], to: str = "all") -> str:
        return f"{sender} to {to}"

    assert set(mail.parameters["properties"]) == {"from", "to"}
    assert mail(**mail.validated({"from": "me"})) == "me to all"


def test_a_default_of_none_takes_null() -> None:
    @tool
    def look(
        city: str,
        unit: str = None,  # type: ignore[assignment]  # noqa: RUF013
        day: Annotated[int, Field(ge=1, description="of the month")] = None,  # type: ignore[assignment]  # noqa: RUF013
        near: Point | None = None,
    ) -> str:
        return f"{city} {unit} {day} {near}"

    assert look(**look.validated({"city": "Rome", "unit": None, "day": None, "near": None})) == "Rome None None None"
    assert look(**look.validated({"city": "Rome", "unit": "C", "day": 3})) == "Rome C 3 None"
    assert look.parameters["properties"]["day"]["description"] == "of the month"
    assert {"type": "null"} in look.parameters["properties"]["unit"]["anyOf"]
    with pytest.raises(ValueError, match="day"):
        look.validated({"city": "Rome", "day": 0})


def weather(city: str, unit: str = "C", *, key: str = "none") -> str:
    """The weather."""
    return f"20 {unit} in {city} ({key})"


class Shelf:
    """Takes books."""

    place: int = 3

    def __call__(self, title: str) -> str:
        """Take a book."""
        return f"took {title}"

    async def later(self, title: str) -> str:
        return f"took {title} later"

    @classmethod
    def of_class(cls, title: str) -> str:
        return f"{cls.__name__} took {title}"

    @staticmethod
    def alone(title: str) -> str:
        return f"took {title} alone"


class AsyncShelf:
    async def __call__(self, title: str) -> str:
        return f"took {title} soon"


def loud(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs).upper()

    return wrapper


@loud
def decorated(title: str) -> str:
    return title


@functools.lru_cache
def remembered(title: str) -> str:
    return f"took {title} once"


@dataclasses.dataclass
class Book:
    title: str


@pytest.mark.parametrize(
    ("function", "name", "parameters", "told"),
    [
        (functools.partial(weather, unit="F", key="k3y"), "weather", ["city"], "20 F in x (k3y)"),
        (functools.partial(functools.partial(weather, key="k"), unit="F"), "weather", ["city"], "20 F in x (k)"),
        (functools.partial(Shelf().later), "later", ["title"], "took x later"),
        (Shelf(), "Shelf", ["title"], "took x"),
        (AsyncShelf(), "AsyncShelf", ["title"], "took x soon"),
        (Shelf().later, "later", ["title"], "took x later"),
        (Shelf.of_class, "of_class", ["title"], "Shelf took x"),
        (Shelf.alone, "alone", ["title"], "took x alone"),
        (decorated, "decorated", ["title"], "X"),
        (remembered, "remembered", ["title"], "took x once"),
        (Book, "Book", ["title"], '{"title": "x"}'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_whatever_can_be_called_can_be_a_tool(function: Any, name: str, parameters: list[str], told: str) -> None:
    made = as_tools([function])[0]
    answer = await AsyncRecursiveEngine(calling(name, {parameters[0]: "x"}), tools=[function]).solve("t")

    assert made.name == name
    assert list(made.parameters["properties"]) == parameters
    assert "k3y" not in str(made.schema), "what a partial has filled in is told to no model"
    assert str(answer) == told


class Finder:
    def __call__(self, title: str) -> str:
        """Finds a book."""
        return title


def undescribed(title: str) -> str:
    return title


def test_a_partial_or_an_object_is_described_by_its_own_code() -> None:
    assert tool(functools.partial(weather, unit="F")).description == weather.__doc__
    assert tool(Finder()).description == tool(functools.partial(Finder())).description == "Finds a book."
    assert tool(undescribed).description == tool(functools.partial(undescribed)).description == ""


@pytest.mark.parametrize("name", ["", "web.search", "größe", "two words", "x" * 65, "a/b", "tool\n", None, 3])
def test_a_name_that_providers_refuse_is_refused_when_it_is_defined(name: Any) -> None:
    if name is not None:
        with pytest.raises(ConfigurationError, match=r"cannot be named.*@tool\(name="):
            tool(weather, name=name)
    with pytest.raises(ConfigurationError, match="cannot be named"):
        Tool(name, "", weather, {"type": "object", "properties": {}})


def test_a_function_without_a_fit_name_is_refused_until_it_is_given_one() -> None:
    def größe() -> str:
        return "L"

    with pytest.raises(ConfigurationError, match="cannot be named"):
        as_tools([größe])
    assert tool(größe, name="fit").name == "fit"
    assert as_tools([lambda: "x"])[0].name == "lambda"
    with pytest.raises(ConfigurationError, match="two tools are named 'lambda'"):
        as_tools([lambda: "x", lambda: "y"])
    assert tool(weather, name="x" * 64).name == "x" * 64


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"function": None}, "function=None cannot be called"),
        ({"function": "weather"}, "cannot be called"),
        ({"parameters": {}}, "no JSON Schema of an object"),
        ({"parameters": {"type": "string"}}, "no JSON Schema of an object"),
        ({"parameters": {"properties": {}}}, "no JSON Schema of an object"),
        ({"parameters": {"type": "object", "properties": []}}, "no JSON Schema of an object"),
        ({"parameters": None}, "no JSON Schema of an object"),
        ({"parameters": {"type": "object", "properties": {"x": None}}}, "no JSON Schema of an object"),
        ({"parameters": {"type": "object", "properties": {1: {}}}}, "no JSON Schema of an object"),
        ({"parameters": {"type": "object", "required": [1]}}, "no JSON Schema of an object"),
        ({"parameters": {"type": "object", "properties": {"x": {"enum": {1, 2}}}}}, "no JSON Schema of an object"),
        ({"description": None}, "expected a text"),
    ],
)
def test_a_constructed_tool_is_checked(changes: dict[str, Any], expected: str) -> None:
    whole = {"name": "t", "description": "", "function": weather, "parameters": {"type": "object", "properties": {}}}
    Tool(**whole)
    with pytest.raises(ConfigurationError, match=f"tool t: .*{expected}"):
        Tool(**{**whole, **changes})


def test_what_cannot_be_called_is_no_tool() -> None:
    with pytest.raises(ConfigurationError, match="cannot be called"):
        tool("weather")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ({"ä": [1, None]}, '{"ä": [1, null]}'),
        (3, "3"),
        (None, "null"),
        ({3, 1, 2}, "[1, 2, 3]"),
    ],
)
def test_the_result_of_a_tool_becomes_text(value: Any, text: str) -> None:
    assert as_text(value) == text
    assert as_text(Point(x=1)) == '{"x":1,"y":0}'


class Opaque:
    """Its text is an address."""


def lines() -> Any:
    yield "a"
    yield {"b": Colour.RED}


async def lines_later() -> Any:
    yield "a"
    yield Point(x=1)


async def awaited() -> Any:
    return [Point(x=2)]


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lines, '["a", {"b": "red"}]'),
        (lines_later, '["a", {"x": 1, "y": 0}]'),
        (awaited, '[{"x": 2, "y": 0}]'),
        (lambda: lines_later(), '["a", {"x": 1, "y": 0}]'),
        (lambda: awaited(), '[{"x": 2, "y": 0}]'),
        (lambda: {"rows": (n for n in range(2))}, '{"rows": [0, 1]}'),
        (lambda: SecretStr("tops3cret"), '"**********"'),
        (lambda: pd.DataFrame({"x": range(500)}), pd.DataFrame({"x": range(500)}).to_csv()),
        (lambda: {"x": np.arange(5000)}, json.dumps({"x": list(range(5000))})),
    ],
    ids=[
        "generator",
        "async generator",
        "coroutine",
        "to iterate",
        "to await",
        "in a dict",
        "secret",
        "table",
        "array",
    ],
)
async def test_a_result_reaches_the_model_whole_and_as_json(function: Any, told: str) -> None:
    answer = await AsyncRecursiveEngine(calling("give", {}), tools=[tool(function, name="give")]).solve("t")
    assert str(answer) == told


@pytest.mark.parametrize(
    "value", [Opaque(), [Opaque()], {"a": print}, Point, itertools.count()], ids=lambda value: type(value).__name__
)
async def test_a_result_without_a_text_is_an_error_for_the_model_and_its_author(value: Any) -> None:
    calls: list[int] = []

    def give() -> object:
        calls.append(1)
        return value

    output = await AsyncRecursiveEngine(calling("give", {}), tools=[tool(give, retries=2)]).solve("t")
    use = output.run.tree["0"].tool_calls[0]

    assert not use.ok
    assert "give returned" in str(output)
    assert "A tool has to return text" in str(output)
    assert " at 0x" not in str(output)
    assert calls == [1], "asking again would give the same"
