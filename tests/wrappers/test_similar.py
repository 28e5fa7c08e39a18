"""Similar tasks: answered from what was answered before, where nothing but the wording differs, and never unseen."""

import asyncio
import logging
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine, ConfigurationError, ModelError, RetryPolicy, ScriptedModel
from rlm_notebook.core.limits import Usage
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Model, NodeFacts, Part, ReferencedText, Reply, Request, ToolCall
from rlm_notebook.wrappers import similar
from rlm_notebook.wrappers.cached import Cached
from rlm_notebook.wrappers.limited import Limited
from rlm_notebook.wrappers.retried import Retried
from rlm_notebook.wrappers.similar import Similar, _Answer, _Answers, _normalized
from tests.fault_server import FaultServer
from tests.support.waiting import HANG
from tests.wrappers.alike import DIFFERENT, NOT_FOUND, REWORDED, long_pairs

FRUIT, SAME, OTHER = "What colour is an apple?", "Which color is an apple, please?", "How deep is the sea?"
MEANINGS = {FRUIT: [1.0, 0.0, 0.1], SAME: [1.0, 0.0, 0.12], OTHER: [0.0, 1.0, 0.0]}


def embed(text: str) -> list[float]:
    return MEANINGS.get(text, [0.0, 0.0, 1.0])


def request(task: str = FRUIT, *, system: str = "Solve it.", before: str = "", **changes: Any) -> Request:
    said = ({"role": "system", "content": system}, {"role": "user", "content": f"{before}# Task\n{task}"})
    return replace(Request("worker", said, NodeFacts(task, goal=task)), **changes)


async def answered(model: Model, asked: Request) -> Reply:
    *pieces, reply = [piece async for piece in model.stream(asked)]
    assert isinstance(reply, Reply)
    assert not pieces or "".join(str(piece) for piece in pieces) == reply.content
    return reply


# -- what is found -------------------------------------------------------------------------------------------------


async def test_a_similar_task_gets_the_answer_of_the_other_and_says_so() -> None:
    model = Similar(inner := ScriptedModel(), embed)
    first, again = await answered(model, request()), await answered(model, request(SAME))

    assert inner.calls == 1
    assert (first.mark, first.metadata, first.content) == ("", {}, f"answer to: {FRUIT}")
    assert (again.mark, again.content, again.usage) == ("cached", first.content, Usage())
    assert again.metadata["similar_to"] == FRUIT
    assert again.metadata["similarity"] == pytest.approx(0.9998, abs=1e-4)
    assert FRUIT in again.metadata["note"]


async def test_another_task_is_asked_and_the_nearest_of_several_answers() -> None:
    model = Similar(inner := ScriptedModel(), embed, threshold=0.1)
    await answered(model, request(OTHER))
    assert (await answered(model, request())).mark == ""
    assert (await answered(model, request(SAME))).metadata["similar_to"] == FRUIT
    assert inner.calls == 2


async def test_the_threshold_decides_and_one_means_the_same_direction() -> None:
    strict = Similar(inner := ScriptedModel(), embed, threshold=1.0)
    for task in (FRUIT, SAME, FRUIT):
        reply = await answered(strict, request(task))

    assert inner.calls == 2
    assert reply.metadata["similarity"] == 1.0


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "planner"},
        {"mode": "synthesizer"},
        {"system": "Solve it in verse."},
        {"before": "# Goal\nAll about fruit\n\n"},
        {"tools": ({"name": "look", "description": "", "parameters": {}},)},
        {"schema": {"type": "object"}},
        {"temperature": 0.0},
        {"max_output_tokens": 10},
        {"facts": NodeFacts(SAME, goal="a goal")},
        {"facts": NodeFacts(SAME, goal=SAME, breadcrumbs=("above",))},
        {"facts": NodeFacts(SAME, goal=SAME, agent="writer")},
        {"facts": NodeFacts(SAME, goal=SAME, parts=(Part("0.1", "t", "c"),))},
        {"facts": NodeFacts(SAME, goal=SAME, dependencies=(Part("0.1", "t", "c"),))},
        {"facts": NodeFacts(SAME, goal=SAME, references=("table: 3 rows",))},
        {"facts": NodeFacts(SAME, goal=SAME, excerpts="a | b")},
        {"facts": NodeFacts(SAME, goal=SAME, texts=(ReferencedText("a", "text", "b"),))},
        {"facts": NodeFacts("a task that the messages do not hold", goal=SAME)},
        {"facts": NodeFacts("", goal=SAME)},
    ],
    ids=lambda change: str(next(iter(change.values())))[:60],
)
async def test_whatever_else_can_enter_the_reply_makes_it_another_request(change: dict[str, Any]) -> None:
    model = Similar(inner := ScriptedModel(), lambda text: [1.0])
    await answered(model, request())
    reply = await answered(model, request(SAME, **change))

    assert (inner.calls, reply.mark) == (2, "")


@pytest.mark.parametrize("mode", ["planner", "synthesizer"])
async def test_plans_and_syntheses_are_never_taken_from_others(mode: Any) -> None:
    model = Similar(inner := ScriptedModel(lambda r: "same"), lambda text: [1.0])
    for task in (FRUIT, SAME):
        await answered(model, request(task, mode=mode))

    assert inner.calls == 2


@pytest.mark.parametrize(
    ("one", "two", "alike"),
    [
        ("the rainfall of 2023", "the rainfall of 2024", False),
        ("2 and 3", "3 and 2", False),
        ("add -5", "add 5", False),
        ("version 1.5", "version 15", False),
        ("the rain in 2023.", "please the rain in 2023", True),
    ],
)
async def test_tasks_of_other_numbers_are_not_alike_whatever_their_vectors(one: str, two: str, alike: bool) -> None:
    model = Similar(ScriptedModel(), lambda text: [1.0])
    await answered(model, request(one))

    assert (await answered(model, request(two))).mark == ("cached" if alike else "")


async def test_a_conversation_is_never_answered_and_never_kept() -> None:
    later = ({"role": "assistant", "content": "hm"}, {"role": "tool", "content": "a tree", "tool_call_id": "1"})
    model = Similar(inner := ScriptedModel(lambda r: "x"), lambda text: [1.0])
    for task in (FRUIT, SAME):
        asked = request(task)
        await answered(model, replace(asked, messages=asked.messages + later))
    assert inner.calls == 2
    assert (await answered(model, request())).mark == ""
    again = request(SAME)
    assert (await answered(model, replace(again, messages=again.messages + later))).mark == ""


async def test_an_answer_that_has_to_be_mended_is_asked_for_even_where_the_task_is_said_again() -> None:
    model = Similar(inner := ScriptedModel(), lambda text: [1.0])
    for task in (FRUIT, SAME):
        asked = request(task)
        again = ({"role": "assistant", "content": "{"}, {"role": "user", "content": f"No JSON. {task}"})
        await answered(model, replace(asked, messages=(*asked.messages[:1], *again)))

    assert inner.calls == 2


async def test_where_the_messages_do_not_hold_the_task_nothing_is_compared() -> None:
    model = Similar(inner := ScriptedModel(lambda r: "x"), lambda text: [1.0])
    for task in ("one", "two"):
        await answered(model, request(facts=NodeFacts(task)))

    assert inner.calls == 2


async def test_a_goal_that_repeats_the_task_is_no_wording_of_the_task() -> None:
    model = Similar(inner := ScriptedModel(), embed)
    for task in (FRUIT, SAME):
        await answered(model, request(task, before=f"# Goal\nBeside others: {task}\n\n"))

    assert inner.calls == 2, "they serve other goals"


words = st.text("abc d", min_size=1, max_size=6).filter(str.strip)


@given(words, st.text("abc d", max_size=8), st.text("abc d", max_size=8))
def test_requests_of_one_frame_differ_in_how_the_task_is_put_and_in_nothing_else(
    task: str, before: str, after: str
) -> None:
    again = f"please {task}, please"
    first, second = (request(each, before=before) for each in (task, again))
    other = request(again, before=after)
    assert similar._frame("m", first, 256) == similar._frame("m", second, 256)
    assert (similar._frame("m", first, 256) == similar._frame("m", other, 256)) == (before == after)
    assert similar._frame("n", first, 256) != similar._frame("m", first, 256)


def the_same(text: str) -> list[float]:
    """The worst embedding: all texts are alike."""
    return [1.0]


async def found(one: str, two: str, **options: Any) -> bool:
    """Whether the answer of one task is given for the other, either way round."""
    marks = []
    for first, second in ((one, two), (two, one)):
        model = Similar(ScriptedModel(), the_same, **options)
        await answered(model, request(first))
        marks.append((await answered(model, request(second))).mark)
    return "cached" in marks


@pytest.mark.parametrize("kind", DIFFERENT)
async def test_no_task_gets_the_answer_of_one_that_asks_for_something_else(kind: str) -> None:
    assert [pair for pair in DIFFERENT[kind] if await found(*pair)] == []


async def test_tasks_longer_than_an_embedding_reads_are_never_similar() -> None:
    assert [pair for pair in long_pairs() if await found(*pair)] == []
    long = f"Sort the words: {'word ' * 130}"
    assert not await found(long, f"Please sort the words: {'word ' * 130}")
    assert await found(long, f"Please sort the words: {'word ' * 130}", max_tokens=1000)


async def test_what_is_only_put_in_other_words_is_found() -> None:
    """The figures are those of the docstring."""
    assert [pair for pair in REWORDED if not await found(*pair)] == []
    assert [pair for pair in NOT_FOUND if await found(*pair)] == []
    different = sum(map(len, DIFFERENT.values())) + len(long_pairs())
    assert (different, len(REWORDED), len(REWORDED + NOT_FOUND)) == (131, 21, 24)
    assert "Of 131 pairs" in (Similar.__doc__ or "")
    assert "of 24 pairs in other words it finds 21" in (Similar.__doc__ or "")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Ist das Haus rot?", "Ist das Haus nicht rot?"),
        ("Traduis la lettre en anglais.", "Traduis la lettre en allemand."),
        ("東京から大阪へ", "大阪から東京へ"),
        ("Run:\nif a:\n  b\nc", "Run:\nif a:\n  b\n\nc"),
        ("a\u0301", "a"),
        ("5 \u00b5g", "5 mg"),
        ("", "the"),
        ("of the", "please"),
    ],
)
async def test_other_languages_layouts_and_odd_texts_are_compared_as_they_stand(one: str, two: str) -> None:
    assert not await found(one, two)


async def test_a_task_with_what_looks_like_a_key_is_neither_compared_nor_kept() -> None:
    seen: list[str] = []

    def noting(text: str) -> list[float]:
        seen.append(text)
        return [1.0]

    model = Similar(inner := ScriptedModel(), noting)
    for _ in range(2):
        await answered(model, request("Log in with sk-1234567890abcdef"))

    assert (inner.calls, seen, len(model._answers._by_age)) == (2, [], 0)


# -- what is kept --------------------------------------------------------------------------------------------------


async def test_only_whole_texts_are_kept_and_calls_of_tools_are_made_for_one_task() -> None:
    call = Reply("", (ToolCall("1", "look", {}),), finish_reason="tool_calls")
    replies = iter([Reply("  "), Reply("cut o", finish_reason="length"), call, Reply("whole")])
    model = ScriptedModel(lambda r: next(replies), faults=[Fault(error=ModelError("busy"))])
    asked = Similar(model, embed)
    with pytest.raises(ModelError):
        await answered(asked, request())

    got = [(await answered(asked, request(task))).content for task in (FRUIT, SAME) * 3]
    assert got == ["  ", "cut o", "", "whole", "whole", "whole"]


async def test_the_answer_of_another_task_is_not_handed_on_from_task_to_task() -> None:
    inner = Similar(ScriptedModel(), lambda text: [1.0])
    outer = Similar(inner, embed)
    await answered(inner, request(SAME))
    assert (await answered(outer, request())).metadata["similar_to"] == SAME

    assert len(outer._answers._by_age) == 0


async def test_nothing_is_shared_that_could_be_changed() -> None:
    model = Similar(ScriptedModel(lambda r: Reply("x", metadata={"list": [1]})), embed)
    for _ in range(3):
        got = await answered(model, request())
        assert got.metadata["list"] == [1]
        got.metadata["list"].append(2)


async def test_answers_stream_as_any_other_and_streams_pass_through() -> None:
    model = Similar(ScriptedModel(stream=True, chunk=5), embed)
    first = [piece async for piece in model.stream(request(streaming=True))]
    again = [piece async for piece in model.stream(request(SAME, streaming=True))]

    assert len(first) > 2
    assert [type(piece) for piece in again] == [str, Reply]


async def test_leaving_a_stream_early_closes_what_is_inside() -> None:
    model = Similar(inner := ScriptedModel(stream=True, chunk=2), embed)
    stream: Any = model.stream(request(streaming=True))
    await anext(stream)
    await stream.aclose()

    assert (inner.calls, inner._active, len(model._answers._by_age)) == (1, 0, 0)


async def test_beyond_the_most_the_one_that_was_longest_not_used_goes() -> None:
    axes = {name: [float(name == other) for other in "abc"] for name in "abc"}
    model = Similar(inner := ScriptedModel(), axes.__getitem__, max_entries=2)
    for task in "abac":
        await answered(model, request(task))

    assert [(await answered(model, request(task))).mark for task in "ac"] == ["cached"] * 2
    assert (await answered(model, request("b"))).mark == ""
    assert inner.calls == 4


@given(st.lists(st.tuples(st.sampled_from("fg"), st.sampled_from("abcd")), max_size=30), st.integers(1, 4))
def test_what_is_kept_stays_within_its_bound_and_is_the_youngest(used: list[tuple[str, str]], most: int) -> None:
    answers = _Answers(most)
    for frame, task in used:
        answers.keep(frame, _Answer(task, _normalized([1.0]), Reply(task)))
    youngest = set(list(dict.fromkeys(reversed(used)))[:most])

    assert {(frame, task) for frame, kept in answers._by_frame.items() for task in kept} == youngest
    assert set(answers._by_age) == youngest


def test_one_memory_serves_several_threads_and_event_loops() -> None:
    model = Similar(inner := ScriptedModel(), lambda text: [1.0, 2.0], max_entries=3)
    tasks = [f"{word} of {number}" for word in ("a", "b") for number in range(6)]
    marks: list[str] = []

    def ask() -> None:
        async def all_tasks() -> None:
            for task in tasks:
                marks.append((await answered(model, request(task))).mark)

        asyncio.run(all_tasks())

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)

    assert len(marks) == 72
    assert marks.count("") == inner.calls
    assert len(model._answers._by_age) == 3


# -- embeddings ----------------------------------------------------------------------------------------------------

vectors = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8).filter(lambda v: math.hypot(*v) > 1e-6)


@given(vectors, st.floats(1e-3, 1e3))
def test_vectors_are_compared_by_direction(vector: list[float], factor: float) -> None:
    answers = _Answers(9)
    answers.keep("f", _Answer("t", _normalized(vector), Reply("x")))
    same, _ = answers.nearest("f", _normalized([number * factor for number in vector]))
    opposite, _ = answers.nearest("f", _normalized([-number for number in vector]))

    assert (same, opposite) == (1.0, -1.0)


async def test_blocking_functions_run_in_threads_and_async_ones_in_the_loop() -> None:
    seen: list[bool] = []

    def blocking(text: str) -> list[float]:
        seen.append(threading.current_thread() is threading.main_thread())
        return [1.0]

    async def waiting(text: str) -> list[float]:
        await asyncio.sleep(0)
        return blocking(text)

    class Embedder:
        async def __call__(self, text: str) -> list[float]:
            return blocking(text)

    for function in (blocking, waiting, Embedder(), lambda text: waiting(text)):
        model = Similar(inner := ScriptedModel(), function)
        for task in (FRUIT, SAME):
            await answered(model, request(task))
        assert inner.calls == 1

    assert seen == [False] * 2 + [True] * 6


@pytest.mark.parametrize(
    "bad",
    [[], [math.nan, 1.0], [math.inf, 1.0], [0.0, 0.0], [1.0, 2.0, 3.0], "text", None, [[1.0], [2.0]], OSError("down")],
    ids=str,
)
async def test_where_embeddings_fail_the_model_is_asked_with_one_warning(bad: Any, caplog: Any) -> None:
    def failing(text: str) -> Any:
        if text == FRUIT:
            return [1.0, 0.0]
        if isinstance(bad, Exception):
            raise bad
        return bad

    model = Similar(inner := ScriptedModel(), failing)
    with caplog.at_level(logging.WARNING):
        for task in (FRUIT, SAME, SAME, OTHER):
            assert (await answered(model, request(task))).content == f"answer to: {task}"

    assert inner.calls == 4
    assert len(caplog.records) == 1
    assert "embed failed" in caplog.text
    assert (await answered(model, request())).mark == "cached", "what it can embed is found as before"


async def test_a_key_in_the_error_of_an_embedding_is_in_no_log(caplog: Any) -> None:
    def refused(text: str) -> Any:
        raise OSError("wrong key sk-1234567890abcdef")

    await answered(Similar(ScriptedModel(), refused), request())

    assert "wrong key ***" in caplog.text
    assert "sk-1234567890" not in caplog.text


async def test_an_embedding_that_hangs_is_given_up_and_left_alone_for_a_while(monkeypatch: Any, caplog: Any) -> None:
    asked: list[str] = []

    release = threading.Event()

    def hanging(text: str) -> Any:
        asked.append(text)
        release.wait(HANG)

    monkeypatch.setattr(similar, "PATIENCE", 0.05)
    model = Similar(inner := ScriptedModel(), hanging)
    for task in (FRUIT, SAME, OTHER):
        await answered(model, request(task))

    assert (inner.calls, asked) == (3, [FRUIT])
    release.set()
    assert "took too long" in caplog.text


async def test_nobody_waits_longer_for_an_embedding_than_for_the_call() -> None:
    ended: list[str] = []

    async def hanging(text: str) -> Any:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    await answered(Similar(ScriptedModel(), hanging), request(deadline=0.05))

    assert ended == ["cancelled"]


@pytest.mark.parametrize(
    "options",
    [{"threshold": value} for value in (0, -1, 1.01, math.nan, "1", None, True)]
    + [{name: value} for name in ("max_entries", "max_tokens") for value in (0, 1.5, True, "x")]
    + [{"embed": [1.0]}],
    ids=str,
)
def test_arguments_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Similar(ScriptedModel(), **{"embed": embed, **options})


def test_it_is_the_model_to_everyone_else_and_shows_no_embedder() -> None:
    model = ScriptedModel(stream=True, name="m")
    wrapped = Similar(model, embed)

    assert isinstance(wrapped, Model)
    assert (wrapped.name, wrapped.capabilities) == ("m", model.capabilities)
    assert "embed" not in repr(wrapped)


# -- in an engine --------------------------------------------------------------------------------------------------

QUICK = RetryPolicy(attempts=3, initial=0)


async def test_an_engine_says_on_the_node_whose_answer_it_is_and_counts_no_call() -> None:
    engine = AsyncRecursiveEngine(Similar(model := ScriptedModel(), embed), max_depth=1)
    first, again = await engine.solve(FRUIT), await engine.solve(SAME)

    assert (model.calls, again.content, again.usage) == (1, first.content, Usage())
    assert (again.metadata["similar_to"], again.metadata["calls"]) == (FRUIT, 0)
    assert again.run.tree["0"].mark == "cached"
    assert "similar_to" not in first.metadata


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda m: Similar(Cached(Retried(Limited(m, 6000), QUICK)), embed),
        lambda m: Cached(Similar(Retried(Limited(m, 6000), QUICK), embed)),
        lambda m: Cached(Retried(Similar(Limited(m, 6000), embed), QUICK)),
        lambda m: Limited(Retried(Cached(Similar(m, embed)), QUICK), 6000),
        lambda m: Retried(Limited(Similar(Cached(m), embed), 6000), QUICK),
        lambda m: Similar(Limited(Retried(Cached(m), QUICK), 6000), embed),
    ],
    ids=["SCRL", "CSRL", "CRSL", "LRCS", "RLSC", "SLRC"],
)
async def test_wrappers_compose_in_any_order(wrapped: Any) -> None:
    inside = ScriptedModel(faults=[Fault(error=ModelError("busy", status=503, retryable=True))])
    model = wrapped(inside)
    engine = AsyncRecursiveEngine(model, max_depth=1, retry=None)
    outputs = [await engine.solve(task) for task in (FRUIT, SAME, FRUIT, OTHER)]

    expected = [f"answer to: {task}" for task in (FRUIT, FRUIT, FRUIT, OTHER)]
    assert [output.content for output in outputs] == expected
    assert [output.metadata["calls"] for output in outputs] == [1, 0, 0, 1]
    assert inside.calls == 3, "two answers, and the call that failed"
    assert outputs[1].metadata["similar_to"] == FRUIT
    limited = replace(inside.capabilities, waits_for_rate_limit=True)
    assert (model.name, model.capabilities) == (inside.name, limited)


async def test_a_replay_asks_neither_the_model_nor_for_embeddings(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    engine = AsyncRecursiveEngine(Similar(ScriptedModel(), embed), max_depth=1)
    await engine.solve(FRUIT)
    await engine.solve(SAME, checkpoint=path)

    def never(text: str) -> Any:
        raise AssertionError("asked")

    dead = ScriptedModel(faults=[Fault(error=ModelError("asked"), times=None)])
    for model in (Similar(dead, never), dead):
        for mode in ("replay", "resume"):
            output = await AsyncRecursiveEngine(model, max_depth=1).solve(SAME, checkpoint=path, mode=mode)
            assert output.content == f"answer to: {FRUIT}"
            assert output.metadata["similar_to"] == FRUIT, "still said"


async def test_workers_under_a_planner_share_answers_and_the_planner_is_asked_each_time() -> None:
    planner = ScriptedModel({"trip": [FRUIT, SAME, OTHER]})
    writer = Similar(model := ScriptedModel(), embed)
    engine = AsyncRecursiveEngine(writer, {"planner": planner}, max_depth=2, max_concurrency=1)
    output = await engine.solve("trip")

    assert model.calls == 2
    assert [node.mark for node in output.run.tree] == ["", "", "cached", ""]
    assert "similar task" in output.run.tree["0.1"].metadata["note"]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


async def test_a_real_server_is_asked_once_for_two_tasks(server: FaultServer) -> None:
    model = Similar(OpenAIModel("m", base_url=server.url), embed)
    replies = [await answered(model, request(task, streaming=True)) for task in (FRUIT, SAME)]

    assert len(server.requests) == 1
    assert {reply.content for reply in replies} == {f"answer to: {FRUIT}"}


async def test_with_a_planner_of_its_own_leaves_are_asked_of_workers_and_found() -> None:
    inner = ScriptedModel({"trip": [FRUIT, SAME]})
    engine = AsyncRecursiveEngine(Similar(inner, embed), {"planner": inner}, max_concurrency=1)
    output = await engine.solve("trip")

    assert [node.mark for node in output.run.tree] == ["", "", "cached"]
    assert "a similar task" in str(output.run)
