"""Code nodes over records: what is reused as a whole, what runs again, what is written anew."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from rlm_notebook import AsyncRecursiveEngine, CodeSandbox, Fault, ModelError, Request, ScriptedModel
from rlm_notebook.sandbox.fake import FakeSandbox
from tests.support.coding import code_engine, coder, fenced
from tests.support.waiting import HANG, until


async def test_a_failed_sub_query_that_code_dealt_with_is_not_tried_again(tmp_path: Path) -> None:
    faults = [Fault("bad", error=ModelError("no"), times=None)]
    cells = ["r = llm_query_batched(['good', 'bad'])", "FINAL(r[0])"]
    model, path = coder(cells, faults=faults), tmp_path / "run.json"
    engine = code_engine(model, retry=None)
    await engine.solve("Go", checkpoint=path)
    before = model.calls

    output = await engine.solve("Go", checkpoint=path)

    assert (output.content, model.calls) == ("GOOD", before)
    assert output.run.tree["0.1"].state == "failed"


async def test_a_changed_variable_has_the_later_cells_written_anew(tmp_path: Path) -> None:
    def say(request: Request) -> Any:
        if request.mode != "coder":
            return request.facts.task.upper()
        seen = [message["content"] for message in request.messages if message["role"] == "user"][1:]
        return fenced(
            ["print(text[:3])", f"FINAL(llm_query({seen[-1].split()[-1]!r}) + text[-1])" if seen else ""][len(seen)]
        )

    model, path = ScriptedModel(say), tmp_path / "run.json"
    engine = code_engine(model)
    first = await engine.solve("Go", variables={"text": "one A"}, checkpoint=path)
    before = model.calls
    # A change that the first cell does not show: its reply is reused, and the answer is computed anew.
    second = await engine.solve("Go", variables={"text": "one B"}, checkpoint=path)
    calls_of_second = model.calls - before
    third = await engine.solve("Go", variables={"text": "two C"}, checkpoint=path)

    assert [first.content, second.content, third.content] == ["ONEA", "ONEB", "TWOC"]
    assert calls_of_second == 0
    assert [cell.code for cell in third.run.tree["0"].cells][-1] == "FINAL(llm_query('two') + text[-1])"


async def test_a_code_node_below_others_is_reused_as_a_whole(tmp_path: Path) -> None:
    stopping = asyncio.Event()

    async def say(request: Request) -> Any:
        task = request.facts.task
        if request.mode == "planner":
            decisions = {"Go": "RECURSE", "count": "PROGRAM"}
            parts = ["count", "slow"] if task == "Go" else []
            return {"decision": decisions.get(task, "EXECUTE"), "sub_tasks": parts}
        if request.mode == "coder":
            return fenced("print('x')\nFINAL(llm_query('one') + rlm_query('two'))")
        if task == "slow" and not stopping.is_set():
            stopping.set()
            await asyncio.sleep(HANG)
        return f"<{task}>"

    sandbox, path = FakeSandbox(), tmp_path / "run.json"
    model = ScriptedModel(say)
    engine = AsyncRecursiveEngine(model, code=CodeSandbox(kind=sandbox))
    run = engine.start("Go", checkpoint=path)
    async with asyncio.timeout(HANG):
        await stopping.wait()
        await until(lambda: run.tree["0.0"].state == "done")
        await run.cancel()
    sessions, before = sandbox.sessions, model.calls

    output = await engine.solve("Go", checkpoint=path)

    tree = output.run.tree
    assert sandbox.sessions == sessions == 1, "no cell ran again"
    assert [request.facts.task for request in model.requests[before:]] == ["slow", "Go"]
    assert (tree["0.0"].result, tree["0.0"].mark) == ("<one><two>", "replayed")
    assert [cell.output for cell in tree["0.0"].cells] == ["x\n"]
    assert [child.query for child in tree.children("0.0")] == ["llm_query", "rlm_query"]
    assert output.run.usage.calls == model.calls


async def test_an_edited_sub_query_runs_the_cells_again(tmp_path: Path) -> None:
    model = coder(["x = llm_query('one')\nprint(x)", "FINAL(x + llm_query('two'))"])
    engine = code_engine(model)
    first = await engine.solve("Go")
    before = model.calls

    output = await first.run.edit("0.0", result="other")

    assert output.content == "otherTWO"
    # What the first cell printed has changed, so the second is written anew; "two" is recalled.
    assert [request.mode for request in model.requests[before:]] == ["coder"]


async def test_a_plan_to_program_waits_for_approval() -> None:
    engine = AsyncRecursiveEngine(
        coder(["FINAL('done')"]), code=CodeSandbox(kind=FakeSandbox(), when="root"), approve=True
    )
    run = engine.start("Go")
    await until(lambda: "0" in run.awaiting)
    assert run.calls == 0
    run.approve("0")
    assert (await run).content == "done"

    run = engine.start("Go")
    await until(lambda: "0" in run.awaiting)
    run.approve("0", {"decision": "EXECUTE"})
    assert (await run).content == "GO"


async def test_sub_queries_go_to_the_agent_that_is_named() -> None:
    other = ScriptedModel(lambda request: f"other: {request.facts.task}")
    cells = ["FINAL(llm_query('one', agent='other') + ' ' + llm_query('two'))"]
    model = coder(cells)
    output = await code_engine(model, agents={"planner": model, "other": other}).solve("Go")

    assert output.content == "other: one TWO"


async def test_a_sub_query_sees_its_prompt_and_nothing_of_the_run() -> None:
    model = coder(["FINAL(llm_query('only this'))"])
    await code_engine(model).solve("The goal", variables={"text": "whole"})

    asked = next(request for request in model.requests if request.mode == "worker")
    assert asked.messages[-1]["content"] == "only this"
    assert "The goal" not in str(asked.messages)
    assert asked.tools == ()
