"""The prediction of a dry run, checked against runs that really happen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from rlm_notebook import Agent, AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.core.content import ANSWER_TOKENS
from rlm_notebook.core.cost_estimate import Estimate, estimated
from rlm_notebook.core.limits import Usage
from rlm_notebook.core.plan import Execute, Plan, PlannedTask, Program, Recurse


def split(parts: int) -> Recurse:
    return Recurse(sub_tasks=tuple(PlannedTask(task=str(number)) for number in range(parts)))


def predicted(
    plan: Plan, max_depth: int, max_steps: int, price: Any = lambda usage: 0.0, *, may_code: bool = False
) -> Estimate:
    return estimated(plan, prompt_tokens=100, max_depth=max_depth, max_steps=max_steps, price=price, may_code=may_code)


async def calls_of(parts: int, max_depth: int, max_steps: int, *, again: bool, separate: int = 0) -> int:
    """Of a run whose root splits into so many parts, and whose parts split again or answer.

    The first `separate` parts of each split are for an agent of their own.
    """

    def answer(request: Any) -> Any:
        facts = request.facts
        if request.mode == "planner" and (again or facts.depth == 0):
            agents = ["other"] * separate + [None] * (parts - separate)
            tasks = [{"task": f"{facts.task}.{number}", "agent": agent} for number, agent in enumerate(agents)]
            return {"decision": "RECURSE", "sub_tasks": tasks}
        return {"decision": "EXECUTE", "answer": "x"} if request.mode == "planner" else "x"

    model = ScriptedModel(answer)
    agents = {"planner": model, "other": Agent("other", model, instructions="Be brief.")}
    await AsyncRecursiveEngine(model, agents=agents, max_depth=max_depth, max_steps=max_steps).solve("t")
    return model.calls


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("max_depth", [2, 3, 4, 6])
async def test_the_least_is_what_a_flat_run_takes(parts: int, max_depth: int) -> None:
    assert predicted(split(parts), max_depth, 50).least.calls + 1 == await calls_of(parts, max_depth, 50, again=False)


@pytest.mark.parametrize("separate", [1, 3])
@pytest.mark.parametrize("max_depth", [2, 3, 4])
async def test_parts_of_agents_of_their_own_take_a_call_for_the_plan_and_one_for_the_answer(
    separate: int, max_depth: int
) -> None:
    found = estimated(
        split(3), prompt_tokens=100, max_depth=max_depth, max_steps=50, price=lambda usage: 0.0, separate=separate
    )
    assert found.least.calls + 1 == await calls_of(3, max_depth, 50, again=False, separate=separate)
    assert found.least.calls <= found.most.calls
    assert ("two where the planner cannot answer itself" in str(found)) is (max_depth > 2)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("max_depth", [2, 3, 4])
async def test_the_most_is_what_a_run_takes_that_splits_wherever_it_may(parts: int, max_depth: int) -> None:
    room = sum(parts**depth for depth in range(max_depth))
    most = predicted(split(parts), max_depth, room).most.calls
    assert most + 1 == await calls_of(parts, max_depth, room, again=True)


@pytest.mark.parametrize("max_steps", [4, 10, 17])
async def test_a_limit_of_steps_bounds_the_most(max_steps: int) -> None:
    """What does not fit is executed after it was planned, so a planned answer may take one call more."""
    most = predicted(split(3), 5, max_steps).most
    real = await calls_of(3, 5, max_steps, again=True)
    nodes = max_steps - (max_steps - 1) % 3
    assert most.calls + 1 <= real <= most.calls + 1 + nodes


def test_an_answer_is_one_call_or_none() -> None:
    assert predicted(Execute(), 5, 50).most.calls == 1
    assert predicted(Execute(), 5, 50).least.calls == 1
    assert predicted(Execute(answer="x"), 5, 50).most.calls == 0
    assert "no further call" in str(predicted(Execute(answer="x"), 5, 50))


def test_what_code_does_is_not_predicted() -> None:
    found = str(predicted(Program(), 5, 50))
    assert "unknown: the code decides. At least 1 call" in found
    assert "50 calls" not in found
    assert "may take more" in str(predicted(split(2), 5, 50, may_code=True))
    assert "may take more" not in str(predicted(split(2), 5, 50))


def test_tokens_and_dollars_follow_from_the_assumptions_that_are_shown() -> None:
    found = predicted(split(2), 5, 50, price=lambda usage: usage.prompt_tokens * 1e-6 + usage.completion_tokens * 1e-5)
    assert found.least == Usage(3 * 100 + 2 * ANSWER_TOKENS, 3 * ANSWER_TOKENS, calls=3, cost_usd=found.least.cost_usd)
    assert found.least.cost_usd == pytest.approx(0.0163)
    assert "3 calls, about 2,800 tokens, about $0.0163" in str(found)
    assert "assumed: prompts of 100 tokens" in str(found)


def test_an_unknown_price_is_stated_and_never_zero() -> None:
    found = predicted(split(2), 5, 50, price=lambda usage: None)
    assert found.least.cost_usd is None
    assert "cost unknown" in str(found)


def test_what_is_predicted_never_grows_beyond_the_limits() -> None:
    counted = Counter(predicted(split(3), 9, steps).most.calls <= 2 * steps for steps in range(4, 200))
    assert counted == {True: 196}
