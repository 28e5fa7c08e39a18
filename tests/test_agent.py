"""Agents, and the conversation of a model with its tools."""

# Polling is the simplest way to wait for a state that only the run knows.
# ruff: noqa: ASYNC110

import asyncio
import threading
import time
from typing import Any

import pytest

from rlm_notebook import (
    Agent,
    AsyncRecursiveEngine,
    CheckpointError,
    ConfigurationError,
    ExecutionError,
    ScriptedModel,
    ToolError,
    tool,
)
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.core.events import Event, ToolCalled, ToolReturned
from rlm_notebook.ports import Request
from tests.support.waiting import HANG


def calling(*calls: dict[str, Any], then: str = "done") -> ScriptedModel:
    """A worker that makes these calls at once, and then answers."""

    def answer(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        told = [message["content"] for message in request.messages if message["role"] == "tool"]
        return f"{then}: {' | '.join(told)}" if told else {"tool_calls": list(calls)}

    return ScriptedModel(answer)


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def solved(model: ScriptedModel, *tools: Any, **options: Any) -> Any:
    return await AsyncRecursiveEngine(model, tools=tools, **options).solve("t")


async def test_a_model_gets_the_results_of_its_tools() -> None:
    model = calling(call("add", a=1, b=2))
    output = await solved(model, add)

    assert output.content == "done: 3"
    assert [schema["name"] for schema in model.requests[1].tools] == ["add"]
    assert [message["role"] for message in model.requests[2].messages] == ["system", "user", "assistant", "tool"]
    asked = model.requests[2].messages[2]["tool_calls"]
    assert (asked[0]["name"], asked[0]["arguments"]) == ("add", {"a": 1, "b": 2})
    assert model.requests[2].messages[3]["tool_call_id"] == asked[0]["id"]


async def test_calls_are_on_the_node_and_in_the_log() -> None:
    told: list[Event] = []
    output = await solved(calling(call("add", a=1, b=2), call("add", a="x", b=2)), add, observers=[told.append])
    first, second = output.run.tree["0"].tool_calls

    assert (first.name, first.arguments, first.content, first.ok) == ("add", {"a": 1, "b": 2}, "3", True)
    assert second.ok is False
    assert "integer" in str(second.content)
    assert [type(e) for e in told if isinstance(e, ToolCalled | ToolReturned)].count(ToolReturned) == 2
    assert output.usage.calls == 3


async def test_bad_calls_are_answered_to_the_model_which_may_repair_them() -> None:
    def broken(x: int) -> int:
        """Break."""
        raise RuntimeError("the database is down")

    model = calling(call("nonsense"), call("add", a=1), {"name": "add", "arguments": "{broken"}, call("broken", x=1))
    output = await solved(model, add, broken)

    assert "There is no tool 'nonsense'; there are: add, broken." in output.content
    assert "wrong arguments for add: b: Field required" in output.content
    assert "the arguments of add are not a JSON object: {broken" in output.content
    assert "broken raised RuntimeError: the database is down" in output.content


async def test_the_calls_of_one_reply_run_side_by_side_in_threads_and_answer_in_their_order() -> None:
    together = threading.Barrier(3, timeout=HANG)
    threads: set[int] = set()

    def meet(who: str, wait: float) -> str:
        """Wait for the others."""
        together.wait()
        threads.add(threading.get_ident())
        time.sleep(wait)
        return who

    output = await solved(
        calling(call("meet", who="a", wait=0.02), call("meet", who="b", wait=0), call("meet", who="c", wait=0)), meet
    )

    assert output.content == "done: a | b | c"
    assert threading.get_ident() not in threads


async def test_async_tools_are_awaited() -> None:
    async def fetch(what: str) -> dict[str, str]:
        """Fetch."""
        await asyncio.sleep(0)
        return {"got": what}

    assert (await solved(calling(call("fetch", what="it")), fetch)).content == 'done: {"got": "it"}'


async def test_the_timeout_of_a_tool_is_reported_to_the_model() -> None:
    @tool(timeout=0.02)
    async def dawdle() -> str:
        """Dawdle."""
        await asyncio.sleep(30)
        return "never"

    def own_timeout() -> str:
        """Time out by itself."""
        raise TimeoutError("the server did not answer")

    output = await solved(calling(call("dawdle"), call("own_timeout")), dawdle, own_timeout)

    assert "dawdle did not finish (limit: 0.02 s)." in output.content
    assert "own_timeout raised TimeoutError: the server did not answer" in output.content


async def test_a_tool_error_is_reported_to_the_model_unless_it_is_fatal() -> None:
    def refuse(fatal: bool) -> str:
        """Refuse."""
        raise ToolError("not for you", fatal=fatal)

    assert (await solved(calling(call("refuse", fatal=False)), refuse)).content == "done: not for you"
    with pytest.raises(ToolError, match="not for you") as error:
        await solved(calling(call("refuse", fatal=True), call("refuse", fatal=False)), refuse)
    assert error.value.node == "0"
    assert error.value.run.tree["0"].error_kind == "ToolError"


async def test_a_fatal_tool_error_ends_its_node_and_not_its_siblings() -> None:
    def refuse() -> str:
        """Refuse."""
        raise ToolError("broken for good", fatal=True)

    def answer(request: Request) -> Any:
        if request.mode == "planner":
            plan = {"decision": "RECURSE", "sub_tasks": ["bad", "good"]}
            return plan if request.facts.task == "t" else {"decision": "EXECUTE"}
        return {"tool_calls": [call("refuse")]} if request.facts.task == "bad" else "fine"

    with pytest.raises(ExecutionError, match=r"1 of 2 parts failed: \[0\.0\] broken for good") as error:
        await solved(ScriptedModel(answer), refuse)
    assert error.value.run.tree["0.1"].result == "fine"


async def test_a_model_that_never_stops_calling_tools_is_stopped() -> None:
    endless = ScriptedModel(
        lambda r: {"decision": "EXECUTE"} if r.mode == "planner" else {"tool_calls": [call("add", a=1, b=1)]}
    )
    with pytest.raises(
        ToolError, match="node 0: scripted still calls tools after 3 rounds; raise max_tool_rounds"
    ) as error:
        await solved(endless, add, max_tool_rounds=3)

    assert endless.calls == 1 + 4
    assert error.value.run.usage == error.value.run.tree.usage


async def test_the_usage_of_all_rounds_is_on_the_node() -> None:
    model = calling(call("add", a=1, b=2))
    output = await solved(model, add)
    asked = sum(len(str(message["content"]).split()) for request in model.requests for message in request.messages)

    assert output.run.tree["0"].usage.calls == model.calls == 3
    assert output.usage.prompt_tokens == asked


async def test_while_a_tool_is_used_the_journal_may_fail_the_run_as_ever() -> None:
    class Full(MemoryJournal):
        def append(self, event: Event) -> None:
            if isinstance(event, ToolReturned):
                raise CheckpointError("the disk is full")

    with pytest.raises(CheckpointError, match="the disk is full"):
        await AsyncRecursiveEngine(calling(call("add", a=1, b=2)), tools=[add]).solve("t", checkpoint=Full())


async def test_cancelling_does_not_wait_for_a_tool_that_blocks() -> None:
    release, returned = threading.Event(), threading.Event()

    def block() -> str:
        """Block."""
        release.wait(HANG)
        returned.set()
        return "late"

    run = AsyncRecursiveEngine(calling(call("block")), tools=[block]).start("t")
    while not run.tree.root or not run.tree.root.tool_calls:
        await asyncio.sleep(0.001)
    await run.cancel()

    assert not returned.is_set()
    assert run.status == "cancelled"
    release.set()


async def test_an_agent_has_tools_and_instructions_of_its_own() -> None:
    plan = {"decision": "RECURSE", "sub_tasks": [{"task": "sum", "agent": "clerk"}, "other"]}

    def answer(request: Request) -> Any:
        if request.mode == "planner":
            return plan if request.facts.task == "t" else {"decision": "EXECUTE"}
        if request.facts.task == "sum" and request.messages[-1]["role"] != "tool":
            return {"tool_calls": [call("add", a=2, b=3)]}
        return f"{request.facts.task}: {request.messages[-1]['content'][:20]}"

    model = ScriptedModel(answer)
    clerk = Agent("clerk", model, "adds", instructions="Be exact.", tools=[add], temperature=0.1)
    output = await AsyncRecursiveEngine(model, {"planner": model, "clerk": clerk}).solve("t")
    workers = {r.facts.task: r for r in model.requests if r.mode == "worker"}

    assert output.run.tree["0.0"].result == "sum: 5"
    assert "Be exact." in workers["sum"].messages[0]["content"]
    assert workers["sum"].temperature == 0.1
    assert [schema["name"] for schema in workers["sum"].tools] == ["add"]
    assert not [request for request in model.requests if request.facts.task == "other" and request.tools]


def test_an_agent_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Agent\\(name=''"):
        Agent("", ScriptedModel())
    with pytest.raises(ConfigurationError, match="no model"):
        Agent("a", 5)
    with pytest.raises(ConfigurationError, match="temperature"):
        Agent("a", ScriptedModel(), temperature=10**400)
    with pytest.raises(ConfigurationError, match="no annotation"):
        Agent("a", ScriptedModel(), tools=[lambda x: x])


def test_agents_given_by_another_name_are_offered_by_that_name() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(), {"planner": Agent("boss", ScriptedModel()), "b": ScriptedModel()})

    assert set(engine.settings()["agents"]) == {"default", "planner", "b"}
