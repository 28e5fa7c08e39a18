"""The cache: what was answered is not asked again, nothing else is taken for it, and nobody can spoil it."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    Agent,
    AsyncRecursiveEngine,
    Budget,
    BudgetExceededError,
    ConfigurationError,
    ModelError,
    RecursiveEngine,
    RetryPolicy,
    ScriptedModel,
)
from rlm_notebook.caches.memory import MemoryCache
from rlm_notebook.core.limits import Usage
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Model, NodeFacts, Reply, Request, ToolCall
from rlm_notebook.wrappers.cached import Cached
from tests.support.waiting import HANG

TRIP = {"trip": {"flights": "at 9", "hotel": "downtown", "food": {"lunch": "soup", "dinner": "stew"}}}
ANSWER = "trip: at 9; downtown; food: soup; stew"


def request(text: str = "t", **changes: Any) -> Request:
    return replace(Request("worker", ({"role": "user", "content": text},), NodeFacts(text)), **changes)


async def answered(model: Model, asked: Request) -> Reply:
    *pieces, reply = [piece async for piece in model.stream(asked)]
    assert isinstance(reply, Reply)
    assert not pieces or "".join(str(piece) for piece in pieces) == reply.content
    return reply


async def test_an_equal_request_gets_the_same_reply_marked_and_for_nothing() -> None:
    cached = Cached(model := ScriptedModel())
    first, again = await answered(cached, request()), await answered(cached, request())

    assert model.calls == 1
    assert (first.mark, again.mark, again.content) == ("", "cached", first.content)
    assert first.usage != Usage()
    assert again.usage == Usage(), "no tokens, no call, no cost"


async def test_a_remembered_reply_streams_as_any_other() -> None:
    cached = Cached(ScriptedModel(stream=True))
    asked = request(streaming=True)
    await answered(cached, asked)

    assert [type(piece) async for piece in cached.stream(asked)] == [str, Reply]


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "planner"},
        {"messages": ({"role": "user", "content": "another"},)},
        {"messages": ({"role": "system", "content": "t"},)},
        {"tools": ({"name": "look", "description": "", "parameters": {}},)},
        {"schema": {"type": "object"}},
        {"temperature": 0.0},
        {"max_output_tokens": 10},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_whatever_can_enter_the_reply_makes_it_another_request(change: dict[str, Any]) -> None:
    cached = Cached(model := ScriptedModel())
    await answered(cached, request())
    await answered(cached, request(**change))

    assert model.calls == 2


async def test_how_it_is_asked_does_not_make_it_another_request() -> None:
    cached = Cached(model := ScriptedModel())
    await answered(cached, request())
    await answered(cached, request(deadline=3.0, streaming=True, facts=NodeFacts("t", task_id="0.7")))

    assert model.calls == 1


async def test_models_of_one_cache_do_not_answer_for_each_other() -> None:
    cache = MemoryCache()
    one, two = (Cached(ScriptedModel(lambda r, n=n: n, name=n), cache) for n in ("one", "two"))

    assert [(await answered(model, request())).content for model in (one, two)] == ["one", "two"]


async def test_nothing_is_shared_that_could_be_changed() -> None:
    def reply(_: Request) -> Reply:
        return Reply("x", (ToolCall("1", "f", {"list": [1]}),), metadata={"list": [1]})

    cached = Cached(ScriptedModel(reply))
    for _ in range(3):
        got = await answered(cached, request())
        assert (got.metadata, got.tool_calls[0].arguments) == ({"list": [1]}, {"list": [1]})
        got.metadata["list"].append(2)
        got.tool_calls[0].arguments["list"].append(2)  # type: ignore[index]


async def test_errors_and_replies_that_are_not_whole_are_asked_for_again() -> None:
    replies = iter([Reply("  "), Reply("cut o", finish_reason="length"), Reply("whole")])
    model = ScriptedModel(lambda r: next(replies), faults=[Fault(error=ModelError("busy"))])
    cached = Cached(model)
    with pytest.raises(ModelError):
        await answered(cached, request())

    assert [(await answered(cached, request())).content for _ in range(4)] == ["  ", "cut o", "whole", "whole"]


async def test_equal_requests_at_the_same_time_are_one_call() -> None:
    cached = Cached(model := ScriptedModel(latency=0.01))
    replies = await asyncio.gather(*(answered(cached, request()) for _ in range(50)))

    assert model.calls == 1
    assert sorted(reply.mark for reply in replies) == [""] + ["cached"] * 49


async def test_a_failure_is_told_to_all_who_waited_for_it() -> None:
    model = ScriptedModel(latency=0.01, faults=[Fault(error=ModelError("busy"), times=None)])
    cached = Cached(model)
    errors = await asyncio.gather(*(answered(cached, request()) for _ in range(9)), return_exceptions=True)

    assert model.calls == 1
    assert {str(error) for error in errors} == {"busy"}
    assert len({id(error) for error in errors}) == 9


async def test_when_the_first_asker_goes_away_another_one_asks() -> None:
    cached = Cached(model := ScriptedModel(latency=0.02))
    first, *others = (asyncio.create_task(answered(cached, request())) for _ in range(5))
    await asyncio.sleep(0.005)
    first.cancel()

    assert [reply.content for reply in await asyncio.gather(*others)] == ["answer to: t"] * 4
    assert model.calls == 2
    others_cancelled = asyncio.create_task(answered(cached, request("u")))
    waiting = asyncio.create_task(answered(cached, request("u")))
    await asyncio.sleep(0.005)
    waiting.cancel()
    assert (await others_cancelled).content == "answer to: u", "who only waits takes nothing away"


def test_one_cache_serves_several_event_loops_at_once() -> None:
    cached = Cached(model := ScriptedModel(latency=0.05))
    found: list[Reply] = []

    def ask() -> None:
        found.append(asyncio.run(answered(cached, request())))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)

    assert [reply.content for reply in found] == ["answer to: t"] * 6
    assert model.calls == 1


# -- in an engine --------------------------------------------------------------------------------------------------


async def test_an_engine_with_a_cache_asks_nothing_twice_and_says_so_on_the_nodes() -> None:
    model = ScriptedModel(TRIP, stream=True)
    engine = AsyncRecursiveEngine(model, cache=True, max_concurrency=1)
    first = await engine.solve("trip")
    calls = model.calls
    again = await engine.solve("trip")

    assert first.content == again.content == ANSWER
    assert (model.calls, again.metadata["calls"]) == (calls, 0)
    assert {node.mark for node in first.run.tree} == {""}
    assert {node.mark for node in again.run.tree} == {"cached"}
    assert again.usage == Usage()


async def test_without_one_everything_is_asked_again() -> None:
    engine = AsyncRecursiveEngine(model := ScriptedModel(TRIP))
    await engine.solve("trip")
    await engine.solve("trip")

    assert model.calls == 16


async def test_a_cached_answer_takes_no_turn_and_counts_no_call_of_the_budget() -> None:
    cache = MemoryCache()
    await AsyncRecursiveEngine(ScriptedModel(TRIP), cache=cache).solve("trip")
    never = ScriptedModel(faults=[Fault(error=ModelError("asked"), times=None)])
    output = await AsyncRecursiveEngine(never, cache=cache, budget=Budget(calls=0, tokens=0, usd=0)).solve("trip")

    assert output.content == ANSWER
    with pytest.raises(BudgetExceededError):
        await AsyncRecursiveEngine(never, cache=cache, budget=Budget(calls=0)).solve("another trip")


async def test_what_came_from_the_cache_is_kept_in_the_file_as_well(tmp_path: Path) -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP), cache=True)
    await engine.solve("trip")
    path = tmp_path / "run.json"
    await engine.solve("trip", checkpoint=path)
    dead = ScriptedModel(faults=[Fault(error=ModelError("asked"), times=None)])
    replayed = await AsyncRecursiveEngine(dead).solve("trip", checkpoint=path, mode="replay")

    assert replayed.content == ANSWER


async def test_functions_of_the_same_name_are_kept_apart() -> None:
    plan = {
        "decision": "RECURSE",
        "sub_tasks": [{"task": "same", "agent": "one"}, {"task": "same", "agent": "two"}],
    }

    def planner(inputs: Any, context: Any) -> Any:
        import json

        if context["mode"] == "synthesizer":
            return "; ".join(part["content"] for part in context["parts"])
        return json.dumps(plan if context["depth"] == 0 else {"decision": "EXECUTE"})

    agents = {"planner": planner, "one": lambda i, c: "by one", "two": lambda i, c: "by two"}
    output = await AsyncRecursiveEngine(planner, agents, cache=True, retry=None).solve("t")

    assert output.content == "by one; by two"


async def test_tools_are_used_again_but_the_model_is_not() -> None:
    used: list[str] = []

    def look(where: str) -> str:
        """Look somewhere."""
        used.append(where)
        return "a tree"

    def script(request: Request) -> Any:
        if request.mode != "worker":
            return None
        seen = [message["content"] for message in request.messages if message["role"] == "tool"]
        return f"saw {seen[0]}" if seen else {"tool_calls": [{"name": "look", "arguments": {"where": "there"}}]}

    engine = AsyncRecursiveEngine(model := ScriptedModel(script), tools=[look], cache=True)
    outputs = [await engine.solve("t") for _ in range(2)]

    assert [output.content for output in outputs] == ["saw a tree"] * 2
    assert (model.calls, used) == (3, ["there", "there"])


async def test_a_failed_call_is_retried_and_what_came_of_it_is_kept() -> None:
    model = ScriptedModel(faults=[Fault(error=ModelError("busy", retryable=True), times=2)])
    engine = AsyncRecursiveEngine(model, cache=True, retry=RetryPolicy(initial=0))
    await engine.solve("t")
    calls = model.calls
    await engine.solve("t")

    assert calls == model.calls == 3


async def test_a_model_that_was_given_with_a_cache_of_its_own_counts_no_call_either() -> None:
    cached = Cached(model := ScriptedModel())
    engine = AsyncRecursiveEngine(Agent("x", cached).resolved)
    await engine.solve("t")
    again = await engine.solve("t")

    assert (model.calls, again.metadata["calls"], again.usage) == (1, 0, Usage())


def test_the_synchronous_engine_has_one_too() -> None:
    engine = RecursiveEngine(model := ScriptedModel(TRIP), cache=True)

    assert engine.solve("trip").content == engine.solve("trip").content == ANSWER
    assert model.calls == 8


async def test_a_cache_of_your_own_is_used_and_what_is_none_is_refused() -> None:
    class Mine:
        def __init__(self) -> None:
            self.kept: dict[str, Reply] = {}

        def get(self, key: str) -> Reply | None:
            return self.kept.get(key)

        def put(self, key: str, reply: Reply) -> None:
            self.kept[key] = reply

    mine = Mine()
    await AsyncRecursiveEngine(ScriptedModel(TRIP), cache=mine).solve("trip")

    assert len(mine.kept) == 8
    assert {reply.mark for reply in mine.kept.values()} == {""}
    with pytest.raises(ConfigurationError, match="cache=3"):
        AsyncRecursiveEngine(ScriptedModel(), cache=3)  # type: ignore[arg-type]
