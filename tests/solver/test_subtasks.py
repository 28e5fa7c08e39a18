"""Sub-tasks of one node: each a task of its own, in the plan's order, none left behind."""

import asyncio
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ExecutionError, ModelError, ScriptedModel
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Request
from tests.support.tasks import others
from tests.support.waiting import HANG


def split(*parts: Any) -> dict[str, Any]:
    return {"decision": "RECURSE", "sub_tasks": list(parts)}


def planned(plans: dict[str, Any], **options: Any) -> ScriptedModel:
    return ScriptedModel(lambda r: plans.get(r.facts.task) if r.mode == "planner" else None, **options)


async def test_a_diamond_waits_for_both_sides_and_no_longer() -> None:
    begun: list[str] = []

    async def script(request: Request) -> Any:
        task = request.facts.task
        if request.mode == "planner" and task == "t":
            return split(
                "top",
                {"task": "left", "depends_on": [0]},
                {"task": "right", "depends_on": [0]},
                {"task": "bottom", "depends_on": [1, 2]},
                "free",
            )
        begun.append(task)
        await asyncio.sleep(0.02 if task == "left" else 0)
        return None

    output = await AsyncRecursiveEngine(ScriptedModel(script)).solve("t")

    assert begun.index("top") < min(begun.index("left"), begun.index("right"))
    assert begun.index("bottom") > max(begun.index("left"), begun.index("right"))
    assert begun.index("free") < begun.index("left")
    assert [part.split(": ")[-1] for part in output.content.split("; ")] == ["top", "left", "right", "bottom", "free"]


async def test_a_dependent_gets_the_results_in_the_order_of_depends_on() -> None:
    model = planned({"t": split("a", "b", {"task": "c", "depends_on": [1, 0]})})
    await AsyncRecursiveEngine(model).solve("t")
    c = next(request for request in model.requests if request.facts.task == "c")

    assert [part.task for part in c.facts.dependencies] == ["b", "a"]


async def test_a_failure_runs_down_the_dependencies_and_nowhere_else() -> None:
    chain = split("a", {"task": "b", "depends_on": [0]}, {"task": "c", "depends_on": [1]}, "d")
    model = planned({"t": chain}, faults=[Fault("^a$", error=ModelError("no"), times=None)])
    output = await AsyncRecursiveEngine(model, on_failure="synthesize").solve("t")

    assert output.content == (
        "t: (missing: no); (missing: node 0.1 depends on node 0.0, which failed); "
        "(missing: node 0.2 depends on node 0.1, which failed); answer to: d"
    )


async def test_if_every_part_fails_there_is_nothing_to_join() -> None:
    model = planned({"t": split("a", "b")}, faults=[Fault("^[ab]$", error=ModelError("no"), times=None)])
    with pytest.raises(ExecutionError, match="2 of 2 parts failed"):
        await AsyncRecursiveEngine(model, on_failure="synthesize").solve("t")


async def test_a_fatal_error_stops_the_siblings_and_waits_for_their_end() -> None:
    ended: list[str] = []

    async def script(request: Request) -> Any:
        if request.mode == "planner" and request.facts.task == "t":
            return split("bad", *(f"slow {n}" for n in range(5)))
        if request.facts.task == "bad":
            await asyncio.sleep(0.01)
            raise ModelError("revoked", fatal=True)
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ended.append(request.facts.task)

    with pytest.raises(ModelError, match="revoked"):
        await AsyncRecursiveEngine(ScriptedModel(script)).solve("t")

    assert len(ended) == 5
    assert others() == set()


async def test_cancelling_while_it_cancels_still_leaves_nothing() -> None:
    async def script(request: Request) -> Any:
        if request.mode == "planner" and not request.facts.breadcrumbs:
            return split("a", "b")
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)

    run = AsyncRecursiveEngine(ScriptedModel(script)).start("t")
    async with asyncio.timeout(HANG):
        while len(run.tree) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    run.cancel()
    await asyncio.sleep(0.005)
    run.cancel()
    await run.cancel()

    assert others() == set()
    assert {str(node.state) for node in run.tree} == {"cancelled"}


async def test_a_model_may_name_the_task_that_it_is_called_in() -> None:
    async def script(request: Request) -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("a name for a log")
        return split("a", "b", "c") if request.mode == "planner" and request.facts.task == "t" else None

    async with asyncio.timeout(HANG):
        output = await AsyncRecursiveEngine(ScriptedModel(script)).solve("t")

    assert output.metadata["steps"] == 4
