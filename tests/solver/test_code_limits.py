"""Limits hold whatever the code of a cell does: endless loops, recursion, huge batches, errors that it catches."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    CodeSandbox,
    ExecutionError,
    LimitError,
    MaxStepsError,
    Request,
    Run,
    ScriptedModel,
)
from tests.support.amounts import few_or_many
from tests.support.coding import fenced
from tests.support.waiting import HANG, until

pytest.importorskip("pydantic_monty")

#: What hostile programs are made of.
PIECES = [
    """
while True:
    try:
        llm_query('again')
    except Exception:
        pass""",
    """
for i in range(100000):
    try:
        llm_query('q' + str(i))
    except BaseException:
        pass""",
    """
try:
    r = llm_query_batched(['b' + str(i) for i in range(100000)])
except Exception:
    r = []""",
    """
try:
    rlm_query_batched(['t' + str(i) for i in range(1000)], on_failure='raise')
except Exception as e:
    print(e)""",
    """
def f(n):
    try:
        return rlm_query('deeper ' + str(n))
    except Exception:
        return f(n + 1)
try:
    f(0)
except BaseException:
    pass""",
    """
while True:
    pass""",
    """
try:
    1 / 0
except Exception:
    x = llm_query_batched(['e' + str(i) for i in range(300)])""",
    """
for i in range(50):
    try:
        work(str(i))
        rlm_query('after ' + str(i))
    except Exception:
        pass""",
    """
left = budget()
while left['steps'] != 0:
    try:
        llm_query(str(left))
    except Exception:
        break
    left = budget()""",
    """
try:
    for i in range(10):
        llm_query('f' + str(i))
finally:
    try:
        llm_query_batched(['g'] * 5000)
    except Exception:
        pass""",
]


def hostile(choose: random.Random) -> list[str]:
    cells = ["".join(choose.sample(PIECES, choose.randrange(1, 3))) for _ in range(choose.randrange(1, 4))]
    return [*cells, choose.choice(["FINAL('done')", "print('never')"])]


def model(cells: list[str], latency: float) -> ScriptedModel:
    def say(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "PROGRAM" if request.facts.depth < 3 else "EXECUTE"}
        if request.mode == "coder":
            written = sum(message["role"] == "assistant" for message in request.messages)
            return fenced(cells[min(written, len(cells) - 1)])
        return "answered"

    return ScriptedModel(say, latency=latency, price=(1.0, 1.0))


def work(piece: str) -> str:
    """Work on a piece."""
    return piece


@pytest.mark.timeout(1800)
@few_or_many(2, 50, 200)
async def test_no_program_exceeds_a_limit(amount: int) -> None:
    for seed in range(amount):
        await no_program_exceeds_a_limit(random.Random(seed))


async def no_program_exceeds_a_limit(choose: random.Random) -> None:
    kind = choose.choice(["calls", "tokens", "usd", "seconds", "none"])
    steps, depth = choose.choice([3, 10, 40]), choose.choice([2, 3, 4])
    budget = {
        "calls": Budget(calls=choose.randrange(1, 12)),
        "tokens": Budget(tokens=choose.choice([3_000, 6_000, 20_000])),
        "usd": Budget(usd=choose.choice([0.004, 0.02])),
        "seconds": Budget(seconds=1.0),
        "none": Budget(),
    }[kind]
    asked = model(hostile(choose), 0.005)
    engine = AsyncRecursiveEngine(
        asked,
        tools=[work],
        budget=budget,
        max_steps=steps,
        max_depth=depth,
        on_limit=choose.choice(["execute", "raise"]),
        code=CodeSandbox(when="root", cell_seconds=0.3, max_cells=4),
    )
    run = engine.start("Go")
    async with asyncio.timeout(HANG):
        with contextlib.suppress(LimitError, ExecutionError):
            await run

    living = [node for node in run.tree if node.state != "superseded"]
    assert len(living) <= steps
    assert max(node.depth for node in living) < depth
    assert run.usage.calls == asked.calls
    if budget.calls is not None:
        assert asked.calls <= budget.calls
    if budget.tokens is not None:
        assert run.usage.total_tokens <= budget.tokens
    if budget.usd is not None:
        assert (run.usage.cost_usd or 0.0) <= budget.usd
    assert all(node.state.final for node in run.tree), "nothing is left running"


@pytest.mark.parametrize("act", ["cancel", "pause"])
async def test_a_busy_cell_can_be_cancelled_and_paused(act: str) -> None:
    engine = AsyncRecursiveEngine(
        model(["llm_query('begun')\nwhile True:\n    pass"], 0.0), code=CodeSandbox(when="root", cell_seconds=HANG)
    )
    run: Run = engine.start("Go")
    await until(lambda: "0.0" in run.tree and run.tree["0.0"].state == "done")
    if act == "pause":
        run.pause()
        assert run.status == "paused"
    async with asyncio.timeout(HANG / 2):
        await run.cancel()

    assert run.status == "cancelled"


async def test_the_next_run_works_after_a_busy_one_was_cancelled() -> None:
    await test_a_busy_cell_can_be_cancelled_and_paused("cancel")
    output = await AsyncRecursiveEngine(model(["FINAL(llm_query('x'))"], 0.0), code="root").solve("Go")

    assert output.content == "answered"


async def test_an_answer_without_all_of_its_queries_says_which_option_allows_them() -> None:
    code = "FINAL(str(len([a for a in llm_query_batched(['a', 'b', 'c', 'd']) if a == 'answered'])))"
    output = await AsyncRecursiveEngine(model([code], 0.0), code="root", max_steps=3).solve("Go")

    assert output.content == "2"
    said = "limited: 2 sub-queries were not made because of max_steps=3 (raise --max-steps)"
    assert output.run.tree["0"].remark == said
    assert said[:60] in str(output.run)
    with pytest.raises(MaxStepsError, match="raise max_steps \\(--max-steps in a cell\\)"):
        await AsyncRecursiveEngine(model([code], 0.0), code="root", max_steps=3, on_limit="raise").solve("Go")


@pytest.mark.parametrize("calls", range(2, 9))
async def test_what_sub_queries_ask_in_turn_leaves_the_answer_its_call(calls: int) -> None:
    def say(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "RECURSE", "sub_tasks": ["a", "b"]} if request.facts.depth == 1 else "EXECUTE"
        if request.mode == "coder":
            return fenced("print(rlm_query_batched(['a large one', 'another']))")
        return "from the cells" if "No further cell" in request.messages[-1]["content"] else "answered"

    asked = ScriptedModel(say)
    engine = AsyncRecursiveEngine(asked, code="root", budget=Budget(calls=calls), max_depth=4)
    output = await engine.solve("Go")

    assert output.content == "from the cells"
    assert asked.calls == output.run.usage.calls == calls


async def test_a_recorded_cell_runs_again_within_a_budget_that_is_nearly_spent(tmp_path: Path) -> None:
    fails = [True]

    def say(request: Request) -> Any:
        if request.mode != "coder":
            return "from the cells" if "No further cell" in request.messages[-1]["content"] else "answered"
        if any(message["role"] == "assistant" for message in request.messages) and fails.pop():
            raise RuntimeError("the model is gone")
        return fenced("print(llm_query_batched(['a', 'b', 'c', 'd', 'e']))")

    def run() -> Run:
        engine = AsyncRecursiveEngine(ScriptedModel(say), code="root", budget=Budget(calls=8), retry=None)
        return engine.start("Go", checkpoint=tmp_path / "run.json")

    with pytest.raises(ExecutionError):
        await run()
    resumed = run()
    output = await resumed

    assert output.content == "from the cells"
    assert output.usage.calls == 8
    assert [cell.note for cell in resumed.tree["0"].cells] == [""]
    assert resumed.tree["0"].cells[0].output.count("answered") == 5
