"""The budget: what is reserved is released, and what is spent ends the run; splits wait for their turn."""

import asyncio
import json
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, BudgetExceededError, ScriptedModel
from rlm_notebook.core.limits import Budget, Usage
from rlm_notebook.ports import Request
from rlm_notebook.runtime.budget import BudgetMeter, OverBudget
from rlm_notebook.runtime.scheduler import SplitGate
from tests.support.waiting import HANG

TEN = Usage(prompt_tokens=10, cost_usd=0.1)
UNKNOWN = Usage(prompt_tokens=10, cost_usd=None)


async def test_a_call_that_does_not_fit_waits_while_others_may_need_less_than_reserved() -> None:
    meter = BudgetMeter(Budget(tokens=15), Usage())
    await meter.reserve(TEN)
    second = asyncio.create_task(meter.reserve(TEN))
    await asyncio.sleep(0)
    assert not second.done()
    meter.settle(TEN, Usage(prompt_tokens=5))
    await asyncio.wait_for(second, HANG)

    assert meter.spent == Usage(prompt_tokens=5, calls=2)


async def test_when_nothing_is_under_way_that_could_help_it_is_refused() -> None:
    meter = BudgetMeter(Budget(tokens=15), Usage())
    await meter.reserve(TEN)
    second = asyncio.create_task(meter.reserve(TEN))
    await asyncio.sleep(0)
    meter.settle(TEN, TEN)
    with pytest.raises(OverBudget) as error:
        await second

    assert (error.value.name, error.value.used, error.value.limit) == ("tokens", 10, 15)
    assert meter.spent.calls == 1, "what was refused was not called"


async def test_calls_are_counted_when_they_begin() -> None:
    meter = BudgetMeter(Budget(calls=1), Usage())
    await meter.reserve(Usage())
    with pytest.raises(OverBudget, match="calls"):
        await meter.reserve(Usage())


async def test_usage_of_earlier_executions_counts() -> None:
    with pytest.raises(OverBudget):
        await BudgetMeter(Budget(usd=1.0), Usage(cost_usd=0.95)).reserve(TEN)


async def test_an_unknown_cost_does_not_wipe_out_the_known_ones() -> None:
    meter = BudgetMeter(Budget(usd=0.25), Usage())
    for used in (TEN, UNKNOWN, TEN):
        await meter.reserve(used)
        meter.settle(used, used)

    assert meter.total.cost_usd is None, "the whole is not known"
    with pytest.raises(OverBudget) as error:
        await meter.reserve(TEN)
    assert error.value.used == pytest.approx(0.2)


async def test_a_quick_model_has_its_tree_worked_off_branch_by_branch() -> None:
    alive, most = 0, 0

    def watch(event: Any) -> None:
        nonlocal alive, most
        alive += {"NodeCreated": 1, "Finished": -1}.get(type(event).__name__, 0)
        most = max(most, alive)

    async def model(inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
        if context["mode"] == "synthesizer":
            return {"content": "joined"}
        if context["depth"] == 3:
            return {"content": json.dumps({"decision": "EXECUTE", "answer": "done"})}
        parts = [f"{context['task_id']}.{number}" for number in range(10)]
        return {"content": json.dumps({"decision": "RECURSE", "sub_tasks": parts})}

    engine = AsyncRecursiveEngine(model, max_steps=2000, max_concurrency=2000, observers=[watch])
    output = await engine.solve("t")

    assert output.metadata["steps"] == 1111
    assert most < 500, "level by level, all thousand leaves would be there at the same time"


async def test_a_cancelled_split_delays_no_other() -> None:
    splits = SplitGate()
    assert splits.acquire(1, 1000) is None, "the first goes ahead, however large"
    given_up, shallow, deep = (splits.acquire(depth, 1000) for depth in (9, 2, 3))
    assert given_up is not None
    assert shallow is not None
    assert deep is not None
    given_up.cancel()

    async with asyncio.timeout(HANG):
        await deep
        assert not shallow.done()
        await shallow


async def test_a_cancelled_waiter_holds_no_reservation() -> None:
    meter = BudgetMeter(Budget(tokens=10), Usage())
    await meter.reserve(TEN)
    second = asyncio.create_task(meter.reserve(TEN))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    meter.settle(TEN, Usage())

    await asyncio.wait_for(meter.reserve(TEN), HANG)
    assert meter.spent.calls == 2


@pytest.mark.parametrize(
    "budget", [Budget(calls=40), Budget(tokens=15_000), Budget(usd=1.2)], ids=["calls", "tokens", "dollars"]
)
async def test_a_budget_that_ends_early_leaves_answers_and_not_plans_alone(budget: Budget) -> None:
    """Planned and answered by different agents, a hundred parts would spend it all on their plans."""

    def say(request: Request) -> Any:
        if request.mode == "planner" and request.facts.depth == 0:
            return {"decision": "RECURSE", "sub_tasks": [f"part {n}" for n in range(100)]}
        return {"decision": "EXECUTE"} if request.mode == "planner" else "said " * 50

    model = ScriptedModel(say, price=(100.0, 100.0), latency=0.002)
    engine = AsyncRecursiveEngine(model, budget=budget, max_steps=200, max_concurrency=8)
    with pytest.raises(BudgetExceededError) as caught:
        await engine.solve("all of it")

    run = caught.value.run
    finished = [node for node in run.tree if node.state == "done"]
    assert len(finished) >= 5
    assert "said" in run.partial().content
    assert "said" in (await run.synthesize_anyway()).content


async def test_what_is_held_for_a_node_is_spent_by_it_alone_and_last() -> None:
    meter = BudgetMeter(Budget(calls=3, tokens=40), Usage())
    assert meter.hold("0", TEN)
    assert meter.left == {"calls": 2, "tokens": 30, "dollars": None}
    assert not meter.hold("0", Usage(prompt_tokens=41)), "what was held stays"

    assert meter.reserve_now(TEN, "0") is None
    assert meter.left["calls"] == 1, "what was held is still there"
    assert meter.reserve_now(TEN, "0.0") is None
    with pytest.raises(OverBudget) as error:
        meter.reserve_now(TEN, "0.1")
    assert (error.value.used, error.value.kept) == (2, 1)
    assert meter.reserve_now(TEN, "0") is None
    assert meter.left == {"calls": 0, "tokens": 10, "dollars": None}
    meter.let_go("0")
    assert meter.left["calls"] == 0
