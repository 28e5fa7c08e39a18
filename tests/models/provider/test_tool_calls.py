"""Tool calls as servers stream them: whatever is missing, repeated or wrongly numbered, each call is one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.models.openai.request import arguments_text
from rlm_notebook.models.provider.tool_calls import CallsWritten, arguments_as_object, arguments_from

A, B = '{"city": "A"}', '{"city": "B"}'
HALF, REST = '{"city": ', '"A"}'


def delta(arguments: Any = None, *, name: str | None = "look", **facts: Any) -> dict[str, Any]:
    return {**facts, "function": {"arguments": arguments} | ({"name": name} if name is not None else {})}


def called(*chunks: Any, offered: Any = ("look",)) -> list[tuple[str, Any]]:
    written = CallsWritten(offered)
    for chunk in chunks:
        written.add(chunk if isinstance(chunk, list) else [chunk])
    return [(call.name, call.arguments) for call in written.calls(0)]


ONE = [("look", {"city": "A"})]
BOTH = [("look", {"city": "A"}), ("look", {"city": "B"})]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([delta(A, index=0, id="a"), delta(B, index=1, id="b")], id="as specified"),
        pytest.param([delta(A, index=1, id="a"), delta(B, index=2, id="b")], id="counted from one"),
        pytest.param([delta(A, index=0, id="a"), delta(B, index=0, id="b")], id="one index, two ids"),
        pytest.param([delta(A, index=0, id=""), delta(B, index=0, id="")], id="one index, empty ids"),
        pytest.param([delta(A, index=0), delta(B, index=0)], id="one index, no ids"),
        pytest.param([delta(A, index=None, id=None), delta(B, index=None, id=None)], id="nulls"),
        pytest.param([delta(A), delta(B)], id="nothing"),
        pytest.param([[delta(A), delta(B)]], id="nothing, in one chunk"),
        pytest.param([[delta(A, index=0), delta(B, index=0)]], id="one index, in one chunk"),
        pytest.param([delta(A, index=0, id="x"), delta(B, index=1, id="x")], id="one id, two indices"),
        pytest.param([delta(A, index=0, id="x"), delta(B, index=0, id="x")], id="one id, one index"),
        pytest.param([delta({"city": "A"}, index=0), delta({"city": "B"}, index=0)], id="objects"),
        pytest.param(
            [delta("", id="a"), delta(HALF, name=None), delta(REST, name=None), delta("", id="b"), delta(B, name=None)],
            id="ids on the first pieces alone",
        ),
        pytest.param(
            [delta("", index=0, id="a"), delta(A, name=None, index=0), delta("", index=0, id="b"), delta(B, name=None)],
            id="one index, ids on the first pieces alone",
        ),
        pytest.param(
            [
                delta(HALF, index=0, id="a"),
                delta(REST, index=0, id="a"),
                delta('{"city":', index=1, id="b"),
                delta(' "B"}', index=1, id="b"),
            ],
            id="id and name in each piece",
        ),
        pytest.param(
            [
                [delta(HALF, index=0, id="a"), delta('{"city": ', index=1, id="b")],
                [delta(REST, name=None, index=0), delta('"B"}', name=None, index=1)],
            ],
            id="side by side",
        ),
        pytest.param([delta(A, index=0), delta(B, index=1), [delta(A, index=0), delta(B, index=1)]], id="repeated"),
        pytest.param([delta(A, id="a"), delta(B, id="b"), [delta(A, id="a"), delta(B, id="b")]], id="repeated by id"),
    ],
)
def test_two_calls_are_two(chunks: list[Any]) -> None:
    assert called(*chunks) == BOTH


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([delta(HALF, index=0, id="a"), delta(REST, name=None, index=0)], id="as specified"),
        pytest.param([delta(HALF, index=0, id="a"), delta(REST, index=0, id="a")], id="name and id repeated"),
        pytest.param([delta(HALF, index=0), delta(REST, index=0)], id="name repeated, no id"),
        pytest.param([delta(HALF, index=0, id="1"), delta(REST, name="", index=0, id="2")], id="an id for each piece"),
        pytest.param([delta(HALF, index=0, id="1"), delta(REST, index=0, id="2")], id="id and name for each piece"),
        pytest.param([delta(HALF, index=0, id="a"), delta(REST, name=None, index=1, id="a")], id="index of the piece"),
        pytest.param([delta(HALF, id="a"), delta(REST, name=None)], id="no index"),
        pytest.param([delta("", id="a"), delta("", id="a"), delta(A, id="a")], id="begun twice"),
        pytest.param([[delta("", index=0, id="a"), delta(A, name=None, index=0)]], id="both pieces in one chunk"),
        pytest.param([delta(HALF, index=0), delta(REST, name=None, index=0), delta(A, index=0)], id="repeated whole"),
        pytest.param([delta(A, index=0, id="a"), delta(A, index=0, id="a")], id="whole twice"),
        pytest.param([delta(A, index=0, id="a"), delta('{"city":"A"}', id="a")], id="whole twice, spaced otherwise"),
        pytest.param([delta({"city": "A"}, index=0), delta(None, name=None, index=0)], id="an object, then null"),
        pytest.param([delta(A, index=0), delta("null", name=None, index=0)], id="a null in the text"),
        pytest.param([delta(A, index=0), {"index": 0, "function": None}], id="no function after it"),
        pytest.param([delta(A, index=0), [None]], id="a null among the calls"),
        pytest.param([delta("{}", index=0), delta(HALF, name=None, index=0), delta(REST, name=None)], id="begun by {}"),
        pytest.param([delta("{}", index=0), delta(A, name=None, index=0)], id="begun by {}, then whole"),
        pytest.param([delta(json.dumps(A), index=0)], id="encoded twice"),
        pytest.param([delta(json.dumps(json.dumps(A)), index=0)], id="encoded three times"),
        pytest.param([delta(A + A, index=0)], id="twice in one text"),
        pytest.param([delta(HALF, index=0), delta(HALF + '"', index=0), delta(A, index=0)], id="all so far each time"),
        pytest.param(
            [delta(None, name="lo", index=0), delta(None, name="ok", index=0), delta(A, name=None)], id="name"
        ),
    ],
)
def test_one_call_is_one(chunks: list[Any]) -> None:
    assert called(*chunks) == ONE


@pytest.mark.parametrize("nothing", [None, "", "  ", "null", "{}", {}, '"{}"', '"null"', '""'])
def test_no_arguments_are_none(nothing: Any) -> None:
    assert called(delta(nothing, index=0, id="a")) == [("look", {})]
    assert arguments_from(nothing) == {}


def test_calls_without_arguments_are_told_apart_by_what_they_have() -> None:
    assert called(delta("", id="a"), delta("", id="b")) == [("look", {})] * 2
    assert called(delta(""), delta("", name="date"), offered=("look", "date")) == [("look", {}), ("date", {})]
    assert called([delta("", index=0), delta("", index=0)]) == [("look", {})] * 2


def test_a_nested_object_that_begins_a_piece_begins_no_call() -> None:
    pieces = ['{"where": ', '{"city": "A"}', "}"]

    assert called(*(delta(piece, index=0) for piece in pieces)) == [("look", {"where": {"city": "A"}})]


def test_calls_of_a_whole_reply_are_each_their_own() -> None:
    written = CallsWritten()
    written.add_whole([delta(A, index=0), delta(A, index=0), delta(json.dumps(B)), None, delta({"city": "C"}, id="c")])

    assert [call.id for call in written.calls(4)] == ["call_4", "call_5", "call_6", "c"]
    assert [call.arguments["city"] for call in written.calls(0)] == ["A", "A", "B", "C"]  # type: ignore[index]


@pytest.mark.parametrize(
    "broken", ['{"city": ', "[1, 2]", "Oslo", '{"a": 1}{"a": 2}', '{"a": 1} and more', "[" * 50_000]
)
def test_what_is_no_object_stays_text_and_goes_back_within_one(broken: str) -> None:
    assert arguments_from(broken) == broken
    assert arguments_as_object(broken) == {"invalid_json": broken}
    assert json.loads(arguments_text({"name": "look", "arguments": broken})) == {"invalid_json": broken}


def test_numbers_that_json_does_not_know_become_text() -> None:
    assert arguments_from('{"a": NaN, "b": 1e999, "c": -Infinity, "d": 0.5}') == {
        "a": "NaN",
        "b": "1e999",
        "c": "-Infinity",
        "d": 0.5,
    }


def test_texts_in_a_call_can_be_encoded() -> None:
    written = CallsWritten()
    written.add_whole([{"id": "\ud800", "function": {"name": "a\0", "arguments": '{"x": "\\ud83d", "\\ud83d": [1]}'}}])
    (call,) = written.calls(0)

    assert (call.id, call.name, call.arguments) == ("\ufffd", "a\ufffd", {"x": "\ufffd", "\ufffd": [1]})


objects = st.dictionaries(st.text("ab"), st.recursive(st.integers() | st.text("xy{}"), st.lists, max_leaves=3))


@given(st.lists(objects.filter(bool), min_size=1, max_size=4, unique_by=json.dumps), st.integers(1, 5), st.booleans())
def test_however_a_text_is_cut_ids_on_the_first_pieces_are_enough(given: list[Any], size: int, indexed: bool) -> None:
    chunks: list[Any] = []
    for number, arguments in enumerate(given):
        text, index = json.dumps(arguments), {"index": 0} if indexed else {}
        chunks.append(delta("", id=f"id{number}", **index))
        chunks += [delta(text[at : at + size], name=None, **index) for at in range(0, len(text), size)]

    assert [arguments for _, arguments in called(*chunks)] == given
