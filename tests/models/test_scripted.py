"""The public fake: what a script says is what a run gets."""

import asyncio
import doctest
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine, Budget, BudgetExceededError, RetryPolicy
from rlm_notebook.core.plan import Execute, Recurse, parse_plan
from rlm_notebook.exceptions import ConfigurationError, ModelError
from rlm_notebook.models import scripted
from rlm_notebook.models.scripted import Fault, ScriptedModel
from rlm_notebook.ports import FREE, Capabilities, Model, NodeFacts, Part, Reply, Request, ToolCall
from tests.support.virtual_time import in_virtual_time

TRIP = {
    "Trip": {
        "Fly": "at 9",
        "Sleep": {"Hotel": "downtown", "Hostel": None, "=": "two places"},
        "Eat": ["lunch", "dinner"],
    }
}


def asking(task, mode="worker", *, above=(), parts=(), streaming=False, **options):
    joined = tuple(Part(f"0.{at}", text, text.upper()) for at, text in enumerate(parts))
    facts = NodeFacts(task, depth=len(above), breadcrumbs=tuple(above), parts=joined)
    return Request(mode, ({"role": "user", "content": task},), facts, streaming=streaming, **options)


async def ask(model, *arguments, **options):
    *pieces, reply = [piece async for piece in model.stream(asking(*arguments, **options))]
    return pieces, reply


async def text(model, *arguments, **options):
    return (await ask(model, *arguments, **options))[1].content


async def plan(model, task, **options):
    return parse_plan(await text(model, task, "planner", **options))


def tasks(found):
    assert isinstance(found, Recurse)
    return [task.task for task in found.sub_tasks]


class TestNested:
    async def test_a_task_with_parts_is_split_and_any_other_answered_at_once(self):
        model = ScriptedModel(TRIP)
        assert tasks(await plan(model, "Trip")) == ["Fly", "Sleep", "Eat"]
        assert tasks(await plan(model, "Eat")) == ["lunch", "dinner"]
        leaf = await plan(model, "Fly")
        assert isinstance(leaf, Execute)
        assert leaf.answer == "at 9"
        assert await text(model, "Hotel") == "downtown"

    async def test_what_the_script_leaves_open_has_an_answer_of_its_own(self):
        model = ScriptedModel(TRIP)
        assert await text(model, "Hostel") == "answer to: Hostel"
        assert await text(model, "lunch") == "answer to: lunch"
        assert (await plan(model, "never heard of")).answer == "answer to: never heard of"
        assert await text(ScriptedModel(), "anything") == "answer to: anything"

    async def test_synthesis_joins_the_parts_unless_the_script_says_otherwise(self):
        model = ScriptedModel(TRIP)
        assert await text(model, "Trip", "synthesizer", parts=["a", "b"]) == "Trip: A; B"
        assert await text(model, "Sleep", "synthesizer", parts=["a", "b"]) == "two places"

    async def test_a_list_is_the_parts_of_the_root_whatever_it_is_called(self):
        model = ScriptedModel(["a", {"b": {"c": "C"}}])
        assert tasks(await plan(model, "any task")) == ["a", "b"]
        assert (await plan(model, "a", above=["any task"])).answer == "answer to: a"
        assert tasks(await plan(model, "b", above=["any task"])) == ["c"]
        assert await text(model, "c", above=["any task", "b"]) == "C"

    async def test_the_same_words_in_two_places_are_two_tasks(self):
        model = ScriptedModel({"root": {"A": {"x": "1"}, "B": {"x": "2"}}})
        assert await text(model, "x", above=["root", "A"]) == "1"
        assert await text(model, "x", above=["root", "B"]) == "2"

    @pytest.mark.parametrize("script", [{"a": 42}, {1: "x"}, {"a": {"b": 4.5}}, [["a"]]])
    def test_a_script_that_cannot_be_one_is_refused_when_it_is_made(self, script):
        with pytest.raises(ConfigurationError, match="ScriptedModel"):
            ScriptedModel(script)


class TestPatterns:
    async def test_keys_may_be_patterns_for_whole_tasks_and_exact_words_go_first(self):
        model = ScriptedModel(
            {".*weather.*": "sunny", "the weather in Oslo": "rain", re.compile(r"\d+ \+ \d+"): "a sum"}
        )
        assert await text(model, "the weather in Rome") == "sunny"
        assert await text(model, "the weather in Oslo") == "rain"
        assert await text(model, "2 + 2") == "a sum"
        assert await text(model, "what is 2 + 2") == "answer to: what is 2 + 2"

    async def test_words_that_look_like_a_pattern_are_still_found(self):
        model = ScriptedModel({"What is 2+2? (briefly": "4"})
        assert await text(model, "What is 2+2? (briefly") == "4"


class TestFunctions:
    async def test_a_text_is_the_answer_also_of_a_planner(self):
        model = ScriptedModel(lambda request: f"{request.mode}!")
        assert (await plan(model, "t")).answer == "planner!"
        assert await text(model, "t") == "worker!"

    async def test_a_dict_is_a_plan_for_a_planner(self):
        model = ScriptedModel(lambda request: {"decision": "RECURSE", "sub_tasks": ["a"]})
        assert tasks(await plan(model, "t")) == ["a"]

    async def test_a_reply_is_given_as_it_is_and_calls_tools(self):
        model = ScriptedModel(lambda request: Reply("not a plan"))
        assert await text(model, "t", "planner") == "not a plan"
        model = ScriptedModel({"t": lambda request: {"tool_calls": [{"name": "add", "arguments": {"a": 1}}]}})
        assert (await ask(model, "t"))[1].tool_calls == (ToolCall("call_0", "add", {"a": 1}),)

    async def test_none_is_the_default_and_coroutines_are_awaited(self):
        async def script(request):
            return None

        assert await text(ScriptedModel(script), "t") == "answer to: t"
        assert await text(ScriptedModel(script), "t", "synthesizer", parts=["a"]) == "t: A"


class TestFaults:
    async def test_a_fault_hits_as_often_as_it_says(self):
        error = ModelError("busy", retryable=True)
        model = ScriptedModel(faults=[Fault("b", error, times=2)])
        assert await text(model, "a") == "answer to: a"
        for _ in range(2):
            with pytest.raises(ModelError, match="busy"):
                await text(model, "b")
        assert await text(model, "b") == "answer to: b"
        assert model.calls == 4

    async def test_a_fault_may_be_for_ever_a_reply_or_for_one_mode(self):
        model = ScriptedModel(faults=[Fault("a", reply="nonsense", times=None, mode="planner")])
        assert [await text(model, "a", "planner") for _ in range(3)] == ["nonsense"] * 3
        assert await text(model, "a") == "answer to: a"

    async def test_a_stream_may_break_after_some_text(self):
        model = ScriptedModel({"a": "x" * 10}, stream=True, chunk=2, faults=[Fault("a", ModelError("cut"), after=3)])
        got = []

        async def listen():
            async for piece in model.stream(asking("a", streaming=True)):
                got.append(piece)

        with pytest.raises(ModelError, match="cut"):
            await listen()
        assert got == ["xx"] * 3

    async def test_a_timeout_in_the_script_is_not_taken_for_the_deadline(self):
        model = ScriptedModel(faults=[Fault("a", TimeoutError("mine"))])
        with pytest.raises(TimeoutError, match="mine"):
            await ask(model, "a", deadline=5)

    def test_a_fault_is_an_error_or_a_reply(self):
        with pytest.raises(ConfigurationError):
            Fault("a")


class TestTiming:
    async def test_the_same_request_takes_as_long_in_every_model(self):
        first, second = (ScriptedModel(latency=(0.0, 1.0)) for _ in range(2))
        drawn = [first._latency_of(asking(str(at))) for at in range(50)]
        assert drawn == [second._latency_of(asking(str(at))) for at in range(50)]
        assert len(set(drawn)) == 50
        assert all(0 <= seconds <= 1 for seconds in drawn)

    @in_virtual_time
    async def test_latency_is_real_and_calls_overlap(self):
        model = ScriptedModel(latency=0.05)
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(ask(model, str(at)) for at in range(20)))
        assert asyncio.get_running_loop().time() - started == pytest.approx(0.05)
        assert (model.calls, model.peak) == (20, 20)

    async def test_the_deadline_holds(self):
        with pytest.raises(ModelError, match=r"0\.05 s"):
            await ask(ScriptedModel(latency=5), "a", deadline=0.05)


class TestStream:
    @given(answer=st.text(min_size=1).filter(str.strip), chunk=st.integers(1, 20))
    def test_the_pieces_are_the_reply(self, answer, chunk):
        pieces, reply = asyncio.run(ask(ScriptedModel({"t": answer}, stream=True, chunk=chunk), "t", streaming=True))
        assert "".join(pieces) == reply.content == answer
        assert all(len(piece) <= chunk for piece in pieces)

    async def test_it_streams_only_if_it_can_and_is_asked_to(self):
        assert (await ask(ScriptedModel(stream=True), "t"))[0] == []
        assert (await ask(ScriptedModel(), "t", streaming=True))[0] == []


class TestValue:
    async def test_it_is_a_free_model_that_counts_words(self):
        model = ScriptedModel({"two words": "three words here"}, name="fake")
        assert isinstance(model, Model)
        _, reply = await ask(model, "two words")
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.cost_usd) == (2, 3, 0.0)
        assert reply.model == "fake"

    def test_what_it_can_do_is_yours_to_say(self):
        assert ScriptedModel(stream=True).capabilities.stream
        given = ScriptedModel(capabilities=Capabilities(tools=True)).capabilities
        assert given == Capabilities(tools=True, price=FREE, keeps_deadline=True)

    async def test_it_keeps_what_it_was_asked(self):
        model = ScriptedModel()
        await ask(model, "a")
        assert [request.facts.task for request in model.requests] == ["a"]

    def test_the_example_in_its_documentation_is_true(self):
        found = doctest.testmod(scripted)
        assert found.failed == 0
        assert found.attempted > 0


@given(
    st.recursive(
        st.text(min_size=1, max_size=5), lambda inner: st.dictionaries(st.text("abc", min_size=1), inner, min_size=1)
    )
)
def test_any_tree_of_tasks_can_be_scripted(answer):
    """Following the plans from the root reaches every leaf with its answer."""

    def follow(task, script, above):
        found = asyncio.run(text(model, task, "planner", above=above))
        if isinstance(script, str):
            assert json.loads(found)["answer"] == script
            return
        assert json.loads(found)["sub_tasks"] == list(script)
        for sub_task, below in script.items():
            follow(sub_task, below, [*above, task])

    if not isinstance(answer, str) or answer.strip():
        model = ScriptedModel({"root": answer})
        follow("root", answer, [])


class TestPrice:
    async def test_without_a_price_calls_cost_nothing(self):
        output = await AsyncRecursiveEngine(ScriptedModel("four words of answer")).solve("Task")
        assert output.metadata["cost_usd"] == 0

    async def test_with_a_price_a_budget_in_dollars_holds(self):
        model = ScriptedModel({"Task": [f"part {n}" for n in range(6)]}, price=(10.0, 1000.0))
        one = (await AsyncRecursiveEngine(ScriptedModel("x", price=(10.0, 1000.0))).solve("Task")).metadata["cost_usd"]
        assert one > 0
        engine = AsyncRecursiveEngine(model, budget=Budget(usd=1.02), max_concurrency=1)
        with pytest.raises(BudgetExceededError) as caught:
            await engine.solve("Task")
        assert 0 < caught.value.run.usage.cost_usd <= 1.02
        assert model.calls < 8

    def test_what_is_no_price_is_refused(self):
        with pytest.raises(ConfigurationError, match="two numbers"):
            ScriptedModel(price=3)


class TestStrict:
    async def test_what_the_script_does_not_know_is_an_error_that_says_what_it_knows(self):
        model = ScriptedModel({"Trip": {"Flights": "at 9"}}, strict=True)
        with pytest.raises(ModelError) as caught:
            await AsyncRecursiveEngine(model).solve("Trap")
        assert "the script says nothing of 'Trap' (planner); it knows 'Trip', 'Flights'" in str(caught.value)
        assert model.calls == 1

    async def test_what_it_knows_it_says_as_ever(self):
        for script in (TRIP, lambda request: "x"):
            strict = await AsyncRecursiveEngine(ScriptedModel(script, strict=True), on_failure="synthesize").solve(
                "Trip"
            )
            assert str(strict)

    async def test_a_function_that_has_no_answer_is_told(self):
        with pytest.raises(ModelError, match="what its function answers"):
            await AsyncRecursiveEngine(ScriptedModel(lambda request: None, strict=True)).solve("Trip")


async def test_what_was_asked_can_be_read_by_mode():
    model = ScriptedModel({"Trip": {"Fly": "at 9", "Sleep": "downtown"}})
    await AsyncRecursiveEngine(model).solve("Trip")
    assert model.asked("planner") == ["Trip", "Fly", "Sleep"]
    assert model.asked("synthesizer") == ["Trip"]
    assert model.asked() == ["Trip", "Fly", "Sleep", "Trip"]


async def test_faults_by_pattern_happen_once():
    model = ScriptedModel({"Trip": {"Fly": "at 9", "Sleep": "x"}}, faults={"Fly": ModelError("busy", retryable=True)})
    output = await AsyncRecursiveEngine(model, retry=RetryPolicy(attempts=2, initial=0.001)).solve("Trip")
    assert output.content == "Trip: at 9; x"
    assert model.asked("planner").count("Fly") == 2


def test_a_fault_that_is_no_exception_is_refused_where_it_is_given():
    with pytest.raises(ConfigurationError, match="expected an exception"):
        ScriptedModel(faults={"Hotel": 1})
