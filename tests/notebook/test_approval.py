"""`--approve` in a cell: plans wait for somebody, an edited plan is what runs, and nobody waits for nobody."""

# ruff: noqa: ASYNC240 - a test may block
from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import ScriptedModel, load_run, tool
from rlm_notebook.notebook.cell import approval
from tests.notebook.conftest import Kernel, one_line
from tests.support.waiting import until

SCRIPT = {"root": {"one": "1", "two": {"three": "3"}}, "four": "4"}
FILE = Path("notebook.rlm/trip.json")
EDITED = {"decision": "RECURSE", "sub_tasks": ["four"]}


@pytest.fixture
def model(shell: Any, monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    monkeypatch.setattr(approval, "PATIENCE", 1.0)
    shell.names["model"] = made = ScriptedModel(SCRIPT)
    return made


async def waiting(shell: Any, node: str) -> Any:
    """The run, once the plan of a node waits."""
    await until(lambda: (run := shell.names.get("_rlm")) is not None and node in run.awaiting)
    return shell.names["_rlm"]


async def test_an_edited_plan_is_what_runs(shell: Any, model: ScriptedModel) -> None:
    cell = asyncio.ensure_future(shell.value("%%rlm -m model -q -n trip --approve\nroot"))
    run = await waiting(shell, "0")
    assert model.calls == 1
    run.approve("0", EDITED)
    assert (await cell).content == "root: 4"
    assert [request.facts.task for request in model.requests].count("one") == 0


async def test_with_root_only_the_first_plan_waits(shell: Any, model: ScriptedModel) -> None:
    cell = asyncio.ensure_future(shell.value("%%rlm -m model -q -n trip --approve=root\nroot"))
    (await waiting(shell, "0")).approve("0")
    assert (await cell).content == "root: 1; two: 3"


async def test_without_root_every_plan_waits(shell: Any, model: ScriptedModel) -> None:
    cell = asyncio.ensure_future(shell.value("%%rlm -m model -q -n trip --approve\nroot"))
    (await waiting(shell, "0")).approve("0")
    (await waiting(shell, "0.1")).approve("0.1")
    assert (await cell).content == "root: 1; two: 3"


async def test_where_nobody_sees_it_the_run_stops_as_paused(
    shell: Any, model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    error = await shell.failure("%%rlm -m model -q -n trip --approve\nroot")
    assert str(error).startswith("Paused: the plan of node 0 waits for approval")
    assert f"saved in {FILE.absolute()}" in str(error)
    assert "without --approve" in str(error)
    assert len(capsys.readouterr().out.strip().splitlines()) == 1
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()
    assert shell.names["_rlm"].internals.finished
    assert json.loads(FILE.read_text())["status"] == "paused"
    assert load_run(FILE).status == "paused"
    assert {run.name: run.status for run in await shell.value("%rlm runs")} == {"trip": "paused"}


async def test_a_tool_that_requires_approval_stops_the_run_where_nobody_sees_it(
    shell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "PATIENCE", 0.5)

    @tool(requires_approval=True)
    def send(text: str) -> str:
        """Send a text."""
        raise AssertionError("nobody allowed it")

    def llm(inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
        return {"content": None, "tool_calls": [{"name": "send", "arguments": {"text": "hello"}}]}

    shell.names.update(llm=llm, send=send)
    error = await shell.failure("%%rlm -m llm -t send -q -n trip --max-depth 1\nroot")
    assert str(error).startswith("Paused: send of node 0 waits for approval")
    assert "--approve" not in str(error)
    assert json.loads(FILE.read_text())["status"] == "paused"


async def test_it_goes_on_from_there(shell: Any, model: ScriptedModel) -> None:
    await shell.failure("%%rlm -m model -q -n trip --approve\nroot")
    assert model.calls == 1
    assert (await shell.value("%%rlm -m model -q -n trip\nroot")).content == "root: 1; two: 3"
    assert [r.facts.task for r in model.requests if r.mode == "planner"].count("root") == 1


async def test_a_failure_and_an_interrupt_are_what_they_are_without_it(shell: Any, model: ScriptedModel) -> None:
    shell.names["broken"] = lambda inputs, context: {}["lost"]
    assert "lost" in str(await shell.failure("%%rlm -m broken -q --approve\nroot"))
    cell = asyncio.ensure_future(shell.run("%%rlm -m model -q -n trip --approve\nroot"))
    await waiting(shell, "0")
    cell.cancel()
    assert str((await cell).error_in_exec).startswith("Interrupted: ")
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()


# -- in a kernel, with a browser's side of the widget ----------------------------------------------------------------

DEFINED = """
from rlm_notebook import ScriptedModel
import rlm_notebook.notebook.cell.approval
rlm_notebook.notebook.cell.approval.PATIENCE = 2.0
m = ScriptedModel({"root": {"one": "1"}, "four": "4"})
import ipywidgets
other = ipywidgets.IntSlider()
other
"""


@pytest.mark.kernel
def test_a_browser_that_shows_the_widget_may_take_its_time(new_kernel: Callable[..., Kernel]) -> None:
    kernel = new_kernel()
    kernel.run("%load_ext rlm_notebook")
    ran = kernel.run(DEFINED)
    assert ran.ok, ran.reply
    (slider,) = [
        message["content"]["comm_id"]
        for message in ran.of("comm_open")
        if message["content"]["data"]["state"].get("_model_name") == "IntSliderModel"
    ]
    cell = kernel.send("%%rlm -m m --approve --no-checkpoint\nroot")
    comm = kernel.widget()

    def called(message: dict[str, Any]) -> bool:
        content = message["content"]
        return content.get("comm_id") == comm and content["data"].get("content", {}).get("t") == "h"

    # A browser answers a heartbeat that is ahead of it; from then on there is no hurry.
    for _ in range(3):
        beat = kernel.until(called)["content"]["data"]["content"]
        if beat["s"] >= 1:
            break
    kernel.tell(comm, {"t": "sync", "e": beat["e"], "s": 0})
    # Another widget works meanwhile.
    data = {"method": "update", "state": {"value": 42}, "buffer_paths": []}
    kernel.tell_widget(slider, data)
    kernel.until(lambda m: m["msg_type"] == "comm_msg" and '"value": 42' in json.dumps(m["content"]))
    for _ in range(20):
        kernel.take(timeout=0.2)
    kernel.tell(comm, {"t": "get", "req": 9, "id": "0", "fields": ["approval"]})
    told = kernel.until(lambda m: m["content"].get("data", {}).get("content", {}).get("req") == 9)
    arguments = {"plan": EDITED, "request": told["content"]["data"]["content"]["data"]["request"]}
    kernel.tell(comm, {"t": "cmd", "req": 1, "op": "approve", "id": "0", "args": arguments})
    finished = kernel.finish(cell)
    assert finished.ok, finished.reply
    assert finished.text == "root: 4"


@pytest.mark.kernel
def test_where_no_browser_answers_the_cell_fails_in_one_line(new_kernel: Callable[..., Kernel]) -> None:
    kernel = new_kernel()
    kernel.run("%load_ext rlm_notebook")
    kernel.run(DEFINED)
    ran = kernel.run("%%rlm -m m --approve -n trip\nroot")
    assert "Paused: the plan of node 0 waits for approval" in one_line(ran.failed_with)
    assert kernel.value("m.calls") == "1"
    assert kernel.value("_rlm.status") == "'paused'"
