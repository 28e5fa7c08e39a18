"""Models that misbehave in every way a real one was seen to: a clear error or a usable answer, never a hang."""

import asyncio
import gc
import json
import random
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    ConfigurationError,
    ExecutionError,
    ModelError,
    PlanError,
    RetryPolicy,
    RLMError,
    ScriptedModel,
)
from rlm_notebook.core.limits import Usage
from rlm_notebook.ports import Capabilities, Reply, Request, ToolCall
from tests.support.tasks import others


@pytest.fixture(scope="module", autouse=True)
def _what_other_tests_left_is_not_collected_again_and_again() -> Iterator[None]:
    """After thousands of tests each collection takes a second, and here are hundreds."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def streaming(plan_text: str, *, chunk: int = 7, then: str | None = None) -> ScriptedModel:
    """Streams the root's plan in pieces; `then` is what the next attempt gets."""
    texts = iter([plan_text, then or plan_text, then or plan_text])
    return ScriptedModel(
        lambda r: Reply(next(texts)) if r.mode == "planner" and not r.facts.breadcrumbs else None,
        stream=True,
        chunk=chunk,
    )


PLAN = {"thoughts": "t", "decision": "RECURSE", "answer": None, "sub_tasks": ["a", "b", "c"]}


@pytest.mark.parametrize("chunk", [1, 3, 50, 10_000])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps(PLAN),
        f"Here you are:\n```json\n{json.dumps(PLAN, indent=2)}\n```\nI hope this helps.",
        json.dumps(PLAN)[:-2] + ",]}",
        json.dumps({**PLAN, "sub_tasks": [{"description": task, "extra": [1]} for task in "abc"]}),
        '{"sub_tasks": ["a", "b", "c"], "decision": "recurse"}',
    ],
    ids=["plain", "fenced", "trailing comma", "objects", "decision last"],
)
async def test_a_plan_that_streams_in_pieces_is_the_same_plan(text: str, chunk: int) -> None:
    output = await AsyncRecursiveEngine(streaming(text, chunk=chunk)).solve("t")

    assert [node.task for node in output.run.tree.children("0")] == ["a", "b", "c"]
    assert output.content.endswith("answer to: a; answer to: b; answer to: c")
    assert len(output.run.tree) == 4


async def test_sub_tasks_that_were_begun_on_a_plan_that_broke_are_put_aside_and_their_work_is_reused() -> None:
    broken = json.dumps(PLAN)[:-10] + "!!!"
    model = streaming(broken, chunk=5, then=json.dumps({**PLAN, "sub_tasks": ["a", "new"]}))
    output = await AsyncRecursiveEngine(model, max_steps=4).solve("t")
    tree = output.run.tree
    live = [node.task for node in tree.children("0") if str(node.state) == "done"]

    assert live == ["a", "new"]
    assert {str(node.state) for node in tree.children("0")} == {"done", "superseded"}
    assert output.content.endswith("answer to: a; answer to: new")
    assert others() == set()


class Dictated(ScriptedModel):
    """Streams these texts, one attempt after the other, as plans of the root: slow enough for early work to finish."""

    def __init__(self, *texts: str, script: Any = None) -> None:
        super().__init__(script, capabilities=Capabilities(stream=True))
        self._texts = iter(texts)

    async def stream(self, request: Request) -> Any:
        if request.mode != "planner" or request.facts.breadcrumbs:
            async for piece in ScriptedModel.stream(self, request):
                yield piece
            return
        self.requests.append(request)
        text = next(self._texts)
        for at in range(0, len(text), 20):
            yield text[at : at + 20]
            await asyncio.sleep(0.004)
        yield Reply(text)


def plan_of(*parts: str, end: str = "]}") -> str:
    return '{"decision": "RECURSE", "sub_tasks": [' + ", ".join(f'"{part}"' for part in parts) + end


async def test_what_was_finished_for_a_plan_that_broke_is_not_asked_again() -> None:
    model = Dictated(plan_of("early work", "x" * 200, end="} broken"), plan_of("another part", "early work"))
    output = await AsyncRecursiveEngine(model).solve("t")

    assert [request.facts.task for request in model.requests].count("early work") == 1
    assert output.content == "t: answer to: another part; answer to: early work"
    assert [
        (node.task, str(node.state), node.mark) for node in output.run.tree.children("0") if node.task[0] != "x"
    ] == [
        ("early work", "superseded", ""),
        ("another part", "done", ""),
        ("early work", "done", "replayed"),
    ]


async def test_steps_of_a_plan_that_broke_are_given_back_with_all_below_it() -> None:
    model = Dictated(
        plan_of("early", "y" * 200, end="} broken"),
        plan_of("second", "third"),
        script=lambda r: (
            {"decision": "RECURSE", "sub_tasks": ["deep 1", "deep 2"]}
            if r.mode == "planner" and r.facts.task in ("early", "second")
            else None
        ),
    )
    output = await AsyncRecursiveEngine(model, max_steps=5).solve("t")

    assert not output.metadata["limited"], "root, two parts, two below the first: just enough"
    assert sum(str(node.state) == "done" for node in output.run.tree) == 5


async def test_a_plan_that_takes_back_its_first_words_is_followed_as_it_came_out() -> None:
    """The stream says RECURSE, the whole reply says something else."""

    class TwoFaced(ScriptedModel):
        async def stream(self, request: Request) -> Any:
            if request.mode == "planner" and not request.facts.breadcrumbs:
                yield '{"decision": "RECURSE", "sub_tasks": ["early", '
                await asyncio.sleep(0.01)
                yield Reply('{"decision": "EXECUTE", "answer": "done at once"}')
                return
            async for piece in ScriptedModel.stream(self, request):
                yield piece

    output = await AsyncRecursiveEngine(TwoFaced(capabilities=Capabilities(stream=True))).solve("t")

    assert output.content == "done at once"
    assert [str(node.state) for node in output.run.tree.children("0")] in ([], ["superseded"])
    assert others() == set()


async def test_a_planner_that_always_splits_ends_at_the_limits() -> None:
    rng = random.Random(0)

    def answer(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "RECURSE", "sub_tasks": [f"{rng.random()}" for _ in range(3)]}
        return "x"

    output = await AsyncRecursiveEngine(ScriptedModel(answer), max_depth=30, max_steps=100).solve("t")

    assert len(output.run.tree) <= 100
    assert output.metadata["limited"]


async def test_a_planner_that_repeats_the_task_does_not_run_away() -> None:
    def answer(request: Request) -> Any:
        return {"decision": "RECURSE", "sub_tasks": [request.facts.task]} if request.mode == "planner" else "x"

    model = ScriptedModel(answer)
    output = await AsyncRecursiveEngine(model, max_depth=50, max_steps=500).solve("Do it all.")

    assert len(output.run.tree) == 2
    assert model.calls == 3


async def test_a_plan_of_thousands_of_parts_is_refused_by_the_limit_and_not_by_the_memory() -> None:
    model = ScriptedModel(
        lambda r: (
            {"decision": "RECURSE", "sub_tasks": [f"part {n}" for n in range(20_000)]}
            if r.mode == "planner"
            else "all at once"
        )
    )
    output = await AsyncRecursiveEngine(model).solve("t")

    assert (output.content, len(output.run.tree)) == ("all at once", 1)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "   ",
        "I cannot do that.",
        "null",
        "[]",
        '{"decision": "RECURSE", "sub_tasks": [{"task": ""}]}',
        '{"decision": "RECURSE", "sub_tasks": [{"task": "a", "depends_on": [0]}]}',
        '{"decision": "RECURSE", "sub_tasks": "all"}',
        "{" * 10_000,
        "\0\ud800",
    ],
)
async def test_a_planner_that_never_gives_a_plan_is_a_clear_error_naming_node_and_attempts(reply: str) -> None:
    model = ScriptedModel(lambda request: Reply(reply))
    with pytest.raises(ExecutionError, match="node 0: scripted gave no usable plan in 3 attempts") as error:
        await AsyncRecursiveEngine(model).solve("t")

    assert isinstance(error.value, PlanError)
    assert len(str(error.value)) < 1000
    assert model.calls == 3


NOT_REPLIES: list[Any] = [None, 3, b"bytes", [], {}, {"content": None}, {"content": 3}, {"text": "x"}, object()]


@pytest.mark.parametrize("returned", NOT_REPLIES)
async def test_a_callable_that_returns_what_is_no_reply_is_a_clear_error(returned: Any) -> None:
    def caller(inputs: Any, context: Any) -> Any:
        return returned

    with pytest.raises(ModelError, match=r"caller.* returned") as error:
        await AsyncRecursiveEngine(caller).solve("t")
    assert error.value.node == "0"


@pytest.mark.parametrize(
    "error",
    [ValueError("bad"), KeyError("key"), OSError(5, "io"), RecursionError("deep"), StopIteration(), MemoryError()],
)
@pytest.mark.parametrize("blocking", [True, False])
async def test_whatever_a_callable_raises_becomes_an_error_that_names_it(error: Exception, blocking: bool) -> None:
    def blocks(inputs: Any, context: Any) -> Any:
        raise error

    async def awaits(inputs: Any, context: Any) -> Any:
        raise error

    with pytest.raises(ModelError, match=r"blocks|awaits"):
        await AsyncRecursiveEngine(blocks if blocking else awaits).solve("t")
    assert others() == set()


async def test_a_model_that_hangs_is_stopped_by_the_timeout_of_a_call() -> None:
    hanging = ScriptedModel(lambda request: asyncio.sleep(60))
    with pytest.raises(ModelError, match=r"0\.02"):
        await AsyncRecursiveEngine(hanging, call_timeout=0.02, retry=RetryPolicy(attempts=1)).solve("t")
    assert others() == set()


async def test_a_stream_that_breaks_off_shows_its_text_again_from_the_beginning() -> None:
    from rlm_notebook.core.events import Retried, Token
    from rlm_notebook.models.scripted import Fault

    told: list[str] = []

    def note(event: Any) -> None:
        if isinstance(event, Retried):
            told.clear()
        elif isinstance(event, Token):
            told.append(event.text)

    fault = Fault(error=ModelError("connection lost", retryable=True), after=2, mode="worker")
    model = ScriptedModel({"t": None}, stream=True, chunk=2, faults=[fault])
    output = await AsyncRecursiveEngine(model, max_depth=1, retry=RetryPolicy(initial=0), observers=[note]).solve("t")

    assert "".join(told) == output.content == "answer to: t"


async def test_a_model_that_asks_for_an_endless_wait_is_not_waited_for() -> None:
    asking = ScriptedModel(lambda r: _raise(ModelError("slow down", status=429, retry_after=86_400, retryable=True)))
    with pytest.raises(ModelError, match="slow down"):
        await AsyncRecursiveEngine(asking).solve("t")


def _raise(error: Exception) -> Any:
    raise error


async def test_absurd_usage_does_not_break_the_arithmetic() -> None:
    for usage in ({"prompt_tokens": 10**30}, {"prompt_tokens": None}, {}, {"prompt_tokens": "12"}, None, "none"):

        def caller(inputs: Any, context: Any, usage: Any = usage) -> Any:
            return {"content": "x", "metadata": {"usage": usage, "cost_usd": None}}

        output = await AsyncRecursiveEngine(caller, max_depth=1).solve("t")
        assert output.metadata["cost_usd"] is None
        assert output.usage.calls == 1


async def test_metadata_of_any_kind_can_be_kept(tmp_path: Any) -> None:
    strange = {"object": object(), 3: "number as key", "nested": {"set": {1}}, "nan": float("nan")}

    def caller(inputs: Any, context: Any) -> Any:
        return {"content": "x", "metadata": strange}

    engine = AsyncRecursiveEngine(caller, max_depth=1)
    await engine.solve("t", checkpoint=tmp_path / "t.json")

    assert (await engine.solve("t", checkpoint=tmp_path / "t.json")).metadata["calls"] == 0


async def test_a_caller_that_changes_what_it_was_given_changes_nothing_for_others() -> None:
    seen: list[int] = []

    def caller(inputs: Any, context: Any) -> Any:
        seen.append(len(inputs))
        inputs.clear()
        context.clear()
        if len(seen) < 3:
            return {"content": "no plan"}
        return {"content": '{"decision": "EXECUTE", "answer": "x"}'}

    assert (await AsyncRecursiveEngine(caller).solve("t")).content == "x"
    assert seen == [2, 4, 6]


async def test_random_misbehaviour_ends_in_an_answer_or_an_error_of_ours_and_leaves_no_task() -> None:
    complaints: list[Any] = []
    blamed: list[bool] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    for seed in range(60):
        choose = random.Random(seed)

        def answer(request: Request, choose: random.Random = choose) -> Any:
            roll = choose.random()
            if roll < 0.08:
                raise ModelError("flaky", retryable=choose.random() < 0.7, fatal=choose.random() < 0.1)
            if roll < 0.12:
                return Reply(choose.choice(["", "garbage", "{}", '{"decision": "RECURSE", "sub_tasks": [1]}']))
            if request.mode == "planner" and choose.random() < 0.6:
                parts: list[Any] = [{"task": f"{choose.random()}"} for _ in range(choose.randrange(1, 5))]
                parts[-1]["depends_on"] = [choose.randrange(len(parts))]
                return {"decision": "RECURSE", "sub_tasks": parts}
            return None

        model = ScriptedModel(answer, latency=(0, 0.001), stream=seed % 2 == 0)
        engine = AsyncRecursiveEngine(
            model,
            max_depth=4,
            max_steps=40,
            max_concurrency=choose.choice([1, 2, 16]),
            on_limit=choose.choice(["execute", "raise"]),
            on_failure=choose.choice(["raise", "synthesize"]),
            budget=choose.choice([None, Budget(calls=15)]),
            retry=RetryPolicy(attempts=2, initial=0),
        )
        run = engine.start("t")
        try:
            await run
        except ConfigurationError:
            raise
        except RLMError as error:
            blamed.append(error.run is run)
        assert run.internals.finished
        assert others() == set(), f"seed {seed}"
        assert all(node.state.final for node in run.tree), f"seed {seed}"
        assert run.usage == run.tree.usage, f"seed {seed}"
        assert run.usage.calls == model.calls, f"seed {seed}"
    assert blamed
    assert all(blamed)
    del run
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == [], "errors that nobody looked at"


# -- every kind of misbehaviour, in any order ----------------------------------------------------------------------

PLANS = [
    json.dumps(PLAN),
    json.dumps({"decision": "RECURSE", "sub_tasks": [{"description": "x", "depends_on": [1]}, "y"]}),
    json.dumps(
        {
            "decision": "RECURSE",
            "sub_tasks": [{"description": "x", "depends_on": [1]}, {"description": "y", "depends_on": [0]}],
        }
    ),
    json.dumps({"decision": "RECURSE", "sub_tasks": [f"p{n}" for n in range(40)]}),
    json.dumps({"decision": "EXECUTE", "answer": "at once"}),
]
GARBAGE = [
    "",
    " \n",
    "no JSON",
    PLANS[0][:40],
    '{"decision": "RECURSE", "sub_tasks": [1, null, {"a": 2}]}',
    '{"decision": 7}',
    "[" * 3000,
    '{"a":' * 3000,
    '{"answer": "' + '\\"' * 5000,
    "x" * 300_000,
    "\ud83d\0\u202e",
]
REPLIES: list[Any] = [
    Reply("a", tool_calls=(ToolCall("1", "unknown", {}),)),
    Reply("", tool_calls=(ToolCall("1", "look", {"where": 3}), ToolCall("1", "look", "no json"))),
    Reply(None),  # type: ignore[arg-type]
    Reply("x", usage=Usage(-5, 10**12)),
    Reply("cut", finish_reason="length"),
]
FAILURES: list[Any] = [
    ValueError("boom"),
    ModelError("busy", status=429, retryable=True, retry_after=0.001),
    ModelError("revoked", status=401, fatal=True),
    asyncio.CancelledError(),
    TimeoutError(),
    StopAsyncIteration(),
    RecursionError(),
]
BEHAVIOUR = st.one_of(
    st.sampled_from(PLANS),
    st.sampled_from(PLANS),
    st.sampled_from(GARBAGE),
    st.sampled_from(range(len(REPLIES))),
    st.sampled_from(FAILURES),
    st.sampled_from(["@hang", "@nothing", "@no text", "@break"]),
    st.text(max_size=40),
)


class Hostile:
    """A model of which each call behaves in the next way; at last, and so that every run can end, sensibly."""

    name = "hostile"

    def __init__(self, behaviour: list[Any], streams: bool) -> None:
        self.capabilities = Capabilities(True, True, True, streams, True)
        self.behaviour = list(behaviour)
        self.calls = self.open = 0

    async def stream(self, request: Request) -> Any:
        self.calls += 1
        does = self.behaviour.pop(0) if self.behaviour else PLANS[-1]
        self.open += 1
        try:
            await asyncio.sleep(0)
            if isinstance(does, BaseException):
                raise does
            if does == "@hang":
                await asyncio.sleep(60)
            elif does == "@nothing":
                return
            elif does == "@no text":
                yield 3
            elif does == "@break":
                yield PLANS[0][:60]
                raise ModelError("connection lost", retryable=True)
            elif isinstance(does, int):
                yield REPLIES[does]
            else:
                for at in range(0, len(does) if self.capabilities.stream else 0, max(1, len(does) // 9)):
                    yield does[at : at + max(1, len(does) // 9)]
                    await asyncio.sleep(0)
                yield Reply(does, usage=Usage(3, 4))
        finally:
            self.open -= 1


def look(where: str) -> str:
    """Look somewhere."""
    return where


@pytest.fixture(scope="module")
def others_are_not_collected() -> Iterator[None]:
    """What tests before left in memory is looked at once, and not after each of many runs: that took a minute."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("others_are_not_collected")
@settings(max_examples=40)
@given(
    behaviour=st.lists(BEHAVIOUR, max_size=14),
    streams=st.booleans(),
    on_limit=st.sampled_from(["execute", "raise"]),
    on_failure=st.sampled_from(["raise", "synthesize"]),
    typed=st.booleans(),
    cancel_after=st.none() | st.integers(0, 12),
)
# While the sub-tasks of a plan that is over the limit are abandoned.
@example(behaviour=[PLANS[3]], streams=True, on_limit="execute", on_failure="raise", typed=False, cancel_after=12)
def test_whatever_models_do_a_run_ends_within_its_limits_in_a_legal_tree(
    behaviour: list[Any], streams: bool, on_limit: Any, on_failure: Any, typed: bool, cancel_after: int | None
) -> None:
    hostile = Hostile(behaviour, streams)

    async def main() -> Any:
        engine = AsyncRecursiveEngine(
            hostile,
            tools=[look],
            max_steps=12,
            max_depth=3,
            max_tool_rounds=2,
            call_timeout=0.02,
            on_limit=on_limit,
            on_failure=on_failure,
            retry=RetryPolicy(attempts=2, initial=0),
            budget=Budget(calls=30),
        )
        run = engine.start("task", output_type=dict[str, int] if typed else None)
        if cancel_after is not None:
            for _ in range(cancel_after):
                await asyncio.sleep(0)
            await run.cancel()
        error = (await asyncio.gather(run._result(), return_exceptions=True))[0]
        if cancel_after is None and isinstance(error, BaseException):
            assert isinstance(error, RLMError), "an error of ours, and cancelled by nobody"
            assert str(error)
        assert others() == set()
        return run

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = asyncio.run(main())
        gc.collect()

    assert hostile.open == 0, "every stream was closed"
    assert run.status in ("done", "failed", "cancelled")
    assert all(node.state.final for node in run.tree)
    assert sum(str(node.state) != "superseded" for node in run.tree) <= 12
    assert max((node.depth for node in run.tree), default=0) < 3
    assert hostile.calls == run.usage.calls <= 30
    assert sum(node.usage.calls for node in run.tree) == run.usage.calls
    if run.status == "done":
        assert run.output.content.strip()
