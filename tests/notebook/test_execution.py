"""A notebook executed from beginning to end, killed, and executed again: the JSON beside it carries the work over."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.notebook.conftest import LOGGING_MODEL, Kernel, asked_again, calls
from tests.support.checkpoint_schema import require_valid
from tests.support.waiting import HANG

pytestmark = pytest.mark.kernel

SCRIPT = {"root task": {f"part {n}": {f"leaf {n}.{m}": f"{n}{m}" for m in range(3)} for n in range(4)}}
CELL = "%%rlm -m model -n demo answer <<\nroot task"


def setup(latency: Any = 0.0) -> str:
    return f"{LOGGING_MODEL}\nmodel = logged({SCRIPT!r}, 'calls.log', latency={latency!r})"


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A notebook that defines a model, asks it, and prints the answer."""
    folder = tmp_path / "work"
    folder.mkdir()
    path = folder / "analysis.ipynb"
    write(path, CELL)
    return path


def write(path: Path, cell: str, latency: Any = 0.0) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in (setup(latency), cell, "print(answer)")]
    for index, each in enumerate(cells):
        each["id"] = f"cell-{index}"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def execute(path: Path, *, named: bool = True) -> nbformat.NotebookNode:
    """Execute it with a fresh kernel; `named`: as a front end that tells the kernel which notebook it serves."""
    content = nbformat.read(path, as_version=4)
    client = NotebookClient(content, timeout=HANG, resources={"metadata": {"path": str(path.parent)}})
    environment = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
    client.execute(env={**environment, "JPY_SESSION_NAME": str(path)} if named else environment)
    return content


def answer(executed: nbformat.NotebookNode) -> str:
    return str(executed.cells[2].outputs[0]["text"])


def test_the_json_beside_the_notebook_is_valid_and_carries_the_work_over(notebook: Path) -> None:
    """Executing again, with a new kernel, calls nobody, gives the same answer and leaves the file as it is."""
    first = execute(notebook)
    path = notebook.parent / "analysis.rlm" / "demo.json"
    assert [each.name for each in path.parent.iterdir()] == ["demo.json"]
    require_valid(json.loads(path.read_text()))
    content, made = path.read_bytes(), calls(notebook.parent)
    assert len(made) == 1 + 4 + 12 + 4 + 1
    for named in (True, False):
        again = execute(notebook, named=named)
        assert calls(notebook.parent) == made
        assert answer(again) == answer(first)
        assert path.read_bytes() == content
        assert saved(again) == saved(first)
    assert [each.name for each in notebook.parent.glob("*.rlm")] == ["analysis.rlm"]


def saved(executed: nbformat.NotebookNode) -> list[Any]:
    """What the notebook shows of the run, without the live widget."""
    outputs = executed.cells[1].outputs
    return [output["data"] for output in outputs if "widget-view" not in str(output["data"].keys())]


def test_what_is_saved_does_not_change_from_one_execution_to_the_next(notebook: Path) -> None:
    """Nothing but the widget's id differs, so that executed notebooks do not churn under version control."""
    first, again = (json.dumps(execute(notebook).cells[1].outputs) for _ in range(2))
    ids = re.compile(r'"model_id": "[0-9a-f]+"')
    assert ids.sub("", first) == ids.sub("", again)
    assert len(ids.findall(first)) == 1


def test_without_a_name_the_notebooks_runs_go_to_a_folder_of_their_own(notebook: Path) -> None:
    execute(notebook, named=False)
    path = notebook.parent / "notebook.rlm" / "demo.json"
    content, made = path.read_bytes(), calls(notebook.parent)
    execute(notebook, named=False)
    assert (path.read_bytes(), calls(notebook.parent)) == (content, made)


def test_changing_one_word_runs_it_again(notebook: Path) -> None:
    first = execute(notebook)
    made = len(calls(notebook.parent))
    write(notebook, CELL.replace("root task", "root question"))
    again = execute(notebook)
    assert len(calls(notebook.parent)) > made
    assert answer(again) != answer(first)
    folder = notebook.parent / "analysis.rlm"
    assert json.loads((folder / "demo.1.json").read_text())["task"] == "root task"
    assert json.loads((folder / "demo.json").read_text())["task"] == "root question"


def test_an_error_fails_the_execution(notebook: Path) -> None:
    write(notebook, "%%rlm -m nothing\nroot task")
    with pytest.raises(CellExecutionError, match="no variable of this notebook and no model"):
        execute(notebook)


def journalled(folder: Path) -> set[str]:
    """The calls whose replies are in the journal."""
    journal = folder / "analysis.rlm" / "demo.journal.jsonl"
    kept = set()
    for line in journal.read_bytes().split(b"\n")[:-1] if journal.exists() else ():
        event = json.loads(line)
        if event.get("event") == "Planned":
            kept.add(f"planner {event['node']}")
        elif event.get("event") == "Finished":
            kept |= {f"worker {event['node']}", f"synthesizer {event['node']}"}
    return kept


@pytest.mark.parametrize("answered", [1, 7, 19])
def test_a_killed_kernel_costs_no_finished_call(
    notebook: Path, new_kernel: Callable[..., Kernel], answered: int
) -> None:
    """kill -9 in the middle of the run; a new kernel completes it."""
    folder = notebook.parent
    kernel = new_kernel(JPY_SESSION_NAME=str(notebook))
    kernel.run(f"%cd -q {folder}")
    kernel.run(setup((0.05, 0.2)))
    kernel.send(CELL)
    ends = time.monotonic() + HANG
    while len(calls(folder, "answered")) < answered or not journalled(folder):
        assert time.monotonic() < ends
        time.sleep(0.005)
    kernel.manager.provisioner.process.kill()  # type: ignore[union-attr]
    kernel.manager.provisioner.process.wait(HANG)  # type: ignore[union-attr]
    kept = journalled(folder)
    before = calls(folder)
    executed = execute(notebook)
    assert [call for call in calls(folder)[len(before) :] if " ".join(call.split()[:2]) in kept] == []
    assert len(asked_again(folder)) <= 1, "at most the one whose reply was just on its way to the journal"
    assert answer(executed).strip() == (
        "root task: part 0: 00; 01; 02; part 1: 10; 11; 12; part 2: 20; 21; 22; part 3: 30; 31; 32"
    )
    assert [each.name for each in (folder / "analysis.rlm").iterdir()] == ["demo.json"]
    require_valid(json.loads((folder / "analysis.rlm" / "demo.json").read_text()))
    content, made = (folder / "analysis.rlm" / "demo.json").read_bytes(), calls(folder)
    execute(notebook)
    assert ((folder / "analysis.rlm" / "demo.json").read_bytes(), calls(folder)) == (content, made)
