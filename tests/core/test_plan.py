"""Plans are parsed from any wrapping that models use; other texts are refused with a message for the planner."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.core import json_text
from rlm_notebook.core.plan import (
    PLAN_SCHEMA,
    Execute,
    NotJSON,
    Recurse,
    UnusablePlan,
    parse_plan,
    plan_from_json,
)

#: NUL is replaced wherever it comes from.
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(characters, min_size=1).filter(lambda text: text.strip())


@st.composite
def recursions(draw: st.DrawFn) -> dict[str, Any]:
    """Plans as the schema asks for them; each part may depend on parts before it."""
    count = draw(st.integers(1, 6))
    parts = [
        {
            "description": draw(texts),
            "assigned_agent": draw(st.none() | texts),
            "depends_on": draw(st.lists(st.integers(0, index - 1), unique=True)) if index else [],
        }
        for index in range(count)
    ]
    return {"thoughts": draw(st.text(characters)), "decision": "RECURSE", "answer": None, "sub_tasks": parts}


def executions() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "thoughts": st.text(characters),
            "decision": st.just("EXECUTE"),
            "answer": st.none() | st.text(characters),
            "sub_tasks": st.just([]),
        }
    )


plans = recursions() | executions()
#: Prose that holds no brace and no quotation mark cannot be taken for JSON.
prose = st.text().filter(lambda text: not set(text) & set('{}"'))


def same(plan: Execute | Recurse, given: dict[str, Any]) -> bool:
    if isinstance(plan, Execute):
        return given["decision"] == "EXECUTE" and plan.answer == given["answer"]
    found = [(part.task, part.agent, list(part.depends_on)) for part in plan.sub_tasks]
    return found == [(p["description"], p["assigned_agent"], p["depends_on"]) for p in given["sub_tasks"]]


@given(plans)
def test_a_plan_survives_being_written_and_read(given: dict[str, Any]) -> None:
    plan = parse_plan(json.dumps(given))

    assert same(plan, given)
    assert plan_from_json(plan.to_json()) == plan


@given(plans, prose, prose, st.sampled_from(["", "```json\n", "```\n"]))
def test_prose_and_fences_around_the_json_do_not_matter(
    given: dict[str, Any], before: str, after: str, fence: str
) -> None:
    text = f"{before}\n{fence}{json.dumps(given, indent=1)}\n{'```' if fence else ''}{after}"

    assert same(parse_plan(text), given)


@given(plans, prose)
def test_trailing_commas_do_not_matter_and_texts_are_left_alone(given: dict[str, Any], before: str) -> None:
    given = {**given, "thoughts": given["thoughts"] + ", ] and , } are kept"}
    text = re.sub(r"\n(\s*[}\]])", r",\n\1", json.dumps(given, indent=1).replace("[]", "[\n]"))
    text = text.replace("[,\n]", "[]")

    assert same(parse_plan(before + text), given)
    assert parse_plan(before + text).thoughts == given["thoughts"]


@given(st.text() | st.text(alphabet='{}[]",:\\ \n0aeEdcisonRUTXCb_k-.'))
def test_no_text_raises_anything_but_an_unusable_plan(text: str) -> None:
    messages: list[str] = []
    for wrapped in (text, f'{{"decision": {text}}}', f'{{"decision": "RECURSE", "sub_tasks": {text}}}'):
        try:
            parse_plan(wrapped)
        except UnusablePlan as problem:
            messages.append(str(problem))
    assert all(messages)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
loose_parts = st.lists(
    st.dictionaries(st.sampled_from(["task", "description", "agent", "depends_on", "id"]), json_values) | json_values
)


@given(
    st.dictionaries(st.sampled_from(["thoughts", "answer", "x"]), json_values),
    st.sampled_from(["RECURSE", "recurse ", "EXECUTE", 1, None, ["RECURSE"], {}]),
    loose_parts | json_values,
)
def test_no_json_raises_anything_but_an_unusable_plan(rest: dict[str, Any], decision: Any, parts: Any) -> None:
    try:
        plan = plan_from_json({**rest, "decision": decision, "sub_tasks": parts})
    except UnusablePlan as problem:
        message = str(problem)
    else:
        message = str(plan)
    assert message


@pytest.mark.parametrize(
    "text",
    [
        '{"decision": ' + "1" * 5000 + "}",
        '{"decision": "RECURSE", "sub_tasks": ' + "[" * 100_000,
        '{"a":' * 20_000,
        '{"decision": "RECURSE", "sub_tasks": [{"task": "a", "depends_on": ' + "[" * 700 + "]" * 700 + "}]}",
        "{" * 50_000,
    ],
    ids=["long number", "deep list", "deep object", "deep dependency", "braces"],
)
def test_what_exhausts_a_parser_is_refused_like_anything_else(text: str) -> None:
    with pytest.raises(UnusablePlan):
        parse_plan(text)


def test_a_reply_without_json_is_distinguished_from_json_that_is_no_plan() -> None:
    with pytest.raises(NotJSON, match="no JSON object"):
        parse_plan("I would split this into two parts.")
    with pytest.raises(UnusablePlan) as problem:
        parse_plan('{"decision": "MAYBE"}')
    assert not isinstance(problem.value, NotJSON)
    assert "EXECUTE" in str(problem.value)


def test_the_original_forms_of_a_plan_are_read() -> None:
    as_text = parse_plan('{"thoughts": "t", "decision": "recurse", "sub_tasks": ["one", "two"]}')
    as_objects = parse_plan(
        '{"decision": "RECURSE", "sub_tasks": [{"description": "one", "assigned_agent": "writer"}]}'
    )

    assert isinstance(as_text, Recurse)
    assert [part.task for part in as_text.sub_tasks] == ["one", "two"]
    assert isinstance(as_objects, Recurse)
    assert as_objects.sub_tasks[0].agent == "writer"


def test_braces_in_prose_before_the_plan_are_passed_over() -> None:
    plan = parse_plan('For {x} in {"note": 1} I say: {"decision": "EXECUTE", "answer": "a ``` b"} {end}')

    assert plan == Execute(answer="a ``` b")


def test_more_than_four_sub_tasks_are_all_in_the_plan() -> None:
    plan = parse_plan(json.dumps({"decision": "RECURSE", "sub_tasks": [f"part {n}" for n in range(40)]}))

    assert isinstance(plan, Recurse)
    assert len(plan.sub_tasks) == 40


def test_a_split_into_nothing_is_an_execution() -> None:
    assert isinstance(parse_plan('{"decision": "RECURSE", "sub_tasks": []}'), Execute)
    assert isinstance(parse_plan('{"decision": "RECURSE"}'), Execute)


def test_names_that_the_planner_gave_its_parts_become_positions() -> None:
    parts = [
        {"id": "a", "task": "x"},
        {"id": 7, "task": "y", "depends_on": ["a"]},
        {"task": "z", "depends_on": [7, "a"]},
    ]
    plan = plan_from_json({"decision": "RECURSE", "sub_tasks": parts})

    assert isinstance(plan, Recurse)
    assert [part.depends_on for part in plan.sub_tasks] == [(), (0,), (1, 0)]


@pytest.mark.parametrize("read", [lambda data: parse_plan(json.dumps(data)), plan_from_json], ids=["text", "file"])
@pytest.mark.parametrize(
    ("dependencies", "message"),
    [([[1], [0]], "circle"), ([[0], []], "depends_on names 0"), ([[5], []], "names 5"), ([[-1], []], "names -1")],
    ids=["circle", "itself", "beyond", "negative"],
)
def test_dependencies_that_cannot_be_met_are_reported_to_the_planner(
    read: Any, dependencies: Any, message: str
) -> None:
    parts = [{"task": f"t{index}", "depends_on": wanted} for index, wanted in enumerate(dependencies)]

    with pytest.raises(UnusablePlan, match=message):
        read({"decision": "RECURSE", "sub_tasks": parts})


def test_a_blank_part_is_refused() -> None:
    with pytest.raises(UnusablePlan, match="empty"):
        parse_plan('{"decision": "RECURSE", "sub_tasks": ["fine", " \\n "]}')


def test_half_an_emoji_in_a_plan_is_no_reason_to_refuse_it() -> None:
    plan = parse_plan('{"decision": "RECURSE", "sub_tasks": ["a \\ud83d", "b \\u0000"]}')

    assert isinstance(plan, Recurse)
    assert [part.task for part in plan.sub_tasks] == ["a \ufffd", "b \ufffd"]


def test_the_schema_asks_for_what_is_read() -> None:
    part = {"description": "d", "assigned_agent": None, "depends_on": [], "effort": 3}
    given = {"thoughts": "", "decision": "RECURSE", "answer": None, "sub_tasks": [part], "joining": 2}

    assert set(given) == set(PLAN_SCHEMA["required"]) == set(PLAN_SCHEMA["properties"])
    assert set(part) == set(PLAN_SCHEMA["properties"]["sub_tasks"]["items"]["required"])
    assert same(parse_plan(json.dumps(given)), given)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (1, 1),
        (5, 5),
        ("4", 4),
        (None, None),
        (0, None),
        (6, None),
        (2.5, None),
        (True, None),
        ("much", None),
        ([3], None),
    ],
)
def test_an_effort_from_1_to_5_is_read_and_what_is_none_is_ignored(given: object, read: int | None) -> None:
    plan = plan_from_json({"decision": "RECURSE", "sub_tasks": [{"task": "a", "effort": given}], "joining": given})

    assert isinstance(plan, Recurse)
    assert plan.sub_tasks[0].effort == plan.joining == read
    again = plan_from_json(plan.to_json())
    assert isinstance(again, Recurse)
    assert again.sub_tasks[0].effort == again.joining == read
    assert plan == plan_from_json({"decision": "RECURSE", "sub_tasks": ["a"]}), "it is the same plan, whoever is first"


def test_a_plan_without_efforts_is_recorded_as_ever() -> None:
    plan = plan_from_json({"decision": "RECURSE", "sub_tasks": ["a"]})

    parts = [{"task": "a", "agent": None, "depends_on": []}]
    assert plan.to_json() == {"decision": "RECURSE", "thoughts": "", "sub_tasks": parts}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("{'decision': 'EXECUTE', 'answer': 'a'}", "a"),
        ("Here's my plan: {'decision': 'EXECUTE', 'thoughts': None, 'answer': 'a',} It's short.", "a"),
        ("{'decision': 'EXECUTE', 'answer': 'isn\\'t it \"new\"?'}", 'isn\'t it "new"?'),
        ("{'decision': 'EXECUTE', 'answer': 'it's new'}", "it's new"),
        ("{'decision': 'EXECUTE', \"answer\": \"say 'None': now\"}", "say 'None': now"),
        ("""{"decision": "EXECUTE", "answer": "say 'x': True"}""", "say 'x': True"),
    ],
)
def test_a_plan_may_be_written_in_single_quotes(text: str, answer: str) -> None:
    assert parse_plan(text) == Execute(answer=answer)


def test_single_quotes_hold_sub_tasks_too() -> None:
    plan = parse_plan("{'decision': 'RECURSE', 'sub_tasks': ['one', {'description': 'Ann\\'s', 'depends_on': [0]}]}")
    assert isinstance(plan, Recurse)
    assert [(part.task, part.depends_on) for part in plan.sub_tasks] == [("one", ()), ("Ann's", (0,))]


@pytest.mark.parametrize("text", ["{" + " '" * 200_000, "{'" * 100_000, "{'a':" * 60_000, "['" + " " * 300_000 + "'"])
def test_a_text_of_nothing_but_quotes_takes_linear_time(text: str) -> None:
    with pytest.raises(UnusablePlan):
        parse_plan(text)


class Counting:
    """A pattern that counts how often it is matched."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self.calls = 0

    def match(self, *where: Any) -> Any:
        self.calls += 1
        return self._pattern.match(*where)


@pytest.mark.parametrize(
    "text", ['{"decision":' + "{}" * 1_000_000, '{"a":x,"b":[' + "[[]]," * 500_000, "{'a':{}}" * 300_000]
)
def test_megabytes_of_broken_brackets_take_a_bounded_number_of_steps(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = Counting(json_text._INSIDE)
    monkeypatch.setattr(json_text, "_INSIDE", inside)
    with pytest.raises(UnusablePlan):
        parse_plan(text)

    assert 0 < inside.calls <= 200_000


@pytest.mark.parametrize(
    ("given", "answer"),
    [("42", "42"), ("true", "true"), ('["é", 1.5]', '["é", 1.5]'), ('{"name": "Rome"}', '{"name": "Rome"}')],
)
def test_an_answer_that_is_no_text_is_its_json(given: str, answer: str) -> None:
    assert parse_plan(f'{{"decision": "EXECUTE", "answer": {given}}}') == Execute(answer=answer)
