"""Cells and notebooks that share a name, that were renamed or copied: each request is paid for once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from rlm_notebook import ScriptedModel
from tests.support.waiting import HANG

from .conftest import Kernel

FOLDER = Path("notebook.rlm")
MODEL = """\
%load_ext rlm_notebook
import json
async def llm(inputs, context):
    with open("calls.log", "a") as lines:
        lines.write(context["task"] + "\\n")
    return {"content": json.dumps({"decision": "EXECUTE", "answer": "about " + context["task"]})}"""


SPLITTING_MODEL = MODEL.replace(
    'json.dumps({"decision": "EXECUTE", "answer": "about " + context["task"]})',
    'json.dumps({"decision": "RECURSE", "sub_tasks": ["Left.", "Right."]}) if context["mode"] == "planner" '
    'and context["depth"] == 0 else json.dumps({"decision": "EXECUTE", "answer": context["mode"]})',
)
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def calls(folder: Path) -> int:
    log = folder / "calls.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*.rlm/*"))


# -- in a terminal ---------------------------------------------------------------------------------------------------


async def test_two_tasks_of_one_name_are_paid_for_once(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.names["model"] = model = ScriptedModel({"one": {"a": "1"}, "two": {"b": "2"}})
    paid = []
    for _ in range(3):
        for task in ("one", "two"):
            await shell.value(f"%%rlm -m model -q -n demo\n{task}")
        paid.append(model.calls)
    assert paid[0] == paid[-1]
    assert "this one is demo-2.json" in capsys.readouterr().out


async def test_options_that_are_changed_back_cost_nothing(shell: Any) -> None:
    shell.names["model"] = model = ScriptedModel({"one": {"a": "1", "b": "2"}})
    answers, paid = [], []
    for _ in range(3):
        for options in ("", "--max-depth 1"):
            answers.append(str(await shell.value(f"%%rlm -m model -q {options}\none")))
            assert json.loads((FOLDER / "one.json").read_text())["result"]["content"] == answers[-1]
        paid.append(model.calls)
    assert answers == answers[:2] * 3
    assert answers[0] != answers[1]
    assert len(set(paid)) == 1


async def test_a_file_with_a_conflict_stops_its_cell(shell: Any) -> None:
    shell.names["model"] = model = ScriptedModel({"one": {"a": "1"}})
    await shell.value("%%rlm -m model -q\none")
    path, calls = FOLDER / "one.json", model.calls
    lines = path.read_text().splitlines()
    ours, theirs = lines[3:12], [line.replace("1", "2") for line in lines[3:12]]
    merged = [*lines[:3], "<<<<<<< HEAD", *ours, "=======", *theirs, ">>>>>>> other", *lines[12:]]
    path.write_text("\n".join(merged))
    for option in ("", "-n one"):
        error = str(await shell.failure(f"%%rlm -m model -q {option}\none"))
        assert "begins a git conflict" in error
        assert f"git checkout --theirs {path.absolute()}" in error
    assert model.calls == calls


# -- in a kernel -----------------------------------------------------------------------------------------------------


@pytest.mark.kernel
def test_a_renamed_and_a_copied_notebook_pay_for_nothing(new_kernel: Callable[..., Kernel], tmp_path: Path) -> None:
    cells = {"a": "%%rlm -m llm -q -n demo\nWeigh one.", "b": "%%rlm -m llm -q -n demo\nWeigh two."}

    def run(name: str, **environment: str) -> list[str]:
        """All cells of the notebook, in a new kernel: what they printed."""
        (tmp_path / name).touch()
        kernel = new_kernel(JPY_SESSION_NAME=str(tmp_path / name), **environment)
        kernel.run(MODEL)
        ran = [kernel.run(source, cell_id=cell_id) for cell_id, source in cells.items()]
        assert all(each.ok for each in ran), [each.reply for each in ran]
        return [each.printed for each in ran]

    first = run("draft.ipynb")
    assert "draft.rlm" not in first[0]
    assert f"{Path('draft.rlm/demo.json')} holds another run, which is kept; this one is demo-2.json" in first[1]
    paid = calls(tmp_path)
    assert run("draft.ipynb")[1] == first[1]
    (tmp_path / "draft.ipynb").rename(tmp_path / "final.ipynb")
    assert all("is moved to" not in printed for printed in run("final.ipynb", RLM_MODE="replay")), "a replay only reads"
    assert all("is moved to" in printed for printed in run("final.ipynb"))
    assert files(tmp_path) == ["final.rlm/demo-2.json", "final.rlm/demo.json"]
    assert all("is copied to" in printed for printed in run("copy.ipynb"))
    before = {path: path.read_bytes() for path in (tmp_path / "final.rlm").iterdir()}
    assert calls(tmp_path) == paid
    cells["a"] += " And more."
    run("copy.ipynb")
    assert calls(tmp_path) == paid + 1
    assert json.loads((tmp_path / "copy.rlm" / "demo.json").read_text())["task"] == "Weigh one. And more."
    assert {path: path.read_bytes() for path in (tmp_path / "final.rlm").iterdir()} == before


# -- by tools that know no notebook ----------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with two notebooks whose cells have one name."""
    for name in ("north", "south"):
        task = f"%%rlm -m llm -n compare answer <<\nCompare the {name}."
        sources = (MODEL, task, f"assert str(answer) == 'about Compare the {name}.', answer")
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), tmp_path / f"{name}.ipynb")
    return tmp_path


def tool(folder: Path, *command: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=2 * HANG, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return ran.stdout


@pytest.mark.kernel
def test_two_notebooks_of_one_name_do_not_replace_each_other(pair: Path) -> None:
    paid = []
    for _ in range(3):
        for name in ("north", "south"):
            tool(pair, "jupyter", "execute", f"{name}.ipynb")
        paid.append(calls(pair))
    assert paid == [2, 2, 2]
    assert files(pair) == ["notebook.rlm/compare-2.json", "notebook.rlm/compare.json"]


@pytest.mark.kernel
def test_cells_of_one_task_with_other_options_have_two_files(tmp_path: Path) -> None:
    named, unnamed = "-q -n weigh {}\nWeigh one.", "-q {}\nWeigh two."
    cells = [f"%%rlm -m llm {cell.format(option)}" for cell in (named, unnamed) for option in ("", "--max-depth 1")]
    nodes = [nbformat.v4.new_code_cell(source) for source in (SPLITTING_MODEL, *cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=nodes, metadata=KERNEL), tmp_path / "plain.ipynb")
    paid = []
    for _ in range(3):
        tool(tmp_path, "jupyter", "execute", "plain.ipynb")
        paid.append(calls(tmp_path))
    assert paid[0] > 0
    assert paid == paid[:1] * 3
    names = ("weigh-2", "weigh-two-2", "weigh-two", "weigh")
    assert files(tmp_path) == [f"notebook.rlm/{name}.json" for name in names]
    tool(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "--nbmake", "plain.ipynb", RLM_MODE="replay")
    assert calls(tmp_path) == paid[0]


@pytest.mark.kernel
def test_equal_names_in_two_folders_replay(pair: Path) -> None:
    for name in ("north", "south"):
        tool(pair, "jupyter", "execute", f"{name}.ipynb", RLM_NOTEBOOK_PATH=str(pair / f"{name}.ipynb"))
    assert files(pair) == ["north.rlm/compare.json", "south.rlm/compare.json"]
    (pair / "calls.log").unlink()
    tool(pair, "pytest", "-q", "-p", "no:cacheprovider", "--nbmake", "north.ipynb", "south.ipynb", RLM_MODE="replay")
    assert calls(pair) == 0


@pytest.mark.kernel
def test_papermill_searches_beside_its_input(pair: Path) -> None:
    pytest.importorskip("papermill")
    (pair / "out").mkdir()
    tool(pair, "jupyter", "execute", "north.ipynb", RLM_NOTEBOOK_PATH=str(pair / "north.ipynb"))
    paid = calls(pair)
    tool(pair, "papermill", "--no-progress-bar", "--inject-paths", "north.ipynb", "out/result.ipynb")
    assert calls(pair) == paid
    assert (pair / "out" / "result.rlm" / "compare.json").exists()
