"""Code nodes: cells, their sub-queries as nodes, limits, resume."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    BudgetExceededError,
    CodeSandbox,
    ExecutionError,
    Fault,
    MaxStepsError,
    ModelError,
    Reply,
    Request,
    ScriptedModel,
    ToolError,
    load_run,
    tool,
)
from rlm_notebook.sandbox.fake import FakeSandbox
from tests.support.coding import code_engine, coder, fenced
from tests.support.waiting import HANG, until


async def test_the_sub_queries_of_a_cell_are_nodes_of_the_tree() -> None:
    model = coder(["x = llm_query('one')", "ys = llm_query_batched(['two', 'three'])", "FINAL(', '.join([x, *ys]))"])

    output = await code_engine(model).solve("Go")

    tree = output.run.tree
    assert output.content == "ONE, TWO, THREE"
    assert [(node.id, node.task, node.query) for node in tree][1:] == [
        ("0.0", "one", "llm_query"),
        ("0.1", "two", "llm_query"),
        ("0.2", "three", "llm_query"),
    ]
    assert tree["0"].decision == "PROGRAM"
    assert tree["0"].cells[0].code == "x = llm_query('one')"
    assert output.run.usage.calls == model.calls == 6


async def test_the_coder_sees_what_came_of_its_cells() -> None:
    seen: list[str] = []

    def say(request: Request) -> str:
        seen.append(request.messages[-1]["content"])
        return fenced(["print('size', len(context)); 6 * 7", "1 / 0", "FINAL('done')"][len(seen) - 1])

    engine = code_engine(ScriptedModel(say))
    output = await engine.solve("Go", variables={"report": "a long text"})

    cells = output.run.tree["0"].cells
    assert "report (text" in seen[0]
    assert "size 11" in seen[1]
    assert "=> 42" in seen[1]
    assert "ZeroDivisionError" in seen[2]
    assert (cells[0].output, cells[0].value, cells[0].error) == ("size 11\n", "42", None)
    assert cells[1].error is not None


async def test_several_blocks_of_one_reply_run_in_order_up_to_the_first_error() -> None:
    replies = [f"{fenced('a = 1')}\nthen\n{fenced('b = a + boom')}\n{fenced('c = 3')}", fenced("FINAL(str(a))")]
    model = ScriptedModel(lambda request: replies[len(model.requests) - 1])

    output = await code_engine(model).solve("Go")

    assert output.content == "1"
    assert [cell.code for cell in output.run.tree["0"].cells] == ["a = 1", "b = a + boom", "FINAL(str(a))"]
    assert "did not run" in model.requests[1].messages[-1]["content"]


async def test_a_batch_gives_exceptions_in_the_place_of_failed_parts() -> None:
    faults = [Fault("bad", error=ModelError("no"), times=None)]
    cells = [
        "r = llm_query_batched(['good', 'bad'])\nprint(r[0], isinstance(r[1], Exception))",
        "try:\n    llm_query_batched(['good', 'bad'], on_failure='raise')\nexcept Exception as e:\n    print('raised')",
        "FINAL('ok')",
    ]
    output = await code_engine(coder(cells, faults=faults), retry=None).solve("Go")

    node = output.run.tree["0"]
    assert node.cells[0].output == "GOOD True\n"
    assert node.cells[1].output == "raised\n"
    assert [child.state for child in output.run.tree.children("0")] == ["done", "failed", "done", "failed"]


async def test_the_budget_is_never_exceeded_from_inside_code() -> None:
    greedy = (
        "while True:\n    try:\n        llm_query('more')\n    except Exception as e:\n        print(e)\n        break"
    )
    model = coder([greedy], answer=lambda request: "the rest")

    output = await code_engine(model, budget=Budget(calls=6)).solve("Go")

    # The first reply, sub-queries, and the call that is kept for the answer.
    assert model.calls == 6
    assert output.content == "the rest"
    assert "extracted because the budget runs low" in output.run.tree["0"].remark


async def test_steps_are_never_exceeded_from_inside_code() -> None:
    model = coder(
        ["r = llm_query_batched([str(i) for i in range(100)])", "FINAL(str(sum(isinstance(x, str) for x in r)))"]
    )

    output = await code_engine(model, max_steps=8).solve("Go")

    assert output.content == "7"
    assert len(output.run.tree) == 8
    with pytest.raises(MaxStepsError):
        await code_engine(coder(model_cells := ["llm_query_batched(['a'] * 9)"]), max_steps=8, on_limit="raise").solve(
            model_cells[0]
        )


async def test_a_task_at_the_deepest_level_is_answered_without_code() -> None:
    model = coder(["FINAL(rlm_query('deeper'))"])
    output = await code_engine(model, max_depth=1).solve("Go")

    assert output.run.tree["0"].decision == "EXECUTE"


async def test_after_the_last_cell_a_call_extracts_the_answer() -> None:
    model = coder(["print('no end')"], answer=lambda request: "what there is")

    output = await code_engine(model, limits={"max_cells": 3}).solve("Go")

    node = output.run.tree["0"]
    assert output.content == "what there is"
    assert len(node.cells) == 3
    assert node.remark == "the answer was extracted after 3 cells (max_cells of CodeSandbox)"
    assert "no end" in model.requests[-1].messages[-1]["content"]


async def test_a_second_reply_without_code_is_the_answer() -> None:
    def say(request: Request) -> str:
        return "It is 42."

    output = await code_engine(ScriptedModel(say)).solve("Go")

    assert output.content == "It is 42."
    assert [cell.code for cell in output.run.tree["0"].cells] == ["", ""]


async def test_an_answer_has_to_fit_the_output_type() -> None:
    model = coder(["FINAL('many')", "FINAL([1, 2])"])

    output = await code_engine(model).solve("Go", output_type=list[int])

    assert output.parsed == [1, 2]
    assert "FINAL" in (output.run.tree["0"].cells[0].error or "")


async def test_tools_are_functions_that_are_validated_and_recorded() -> None:
    @tool
    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    @tool
    def name(key: str) -> str:
        """The name."""
        return "0042"

    cells = [
        "x = double(21); y = name(key='k')",
        "try:\n    double('x')\nexcept Exception as e:\n    print(e)",
        "FINAL([x, y])",
    ]
    output = await code_engine(coder(cells), tools=[double, name]).solve("Go")

    node = output.run.tree["0"]
    assert output.content == '[42, "0042"]'
    assert [(use.name, use.arguments, use.ok) for use in node.tool_calls] == [
        ("double", {"number": 21}, True),
        ("name", {"key": "k"}, True),
        ("double", {"number": "x"}, False),
    ]
    assert "number" in node.cells[1].output


async def test_a_tool_that_requires_approval_waits_for_it() -> None:
    calls: list[str] = []

    @tool(requires_approval=True)
    def send(text: str) -> str:
        """Send it."""
        calls.append(text)
        return "sent"

    engine = code_engine(coder(["FINAL(send('hello'))"]), tools=[send])
    run = engine.start("Go")
    async with asyncio.timeout(HANG):
        await until(lambda: "0" in run.awaiting)
        assert calls == []
        run.approve("0")
        assert (await run).content == "sent"


async def test_a_fatal_error_of_a_tool_ends_the_node_whatever_the_code_catches() -> None:
    @tool
    def stop(why: str) -> str:
        """Stop."""
        raise ToolError("enough", fatal=True)

    cell = "while True:\n    try:\n        stop('now')\n    except Exception:\n        pass"
    with pytest.raises(ExecutionError, match="enough"):
        async with asyncio.timeout(HANG):
            await code_engine(coder([cell]), tools=[stop]).solve("Go")


async def test_an_error_that_ends_the_run_ends_the_cell() -> None:
    faults = [Fault("ask", error=ModelError("wrong key", fatal=True), times=None)]
    cell = "while True:\n    try:\n        llm_query('ask')\n    except Exception:\n        pass"

    with pytest.raises(ModelError, match="wrong key"):
        async with asyncio.timeout(HANG):
            await code_engine(coder([cell], faults=faults), retry=None).solve("Go")


async def test_a_cancelled_run_ends_a_busy_cell() -> None:
    engine = code_engine(coder(["llm_query('begun')\nwhile True:\n    pass"]))
    run = engine.start("Go")
    async with asyncio.timeout(HANG):
        await until(lambda: "0.0" in run.tree and run.tree["0.0"].state.final)
        await run.cancel()
    assert run.status == "cancelled"
    assert run.tree["0"].state == "cancelled"


async def test_a_cancelled_sub_query_is_an_error_in_the_cell() -> None:
    async def slow(request: Request) -> Any:
        if request.mode == "coder":
            return fenced("try:\n    llm_query('slow')\nexcept RuntimeError as e:\n    FINAL(str(e))")
        await asyncio.sleep(HANG)
        return None

    run = code_engine(ScriptedModel(slow)).start("Go")
    async with asyncio.timeout(HANG):
        await until(lambda: "0.0" in run.tree and run.tree["0.0"].state == "running")
        await run.cancel("0.0")
        assert "cancelled" in (await run).content


async def test_a_resumed_run_repeats_nothing_that_is_recorded(tmp_path: Path) -> None:
    made: list[str] = []

    @tool
    def note(text: str) -> str:
        """Note it."""
        made.append(text)
        return f"noted {text}"

    cells = [
        "a = llm_query('one'); b = note('x')",
        "c = llm_query_batched(['two', 'stop', 'one'])",
        "FINAL(' '.join([a, b, *c]))",
    ]
    stopping = {"stop": asyncio.Event()}

    async def answer(request: Request) -> Any:
        if request.facts.task == "stop" and not stopping["stop"].is_set():
            stopping["stop"].set()
            await asyncio.sleep(HANG)
        return request.facts.task.upper()

    model, path = coder(cells, answer=answer), tmp_path / "run.json"
    engine = code_engine(model, tools=[note])
    run = engine.start("Go", checkpoint=path)
    async with asyncio.timeout(HANG):
        await stopping["stop"].wait()
        await until(lambda: run.tree["0.1"].state.final and run.tree["0.3"].state.final)
        await run.cancel()
    before = model.calls

    output = await engine.solve("Go", checkpoint=path)

    assert output.content == "ONE noted x TWO STOP ONE"
    assert made == ["x"]
    # "stop" had not been answered; then the last cell.
    assert [request.facts.task for request in model.requests[before:]] == ["stop", "Go"]
    assert [node.mark for node in output.run.tree.children("0")] == ["replayed", "replayed", "", "replayed"]
    assert output.run.tree["0"].remark == ""
    assert output.run.usage.calls == model.calls


async def test_equal_sub_queries_are_asked_anew_in_one_run_and_recalled_in_the_next(tmp_path: Path) -> None:
    def answer(request: Request) -> str:
        return str(model.calls)

    cells = ["a = llm_query('roll'); b = llm_query('roll')", "llm_query('stop')", "FINAL(a + ' ' + b)"]
    model, path = coder(cells, answer=answer), tmp_path / "run.json"
    engine = code_engine(model)
    first = await engine.solve("Go", checkpoint=path)
    assert first.content == "2 3"

    # The last cell is written anew, and everything before it recalled.
    recorded = load_run(path).internals.snapshot()
    assert [node.repeat for node in recorded.tree.children("0")] == [0, 1, 0]


async def test_a_replay_needs_no_sandbox_and_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    await code_engine(coder(["x = llm_query('one')", "FINAL(x)"])).solve("Go", checkpoint=path)
    monkeypatch.setattr("rlm_notebook.sandbox.options.find_spec", lambda name: None)

    def never(inputs: Any, context: Any) -> Any:
        raise AssertionError("no model is called")

    for code in (None, "root", CodeSandbox(when="root")):
        output = await AsyncRecursiveEngine(never, code=code).solve("Go", checkpoint=path, mode="replay")
        assert output.content == "ONE"
        assert [cell.code for cell in output.run.tree["0"].cells] == ["x = llm_query('one')", "FINAL(x)"]
        assert output.run.tree["0.0"].query == "llm_query"


async def test_the_planner_has_a_third_choice() -> None:
    def say(request: Request) -> Any:
        if request.mode == "planner":
            assert "PROGRAM" in request.messages[0]["content"]
            return {"decision": "PROGRAM" if request.facts.depth == 0 else "EXECUTE"}
        return fenced("FINAL(rlm_query('part'))") if request.mode == "coder" else "worked"

    engine = AsyncRecursiveEngine(ScriptedModel(say), code=CodeSandbox(kind=FakeSandbox()))
    output = await engine.solve("Go")

    assert output.content == "worked"
    assert [(node.decision, node.query) for node in output.run.tree] == [("PROGRAM", ""), ("EXECUTE", "rlm_query")]


async def test_a_planner_without_code_is_told_that_there_is_none() -> None:
    replies = iter([{"decision": "PROGRAM"}, {"decision": "EXECUTE", "answer": "by hand"}])
    output = await AsyncRecursiveEngine(ScriptedModel(lambda request: next(replies))).solve("Go")

    assert output.content == "by hand"


async def test_a_spent_budget_ends_the_run_and_a_larger_one_continues(tmp_path: Path) -> None:
    cells = ["a = rlm_query('one')", "b = rlm_query('two')", "FINAL(a + b)"]
    model, path = coder(cells), tmp_path / "run.json"
    with pytest.raises(BudgetExceededError, match=r"2 used, 1 kept for an answer"):
        # The child is planned first, and the third call is the answer's.
        await code_engine(model, budget=Budget(calls=3), on_limit="raise").solve("Go", checkpoint=path)
    assert model.calls == 2

    output = await code_engine(model, budget=Budget(calls=20)).solve("Go", checkpoint=path)

    assert output.content == "ONETWO"
    assert output.run.usage.calls == model.calls == 7


async def test_a_code_node_can_be_answered_from_what_its_cells_have_shown(tmp_path: Path) -> None:
    def answer(request: Request) -> str:
        if request.facts.depth:
            return request.facts.task.upper()
        assert any("found it ONE" in message["content"] for message in request.messages)
        return "what there is"

    path = tmp_path / "run.json"
    model = coder(["print('found it', llm_query('one'))", "while True:\n    llm_query('more')"], answer=answer)
    with pytest.raises(MaxStepsError):
        await code_engine(model, max_steps=4, on_limit="raise").solve("Go", checkpoint=path)
    run = code_engine(model, max_steps=4).start("Go", checkpoint=path)
    await until(lambda: "0" in run.tree and bool(run.tree["0"].cells))
    await run.cancel()

    output = await run.synthesize_anyway()

    assert output.content == "what there is"
    assert "0.0" in output.run.tree


@pytest.mark.parametrize("store", ["outputs", "hashes"])
async def test_what_cells_print_and_ask_is_in_no_file_that_holds_less(tmp_path: Path, store: Any) -> None:
    path = tmp_path / "run.json"
    cells = ["x = llm_query('SECRETPART')\nprint('PRINTED')", "FINAL(x + ' ANSWER')"]
    engine = code_engine(coder(cells, answer=lambda request: "an"))
    await engine.solve("Go", checkpoint=path, store=store)

    text = path.read_text()
    assert "PRINTED\\n" not in text
    assert ("SECRETPART" in text) == (store == "outputs"), "the code itself is an output"
    assert text.count("SECRETPART") <= 2
    if store == "outputs":
        output = await engine.solve("Go", checkpoint=path, store=store, mode="replay")
        assert output.content == "an ANSWER"


async def test_code_that_was_cut_off_does_not_run_now_or_later(tmp_path: Path) -> None:
    replies = [
        Reply("```python\na = 1\n```\n```python\nFINAL('half", finish_reason="length"),
        Reply("```python\nFINAL(llm_query('stop')) if a", finish_reason="length"),
        fenced("FINAL('whole')"),
    ]

    async def say(request: Request) -> Any:
        if request.mode != "coder":
            return "stopped"
        written = sum(message["role"] == "assistant" for message in request.messages)
        if written == 2 and not again:
            again.append(True)
            await asyncio.sleep(HANG)
        return replies[written]

    again: list[bool] = []
    model, path = ScriptedModel(say), tmp_path / "run.json"
    run = code_engine(model).start("Go", checkpoint=path)
    await until(lambda: bool(again))
    await run.cancel()
    output = await code_engine(model).solve("Go", checkpoint=path)

    assert output.content == "whole"
    assert [cell.code for cell in output.run.tree["0"].cells] == ["a = 1", "", "FINAL('whole')"]
    assert model.calls == 4
