"""Priorities: the call with the longest remaining path goes first, as far as plans show."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.core.plan import plan_from_json


def split(*parts: dict[str, Any], joining: Any = None) -> str:
    return json.dumps({"decision": "RECURSE", "joining": joining, "sub_tasks": parts})


class Planner:
    """Splits the root into these sub-tasks, answers them, and records the order of its requests."""

    def __init__(self, *parts: dict[str, Any]) -> None:
        self.parts = parts
        self.asked: list[str] = []

    async def __call__(self, inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
        if context["mode"] == "synthesizer":
            return {"content": "joined"}
        if context["depth"] == 0:
            return {"content": split(*self.parts)}
        self.asked.append(context["task"])
        return {"content": json.dumps({"decision": "EXECUTE", "answer": "done"})}


async def order(*parts: dict[str, Any]) -> list[str]:
    planner = Planner(*parts)
    await AsyncRecursiveEngine(planner, max_concurrency=1).solve("t")
    return planner.asked


async def test_long_work_goes_first_and_facts_last() -> None:
    parts = [{"task": "fact", "effort": 1}, {"task": "some", "effort": 3}, {"task": "long", "effort": 5}]

    assert await order(*parts) == ["long", "some", "fact"]
    assert await order(*({"task": part["task"]} for part in parts)) == ["fact", "some", "long"], "else in plan order"


async def test_dependencies_of_long_work_precede_a_longer_single_task() -> None:
    needed = {"task": "needed", "effort": 1}
    waits = {"task": "long", "effort": 5, "depends_on": [1]}

    assert await order({"task": "some", "effort": 4}, needed, waits) == ["needed", "long", "some"]


@pytest.mark.parametrize("streams", [False, True])
async def test_sub_tasks_of_a_long_synthesis_go_first(streams: bool) -> None:
    plans = {
        "root": split({"task": "table"}, {"task": "report"}),
        "table": split(*({"task": f"table {number}"} for number in range(4)), joining=1),
        "report": split(*({"task": f"report {number}"} for number in range(4)), joining=5),
    }
    begun: list[str] = []

    async def said(context: dict[str, Any]) -> str:
        if context["mode"] == "synthesizer":
            return f"joined {context['task']}"
        if context["depth"] < 2:
            return plans[context["task"]]
        begun.append(context["task"])
        await asyncio.sleep(0.01)
        return json.dumps({"decision": "EXECUTE", "answer": "done"})

    async def whole(inputs: list[Any], context: dict[str, Any]) -> Any:
        return await said(context)

    async def pieces(inputs: list[Any], context: dict[str, Any]) -> AsyncIterator[str]:
        text = await said(context)
        for at in range(0, len(text), 5):
            yield text[at : at + 5]
            await asyncio.sleep(0)

    await AsyncRecursiveEngine(pieces if streams else whole, max_concurrency=2).solve("root")

    assert begun[-2:] == ["table 2", "table 3"]


@pytest.mark.parametrize("efforts", [(5, 1), (None, None), (99, "x")])
async def test_efforts_enter_no_key(efforts: tuple[Any, Any]) -> None:
    journal = MemoryJournal()
    tasks = [{"task": "a", "effort": 1}, {"task": "b", "effort": 2}]
    first = await AsyncRecursiveEngine(Planner(*tasks)).solve("t", checkpoint=journal)
    other = Planner(*({"task": part["task"], "effort": effort} for part, effort in zip(tasks, efforts, strict=True)))
    fresh = await AsyncRecursiveEngine(other).solve("t")
    keys = [[(node.plan_key, node.result_key) for node in each.run.tree] for each in (first, fresh)]
    assert keys[0] == keys[1]

    edited = await fresh.run.edit("0", plan=plan_from_json({"decision": "RECURSE", "sub_tasks": tasks}))
    assert edited.run.calls == 0, "the same parts in another order of urgency ask nobody"
