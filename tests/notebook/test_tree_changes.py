"""A change made in the tree of a cell is a change of the cell: its answer, variables, file and re-execution follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Kernel, Ran

pytestmark = pytest.mark.kernel

#: Each call of the model is a line in `calls.log`; the task "two" fails as long as a file named "broken" exists.
MODEL = """
%load_ext rlm_notebook
import json, os
async def llm(inputs, context):
    mode, task = context["mode"], context["task"]
    with open("calls.log", "a") as lines:
        lines.write(f"{mode} {task}\\n")
    if mode == "planner":
        split = {"decision": "RECURSE", "sub_tasks": ["one", "two"]}
        return {"content": json.dumps(split if context["depth"] == 0 else {"decision": "EXECUTE"})}
    if mode == "synthesizer":
        return {"content": " and ".join(part["content"] for part in context["parts"])}
    if task == "two" and os.path.exists("broken"):
        raise ValueError("server said 418")
    return {"content": f"the {task} of {len(open('calls.log').readlines())}"}
"""
CELL = "%%rlm -m llm -n trip --max-depth 2 -o found\nPlan a trip"


class Notebook:
    """One cell in a front end: it sends cell ids, and keeps the outputs as JupyterLab does, by their display ids."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.outputs: list[tuple[str, dict[str, Any]]] = []
        self.comm = ""
        self._parent = ""
        self._clears = False
        self._number = 0
        kernel.run(MODEL)

    def run(self, cell: str = CELL) -> Ran:
        self.outputs, self.kernel.seen[:] = [], []
        ran = self.kernel.run(cell, cell_id="cell-1")
        self._parent = next(m["parent_header"]["msg_id"] for m in self.kernel.seen if m["msg_type"] == "execute_input")
        for message in self.kernel.seen:
            self._hear(message)
        return ran

    def _hear(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "comm_open" and "_snap" in str(content["data"]["state"]):
            self.comm = content["comm_id"]
        identity = content.get("transient", {}).get("display_id", "") if kind.endswith("display_data") else ""
        if kind == "update_display_data":
            self.outputs = [(i, content["data"]) if i == identity else (i, data) for i, data in self.outputs]
        elif message["parent_header"].get("msg_id") == self._parent:
            if kind == "clear_output":
                self._clears = True
            elif kind in ("display_data", "execute_result", "error", "stream"):
                self.outputs = [] if self._clears else self.outputs
                self._clears = False
                data = content.get("data") or {"text/plain": "\n".join(content.get("traceback", [content.get("text")]))}
                self.outputs.append((identity, data))

    def click(self, op: str, node: str | None = None, **args: Any) -> dict[str, Any]:
        """A command from the tree; returns when the run that it starts has ended."""
        self._number += 1
        self.kernel.tell(self.comm, {"t": "cmd", "req": self._number, "op": op, "id": node, "args": args})

        def mine(message: dict[str, Any]) -> bool:
            self._hear(message)
            data = message["content"].get("data", {}).get("content", {}) if message["msg_type"] == "comm_msg" else {}
            return data.get("t") == "ack" and data.get("req") == self._number

        ack: dict[str, Any] = self.kernel.until(mine)["content"]["data"]["content"]
        self.wait("_rlm.internals.latest.ended")
        return ack

    def wait(self, condition: str) -> None:
        """Until a condition holds in the kernel, and everything that it has sent has arrived."""
        wait = f"import asyncio\nwhile not ({condition}): await asyncio.sleep(0.02)\nawait asyncio.sleep(0.1)"
        before = len(self.kernel.seen)
        self.kernel.run(wait)
        for message in self.kernel.seen[before:]:
            self._hear(message)

    @property
    def answer(self) -> str:
        """What is below the tree and its static copy."""
        texts = [data.get("text/plain", "") for _, data in self.outputs]
        return "\n".join(texts[2:])

    @property
    def static(self) -> str:
        return str(self.outputs[1][1]["text/plain"])

    @property
    def calls(self) -> int:
        path = self.kernel.folder / "calls.log"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def value(self, expression: str) -> Any:
        return json.loads(eval(self.kernel.value(f"json.dumps({expression})")))

    def document(self) -> dict[str, Any]:
        return dict(json.loads((self.kernel.folder / "notebook.rlm" / "trip.json").read_text()))

    def agrees_on(self, answer: str) -> None:
        """All that holds an answer holds this one."""
        assert self.answer == answer
        assert self.value("[found.content, _rlm.output.content, Out[found_at].content]") == [answer] * 3
        assert self.document()["result"]["content"] == answer
        assert self.document()["status"] == "done"
        assert "rlm done: 3 of 3" in self.static


@pytest.fixture
def notebook(kernel: Kernel) -> Notebook:
    made = Notebook(kernel)
    assert made.run().ok
    kernel.run("found_at = max(Out)")
    return made


FIRST = "the one of 2 and the two of 3"


def test_an_edit_gives_the_cell_its_new_answer(notebook: Notebook, new_kernel: Callable[..., Kernel]) -> None:
    notebook.agrees_on(FIRST)
    assert notebook.click("edit", "0.0", result="by hand")["ok"]
    notebook.agrees_on("by hand and the two of 3")
    assert notebook.calls == 5
    before = (notebook.kernel.folder / "notebook.rlm" / "trip.json").read_bytes()
    assert "result edited by hand" in notebook.static
    # Again in this kernel, and in another one: no call, and the file stays as it is.
    for kernel in (notebook.kernel, new_kernel()):
        again = Notebook(kernel)
        assert again.run().ok
        assert again.answer == "by hand and the two of 3"
        assert "result edited by hand" in again.static
    assert notebook.calls == 5
    assert (notebook.kernel.folder / "notebook.rlm" / "trip.json").read_bytes() == before
    replayed = Notebook(new_kernel(RLM_MODE="replay"))
    assert replayed.run().ok
    assert replayed.answer == "by hand and the two of 3"
    assert "RLM_MODE=replay" in replayed.click("edit", "0.1", result="x").get("error", "")


def test_undo_and_restore_go_back_without_a_call(notebook: Notebook) -> None:
    notebook.click("edit", "0.0", result="by hand")
    notebook.click("edit", "0.1", result="too")
    notebook.agrees_on("by hand and too")
    assert notebook.click("undo")["ok"]
    notebook.agrees_on("by hand and the two of 3")
    assert notebook.click("undo")["ok"]
    notebook.agrees_on(FIRST)
    assert "nothing to undo" in notebook.click("undo")["error"]
    # Forward again, as far as there is something.
    for answer in ("by hand and the two of 3", "by hand and too"):
        assert notebook.click("redo")["ok"]
        notebook.agrees_on(answer)
    assert "nothing to redo" in notebook.click("redo")["error"]
    for _ in range(2):
        notebook.click("undo")
    notebook.agrees_on(FIRST)
    calls = notebook.calls
    listed = notebook.kernel.value("%rlm versions trip")
    rows = [line.split() for line in listed.splitlines()[:4]]
    assert [row[0] for row in rows] == ["version", "now", "1", "2"]
    assert "edited at 0.0, 0.1" in listed
    number = next(row[0] for row, line in zip(rows, listed.splitlines(), strict=False) if "0.0, 0.1" in line)
    assert notebook.kernel.run(f"%rlm restore trip {number}").ok
    notebook.wait("_rlm.internals.latest.ended")
    notebook.agrees_on("by hand and too")
    # The same edit again is not paid again, either.
    notebook.click("undo")
    notebook.click("undo")
    notebook.click("edit", "0.0", result="by hand")
    notebook.agrees_on("by hand and the two of 3")
    assert notebook.calls == calls
    # A change after an undo leaves nothing to go forward to.
    assert "nothing to redo" in notebook.click("redo")["error"]


def test_a_second_click_on_undo_undoes_nothing_else(notebook: Notebook) -> None:
    notebook.click("edit", "0.0", result="by hand")
    notebook.click("edit", "0.1", result="too")
    version = notebook.document()["execution"]
    assert notebook.click("undo", version=version)["ok"]
    assert "undone already" in notebook.click("undo", version=version)["error"]
    notebook.agrees_on("by hand and the two of 3")


def test_a_retry_of_a_finished_node_is_a_version(notebook: Notebook) -> None:
    assert notebook.click("retry", "0.1")["ok"]
    assert notebook.calls == 6
    notebook.agrees_on("the one of 2 and the two of 5")
    assert notebook.run().ok
    assert notebook.answer == "the one of 2 and the two of 5"
    assert notebook.click("undo")["ok"]
    assert notebook.answer == FIRST
    assert notebook.calls == 6


def test_a_successful_retry_replaces_the_error(kernel: Kernel) -> None:
    (kernel.folder / "broken").touch()
    notebook = Notebook(kernel)
    assert "server said 418" in notebook.run().failed_with
    assert "server said 418" in notebook.answer
    (kernel.folder / "broken").unlink()
    kernel.run("found_at = max(Out, default=0) + 1")
    assert notebook.click("retry")["ok"]
    assert notebook.answer == "the one of 2 and the two of 4"
    assert notebook.value("[found.content, _rlm.output.content]") == ["the one of 2 and the two of 4"] * 2
    assert "rlm done: 3 of 3" in notebook.static
    calls = notebook.calls
    assert notebook.run().ok
    assert (notebook.answer, notebook.calls) == ("the one of 2 and the two of 4", calls)


def test_an_answer_with_what_there_is_stays_the_answer(kernel: Kernel) -> None:
    (kernel.folder / "broken").touch()
    notebook = Notebook(kernel)
    assert not notebook.run().ok
    assert notebook.click("answer")["ok"]
    assert notebook.answer.startswith("the one of 2 and (missing")
    answer, calls = notebook.answer, notebook.calls
    (kernel.folder / "broken").unlink()
    assert notebook.run().ok
    assert (notebook.answer, notebook.calls) == (answer, calls)
    assert notebook.document()["result"]["content"] == answer
    # What is missing is computed on request.
    assert notebook.click("retry")["ok"]
    assert notebook.answer == f"the one of 2 and the two of {calls + 1}"


def test_a_change_that_fails_is_said_where_the_answer_was(notebook: Notebook) -> None:
    (notebook.kernel.folder / "broken").touch()
    notebook.click("retry", "0.1")
    assert "server said 418" in notebook.answer
    assert "found and Out[" in notebook.answer
    assert notebook.document()["status"] == "failed"
    assert notebook.click("undo")["ok"]
    notebook.agrees_on(FIRST)
    # An undone failure can be tried again.
    (notebook.kernel.folder / "broken").unlink()
    notebook.click("retry", "0.1")
    assert notebook.answer == f"the one of 2 and the two of {notebook.calls - 1}"


def test_the_task_of_the_root_can_be_edited(notebook: Notebook, new_kernel: Callable[..., Kernel]) -> None:
    assert notebook.click("edit", "0", task="Plan a cruise")["ok"]
    answer, calls = notebook.answer, notebook.calls
    assert answer != FIRST
    assert notebook.document()["task"] == "Plan a cruise"
    assert notebook.click("undo")["ok"]
    assert "Plan a trip" in notebook.static
    notebook.agrees_on(FIRST)
    notebook.kernel.run("%rlm restore trip 1")
    notebook.wait("_rlm.internals.latest.ended")
    assert "Plan a cruise" in notebook.static
    again = Notebook(new_kernel())
    assert again.run().ok
    assert (again.answer, again.calls) == (answer, calls)
    assert again.click("undo")["ok"]
    assert again.answer == FIRST
    assert again.run().ok
    assert (again.answer, again.calls) == (FIRST, calls)


def test_what_a_node_was_before_is_kept(notebook: Notebook) -> None:
    notebook.click("edit", "0.0", result="by hand")
    notebook.click("edit", "0.1", task="another two")
    notebook.click("edit", "0.0", result="by another hand")
    nodes = {node["id"]: node for node in notebook.document()["nodes"]}
    assert nodes["0.0"]["result"]["metadata"]["edited"] == {"was": "the one of 2"}
    assert nodes["0.1"]["note"] == "task edited by hand"
    assert nodes["0"]["plan"]["edited"] == {"tasks": {"1": "two"}}


def test_a_variable_with_another_value_is_left_alone(notebook: Notebook) -> None:
    notebook.kernel.run("found = 'mine'")
    notebook.click("edit", "0.0", result="by hand")
    assert notebook.value("[found, _rlm.output.content]") == ["mine", "by hand and the two of 3"]


def test_a_detached_run_is_followed_by_its_variable(kernel: Kernel) -> None:
    notebook = Notebook(kernel)
    assert notebook.run(CELL.replace("-o found", "-o found --detach")).ok
    notebook.wait("found.ended")
    before = len(kernel.seen)
    kernel.run("found")
    for message in kernel.seen[before:]:
        notebook._hear(message)
    notebook.click("edit", "0.0", result="by hand")
    notebook.wait("found.ended")
    assert notebook.value("[found.output.content, found is _rlm]") == ["by hand and the two of 3", True]


def test_without_a_file_versions_are_kept_in_memory(kernel: Kernel, tmp_path: Path) -> None:
    notebook = Notebook(kernel)
    assert notebook.run(CELL.replace("-n trip", "--no-checkpoint")).ok
    notebook.click("edit", "0.0", result="by hand")
    assert notebook.answer == "by hand and the two of 3"
    assert notebook.click("undo")["ok"]
    assert notebook.answer == FIRST
    assert notebook.click("redo")["ok"]
    assert notebook.answer == "by hand and the two of 3"
    assert not (tmp_path / "notebook.rlm").exists()
