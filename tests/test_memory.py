"""References: a prompt names them, a worker reads what it needs, and a change concerns those who read it."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rlm_notebook import AsyncRecursiveEngine, ConfigurationError, ScriptedModel, SharedMemory
from rlm_notebook.documents.passages import Passage
from rlm_notebook.memory import ReadableText
from rlm_notebook.ports import Capabilities, Request

BOOK = "\n".join(f"line {n}: nothing here" for n in range(200_000)) + "\nthe treasure is under the oak\n"


@dataclass
class Table:
    """What looks like a data frame."""

    rows: list[list[int]]

    def to_csv(self) -> str:
        return "\n".join(",".join(map(str, row)) for row in self.rows)


# -- what can be offered -------------------------------------------------------------------------------------------


def test_values_of_many_kinds_are_read_as_text(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("from a file ü")
    values = {
        "text": "plain",
        "raw": b"by\xfftes",
        "file": file,
        "rows": Table([[1, 2], [3, 4]]),
        "items": [1, {"a": None}],
        "pairs": {"key": "välue"},
        "number": 3.5,
    }
    memory = SharedMemory(values)
    found = {reference.name: reference.text for reference in memory}

    assert found["text"] == "plain"
    assert found["raw"] == "by\\xfftes"
    assert found["file"] == "from a file ü"
    assert found["rows"] == "1,2\n3,4"
    assert json.loads(found["items"]) == [1, {"a": None}]
    assert json.loads(found["pairs"]) == {"key": "välue"}
    assert found["number"] == "3.5"
    assert memory.described[2] == "file (file notes.txt, up to 1,000 characters, up to 100 lines)"


async def test_what_cannot_be_offered_is_refused_before_any_call(tmp_path: Path) -> None:
    engine = AsyncRecursiveEngine(model := ScriptedModel())
    endless: list[Any] = []
    endless.append(endless)
    for variables, said in (
        ({"x": object()}, "variable 'x' is of type object"),
        ({"x": tmp_path / "missing"}, "'x'.*cannot be read"),
        ({"x": endless}, "'x' cannot be written as JSON"),
        ({3: "x"}, "a int is no name"),
        ({10**5000: "x"}, "a int is no name"),
        (["x"], "variables=list"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            await engine.solve("t", variables=variables)  # type: ignore[arg-type]
    assert model.calls == 0


async def test_a_shared_memory_may_be_given_as_it_is() -> None:
    model = ScriptedModel()
    await AsyncRecursiveEngine(model).solve("t", variables=SharedMemory({"notes": "short"}))  # type: ignore[arg-type]

    assert "notes (text, up to 1,000 characters" in model.requests[0].messages[1]["content"]


# -- reading -------------------------------------------------------------------------------------------------------


def test_a_piece_says_where_it_is_and_is_never_long() -> None:
    memory = SharedMemory({"book": BOOK})

    assert memory.read("book", 5, 10) == f"[book: characters 5 to 15 of {len(BOOK)}]\n{BOOK[5:15]}"
    for start, length in ((0, 10**9), (-5, 3), (10**12, 5), (0, -1)):
        assert len(memory.read("book", start, length)) < 2_100
    for asked in (memory.search("book", "nothing"), memory.sample("book", 10**6), memory.sample("book", -1)):
        assert len(asked) <= 2_100


def test_a_search_gives_offsets_to_read_on_from() -> None:
    memory = SharedMemory({"book": BOOK})
    found = memory.search("book", "TREASURE")
    offset = int(found.splitlines()[1].split(":")[0])

    assert memory.read("book", offset, 8).endswith("\ntreasure")
    assert "no line matches" in memory.search("book", "silver")


def test_a_sample_is_the_same_every_time_and_from_all_over() -> None:
    memory = SharedMemory({"book": BOOK})
    numbers = [int(line.split()[1].rstrip(":")) for line in memory.sample("book", 20).splitlines()]

    assert memory.sample("book", 20) == SharedMemory({"book": BOOK}).sample("book", 20)
    assert numbers == sorted(numbers)
    assert max(numbers) - min(numbers) > 100_000


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(?:(?:(?:a{1000}){1000}){1000}){1000}",
        "(a{0,1000}){0,1000}",
        "(a|aa)+$",
        "a" * 301,
        "(",
    ],
)
def test_an_expression_that_would_take_for_ever_or_is_none_is_refused(pattern: str) -> None:
    memory = SharedMemory({"text": "a" * 10_000 + "b"})
    with pytest.raises(ValueError, match=r"simpler|at most|no regular expression"):
        memory.search("text", pattern)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'boook'; there are: book"):
        SharedMemory({"book": BOOK}).read("boook")


def test_excerpts_of_all_keep_within_their_room() -> None:
    memory = SharedMemory({"book": BOOK, "short": "all of it", "other": BOOK})
    excerpts = memory.excerpts()

    assert len(excerpts) < 8_500
    assert "all of it" in excerpts
    assert "characters more]" in excerpts


def test_all_that_can_be_cited_is_in_passages() -> None:
    memory = SharedMemory({"notes": "the words", "raw": b"by\xfftes", "rows": Table([[1, 2]])})
    passages = memory.passages()

    assert [next(passages) for _ in range(3)] == [
        Passage("notes", "", "the words"),
        Passage("raw", "", "by\\xfftes"),
        Passage("rows", "", "1,2"),
    ]
    assert Passage("report.pdf", "p.12", "").place == "report.pdf p.12"


# -- in a run ------------------------------------------------------------------------------------------------------


def tool(use: str, /, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": use, "arguments": arguments}]}


def answers(request: Request) -> list[str]:
    return [message["content"] for message in request.messages if message["role"] == "tool"]


def reader(request: Request) -> Any:
    """Finds the treasure by searching, then reading on."""
    if request.mode != "worker":
        return None
    seen = answers(request)
    if not seen:
        return tool("search_reference", name="book", pattern="treasure")
    if len(seen) == 1:
        return tool("read_reference", name="book", start=int(seen[0].splitlines()[1].split(":")[0]), length=40)
    return seen[-1].splitlines()[1]


async def test_five_megabytes_are_answered_about_with_short_prompts() -> None:
    assert len(BOOK) > 4_900_000
    output = await AsyncRecursiveEngine(model := ScriptedModel(reader)).solve("Where is it?", variables={"book": BOOK})

    assert output.content == "treasure is under the oak"
    assert max(sum(len(m["content"]) for m in r.messages) for r in model.requests) < 16_000
    assert list(output.run.tree["0"].reads) == ["book"]
    assert [use.name for use in output.run.tree["0"].tool_calls] == ["search_reference", "read_reference"]


async def test_a_model_that_reads_on_and_on_still_gets_short_prompts() -> None:
    def greedy(request: Request) -> Any:
        if request.mode != "worker":
            return None
        seen = len(answers(request))
        return tool("read_reference", name="book", start=seen * 2000, length=2000) if seen < 12 else "enough"

    model = ScriptedModel(greedy)
    output = await AsyncRecursiveEngine(model, max_tool_rounds=20).solve("t", variables={"book": BOOK})
    last = answers(model.requests[-1])

    assert output.content == "enough"
    assert max(sum(len(m["content"]) for m in r.messages) for r in model.requests) < 16_000
    assert len(last[-1]) > 2000, "what was read last is there"
    assert "left out" in last[0], "what was read first made room"


async def test_an_invalid_expression_is_reported_to_the_model_which_may_repair_it() -> None:
    def script(request: Request) -> Any:
        if request.mode != "worker":
            return None
        seen = answers(request)
        patterns = ["(", "tre+asure"]
        return tool("search_reference", name="book", pattern=patterns[len(seen)]) if len(seen) < 2 else seen[1]

    output = await AsyncRecursiveEngine(ScriptedModel(script)).solve("t", variables={"book": BOOK})

    assert "treasure" in output.content
    assert [use.ok for use in output.run.tree["0"].tool_calls] == [False, True]


async def test_models_without_tools_are_shown_excerpts() -> None:
    model = ScriptedModel(capabilities=Capabilities())
    output = await AsyncRecursiveEngine(model).solve("t", variables={"book": BOOK, "note": "the key is 7"})
    worker = next(request for request in model.requests if request.mode == "worker")

    assert "the key is 7" in worker.messages[1]["content"]
    assert len(worker.messages[1]["content"]) < 16_000
    assert not worker.tools
    assert set(output.run.tree["0"].reads) == {"book", "note"}, "who is shown all has read all"


def library(request: Request) -> Any:
    """Two parts that read one reference each, and one that reads none."""
    if request.mode == "planner":
        return {"decision": "RECURSE", "sub_tasks": ["a", "b", "none"]} if request.facts.task == "t" else None
    if request.mode == "synthesizer" or request.facts.task == "none":
        return None
    seen = answers(request)
    return seen[0].splitlines()[1] if seen else tool("read_reference", name=request.facts.task)


@pytest.mark.parametrize("changed", ["B!", "another length altogether\nand lines"], ids=["same size", "another size"])
async def test_a_change_runs_again_who_read_it_and_what_rests_on_that(tmp_path: Path, changed: str) -> None:
    path = tmp_path / "run.json"
    engine = AsyncRecursiveEngine(model := ScriptedModel(library))
    await engine.solve("t", variables={"a": "A1", "b": "B1"}, checkpoint=path)
    model.requests.clear()
    same = await engine.solve("t", variables={"a": "A1", "b": "B1"}, checkpoint=path)
    assert model.calls == 0
    output = await engine.solve("t", variables={"a": "A1", "b": changed}, checkpoint=path)

    assert [(r.mode, r.facts.task) for r in model.requests] == [("worker", "b"), ("worker", "b"), ("synthesizer", "t")]
    assert output.content == f"t: A1; {changed.splitlines()[0]}; answer to: none"
    assert same.content == "t: A1; B1; answer to: none"


async def test_a_reference_that_is_new_or_gone_changes_what_all_could_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    engine = AsyncRecursiveEngine(model := ScriptedModel(library))
    await engine.solve("t", variables={"a": "A", "b": "B"}, checkpoint=path)
    model.requests.clear()
    await engine.solve("t", variables={"a": "A", "b": "B", "c": "C"}, checkpoint=path)

    assert model.calls > 3


ROWS = pd.DataFrame({"x": range(1000)})
OTHER_ROWS = ROWS.copy()
OTHER_ROWS.loc[500, "x"] = 501
NUMBERS, OTHER_NUMBERS = np.arange(5000), np.arange(5000)
OTHER_NUMBERS[2500] = 2501


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ROWS, OTHER_ROWS),
        (NUMBERS, OTHER_NUMBERS),
        ({"x": NUMBERS}, {"x": OTHER_NUMBERS}),
        ({"x": {"y": [ROWS]}}, {"x": {"y": [OTHER_ROWS]}}),
        ([NUMBERS], [OTHER_NUMBERS]),
        ((ROWS, 1), (OTHER_ROWS, 1)),
        (pd.DataFrame({"x": [NUMBERS]}), pd.DataFrame({"x": [OTHER_NUMBERS]})),
        ({1: "a"}, {"1": "a"}),
        ([True], [1]),
        ([float("nan")], ["NaN"]),
        (pd.DataFrame({"x": [1]}), pd.DataFrame({"x": ["1"]})),
        (b"\xff", b"\\xff"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_value_that_changed_anywhere_is_read_again(tmp_path: Path, first: Any, second: Any) -> None:
    def read(request: Request) -> Any:
        seen = answers(request)
        return f"read {len(seen)}" if seen else tool("read_reference", name="data")

    engine = AsyncRecursiveEngine(model := ScriptedModel(read), max_depth=1)
    path = tmp_path / "run.json"
    await engine.solve("t", variables={"data": first}, checkpoint=path)
    await engine.solve("t", variables={"data": copy.deepcopy(first)}, checkpoint=path)
    assert model.calls == 2, "an equal value is the same"
    await engine.solve("t", variables={"data": second}, checkpoint=path)
    assert model.calls == 4


def test_what_is_read_of_a_value_is_all_of_it() -> None:
    memory = SharedMemory({"table": ROWS, "nested": {"rows": ROWS, "numbers": NUMBERS}, "array": NUMBERS})
    found = {reference.name: reference.text for reference in memory}

    assert found["table"] == ROWS.to_csv()
    assert json.loads(found["nested"]) == {"rows": ROWS.to_csv(), "numbers": list(range(5000))}
    assert json.loads(found["array"]) == list(range(5000))


class Opaque:
    """Its text is an address."""


@pytest.mark.parametrize(
    "value",
    [Opaque(), [Opaque()], {"a": {"b": Opaque()}}, iter([1]), print, Opaque],
    ids=lambda value: type(value).__name__,
)
def test_a_value_without_a_text_is_refused_with_what_may_be_passed(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'x'.*pass text, bytes") as caught:
        SharedMemory({"x": value}).digests()
    assert " at 0x" not in str(caught.value)


def test_what_the_variables_of_a_cell_are() -> None:
    table = pd.DataFrame({"name": ["ann", None], "score": [1, 2], "when": pd.to_datetime(["2026-01-01", None])})
    memory = SharedMemory(
        {
            "text": "short",
            "long": "a line\n" * 1_000_000,
            "data": b"bytes",
            "table": table,
            "listed": [1, {"a": None}],
            "my file.txt": "x",
            "budget": "y",
        }
    )
    values = memory.code_values

    assert (values["text"], values["listed"]) == ("short", [1, {"a": None}])
    assert (values["my_file_txt"], values["budget_"]) == ("x", "y")
    assert isinstance(values["long"], ReadableText)
    assert isinstance(values["data"], ReadableText)
    assert values["table"]["name"] == ["ann", None]
    assert values["table"]["score"] == [1, 2]
    assert values["table"]["when"][1] is None
    assert len(memory.code_described) == 7
    assert set(SharedMemory({"only": "one"}).code_values) == {"only", "context"}


def test_a_long_text_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_notebook.documents.readable_text.SEARCH_SECONDS", 0.1)
    text = ReadableText("first line\nsecond\n" + "x" * 30)

    assert (text.size, text.read(6, 10), text.read(40)) == (48, "line", "x" * 8)
    assert text.chunks(20) == [(0, 18), (18, 38), (38, 48)]
    assert text.search("sec.nd") == [(11, "second")]
    assert len(text.search("x", limit=3)) == 3
    for pattern in ("(", "(x+x+)+y"):
        with pytest.raises(ValueError, match="expression"):
            ReadableText("x" * 5_000).search(pattern)
    with pytest.raises(ValueError, match="at least 1"):
        text.chunks(0)
