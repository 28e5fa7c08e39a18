"""Only complete JSON values are found in a text; of several values, the intended one comes first."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.core.json_text import JsonText, json_values, json_whole
from tests.support.amounts import few_or_many

pytestmark = pytest.mark.timeout(120)


def best(text: str) -> Any:
    """The value that a text is read as, or what there is instead."""
    found = JsonText.of(text)
    return next(found.values(), "cut off" if found.unclosed else "nothing")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Not {"name": "Example"} but {"name": "Rome"}.', {"name": "Rome"}),
        ("As in [1] and [2]:\n[3, 4]", [3, 4]),
        ('Not {"a": 1}, but\n```json\n{"a": 2}\n```\nThis is not {"a": 3}.', {"a": 2}),
        ('```json\n{"a": 1}\n```\nRather:\n```json\n{"a": 2}\n```', {"a": 2}),
        ('~~~\n{"a": 1}\n~~~\n{"a": 2}', {"a": 1}),
        ('```json{"a": 1}```', {"a": 1}),
        ('{"a": 1}\n```python\nprint({"a": 2})\n```', {"a": 1}),
        ('```python\nx = {"a": 2}\n```\n{"a": 1}', {"a": 1}),
        ('```python\nx = {"a": 2}\n```', {"a": 2}),
        ('{"code": "```json\\n{}\\n```"}', {"code": "```json\n{}\n```"}),
    ],
)
def test_of_several_values_the_last_fenced_one_is_meant_and_else_the_last(text: str, value: Any) -> None:
    assert best(text) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "root", "kids": [{"name": "inner"}, {"name": "cut',
        "[[1, 2], [3",
        '{"items": [{"name": "b"}, {"na',
        '{"a": {"b": 1}',
        '{"a": {"b": 1},',
        '[{"a": 1}, {"a": 2}',
        'First {"a": 1}, then {"a": [{"a": 2}], "b',
        '```json\n{"a": 1}\n```\nRather:\n```json\n{"a": [{"a": 2}',
        '```json\n{"a": [{"a": 2}, \n```\nIt was too long.',
        "{'a': [{'a': 1}, {'a': 'cut",
        '{a: [{"a": 1}], b: {',
        '{ // the root\n "kids": [{"a": 1}]',
        '"kids": [{"a": 1}], "name": "root"}',
        '{"a": 1}], "name": "root"}',
        "At first [true], then [true, fal",
    ],
)
def test_nothing_inside_a_value_that_is_not_whole_is_one(text: str) -> None:
    assert best(text) == "cut off"
    assert list(json_values(text)) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('A value in [0, 1) for {x} in f{y}: {"a": 1}', {"a": 1}),
        ('See [the page](x) and [ ] and {"a", "b"}: {"a": 1}', {"a": 1}),
        ('He said "yes. {"a": 1}', {"a": 1}),
        ('\\boxed{{"a": 1}}', {"a": 1}),
        ('{{"a": 1}}', {"a": 1}),
        ('```json\n{"a": [1, 2\n```\nAgain, whole:\n```json\n{"a": [1, 2]}\n```', {"a": [1, 2]}),
        ('{"a": [1, 2}\n```\n{"a": [1, 2]}\n```', {"a": [1, 2]}),
        ('```json\n{"a": 1}\n```\nOne could add {"b": [', {"a": 1}),
    ],
)
def test_brackets_of_prose_are_passed_over(text: str, value: Any) -> None:
    assert best(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, // one\n"b": [1, 2] /* two */}', {"a": 1, "b": [1, 2]}),
        ('{"a": "http://x", # a "link"\n "b": 1}', {"a": "http://x", "b": 1}),
        ("{a: 1, b_c: 'x', \"d\": {e-f: []}}", {"a": 1, "b_c": "x", "d": {"e-f": []}}),
        ('{"a": 1 "b": "x" "c": [1 2] "d": true}', {"a": 1, "b": "x", "c": [1, 2], "d": True}),
        ('[{"a": 1}\n{"a": 2}]', [{"a": 1}, {"a": 2}]),
        ('{"a": "x, // y: {z} \'w\'", b: 1,}', {"a": "x, // y: {z} 'w'", "b": 1}),
        ("{'it': 'isn't so', 'b': None}", {"it": "isn't so", "b": None}),
    ],
)
def test_what_models_leave_out_of_a_whole_value_is_put_in(text: str, value: Any) -> None:
    assert best(text) == value
    assert best(f"Here: {text} So far.") == value


def test_a_whole_text_may_be_any_value_and_so_may_its_only_block() -> None:
    assert [json_whole(text) for text in ("42", '"x"', "null", "```json\n42\n```", "```\ntrue\n```")] == [
        (42,),
        ("x",),
        (None,),
        (42,),
        (True,),
    ]
    assert json_whole("42 or so") is json_whole("```\n1\n```\n```\n2\n```") is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="ab\"'\\{}[],: `/#\n", max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab'{", max_size=3), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: isinstance(value, dict | list))


@given(values, st.data())
def test_no_beginning_of_a_value_is_one(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value, indent=data.draw(st.sampled_from([None, 1])))
    at = data.draw(st.integers(1, len(text) - 1))

    assert best(text) == value
    assert best(text[:at]) == "cut off"
    assert best(f"So: {text[:at]}") == "cut off"


@given(st.text(alphabet="{}[]\"'\\,:`~/#*ab1 \n-", max_size=60))
def test_any_text_is_read(text: str) -> None:
    for brackets in ("{", "{["):
        assert all(isinstance(value, dict | list) for value in JsonText.of(text, brackets).values())


@pytest.mark.parametrize(
    "piece",
    [
        "[", "{", "{'", "[1", "[0, 1) ", '{"a":', "{}", '{"a" ', "[1]", " '", '"', '["', '{"a" 1} ', "```\n{",
        "{//", "{/*", "{ #", "['", "]", "}{", "```json\n{a\n```\n", "[1 2 ", "{a:", "[{]", "\\", "{\"a\": '",
    ],
)  # fmt: skip
@few_or_many(30_000, 200_000)
def test_a_long_text_of_nothing_but_pieces_is_read_through(piece: str, amount: int) -> None:
    for start in ("", "{", "["):
        list(json_values(start + piece * amount))
