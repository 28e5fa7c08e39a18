"""A streamed plan yields its sub-tasks as they complete, whatever the pieces are; each piece is scanned once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.core import plan_stream
from rlm_notebook.core.json_text import DECODER
from rlm_notebook.core.plan import PlannedTask, Recurse, parse_plan
from rlm_notebook.core.plan_stream import PlanReader

HEAD = '{"thoughts": "", "decision": "RECURSE", "joining": 4, "sub_tasks": ['


def read(*pieces: str) -> list[PlannedTask]:
    reader = PlanReader()
    return [task for piece in pieces for task in reader.feed(piece)]


def pieces_of(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


class CountingDecoder:
    """Counts what is decoded."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def decode(self, text: str) -> Any:
        self.texts.append(text)
        return DECODER.decode(text)


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> CountingDecoder:
    decoder = CountingDecoder()
    monkeypatch.setattr(plan_stream, "DECODER", decoder)
    return decoder


texts = st.text(alphabet='ab"\\{}[],: \n\u00e9\U0001f600', min_size=1).map(lambda text: "t" + text)


@st.composite
def written_plans(draw: st.DrawFn) -> str:
    count = draw(st.integers(1, 5))
    parts: list[Any] = []
    for index in range(count):
        wanted = draw(st.lists(st.integers(0, index - 1), unique=True)) if index else []
        whole = {"id": f"n{index}", "description": draw(texts), "depends_on": wanted, "effort": draw(st.integers(0, 6))}
        parts.append(draw(st.sampled_from([whole, draw(texts)])))
    plan = {"thoughts": draw(texts), "decision": "RECURSE", "joining": 3, "sub_tasks": parts}
    return json.dumps(plan, indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans()))


@given(written_plans(), st.lists(st.integers(1, 40), min_size=1))
def test_the_sub_tasks_do_not_depend_on_the_pieces(text: str, sizes: list[int]) -> None:
    pieces, at = [], 0
    while at < len(text):
        pieces.append(text[at : at + sizes[len(pieces) % len(sizes)]])
        at += len(pieces[-1])
    plan = parse_plan(text)

    assert isinstance(plan, Recurse)
    assert read(*pieces) == read(text) == read(*text) == list(plan.sub_tasks)


@given(st.lists(st.text(alphabet='{}[]",:\\ \nab0')))
def test_nothing_that_a_model_writes_raises(pieces: list[str]) -> None:
    assert read(HEAD, *pieces) == read(HEAD + "".join(pieces))


def test_a_sub_task_is_given_with_the_piece_that_completes_it() -> None:
    reader = PlanReader()
    counts = [len(list(reader.feed(piece))) for piece in (HEAD, '{"task"', ': "a\\', '"', '"', "}", ', "b', '"', "]}")]

    assert counts == [0, 0, 0, 0, 0, 1, 0, 1, 0]
    assert reader.joining == 4


def test_sub_tasks_are_read_while_the_caller_iterates(decoder: CountingDecoder) -> None:
    """A caller that stops after the first does not wait for a million others."""
    reader = PlanReader()
    for _ in reader.feed(HEAD + '"a",' * 1_000_000):
        reader.stop()

    assert decoder.texts == ['"a"']


@pytest.mark.parametrize(
    "text",
    [
        '"sub_tasks": ["a"], "decision": "RECURSE"',
        '"decision": "EXECUTE", "sub_tasks": ["a"',
        json.dumps({"thoughts": '"decision": "RECURSE", "sub_tasks": ["a"]', "decision": "EXECUTE"}),
    ],
    ids=["decision behind", "another decision", "in a string"],
)
def test_nothing_is_given_before_the_decision(text: str) -> None:
    assert read(text) == read(*text) == []


def test_an_array_before_the_decision_is_not_the_one() -> None:
    text = '"sub_tasks": ["x"], ' + HEAD + '"a"'

    assert [task.task for task in read(text)] == [task.task for task in read(*text)] == ["a"]


@pytest.mark.parametrize(
    "spoilt",
    ['{"task": 1}', '{"task": "b", "depends_on": [5]}', '{"a": }', "null", "[]", "'b'", '{"task": "b", "x": ]}', '" "'],
)
def test_after_something_that_is_no_sub_task_nothing_is_given(spoilt: str) -> None:
    text = f'{HEAD}"a", {spoilt}, "c"'

    assert [task.task for task in read(text)] == [task.task for task in read(*text)] == ["a"]


def test_ids_become_positions_while_the_plan_streams() -> None:
    parts = [{"id": "x", "task": "a"}, {"id": 7, "task": "b", "depends_on": ["x"]}, {"task": "c", "depends_on": [7]}]
    text = HEAD + json.dumps(parts)[1:]

    assert [task.depends_on for task in read(*text)] == [(), (0,), (1,)]


@pytest.mark.parametrize("size", [1, 7, 20])
def test_each_element_is_decoded_once(decoder: CountingDecoder, size: int) -> None:
    words = "x" * 20_000
    elements = ['"a"', json.dumps(words), json.dumps({"task": words, "depends_on": [0]}), '"c"']
    text = HEAD + ", ".join(elements) + "]}"

    assert len(read(*pieces_of(text, size))) == 4
    assert decoder.texts == elements


@pytest.mark.parametrize(
    "body",
    [
        '{"task": "a", "x": ' + "1" * 50_000,
        '{"task": "' + "a" * 50_000,
        '"' + "\\" * 50_001,
        '{"a":' * 10_000,
        "{" * 50_000,
    ],
    ids=["number", "string", "backslashes", "objects", "braces"],
)
def test_an_element_that_never_closes_is_never_decoded(decoder: CountingDecoder, body: str) -> None:
    assert read(*pieces_of(HEAD + body, 20)) == []
    assert decoder.texts == []


def test_megabytes_in_small_pieces_are_read_in_one_pass() -> None:
    """Scanned again for each piece, these would be 400 GB, which exceeds the time limit of the test."""
    words = "x" * 2_000_000
    text = json.dumps({"thoughts": words, "decision": "RECURSE", "sub_tasks": ["a", words, "c"]})

    assert [task.task for task in read(*pieces_of(text, 20))] == ["a", words, "c"]
