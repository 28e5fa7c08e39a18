"""Tools: described by their signature, checked when they are defined and when they are called."""

import enum
import re
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from rlm_notebook import ConfigurationError, Tool, tool
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
    ("arguments", "said"),
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
def test_wrong_arguments_are_refused_in_words_for_the_model(arguments: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"find.*{said}"):
        find.validated(arguments)


def bare(x):  # type: ignore[no-untyped-def]
    return x


def star(*args: int) -> None: ...


def double_star(**options: int) -> None: ...


def positional(x: int, /) -> None: ...


def unresolved(x: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (bare, "bare: parameter 'x' has no annotation; write `x: str`"),
        (star, r"star: parameter \*args"),
        (double_star, "double_star: parameter"),
        (positional, "positional: parameter"),
        (unresolved, "unresolved: its signature cannot be read"),
    ],
)
def test_a_function_that_cannot_be_described_is_refused_when_it_is_defined(function: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        tool(function)


def test_a_tool_takes_a_name_a_description_a_timeout_and_a_version() -> None:
    @tool(name="look_up", description="Looks things up.", timeout=2, version="7")
    def f(x: str) -> str:
        return x

    assert (f.name, f.description, f.timeout, f.version) == ("look_up", "Looks things up.", 2, "7")
    assert f("x") == "x"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retries": -1}, "retries=-1"),
        ({"retries": 1.5}, "retries=1.5"),
        ({"retries": True}, "retries=True"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": "soon"}, "timeout='soon'"),
    ],
)
def test_what_a_tool_cannot_be_told_is_refused_when_it_is_defined(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"tool find: {re.escape(said)}"):
        tool(find.function, **options)


def test_the_function_of_a_tool_made_by_hand_gets_the_arguments_as_they_came() -> None:
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


@pytest.mark.filterwarnings("ignore:Field name")
def test_parameters_may_have_any_name() -> None:
    @tool
    def awkward(schema: str, copy: int, json: bool = False) -> str:
        """Names that pydantic uses itself."""
        return f"{schema} {copy} {json}"

    assert awkward(**awkward.validated({"schema": "s", "copy": 2})) == "s 2 False"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ({"ä": [1, None]}, '{"ä": [1, null]}'),
        (3, "3"),
        (None, "null"),
        (
            {
                1,
            },
            "{1}",
        ),
    ],
)
def test_what_a_tool_returns_is_told_as_text(value: Any, text: str) -> None:
    assert as_text(value) == text
    assert as_text(Point(x=1)) == '{"x":1,"y":0}'
