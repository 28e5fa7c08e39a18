"""`%rlm baseline`: the same task, asked plainly, beside the tree."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.ports import Request

CELL = "%%rlm --view none -m engine -n trip {}\nPlan a trip"


def answers(request: Request) -> Any:
    """A tree of two parts; the plain answer tells what the model was given."""
    if request.mode == "planner" and request.facts.depth == 0:
        return {"decision": "RECURSE", "sub_tasks": ["Flights", "Hotel"]}
    if request.mode == "worker" and request.facts.depth == 0:
        return f"plain <b>answer</b>, {len(request.tools)} tools, {' '.join(request.facts.references)}"
    return None


@pytest.fixture
def model(shell: Any) -> ScriptedModel:
    made = ScriptedModel(answers, price=(10.0, 10.0))
    shell.names["engine"] = AsyncRecursiveEngine(made)
    shell.names["report"] = "a long report " * 50
    return made


async def test_one_plain_call_is_set_beside_the_tree(shell: Any, model: ScriptedModel) -> None:
    output = await shell.value(CELL.format(""))
    calls = model.calls
    compared = await shell.value("%rlm baseline")
    assert model.calls == calls + 1
    assert model.requests[-1].mode == "worker"
    assert model.requests[-1].facts.task == "Plan a trip"
    plain, tree = compared.table.rows
    assert (plain[0], plain[1]) == ("one plain call", "1")
    assert (tree[0], tree[1]) == ("the tree of 3 nodes", str(calls))
    assert tree[3] == f"${output.metadata['cost_usd']:.4f}"
    assert plain[3] == f"${compared.plain.usage.cost_usd:.4f}" != "$0.0000"
    assert "times the cost" in compared.table.note
    assert "plain <b>answer</b>" in str(compared)
    assert all(word in str(compared) for word in str(output).split())
    shown = compared._repr_html_()
    assert "plain &lt;b&gt;answer&lt;/b&gt;" in shown
    assert "<b>answer" not in shown
    assert shell.names["_rlm"] is compared.tree, "the last run stays what it was"


async def test_the_answers_are_two_columns(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    plain = "# Plain\n\n- one *thing* and more words than a column of forty characters can hold\n\n<script>x</script>"

    def model(request: Request) -> Any:
        if request.mode == "worker" and request.facts.depth == 0:
            return plain
        return answers(request)

    shell.names["engine"] = AsyncRecursiveEngine(ScriptedModel(model))
    await shell.value(CELL.format(""))
    compared = await shell.value("%rlm baseline")
    lines = str(compared).splitlines()
    head = next(at for at, line in enumerate(lines) if line.startswith("one plain call  ") and "|" in line)
    assert lines[head].split("|")[1].strip() == "the tree"
    assert lines[head + 2].split(" | ")[0].rstrip() == "# Plain"
    assert {line.index(" | ") for line in lines[head : head + 3]} == {38}
    shown = compared._repr_html_()
    assert '<h3 dir="auto">Plain</h3>' in shown
    assert '<li dir="auto">one <em>thing</em>' in shown
    assert "<script>" not in shown


async def test_it_is_kept_beside_the_run_and_not_paid_again(shell: Any, model: ScriptedModel) -> None:
    await shell.value(CELL.format(""))
    await shell.value("%rlm baseline")
    assert {each for each in os.listdir("notebook.rlm") if each.endswith(".json")} == {
        "trip.json",
        "trip-baseline.json",
    }
    calls = model.calls
    assert "plain" in str(await shell.value("%rlm baseline trip"))
    assert model.calls == calls


async def test_the_model_gets_the_same_references_and_tools(shell: Any, model: ScriptedModel) -> None:
    await shell.value(CELL.format("-c report"))
    compared = await shell.value("%rlm baseline")
    assert "report" in str(compared.plain.output)
    assert " 0 tools" not in str(compared.plain.output)


async def test_a_run_that_is_only_in_its_file(shell: Any) -> None:
    await shell.value("%%rlm --view none -m offline -n sums\n1. What is 2 + 3?\n2. What is 4 * 5?")
    shell.names["_rlm"] = None
    compared = await shell.value("%rlm baseline sums")
    assert compared.table.rows[0][1] == "1"
    assert "20" in str(compared.tree.output)


async def test_a_file_whose_model_is_not_to_be_had_says_what_to_do(shell: Any, model: ScriptedModel) -> None:
    await shell.value(CELL.format(""))
    shell.names["_rlm"] = None
    shell.names["path"] = str(Path("notebook.rlm/trip.json"))
    await shell.value("from rlm_notebook import load_run\nkept = load_run(path)")
    assert "run its cell again" in str(await shell.failure("%rlm baseline kept"))
    again = await shell.value(f"{CELL.format('')}")
    assert again is not None
    await shell.value("%rlm baseline")


@pytest.mark.parametrize(
    ("line", "said"),
    [("%rlm baseline", "there is no run yet"), ("%rlm baseline nowhere", "there is no run named 'nowhere'")],
)
async def test_nothing_to_compare_is_said(shell: Any, line: str, said: str) -> None:
    assert said in str(await shell.failure(line))


async def test_an_unsplit_or_failed_run_is_not_compared(shell: Any) -> None:
    shell.names["one"] = ScriptedModel("answer")
    await shell.value("%%rlm --view none -m one\nTask")
    assert "did not split" in str(await shell.failure("%rlm baseline"))
    shell.names["bad"] = lambda inputs, context: 1 / 0
    await shell.failure("%%rlm --view none -m bad\nTask")
    assert "is failed" in str(await shell.failure("%rlm baseline"))


async def test_from_python() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(answers)).start("Plan a trip")
    await run
    plain = await run.baseline()
    assert plain.content.startswith("plain")
    assert len(plain.run.tree) == 1


@pytest.mark.parametrize("live", [True, False], ids=["of a run", "of a file"])
async def test_the_plain_answer_never_becomes_that_of_the_cell(shell: Any, live: bool) -> None:
    cell = "%%rlm --view none -m offline\n1. Calculate 2 + 3\n2. Calculate 4 * 5"
    output = await shell.value(cell)
    assert len(output.run.tree) > 1
    name = Path(output.metadata["checkpoint"]).stem
    if not live:
        del shell.names["_rlm"]
        output.run = None
        shell.names.pop("_", None)
        await shell.run("%reset -f out")
        await shell.run("%reload_ext rlm_notebook")
    await shell.value(f"%rlm baseline {name}")
    assert f"{name}-baseline.json" in os.listdir("notebook.rlm")

    again = await shell.value(cell)
    assert (str(again), Path(again.metadata["checkpoint"]).stem) == (str(output), name)
