"""Typed results: a value of the wanted type, whatever the model wrapped it in; repaired, or a clear error."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, RootModel, TypeAdapter, field_validator
from typing_extensions import TypedDict

from rlm_notebook import (
    AsyncRecursiveEngine,
    ConfigurationError,
    ExecutionError,
    PlanError,
    RecursiveEngine,
    ScriptedModel,
)
from rlm_notebook.core.events import Retried
from rlm_notebook.core.keys import digest
from rlm_notebook.output_type import OutputType, TypeMismatch
from rlm_notebook.ports import Request


class Color(StrEnum):
    RED = "red"


class City(BaseModel):
    name: str
    people: int
    color: Color = Color.RED


TEXT = '{"name": "Ulm", "people": 126405}'


@pytest.mark.parametrize(
    ("wanted", "text", "value"),
    [
        (City, TEXT, City(name="Ulm", people=126405)),
        (City, f"Here it is:\n```json\n{TEXT}\n```\nThat is all.", City(name="Ulm", people=126405)),
        (City, '{"name": "Ulm", "people": "7",}', City(name="Ulm", people=7)),
        (list[int], "[1, 2, 3]", [1, 2, 3]),
        (list[int], "The numbers are [1, 2].", [1, 2]),
        (int, "42", 42),
        (bool, "true", True),
        (dict[str, float], '{"a": 1}', {"a": 1.0}),
        (dict[int, str], '{"1": "x"}', {1: "x"}),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (set[int], "[1, 1]", {1}),
        (Color, '"red"', Color.RED),
        (Literal["yes", "no"], '"yes"', "yes"),
        (list[City], f"[{TEXT}]", [City(name="Ulm", people=126405)]),
        (City | None, "null", None),
        (list[str], "['it is', \"Ulm's\"]", ["it is", "Ulm's"]),
        (str, "Just a text, with [1] in it.", "Just a text, with [1] in it."),
        (str, '"quoted"', "quoted"),
        (str, "42", "42"),
        (Literal["yes", "no"], "yes\n", "yes"),
    ],
)
def test_a_value_is_read_wherever_its_json_stands(wanted: Any, text: str, value: Any) -> None:
    assert OutputType(wanted).parse(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ulm", "no JSON value"),
        ('{"name": "Ulm"}', "people: Field required"),
        ('{"name": "Ulm", "people": "many"}', "people: Input should be a valid integer"),
        ("[]", "value: "),
        ("", "no JSON value"),
    ],
)
def test_a_mismatch_is_described_in_words_for_the_model(text: str, message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        OutputType(City).parse(text)


class Part(BaseModel):
    name: str = ""
    kids: list["Part"] = []


@dataclass
class Point:
    x: int
    y: int = 0


class Named(TypedDict):
    name: str


#: Types and a value of each, as JSON.
EVERY_KIND: list[tuple[Any, Any]] = [
    (list[City], [{"name": "Ulm", "people": 1}]),
    (list[int], [1, 2]),
    (int, 42),
    (float, 0.5),
    (bool, True),
    (str, "Ulm"),
    (Literal["yes", "no"], "yes"),
    (Color, "red"),
    (City | None, {"name": "Ulm", "people": 1}),
    (City | None, None),
    (City | Point, {"x": 1}),
    (int | list[int], [3]),
    (dict[str, int], {"a": 1}),
    (dict[str, int] | None, {"result": 1}),
    (tuple[int, str], [1, "a"]),
    (Part, {"name": "a", "kids": [{"name": "b", "kids": []}]}),
    (list[Part], [{"name": "a", "kids": [{"name": "b"}]}]),
    (RootModel[list[int]], [1]),
    (Point, {"x": 1}),
    (Named, {"name": "Ulm"}),
    (Any, {"a": [1]}),
]
IDS = [f"{str(wanted)[:30]}-{index}" for index, (wanted, _) in enumerate(EVERY_KIND)]


@pytest.mark.parametrize(("wanted", "given"), EVERY_KIND, ids=IDS)
def test_a_provider_is_given_the_schema_of_an_object_whatever_the_type(wanted: Any, given: Any) -> None:
    schema = OutputType(wanted).schema

    assert schema["type"] == "object"
    assert "$ref" not in schema
    named = {name.rpartition("/")[2] for name in re.findall(r'"\$ref": "([^"]+)"', json.dumps(schema))}
    assert named <= set(schema.get("$defs", {})), "what is referred to is there"


@pytest.mark.parametrize(("wanted", "given"), EVERY_KIND, ids=IDS)
def test_a_value_is_read_with_and_without_the_object_around_it(wanted: Any, given: Any) -> None:
    kind, value = OutputType(wanted), TypeAdapter(wanted).validate_python(given)
    wrapped = json.dumps({"result": given}) if set(kind.schema.get("properties", ())) == {"result"} else None

    for text in filter(None, (json.dumps(given), wrapped)):
        assert kind.parse(text) == value
        assert kind.parse(f"```json\n{text}\n```") == value


def test_a_model_whose_only_field_is_a_result_is_no_wrapper() -> None:
    class Found(BaseModel):
        result: int

    assert OutputType(Found).schema == Found.model_json_schema()
    assert OutputType(Found).parse('{"result": 1}') == Found(result=1)
    assert OutputType(Found | None).parse('{"result": 1}') == Found(result=1)
    assert OutputType(Found | None).parse('{"result": {"result": 1}}') == Found(result=1)


@pytest.mark.parametrize("wanted", [City, list[City], dict[str, int], int, Part], ids=str)
def test_the_digest_of_a_recorded_type_does_not_change(wanted: Any) -> None:
    assert OutputType(wanted).digest == digest(TypeAdapter(wanted).json_schema())


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (Part, '{"name": "root", "kids": [{"name": "inner"}, {"name": "cut'),
        (list[int], "[[1, 2], [3"),
        (Part, '{"title": "T", "items": [{"name": "b"}, {"na'),
        (list[City], '{"result": [{"name": "Ulm", "people": 1}, {"name": "Bo'),
        (City, '[{"name": "Ulm", "people": 1}, {"name": "Bonn"'),
        (City | str, '{"name": "Ulm", "peo'),
        (list[int], 'At first [1, 2]; then {"result": [3'),
    ],
)
def test_a_fragment_is_refused_with_a_message_for_the_model(wanted: Any, text: str) -> None:
    with pytest.raises(TypeMismatch, match="not whole"):
        OutputType(wanted).parse(text)


@pytest.mark.parametrize(
    ("wanted", "text", "value"),
    [
        (list[int], "See [1] and [2]. They are\n[10, 20]", [10, 20]),
        (City, f'Not {{"name": "X", "people": 1}} but:\n```json\n{TEXT}\n```', City(name="Ulm", people=126405)),
        (City, f'{TEXT} (took {{"seconds": 3}}, see [1])', City(name="Ulm", people=126405)),
        (list[City], f"[{TEXT}], as in [1].", [City(name="Ulm", people=126405)]),
        (Part, 'It is {"name": "a"}, not {}.', Part(name="a")),
        (str, 'Write {"result": "x"} there.', 'Write {"result": "x"} there.'),
        (str, "Cut [here", "Cut [here"),
    ],
)
def test_of_several_values_the_one_that_is_meant_is_taken(wanted: Any, text: str, value: Any) -> None:
    assert OutputType(wanted).parse(text) == value


def test_the_last_word_counts_even_if_an_earlier_one_would_fit() -> None:
    with pytest.raises(TypeMismatch, match="people"):
        OutputType(City).parse(f'At first {TEXT}, but then {{"name": "Ulm", "people": "some"}}')


def test_a_bare_number_that_was_cut_off_is_none() -> None:
    assert OutputType(int).parse('{"result": 42}', cut_off=True) == 42
    assert OutputType(bool).parse("true", cut_off=True) is True
    with pytest.raises(TypeMismatch, match="ends before"):
        OutputType(int).parse("42", cut_off=True)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [(Literal["a", "ab"], "a"), (datetime, "2024-01-10"), (timedelta, "P1D"), (Literal["a", "ab"] | int, "a")],
)
def test_a_bare_word_that_was_cut_off_is_none(wanted: Any, text: str) -> None:
    OutputType(wanted).parse(text)
    OutputType(wanted).parse(f'{{"result": "{text}"}}', cut_off=True)
    with pytest.raises(TypeMismatch):
        OutputType(wanted).parse(text, cut_off=True)


def test_a_text_that_was_cut_off_is_still_a_text() -> None:
    assert OutputType(str).parse("as far as {", cut_off=True) == "as far as {"


def test_a_type_without_a_schema_is_refused_before_any_call() -> None:
    model = ScriptedModel()
    with pytest.raises(ConfigurationError, match=r"output_type=.*JSON Schema"):
        RecursiveEngine(model).solve("t", output_type=object())
    with pytest.raises(ConfigurationError, match="output_type"):
        RecursiveEngine(model).solve("t", output_type=type("Opaque", (), {}))

    assert model.calls == 0


def typed(*answers: str, parts: Any = ()) -> ScriptedModel:
    """The answers of the root, one after another; the last one for ever."""
    given = list(answers)

    def script(request: Request) -> Any:
        if request.mode == "planner":
            return (
                {"decision": "RECURSE", "sub_tasks": list(parts)} if parts and not request.facts.breadcrumbs else None
            )
        if request.facts.breadcrumbs:
            return f"part {request.facts.task}"
        return given.pop(0) if len(given) > 1 else given[0]

    return ScriptedModel(script)


@pytest.mark.parametrize("parts", [(), ("a", "b")], ids=["executed", "synthesised"])
async def test_the_answer_is_parsed_and_only_the_root_gets_the_type(parts: Any) -> None:
    model = typed(TEXT, parts=parts)
    output = await AsyncRecursiveEngine(model).solve("t", output_type=City)

    assert output.parsed == City(name="Ulm", people=126405)
    assert output.content == TEXT
    asked = [r for r in model.requests if r.schema is not None and r.mode != "planner"]
    assert [r.facts.task for r in asked] == ["t"]
    assert asked[0].schema == City.model_json_schema()
    assert '"people"' in asked[0].messages[0]["content"], "told in words too: not every provider takes a schema"


async def test_without_a_type_nothing_is_parsed() -> None:
    assert (await AsyncRecursiveEngine(typed(TEXT)).solve("t")).parsed is None


async def test_what_does_not_fit_is_repaired_by_telling_what_was_wrong() -> None:
    model = typed("Ulm has many people", '{"name": "Ulm"}', TEXT)
    reasons: list[str] = []
    engine = AsyncRecursiveEngine(
        model, max_depth=1, observers=[lambda e: reasons.append(e.reason) if isinstance(e, Retried) else None]
    )
    output = await engine.solve("t", output_type=City)

    assert output.parsed.name == "Ulm"
    assert output.run.tree["0"].attempts == 3
    assert ["no JSON value" in reasons[0], "people: Field required" in reasons[1]] == [True, True]
    told = model.requests[-1].messages
    assert (told[-2]["content"], "people: Field required" in told[-1]["content"]) == ('{"name": "Ulm"}', True)
    assert output.usage.calls == output.run.tree["0"].usage.calls == 3, "all attempts are paid for"


async def test_after_three_attempts_it_is_an_error_that_says_what_to_do() -> None:
    model = typed("Ulm")
    with pytest.raises(
        PlanError, match=r"node 0: scripted gave no answer of the wanted type in 3 attempts.*It wrote: .+output_type"
    ):
        await AsyncRecursiveEngine(model, max_depth=1).solve("t", output_type=City)

    assert model.calls == 3


async def test_it_is_parsed_when_resumed_and_when_replayed(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    engine = AsyncRecursiveEngine(model := typed(TEXT, parts=("a", "b")))
    first = await engine.solve("t", output_type=City, checkpoint=path)
    calls = model.calls
    resumed = await engine.solve("t", output_type=City, checkpoint=path)
    replayed = await engine.solve("t", output_type=City, checkpoint=path, mode="replay")

    assert first.parsed == resumed.parsed == replayed.parsed == City(name="Ulm", people=126405)
    assert model.calls == calls


async def test_another_type_runs_the_root_again_and_no_other_node(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    model = typed(TEXT, "[1, 2]", parts=("a", "b"))
    await AsyncRecursiveEngine(model).solve("t", output_type=City, checkpoint=path)
    before = model.calls
    output = await AsyncRecursiveEngine(model).solve("t", output_type=list[int], checkpoint=path)

    assert output.parsed == [1, 2]
    assert {r.facts.task for r in model.requests[before:]} == {"t"}


async def test_a_recorded_answer_that_a_changed_validator_refuses_is_a_clear_error(tmp_path: Path) -> None:
    class Big(BaseModel):
        people: int

    async def solved(kind: type[BaseModel], **options: Any) -> Any:
        engine = AsyncRecursiveEngine(
            ScriptedModel(lambda r: '{"people": 5}' if r.mode == "worker" else None), max_depth=1
        )
        return await engine.solve("t", output_type=kind, checkpoint=tmp_path / "run.json", **options)

    await solved(Big)

    def bigger(cls: Any, value: int) -> int:
        if value < 10:
            raise ValueError("too small")
        return value

    validators: dict[str, Any] = {"__annotations__": {"people": int}, "check": field_validator("people")(bigger)}
    stricter = type("Big", (BaseModel,), validators)
    with pytest.raises(ExecutionError, match="too small"):
        await solved(stricter)
