"""A task is executed or split, and what its parts gave is joined."""

import asyncio
from typing import Any

import pytest

from rlm_notebook import (
    Agent,
    AsyncRecursiveEngine,
    RLMContext,
    ScriptedModel,
)
from rlm_notebook.ports import Request
from tests.support.trip import TRIP, planned, split, states


async def test_a_task_is_planned_split_solved_and_joined() -> None:
    output = await AsyncRecursiveEngine(ScriptedModel(TRIP)).solve("trip")

    assert output.content == "trip: at 9; downtown; food: soup; stew"
    assert states(output.run) == dict.fromkeys(["0", "0.0", "0.1", "0.2", "0.2.0", "0.2.1"], "done")


async def test_a_leaf_is_one_call_when_the_planner_answers_in_the_same_reply() -> None:
    model = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(model).solve("trip")
    leaves, internal = 4, 2

    assert model.calls == output.metadata["calls"] == 2 * internal + leaves


@pytest.mark.parametrize(
    "kind",
    [
        {"instructions": "Be brief."},
        {"temperature": 0.2},
        {"tools": [lambda: "x"]},
        {"model": ScriptedModel(name="m2")},
    ],
    ids=["instructions", "temperature", "tools", "model"],
)
async def test_the_planners_own_answer_is_not_used_for_an_agent_that_would_answer_otherwise(
    kind: dict[str, Any],
) -> None:
    model = ScriptedModel({"t": {"part": "by the planner"}})
    writer = Agent("writer", **{"model": model, **kind})
    plan = split({"description": "part", "assigned_agent": "writer"})
    planner = ScriptedModel(lambda r: plan if r.facts.task == "t" and r.mode == "planner" else None, name="scripted")
    output = await AsyncRecursiveEngine(planner, {"planner": planner, "writer": writer}).solve("t")

    assert "worker" in [r.mode for r in (*model.requests, *planner.requests, *getattr(writer.model, "requests", []))]
    assert output.run.tree["0.0"].agent == "writer"


async def test_the_engines_own_temperature_and_tools_ask_the_worker_too() -> None:
    for options in ({"temperature": 0.5}, {"tools": [lambda: "x"]}):
        model = ScriptedModel({"t": "answer"})
        if "tools" in options:
            options["tools"][0].__name__ = "look"  # type: ignore[index]
        await AsyncRecursiveEngine(model, **options).solve("t")  # type: ignore[arg-type]
        assert [request.mode for request in model.requests] == ["planner", "worker"]


async def test_results_are_joined_in_the_order_of_the_plan_whatever_ends_first() -> None:
    async def late(request: Request) -> str:
        await asyncio.sleep(0.02)
        return "first"

    model = ScriptedModel({"t": {"a": late, "b": "second", "c": "third"}})
    output = await AsyncRecursiveEngine(model).solve("t")

    assert output.content == "t: first; second; third"


async def test_a_part_that_restates_an_ancestor_is_executed_and_not_split() -> None:
    def restating(request: Request) -> Any:
        return split("  TASK, one! ", "task two") if request.mode == "planner" else None

    output = await AsyncRecursiveEngine(ScriptedModel(restating), max_depth=3, max_steps=9).solve("Task one")

    assert output.run.tree["0.0"].limited == "restates an ancestor"
    assert output.run.tree["0.0"].decision == "EXECUTE"
    assert output.run.tree["0.1"].decision == "RECURSE"


async def test_prompts_hold_the_goal_the_way_down_and_what_a_node_depends_on() -> None:
    model = planned(
        goal=split("first", {"description": "second", "depends_on": [0]}), second=split("deep one", "deep two")
    )
    await AsyncRecursiveEngine(model).solve("goal")
    deep = next(r for r in model.requests if r.facts.task == "deep one")
    second = [r for r in model.requests if r.facts.task == "second"]

    assert deep.facts.breadcrumbs == ("goal", "second")
    assert "goal" in deep.messages[1]["content"]
    assert "second" in deep.messages[1]["content"]
    assert len(second) == 2, "planned and synthesised"
    assert all("answer to: first" in request.messages[1]["content"] for request in second)


async def test_an_outer_context_is_shown_to_every_prompt() -> None:
    model = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(model).solve("trip", context=RLMContext(breadcrumbs=("the summer",)))
    assert output.metadata["breadcrumbs"] == ["the summer"]

    assert all(request.facts.breadcrumbs[0] == request.facts.goal == "the summer" for request in model.requests)
