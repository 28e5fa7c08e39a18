"""Within which limits tasks are split, and how deep a tree may be."""

# ruff: noqa: ASYNC110

import asyncio
import sys
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    ExecutionError,
    MaxStepsError,
    ModelError,
    RecursionDepthError,
    ScriptedModel,
)
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.ports import Request
from tests.support.amounts import few_or_many
from tests.support.tasks import others
from tests.support.trip import asked, endless, planned, split, states


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_no_node_is_deeper_than_max_depth_allows(depth: int) -> None:
    output = await AsyncRecursiveEngine(model := endless(), max_depth=depth, max_steps=1000).solve("t")

    assert max(node.depth for node in output.run.tree) == depth - 1
    assert len(output.run.tree) == 2**depth - 1
    deepest = [node for node in output.run.tree if node.depth == depth - 1]
    assert {node.limited for node in deepest} == {"max_depth"}
    assert len(asked(model, "planner")) == 2 ** (depth - 1) - 1, "a node that may not split is not planned"
    assert output.metadata["limited"] is True


async def test_with_max_depth_1_the_root_is_executed_by_one_call() -> None:
    output = await AsyncRecursiveEngine(model := endless(), max_depth=1).solve("t")

    assert (output.content, [request.mode for request in model.requests]) == ("<t>", ["worker"])


async def test_a_split_beyond_max_steps_is_executed_instead() -> None:
    model = planned(t=split("a", "b"), a=split("a1", "a2", "a3"), b=split("b1"))
    output = await AsyncRecursiveEngine(model, max_steps=4, max_concurrency=1).solve("t")
    tree = output.run.tree

    assert len(tree) == 4
    assert (tree["0.0"].limited, tree["0.0"].decision) == ("max_steps", "EXECUTE")
    assert tree["0.1"].limited == ""
    assert output.metadata["steps"] == 4


async def test_beyond_max_depth_with_raise_the_planner_is_called_and_results_are_recorded() -> None:
    journal = MemoryJournal()
    model = planned(t=split("easy", "hard"), hard=split("x", "y"))
    engine = AsyncRecursiveEngine(model, max_depth=2, on_limit="raise")
    with pytest.raises(RecursionDepthError, match=r"node 0\.1 .*max_depth=2.*raise max_depth") as error:
        await engine.solve("t", checkpoint=journal)
    run = error.value.run

    assert states(run) == {"0": "cancelled", "0.0": "done", "0.1": "cancelled"}
    asked_before = model.calls
    output = await engine.replaced(max_depth=3).solve("t", checkpoint=journal)
    assert len(output.run.tree) == 5
    assert asked(model).count("easy") == 1
    assert asked(model)[asked_before:] == ["x", "y", "hard", "t"], "the plan that went too deep was kept"


async def test_beyond_max_steps_with_raise_the_run_ends_and_siblings_finish() -> None:
    model = planned(t=split("a", "b"), a=split("a1", "a2", "a3"))
    with pytest.raises(MaxStepsError, match=r"node 0\.0 wants 3 sub-tasks.*max_steps=4.*raise max_steps") as error:
        await AsyncRecursiveEngine(model, max_steps=4, on_limit="raise").solve("t")

    assert states(error.value.run)["0.1"] == "done"


async def test_a_leaf_at_the_limit_does_not_raise() -> None:
    output = await AsyncRecursiveEngine(ScriptedModel(), max_depth=1, on_limit="raise").solve("t")

    assert output.content == "answer to: t"


@few_or_many(1_100, 2_000)
async def test_a_chain_deeper_than_the_stack_ends(amount: int) -> None:
    def answer(request: Request) -> Any:
        depth = request.facts.depth
        return split(f"level {depth + 1}") if request.mode == "planner" and depth < amount - 1 else "bottom"

    before = sys.getrecursionlimit()
    assert amount > before
    output = await AsyncRecursiveEngine(ScriptedModel(answer), max_depth=amount, max_steps=amount).solve("level 0")

    assert (len(output.run.tree), output.metadata["depth"]) == (amount, amount - 1)
    assert output.content == "bottom"
    assert sys.getrecursionlimit() == before


async def test_a_failure_in_a_deep_chain_is_reported_once_and_a_cancelled_chain_leaves_no_task() -> None:
    def answer(request: Request) -> Any:
        depth = request.facts.depth
        if request.mode == "planner" and depth < 499:
            return split(f"level {depth + 1}")
        raise ModelError("the bottom is missing")

    engine = AsyncRecursiveEngine(ScriptedModel(answer), max_depth=500, max_steps=500)
    with pytest.raises(ExecutionError) as error:
        await engine.solve("level 0")
    assert str(error.value).count("the bottom is missing") == 1
    assert len(str(error.value)) < 3000

    run = engine.replaced(llm=ScriptedModel(lambda r: answer(r) if r.facts.depth < 499 else asyncio.sleep(60))).start(
        "level 0"
    )
    while len(run.tree) < 500:
        await asyncio.sleep(0.001)
    await run.cancel()
    assert others() == set()
    assert {str(node.state) for node in run.tree} == {"cancelled"}
