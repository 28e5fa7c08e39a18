"""Whose turn it is, where there are more calls than `max_concurrency` lets go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.turns import Turns


def split(*parts: str | tuple[str, list[int]]) -> dict[str, Any]:
    tasks = [(part, []) if isinstance(part, str) else part for part in parts]
    return {"decision": "RECURSE", "sub_tasks": [{"task": task, "depends_on": after} for task, after in tasks]}


async def order(plans: dict[str, dict[str, Any]]) -> list[str]:
    """The tasks in the order of their calls, one at a time; a synthesis is written "=task"."""
    model = ScriptedModel(lambda request: plans.get(request.facts.task) if request.mode == "planner" else None)
    await AsyncRecursiveEngine(model, max_concurrency=1).solve("t")
    return [("=" if request.mode == "synthesizer" else "") + request.facts.task for request in model.requests]


async def test_who_is_waited_for_goes_before_who_is_not() -> None:
    plans = {"t": split("a", "b", "long", ("then", [2]), ("last", [3]))}
    assert await order(plans) == ["t", "a", "long", "then", "b", "last", "=t"]


async def test_what_a_part_of_a_waited_for_node_does_is_urgent_too() -> None:
    plans = {"t": split("a", "b", "long", ("then", [2])), "long": split("l"), "a": split("x")}
    calls = await order(plans)
    assert calls.index("l") < calls.index("x") < calls.index("b")


async def test_what_a_reply_unlocks_may_go_before_all_that_waits() -> None:
    plans = {"t": split("a", "b", "c"), "a": split("a1")}
    assert await order(plans) == ["t", "a", "a1", "b", "c", "=a", "=t"]


async def test_plans_go_before_syntheses() -> None:
    plans = {"t": split("a", "b"), "a": split("a1"), "b": split("b1")}
    assert await order(plans) == ["t", "a", "a1", "b", "b1", "=a", "=b", "=t"]


async def test_turns_that_come_back_go_to_the_most_urgent_and_none_is_lost() -> None:
    turns, went = Turns(2), list[int]()

    async def call(priority: int) -> None:
        await turns.take(priority)
        went.append(priority)
        await asyncio.sleep(0)
        turns.give_back()

    calls = [asyncio.create_task(call(priority)) for priority in range(6)]
    await asyncio.sleep(0)
    calls[4].cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls[4]
    await asyncio.gather(*(each for each in calls if each is not calls[4]))
    await call(9)
    await call(9)
    assert went == [0, 1, 5, 3, 2, 9, 9]
