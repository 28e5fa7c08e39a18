"""Many nodes, deep trees, equal requests: limits hold, nobody starves, and it takes the time it should."""

import asyncio
import json
from typing import Any

import pytest

from rlm_notebook import Agent, AsyncRecursiveEngine, ModelError, ScriptedModel
from rlm_notebook.core.events import Finished
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Capabilities, Reply, Request
from tests.support.amounts import few_or_many
from tests.support.tasks import others
from tests.support.waiting import HANG


class Fast:
    """As little as a model can do, so that what is measured is the engine."""

    name = "fast"
    capabilities = Capabilities(json_schema=True)

    def __init__(self, plans: dict[str, list[Any]] | Any) -> None:
        self.plans = plans
        self.active = self.peak = self.calls = 0

    def _text(self, request: Request) -> str:
        parts = self.plans(request) if callable(self.plans) else self.plans.get(request.facts.task)
        if request.mode == "planner":
            if parts:
                return json.dumps({"decision": "RECURSE", "sub_tasks": parts})
            return json.dumps({"decision": "EXECUTE", "answer": f"<{request.facts.task}>"})
        return f"{len(request.facts.parts)} parts"

    async def stream(self, request: Request) -> Any:
        self.calls += 1
        self.active += 1
        self.peak = max(self.peak, self.active)
        try:
            await asyncio.sleep(0)
            yield Reply(self._text(request))
        finally:
            self.active -= 1


@few_or_many(2_000, 10_000)
async def test_of_thousands_of_nodes_waiting_at_once_never_more_than_the_limit_are_in_flight(amount: int) -> None:
    model = Fast({"t": [f"p{n}" for n in range(amount)]})
    output = await AsyncRecursiveEngine(model, max_steps=amount + 1, max_concurrency=64).solve("t")

    assert model.peak == 64
    assert {str(node.state) for node in output.run.tree} == {"done"}, "none starves"
    assert output.content == f"{amount} parts"
    assert others() == set()


async def test_who_came_first_is_served_first_among_equals() -> None:
    order: list[str] = []
    engine = AsyncRecursiveEngine(
        Fast({"t": [f"p{n}" for n in range(200)]}),
        max_steps=201,
        max_concurrency=3,
        observers=[lambda event: order.append(event.node) if isinstance(event, Finished) else None],
    )
    await engine.solve("t")
    numbers = [int(node.split(".")[1]) for node in order if "." in node]

    assert max(abs(at - number) for at, number in enumerate(numbers)) <= 3


async def test_one_call_at_a_time_ends_for_any_shape() -> None:
    plans = {
        "t": ["wide", {"description": "after", "depends_on": [0]}, "deep"],
        "wide": [f"w{n}" for n in range(50)],
        "after": [{"description": "x", "depends_on": [1]}, "y"],
        "deep": ["deeper"],
        "deeper": ["deepest"],
    }
    model = Fast(plans)
    output = await AsyncRecursiveEngine(model, max_steps=200, max_depth=9, max_concurrency=1).solve("t")

    assert model.peak == 1
    assert len(output.run.tree) == 1 + 3 + 50 + 2 + 1 + 1


async def test_prompts_do_not_grow_with_the_depth() -> None:
    lengths: dict[int, int] = {}

    def deeper(request: Request) -> list[str]:
        lengths[request.facts.depth] = sum(len(message["content"]) for message in request.messages)
        return [f"level {request.facts.depth + 1:03}"] if request.facts.depth < 99 else []

    await AsyncRecursiveEngine(Fast(deeper), max_depth=100, max_steps=100).solve("level 000")

    assert lengths[98] - lengths[20] <= len(".0") * 78, "nothing grows but the id of the part"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
async def test_equal_requests_in_flight_are_one_call(stream: bool) -> None:
    parts = [{"description": "same"} for _ in range(20)]

    async def script(request: Request) -> Any:
        if request.facts.task == "same":
            await asyncio.sleep(0.2)
            return None
        return {"decision": "RECURSE", "sub_tasks": parts} if request.mode == "planner" else None

    model = ScriptedModel(script, stream=stream, chunk=50)
    output = await AsyncRecursiveEngine(model).solve("t")

    assert [request.facts.task for request in model.requests].count("same") == 1
    assert output.content == "t: " + "; ".join(["answer to: same"] * 20)
    assert output.usage.calls == model.calls == 3


async def test_equal_requests_with_other_tools_are_two_calls() -> None:
    def one() -> str:
        """One."""
        return "1"

    def two() -> str:
        """Two."""
        return "2"

    model = ScriptedModel(lambda r: r.tools[0]["name"] if r.mode == "worker" else None, latency=0.01)
    parts = [{"description": "same", "assigned_agent": name} for name in ("a", "b")]
    planner = ScriptedModel(
        lambda r: (
            {"decision": "RECURSE", "sub_tasks": parts}
            if r.mode == "planner" and r.facts.task == "t"
            else {"decision": "EXECUTE"}
            if r.mode == "planner"
            else None
        ),
        name="planner",
    )
    agents = {"planner": planner, "a": Agent("a", model, tools=[one]), "b": Agent("b", model, tools=[two])}
    output = await AsyncRecursiveEngine(planner, agents).solve("t")

    assert output.content == "t: one; two"


async def test_cancelling_a_run_of_equal_requests_ends_it() -> None:
    parts = [{"description": "same"} for _ in range(20)]
    model = ScriptedModel(
        lambda r: (
            {"decision": "RECURSE", "sub_tasks": parts}
            if r.mode == "planner" and r.facts.task == "t"
            else asyncio.sleep(3600)
        )
    )
    run = AsyncRecursiveEngine(model).start("t")
    async with asyncio.timeout(HANG):
        while len(model.requests) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await run.cancel()

    assert len(model.requests) == 2, "nobody takes over when all are cancelled"
    assert others() == set()


async def test_a_failure_of_a_shared_request_names_each_node_that_waited() -> None:
    parts = [{"description": "same"} for _ in range(3)]
    model = ScriptedModel(
        lambda r: {"decision": "RECURSE", "sub_tasks": parts} if r.mode == "planner" and r.facts.task == "t" else None,
        latency=0.01,
        faults=[Fault("same", error=ModelError("down"), times=None)],
    )
    with pytest.raises(Exception, match=r"\[0\.0\] down \(3 times, also in 0\.1, 0\.2\)"):
        await AsyncRecursiveEngine(model).solve("t")
