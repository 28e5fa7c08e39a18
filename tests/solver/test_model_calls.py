"""Model calls: coalesced requests, calls that hang or cancel themselves, malformed replies, tool loops."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    ExecutionError,
    ModelError,
    RetryPolicy,
    RLMError,
    ScriptedModel,
    ToolError,
)
from rlm_notebook.core.limits import Usage
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Capabilities, Model, NodeFacts, Reply, Request, ToolCall
from rlm_notebook.runtime.run_context import RunContext
from rlm_notebook.solver.model_calls import call_model
from tests.support.tasks import others


def request(text: str = "q", **changes: Any) -> Request:
    return Request("worker", ({"role": "user", "content": text},), NodeFacts(text), **changes)


@pytest.fixture
async def run() -> AsyncIterator[RunContext]:
    """A run in flight that waits."""
    run = AsyncRecursiveEngine(ScriptedModel(lambda r: asyncio.sleep(60))).start("t")
    while "0" not in run.tree:  # noqa: ASYNC110
        await asyncio.sleep(0)
    yield run.internals
    await run.cancel()


async def test_equal_requests_are_one_call_with_one_cost(run: RunContext) -> None:
    model = ScriptedModel(latency=0.02)
    before = run.usage.calls
    replies = await asyncio.gather(*(call_model(run, "0", model, request(), None) for _ in range(30)))

    assert {reply.content for reply in replies} == {"answer to: q"}
    assert model.calls == run.usage.calls - before == 1


async def test_when_the_first_caller_is_cancelled_a_duplicate_makes_the_call(run: RunContext) -> None:
    model = ScriptedModel(latency=0.03)
    first, *rest = (asyncio.create_task(call_model(run, "0", model, request(), None)) for _ in range(5))
    await asyncio.sleep(0.01)
    first.cancel()

    assert {reply.content for reply in await asyncio.gather(*rest)} == {"answer to: q"}
    assert first.cancelled()
    assert model.calls == 2
    assert run.replies.in_flight == 1, "the run's own"


async def test_duplicates_cancelled_together_with_the_first_make_no_call(run: RunContext) -> None:
    model = ScriptedModel(latency=0.03)
    tasks = [asyncio.create_task(call_model(run, "0", model, request(), None)) for _ in range(5)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert all(task.cancelled() for task in tasks)
    assert model.calls == 1


@pytest.mark.parametrize(
    "changes",
    [{"temperature": 1.0}, {"schema": {"type": "object"}}, {"tools": ({"name": "f", "parameters": {}},)}],
    ids=["temperature", "schema", "tools"],
)
async def test_requests_that_differ_are_two_calls(run: RunContext, changes: dict[str, Any]) -> None:
    model = ScriptedModel(latency=0.01)
    await asyncio.gather(
        call_model(run, "0", model, request(), None), call_model(run, "0", model, request(**changes), None)
    )

    assert model.calls == 2


class Odd:
    """A user's model: each call does the next of `behaviour`."""

    name = "odd"
    capabilities = Capabilities()

    def __init__(self, *behaviour: Any) -> None:
        self.behaviour = list(behaviour)
        self.closed = 0

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        does = self.behaviour.pop(0) if len(self.behaviour) > 1 else self.behaviour[0]
        try:
            if isinstance(does, BaseException):
                raise does
            if does == "hang":
                await asyncio.sleep(60)
            for piece in does if isinstance(does, list) else [does]:
                yield piece
        finally:
            self.closed += 1


async def solved(model: Model, **options: Any) -> Any:
    settings = {"max_depth": 1, "retry": None, "call_timeout": 0.1, **options}
    return await AsyncRecursiveEngine(model, **settings).solve("t")


async def test_a_call_that_hangs_ends_in_time_whoever_wrote_the_model() -> None:
    model = Odd("hang")
    with pytest.raises(ModelError, match=r"odd: no complete reply within 0\.1 s"):
        await solved(model)

    assert model.closed == 1
    assert others() == set()


async def test_and_is_repeated_as_any_failure() -> None:
    output = await solved(Odd("hang", Reply("late but fine")), retry=RetryPolicy(attempts=2, initial=0))

    assert output.content == "late but fine"


async def test_a_model_that_cancels_its_own_call_fails_as_any_other() -> None:
    with pytest.raises(ModelError, match="node 0: the model odd cancelled its own call"):
        await solved(Odd(asyncio.CancelledError()))

    plan = {"decision": "RECURSE", "sub_tasks": ["a", "b"]}
    model = ScriptedModel(
        lambda r: plan if r.mode == "planner" and r.facts.task == "t" else None if r.facts.task != "a" else _cancelled()
    )
    output = await AsyncRecursiveEngine(model, on_failure="synthesize").solve("t")
    assert "answer to: b" in output.content
    assert output.run.status == "done"


async def _cancelled() -> str:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(None), "content is no text"),  # type: ignore[arg-type]
        (Reply(3), "content is no text"),  # type: ignore[arg-type]
        (Reply("", tool_calls=3), "tool calls are no list"),  # type: ignore[arg-type]
        (Reply("", tool_calls=({"name": "f"},)), "not all `ToolCall`s"),  # type: ignore[arg-type]
        (Reply("x", usage={"prompt_tokens": 3}), "usage is no Usage"),  # type: ignore[arg-type]
        (Reply("x", metadata=None), "metadata is no mapping"),  # type: ignore[arg-type]
        (["text", 3, "more"], "without a reply"),
        ([], "without a reply"),
        (Reply("   "), "empty answer"),
    ],
)
async def test_a_malformed_reply_is_a_clear_error(reply: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        await solved(Odd(reply))


async def test_a_reply_without_a_name_gets_the_models() -> None:
    assert (await solved(Odd(Reply("x", model="")))).metadata["model"] == "odd"


async def test_no_stream_is_left_open_whatever_happens() -> None:
    model = Odd([*["piece"] * 5, Reply("x")])
    run = AsyncRecursiveEngine(model, max_depth=1).start("t")
    await run
    assert model.closed == 1

    model = Odd("hang")
    run = AsyncRecursiveEngine(model, max_depth=1).start("t")
    await asyncio.sleep(0.01)
    await run.cancel()
    assert model.closed == 1


# -- tools ---------------------------------------------------------------------------------------------------------


def look(where: str) -> str:
    """Look somewhere."""
    return f"nothing in {where}"


def calling(name: str, arguments: Any, then: str | None = "done") -> ScriptedModel:
    """Calls a tool, once or for ever."""

    def script(request: Request) -> Any:
        if request.mode != "worker":
            return None
        answered = any(message["role"] == "tool" for message in request.messages)
        if answered and then is not None:
            return then
        return Reply("", (ToolCall(f"c{len(request.messages)}", name, arguments),))

    return ScriptedModel(script)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("fly", {}, "There is no tool 'fly'; there are: look."),
        ("look", {}, "where"),
        ("look", "no json", "look"),
        ("look", {"where": 3}, "where"),
    ],
    ids=["unknown", "missing", "no JSON", "wrong type"],
)
async def test_the_model_gets_the_error_of_a_bad_tool_call(name: str, arguments: Any, told: str) -> None:
    model = calling(name, arguments)
    output = await AsyncRecursiveEngine(model, tools=[look]).solve("t")

    assert output.content == "done"
    assert told in model.requests[-1].messages[-1]["content"]
    assert output.run.tree["0"].tool_calls[0].ok is False


async def test_a_model_that_never_stops_calling_tools_is_stopped() -> None:
    model = calling("look", {"where": "here"}, then=None)
    with pytest.raises(ToolError, match="still calls tools after 3 rounds; raise max_tool_rounds"):
        await AsyncRecursiveEngine(model, tools=[look], max_tool_rounds=3).solve("t")

    assert [r.mode for r in model.requests].count("worker") == 4


async def test_usage_of_all_rounds_is_the_nodes() -> None:
    output = await AsyncRecursiveEngine(calling("look", {"where": "here"}), tools=[look]).solve("t")

    assert output.run.tree["0"].usage.calls == output.usage.calls == 3
    assert output.run.tree["0"].usage == output.usage


async def test_a_planner_that_calls_tools_gets_the_error_that_it_gave_no_plan() -> None:
    def script(request: Request) -> Any:
        if len(request.messages) == 2:
            return Reply("", (ToolCall("1", "look", {}),), usage=Usage())
        return json.dumps({"decision": "EXECUTE", "answer": "after all"})

    assert (await AsyncRecursiveEngine(ScriptedModel(script)).solve("t")).content == "after all"


async def test_errors_are_of_this_package_and_carry_the_run() -> None:
    for failure in (ValueError("x"), KeyError("x"), RuntimeError("x"), OSError("x"), TimeoutError("x")):
        with pytest.raises(RLMError) as error:
            await solved(Odd(failure))
        assert error.value.run.status == "failed"


# -- patience ------------------------------------------------------------------------------------------------------


def engine_without_waits(model: Any) -> AsyncRecursiveEngine:
    """Retries as often as an engine with default options."""
    return AsyncRecursiveEngine(model, retry=replace(AsyncRecursiveEngine.retry or RetryPolicy(), initial=0))


BUSY = ModelError("busy", status=503, retryable=True)


async def test_a_model_that_never_answered_is_given_up_soon() -> None:
    model = ScriptedModel(faults=[Fault(".*", BUSY, times=None)])
    with pytest.raises(ModelError, match=r"busy \(tried 4 times\)"):
        await engine_without_waits(model).solve("t")
    assert model.calls == 4


async def test_a_model_that_has_answered_is_trusted_to_answer_again() -> None:
    model = ScriptedModel({"trip": {"flights": "at 9", "hotel": "downtown"}}, faults=[Fault("hotel", BUSY, times=9)])
    output = await engine_without_waits(model).solve("trip")

    assert output.content == "trip: at 9; downtown"
    assert [phase.kind for phase in output.run.tree["0.1"].phases].count("failed") == 9


async def test_what_a_model_cannot_do_names_the_node_once() -> None:
    model = ScriptedModel({"t": {"a": "A"}}, faults=[Fault("a", ModelError("busy", status=503), times=None)])
    with pytest.raises(ExecutionError) as caught:
        await AsyncRecursiveEngine(model).solve("t")

    assert str(caught.value) == "node 0: 1 of 1 parts failed: [0.0] busy (tried once)"
    assert (caught.value.causes[0].node, str(caught.value.causes[0])) == ("0.0", "node 0.0: busy (tried once)")
