"""Whatever is put into a run, what ended can be read: every field of every event, and every place that a user fills."""

# Small files, read where the loop may wait.
# ruff: noqa: ASYNC240

from __future__ import annotations

import asyncio
import datetime
import decimal
import enum
import json
import os
import tempfile
from collections import OrderedDict, UserDict
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine, Budget, ConfigurationError, RLMContext, RLMError, load_run, tool
from rlm_notebook.checkpoints import safe_files
from rlm_notebook.checkpoints.document import document_of
from rlm_notebook.checkpoints.json_file import JsonFile, load_recorded
from rlm_notebook.checkpoints.safe_files import parse_json
from rlm_notebook.core import events
from rlm_notebook.core.events import Event
from rlm_notebook.core.limits import Usage
from rlm_notebook.core.recordable import DEEPEST, MOST, plain, plain_arguments, plain_usage, recordable
from rlm_notebook.core.tree import Recorded
from rlm_notebook.exceptions import CheckpointError
from rlm_notebook.ports import Reply, ToolCall
from rlm_notebook.runtime.event_log import EventLog
from tests.support.checkpoint_schema import require_valid

#: Values that are tried in each place; RLM_EXAMPLES=100 tries more.
EXAMPLES = int(os.environ.get("RLM_EXAMPLES", "4"))


class Word(str):
    """Says something else than it holds."""

    def __str__(self) -> str:
        return "something else"


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


class Count(int):
    def __repr__(self) -> str:
        return "many"


class Silent:
    """Says nothing, whatever it is asked."""

    def __repr__(self) -> str:
        raise RuntimeError("nothing")

    __str__ = __repr__


def nested(levels: int, make: Callable[[Any], Any] = lambda inner: {"in": inner}) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = make(value)
    return value


def circle() -> Any:
    inner: list[Any] = []
    inner.append(inner)
    return {"round": inner}


def drawn(*values: Any) -> Any:
    """One of these; by its place, because some of them cannot be shown."""
    return st.sampled_from(range(len(values))).map(lambda at: values[at])


TEXTS = st.sampled_from(
    [
        "",
        "a\0b",
        "\ud83d",
        "half \udc00",
        "\u202e\u2066",
        "\x1b[31m",
        "\u2028\x85",
        '","crc":"0"}',
        "\\ud800",
        "1" * 5000,
    ]
) | st.text(max_size=20)
ODD_TEXTS = TEXTS | TEXTS.map(Word) | st.sampled_from([Colour.RED])
FLOATS = [float("nan"), float("inf"), -float("inf"), 1e308, 0.5, decimal.Decimal("NaN"), decimal.Decimal("1e999")]
WHOLE = [10**400, 10**5000, -(2**70), 2**60, True, -1, Count(7), Size.LARGE]
NUMBERS = st.integers() | st.floats() | drawn(*FLOATS, *WHOLE)
DEEP = [nested(99), nested(101), nested(1000), nested(5000), nested(200, lambda x: [x])]
OBJECTS = [Silent(), object, range(3), 1j, Path("a"), Reply("x"), lambda: None, ValueError("x"), circle()]
HOLDERS = [b"plain", b"\xff\xfe", bytearray(b"x"), {1, "a"}, (1, (2,)), OrderedDict(a=1), UserDict(b=2)]
OTHERS: Any = drawn(None, datetime.date(2020, 1, 1), *OBJECTS, *HOLDERS, *DEEP)
KEYS: Any = ODD_TEXTS | drawn(1, 1.5, None, True, b"\xff", (1, 2), 10**5000, float("nan"))
VALUES: Any = st.recursive(
    ODD_TEXTS | NUMBERS | OTHERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
USAGES: Any = st.builds(Usage, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, cost_usd=st.none() | NUMBERS)

AT = 1_700_000_000.0
PLAN = {"decision": "RECURSE", "thoughts": "", "sub_tasks": [{"task": "a"}, {"task": "b"}, {"task": "c"}]}
PROGRAM = {"decision": "PROGRAM", "thoughts": ""}
CALL = {"id": "c1", "name": "look", "arguments": {"x": 1}}


def whole_run() -> list[Event]:
    """A run in which every kind of event happens."""
    return [
        events.RunStarted(at=AT, run_id="r", task="root", request_key="k", settings={}, execution="e"),
        events.NodeCreated(at=AT, node="0", parent=None, task="root"),
        events.PlanStarted(at=AT, node="0"),
        events.Retried(at=AT + 1, node="0", reason="busy"),
        events.Planned(at=AT + 2, node="0", plan=PROGRAM, key="p0"),
        events.PlanRejected(at=AT + 2, node="0", reason="too dear"),
        events.PlanStarted(at=AT + 2, node="0"),
        events.Planned(at=AT + 2, node="0", plan=PLAN, key="p0"),
        *(events.NodeCreated(at=AT + 2, node=f"0.{at}", parent="0", task="abc"[at]) for at in range(3)),
        events.Started(at=AT + 3, node="0.0"),
        events.Token(at=AT + 3, node="0.0", text="he"),
        events.Replied(at=AT + 3, node="0.0", content="", calls=(CALL,)),
        events.ToolCalled(at=AT + 3, node="0.0", call="c1", name="look", arguments={"x": 1}),
        events.ToolReturned(at=AT + 4, node="0.0", call="c1", content="seen", reads={"v": "0"}),
        events.RunPaused(at=AT + 4),
        events.RunResumed(at=AT + 5),
        events.Finished(at=AT + 5, node="0.0", content="here", key="k00", metadata={}),
        events.Failed(at=AT + 5, node="0.1", error="no"),
        events.Cancelled(at=AT + 5, node="0.2"),
        events.Superseded(at=AT + 5, node="0.2"),
        events.NodeCreated(at=AT + 5, node="0.3", parent="0", task="d"),
        events.Planned(at=AT + 5, node="0.3", plan=PROGRAM, key="p03"),
        events.Started(at=AT + 5, node="0.3"),
        events.CellWritten(at=AT + 5, node="0.3", code="print(1)", text="so"),
        events.NodeCreated(at=AT + 5, node="0.3.0", parent="0.3", task="q", query="llm_query"),
        events.Cancelled(at=AT + 5, node="0.3.0"),
        events.CellRan(at=AT + 5, node="0.3", stdout="1\n", value="1", error="none"),
        events.Finished(at=AT + 5, node="0.3", content="1", key="k03"),
        events.SynthesisStarted(at=AT + 6, node="0"),
        events.Finished(at=AT + 7, node="0", content="all", key="k0"),
    ]


#: What a run is made of is the engine's own; what stands in the other fields may be anybody's.
ENGINES_OWN = {
    "node",
    "parent",
    "depends_on",
    "mark",
    "status",
    "limited",
    "run_id",
    "execution",
    "fresh",
    "awaiting_approval",
    "call",
    "query",
    "repeat",
}
FIELDS = [(kind, each.name, str(each.type)) for kind in events.KINDS.values() for each in fields(kind)]
FILLED = [each for each in FIELDS if each[1] not in ENGINES_OWN]


def filled(kind: str, name: str) -> Any:
    """Values that may stand in a field of this type."""
    if name == "plan":
        return VALUES.map(lambda value: {**PLAN, "extra": value})
    if name == "calls":
        return VALUES.map(lambda value: ({**CALL, "arguments": value if isinstance(value, str) else {"x": value}},))
    strategies: dict[str, Any] = {
        "float": NUMBERS,
        "bool": st.booleans() | NUMBERS,
        "Usage": USAGES,
        "dict[str, str]": st.dictionaries(ODD_TEXTS, ODD_TEXTS, max_size=3),
        "dict[str, Any]": st.dictionaries(KEYS, VALUES, max_size=3),
    }
    return strategies.get(kind, ODD_TEXTS | OTHERS)


def test_every_kind_of_event_happens_in_the_run_that_is_changed() -> None:
    assert {type(event) for event in whole_run()} | {events.RunFinished} == set(events.KINDS.values())
    assert {kind for kind, *_ in FILLED} == set(events.KINDS.values())


@pytest.mark.timeout(120 + 10 * EXAMPLES)
@pytest.mark.parametrize(("kind", "name", "of"), FILLED, ids=[f"{kind.__name__}.{name}" for kind, name, _ in FILLED])
def test_whatever_stands_in_a_field_of_an_event_can_be_read(kind: type[Event], name: str, of: str) -> None:
    """From the journal alone, as after a crash, and from the document; both say the same, and so does the schema."""

    @given(filled(of, name))
    @settings(max_examples=EXAMPLES, deadline=None)
    def holds(value: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            check(Path(folder) / "run.json", kind, name, value)

    holds()


def check(path: Path, kind: type[Event], name: str, value: Any) -> None:
    journal = JsonFile(path)
    journal.read()
    log = EventLog(journal, ())
    log.open()
    for event in whole_run():
        # The value is a plan that splits, which a code node does not have.
        filled_in = type(event) is kind and not (name == "plan" and getattr(event, "plan", None) is PROGRAM)
        log.emit(replace(event, **{name: value}) if filled_in else event)
    crashed = load_recorded(path)
    assert crashed is not None
    assert nodes_of(crashed) == nodes_of(Recorded(log.tree)), "the journal lost something"
    finished = events.RunFinished(at=AT + 8, status="done")
    finished = replace(finished, **{name: value}) if kind is events.RunFinished else finished
    log.end(finished, lambda: Recorded(log.tree))

    kept = load_recorded(path)
    assert kept is not None
    assert nodes_of(kept) == nodes_of(crashed), "the document lost something"
    assert (kept.tree.task, kept.tree.settings, kept.tree.status) == (log.tree.task, as_read(log.tree.settings), "done")
    require_valid(parse_json(path.read_bytes()))
    load_run(path)
    assert str(log.tree)


def nodes_of(recorded: Recorded) -> Any:
    return json.loads(json.dumps(document_of(recorded)["nodes"]), parse_constant=pytest.fail)


def as_read(value: Any) -> Any:
    return json.loads(json.dumps(value))


# -- what becomes of values ----------------------------------------------------------------------------------------


@settings(max_examples=20 * EXAMPLES, deadline=None)
@given(VALUES)
def test_any_value_becomes_json_that_is_read_as_it_was_written(value: Any) -> None:
    made = plain(value)
    written = json.dumps(made, allow_nan=False)
    assert json.loads(written) == as_read(made)
    assert plain(made) is made, "what is plain stays the very same"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (float("nan"), "NaN"),
        ([float("-inf")], ["-Infinity"]),
        (Word("as it is"), "as it is"),
        (Colour.RED, "red"),
        ([Size.LARGE, Count(7)], [3, 7]),
        (b"text", "text"),
        (b"\xff\xfe", "//4="),
        ({1: "a", "1": "b"}, {"1 (int)": "a", "1": "b"}),
        ({None: 1, True: 2, 1.5: 3}, {"null": 1, "true": 2, "1.5": 3}),
        ({"b", "a"}, ["a", "b"]),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (UserDict(a={1}), {"a": [1]}),
    ],
)
def test_what_json_has_no_form_for_becomes_text_that_says_what_it_was(value: Any, wanted: Any) -> None:
    assert plain(value) == wanted
    assert type(plain(value)) is type(wanted)


def test_numbers_of_very_many_digits_are_text() -> None:
    assert plain([10**400, 10**5000]) == ["1" + "0" * 400, hex(10**5000)]


def test_what_is_too_deep_is_kept_as_the_text_of_its_json() -> None:
    made, levels = plain(nested(300)), 0
    while isinstance(made, dict):
        made, levels = made["in"], levels + 1
    assert levels == DEEPEST
    assert json.loads(made) == nested(300 - DEEPEST)


def test_a_value_without_an_end_is_said_to_be_left_out() -> None:
    assert "left out: more than" in json.dumps(plain(circle()))
    assert "left out: more than" in json.dumps(plain(nested(64, lambda inner: [inner, inner])))


def test_arguments_with_more_values_than_are_kept_are_said_to_be_left_out() -> None:
    assert "left out: more than" in plain_arguments({"x": [0] * 1_000_001})


@pytest.mark.parametrize("odd", [10**400, -(10**400), float("nan"), float("inf"), Word("x"), {1}, (float("nan"),)])
@pytest.mark.parametrize("others", [[], [1], [0.5], ["a", None, True], [1, 0.5]])
def test_what_is_odd_is_made_plain_among_any_others(odd: Any, others: list[Any]) -> None:
    made = plain([*others, odd])
    assert made[:-1] == others
    assert json.loads(json.dumps(made, allow_nan=False)) == as_read(made)
    assert made[-1] == plain(odd)


def test_a_tool_never_gets_other_arguments_than_those_that_are_recorded() -> None:
    assert plain_arguments({"x": nested(200)}) == json.dumps({"x": nested(200)}), "as text, which no tool takes"
    assert plain_arguments({"x": {1}}) == {"x": [1]}
    assert plain_arguments(Word("{")) == "{"


@pytest.mark.parametrize("count", [2**60, 10**400, -(2**70), 0.5, True, float("nan"), float("inf"), "many", None])
def test_a_count_is_a_whole_number_that_can_be_added_up(count: Any) -> None:
    made = plain_usage(Usage(prompt_tokens=count, cost_usd=count))
    assert type(made.prompt_tokens) is int
    assert abs(made.prompt_tokens) <= MOST
    assert made.cost_usd is None or abs(made.cost_usd) <= MOST
    assert plain_usage(made) is made


def test_an_event_that_can_be_recorded_is_not_made_anew() -> None:
    for event in whole_run():
        assert recordable(event) is event


# -- whole runs ----------------------------------------------------------------------------------------------------


class Filler:
    """A model and a tool that put `value` in one of the places that they fill."""

    def __init__(self, place: str, value: Any) -> None:
        self.place, self.value, self.calls, self.uses = place, value, 0, 0

        @tool(version="1")
        def look(x: object = None) -> object:
            """Look."""
            self.uses += 1
            if place == "tool error":
                raise ValueError(value)
            return self._put("tool result", "seen")

        self.look = look

    def _put(self, place: str, usual: Any) -> Any:
        return self.value if self.place == place else usual

    def reply(self, inputs: list[dict[str, Any]], context: dict[str, Any]) -> Any:
        self.calls += 1
        usage = {"prompt_tokens": self._put("count", 1), "completion_tokens": 1}
        metadata: dict[Any, Any] = {"usage": self._put("usage", usage), "note": self._put("metadata", "")}
        metadata["cost_usd"] = self._put("cost", 0.25)
        if self.place == "key of metadata":
            metadata[self.value] = 1
        if context["mode"] == "planner":
            tasks = [{"description": "look", "assigned_agent": self._put("agent of a plan", None)}, "rest"]
            plan = {"decision": "RECURSE", "sub_tasks": tasks, "thoughts": self._put("thoughts", "")}
            return {"content": json.dumps(plan if context["depth"] == 0 else {"decision": "EXECUTE"}, default=str)}
        told = any(each["role"] == "tool" for each in inputs)
        if context["mode"] == "worker" and context["task"] == "look" and not told:
            arguments = {"x": self._put("argument", 1)}
            name, call = self._put("tool name", "look"), self._put("call id", "c1")
            if self.place == "reply":
                return Reply("", (ToolCall("c1", "look", {"x": self.value}),), metadata={"v": self.value})
            return {"content": None, "tool_calls": [{"id": call, "name": name, "arguments": arguments}]}
        return {"content": f"{context['mode']} {context['task']}", "metadata": metadata}


PLACES = {
    "count": NUMBERS,
    "cost": NUMBERS,
    "usage": VALUES,
    "metadata": VALUES,
    "key of metadata": KEYS,
    "argument": VALUES,
    "reply": VALUES,
    "tool result": VALUES,
    "tool error": VALUES,
    "tool name": ODD_TEXTS,
    "call id": ODD_TEXTS | NUMBERS,
    "thoughts": ODD_TEXTS,
    "agent of a plan": ODD_TEXTS,
}


@pytest.mark.timeout(120 + 10 * EXAMPLES)
@pytest.mark.parametrize("place", PLACES)
def test_a_run_that_ended_is_read_and_run_again_without_a_call(place: str) -> None:
    @given(PLACES[place])
    @settings(max_examples=EXAMPLES, deadline=None)
    def holds(value: Any) -> None:
        filler = Filler(place, value)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.json"
            engine = AsyncRecursiveEngine(filler.reply, tools=[filler.look], max_depth=2, retry=None)
            output = asyncio.run(engine.solve("root", checkpoint=path))
            before = filler.calls, filler.uses
            assert load_run(path).status == "done"
            require_valid(parse_json(path.read_bytes()))
            again = asyncio.run(engine.solve("root", checkpoint=path))
        assert (again.content, filler.calls, filler.uses) == (output.content, *before)

    holds()


def _variables(value: Any) -> dict[str, Any]:
    return {"variables": {value: "text"}}


OPTIONS: dict[str, tuple[Any, Callable[[Any], dict[str, Any]]]] = {
    "task": (ODD_TEXTS, lambda value: {"task": value}),
    "breadcrumbs": (VALUES, lambda value: {"context": RLMContext(breadcrumbs=(value,))}),
    "name of a variable": (ODD_TEXTS, _variables),
    "variable": (ODD_TEXTS | NUMBERS, lambda value: {"variables": {"v": value}}),
    "title": (ODD_TEXTS, lambda value: {"title": value}),
    "name of an agent": (ODD_TEXTS, lambda value: {"agents": {value: answered, "planner": answered}}),
    "temperature": (NUMBERS, lambda value: {"temperature": value}),
    "budget in dollars": (NUMBERS, lambda value: {"budget": Budget(usd=value, unknown_price="ignore")}),
    "budget of tokens": (NUMBERS, lambda value: {"budget": Budget(tokens=value)}),
    "budget of seconds": (NUMBERS, lambda value: {"budget": Budget(seconds=value)}),
    "budget of calls": (NUMBERS, lambda value: {"budget": Budget(calls=value)}),
    "timeout": (NUMBERS, lambda value: {"call_timeout": value}),
    "prices": (NUMBERS, lambda value: {"prices": {"m": (value, value)}}),
    "depth": (NUMBERS, lambda value: {"max_depth": value}),
    "steps": (NUMBERS, lambda value: {"max_steps": value}),
    "name of the model": (ODD_TEXTS, lambda value: {"default_model": value}),
    "description of a tool": (ODD_TEXTS, lambda value: {"tools": [described_tool(value)]}),
}


def answered(inputs: list[dict[str, Any]], context: dict[str, Any]) -> Any:
    return json.dumps({"decision": "EXECUTE"}) if context["mode"] == "planner" else "an answer"


def described_tool(description: Any) -> Any:
    def look(x: int) -> int:
        return x

    return tool(look, description=description, version="1")


@pytest.mark.timeout(120 + 10 * EXAMPLES)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_refused_before_a_call_or_what_ended_can_be_read(option: str) -> None:
    values, given_as = OPTIONS[option]

    @given(values)
    @settings(max_examples=EXAMPLES, deadline=None)
    def holds(value: Any) -> None:
        calls = []

        def model(inputs: Any, context: Any) -> Any:
            calls.append(context["mode"])
            return answered(inputs, context)

        async def solve(path: Path) -> str:
            options = given_as(value)
            now = {name: options.pop(name) for name in ("context", "variables", "title") if name in options}
            task = options.pop("task", "root")
            run = AsyncRecursiveEngine(model, retry=None, **options).start(task, checkpoint=path, **now)
            return (await run).content

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.json"
            try:
                answer = asyncio.run(solve(path))
            except ConfigurationError:
                assert not calls, "refused, but only after it was paid for"
                assert not path.exists()
                return
            except RLMError:
                assert not calls or load_run(path)
                return
            made = len(calls)
            require_valid(parse_json(path.read_bytes()))
            assert load_run(path).status == "done"
            assert asyncio.run(solve(path)) == answer
            assert len(calls) == made

    holds()


# -- what is large -------------------------------------------------------------------------------------------------


async def test_an_answer_of_nothing_but_brackets_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_files, "_SUSPICIOUS", 10_000)
    text = '[{"\\"' * 10_000

    def model(inputs: Any, context: Any) -> Any:
        lists = {"content": text, "metadata": {"lists": [[] for _ in range(5_000)], "objects": [{}] * 5_000}}
        return json.dumps({"decision": "EXECUTE"}) if context["mode"] == "planner" else lists

    await AsyncRecursiveEngine(model).solve("root", checkpoint=tmp_path / "run.json")
    assert load_run(tmp_path / "run.json").output["content"] == text  # type: ignore[index]


@pytest.mark.parametrize("room", [3_000, 30_000])
async def test_more_than_can_be_read_again_is_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """It fails loudly, what was kept before is there, and goes on when there is room."""
    path, calls = tmp_path / "run.json", []

    def model(inputs: Any, context: Any) -> Any:
        calls.append((context["mode"], context["task"]))
        if context["mode"] == "planner":
            split = {"decision": "RECURSE", "sub_tasks": ["a", {"description": "b", "depends_on": [0]}]}
            return json.dumps(split if context["task"] == "root" else {"decision": "EXECUTE"})
        return "short" if context["task"] == "a" else "x" * 20_000

    engine = AsyncRecursiveEngine(model, max_depth=2, max_concurrency=1)
    with monkeypatch.context() as small:
        small.setattr(safe_files, "LARGEST_JOURNAL", room)
        small.setattr(safe_files, "LARGEST_FILE", room)
        with pytest.raises(CheckpointError, match=r"nothing reads.*the answer so far is in memory only"):
            await engine.solve("root", checkpoint=path)
        assert all(each.stat().st_size <= room for each in tmp_path.iterdir())
        recorded = load_recorded(path)
        assert recorded is not None
        assert {node.task for node in recorded.tree if node.result == "short"} == {"a"}
    await engine.solve("root", checkpoint=path)
    assert calls.count(("worker", "a")) == 1
    assert load_run(path).status == "done"
