"""Real kernels and real notebook execution: two writers of one notebook, readers without a key, offline replay."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.fault_server import FaultServer
from tests.notebook.conftest import LOGGING_MODEL, Kernel, calls
from tests.support.waiting import HANG

pytestmark = pytest.mark.kernel

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"

# -- two kernels -----------------------------------------------------------------------------------------------------

SCRIPT = {"root": {"quick": "q", "slow": "s"}}


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")
def test_a_second_kernel_is_refused_by_name_until_the_first_is_killed(
    new_kernel: Callable[..., Kernel], tmp_path: Path
) -> None:
    (tmp_path / "analysis.ipynb").write_text("{}")
    kernels = [new_kernel(RLM_NOTEBOOK_PATH=str(tmp_path / "analysis.ipynb")) for _ in range(2)]
    holder, other = kernels
    for kernel in kernels:
        kernel.run(LOGGING_MODEL)
    holder.run(f"model = logged({SCRIPT!r}, 'calls.log', latency=1.5)")
    other.run(f"model = logged({SCRIPT!r}, 'calls.log')")
    pid = int(holder.value("__import__('os').getpid()"))
    running = holder.send("%%rlm -m model -n shared\nroot")
    ends = time.monotonic() + HANG
    while len(calls(tmp_path, "answered")) < 1:
        assert time.monotonic() < ends
        time.sleep(0.01)
    refused = other.run("%%rlm -m model -n shared\nroot")
    assert not refused.ok
    assert f"process {pid} is writing it" in refused.failed_with
    assert "wait for that run, cancel it, or choose another name" in refused.failed_with
    before = calls(tmp_path, "answered")
    assert running
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    taken_over = other.run("%%rlm -m model -n shared\nroot")

    assert taken_over.ok, taken_over.reply
    assert "root: q; s" in taken_over.text
    made = calls(tmp_path)
    assert [made.count(call) for call in before[:1]] == [1], "what the killed one had kept was not asked again"
    assert sorted(each.name for each in (tmp_path / "analysis.rlm").iterdir()) == ["shared.json"]


# -- a notebook that is passed on ------------------------------------------------------------------------------------


def notebook(path: Path, task: str, spec: str = "") -> Path:
    """The author's notebook; the model is named only where the author says so."""
    line = f"%%rlm {'-m ' + spec if spec else ''} -n answer".replace("  ", " ")
    cells = [nbformat.v4.new_code_cell("%load_ext rlm_notebook"), nbformat.v4.new_code_cell(f"{line}\n{task}")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def executed(path: Path, **environment: str) -> nbformat.NotebookNode:
    """Executed in its folder by a kernel that knows no key but those given; the file itself is left alone."""
    content = nbformat.read(path, as_version=4)
    client = NotebookClient(content, timeout=HANG, resources={"metadata": {"path": str(path.parent)}})
    ours = ("OPENAI", "ANTHROPIC", "RLM_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    client.execute(env={**kept, **environment})
    return content


def shown(content: nbformat.NotebookNode) -> str:
    return json.dumps([cell.get("outputs", []) for cell in content.cells])


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [each for each in folder.rglob("*") if each.is_file() and ".ipython" not in each.parts]
    return {str(each.relative_to(folder)): (each.read_bytes(), each.stat().st_mtime_ns) for each in files}


TASK = "Sum it up\nsplit: first part | second part"


@pytest.mark.parametrize("named", [True, False], ids=["model named", "default model"])
def test_a_reader_without_key_and_server_reuses_all_and_changes_nothing(tmp_path: Path, named: bool) -> None:
    (tmp_path / "work").mkdir()
    with FaultServer() as server:
        spec = "openai:gpt-5-mini" if named else ""
        path = notebook(tmp_path / "work" / "paper.ipynb", TASK, spec)
        author = executed(path, OPENAI_API_KEY="sk-author-0123456789", OPENAI_BASE_URL=server.url)
        asked = len(server.requests)
    assert asked > 1
    before = contents(tmp_path / "work")
    assert any(name.endswith(".rlm/answer.json") for name in before)
    reader = executed(path)

    assert contents(tmp_path / "work") == before, "no byte, no other file, no other time of change"
    assert answers(reader) == answers(author) != []
    assert "sk-author" not in shown(author) + shown(reader)


def answers(content: nbformat.NotebookNode) -> list[str]:
    """The values of the `%%rlm` cells; what other cells find (`%rlm doctor`) is another thing elsewhere."""
    cells = [cell for cell in content.cells if cell.source.startswith("%%rlm")]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [output["data"]["text/plain"] for output in outputs if output["output_type"] == "execute_result"]


def test_a_changed_cell_of_an_unknown_notebook_keeps_the_finished_run(tmp_path: Path) -> None:
    with FaultServer() as server:
        known = {"OPENAI_API_KEY": "sk-author-0123456789", "OPENAI_BASE_URL": server.url}
        path = notebook(tmp_path / "paper.ipynb", TASK, "openai:gpt-5-mini")
        executed(path, **known)
        (file,) = tmp_path.glob("*.rlm/answer.json")
        first = file.read_bytes()
        executed(notebook(path, TASK.replace("second", "third"), "openai:gpt-5-mini"), **known)

    assert file.read_bytes() == first, "it may be another notebook's"
    assert json.loads(file.with_name("answer-2.json").read_bytes())["task"] == TASK.replace("second", "third")


def test_executing_a_finished_notebook_again_changes_nothing_that_is_shown_or_kept(tmp_path: Path) -> None:
    path = notebook(tmp_path / "paper.ipynb", TASK, "offline")
    executed(path)
    before = contents(tmp_path)
    first, second = executed(path), executed(path)

    assert contents(tmp_path) == before
    assert static(first) == static(second)


def static(content: nbformat.NotebookNode) -> list[Any]:
    """The outputs as they are saved, but for the ids that Jupyter itself makes anew for every widget."""
    text = json.dumps([cell.get("outputs", []) for cell in content.cells], sort_keys=True)
    return [re.sub(r'"model_id": "[0-9a-f]{32}"', '"model_id": ""', text)]


# -- replay ----------------------------------------------------------------------------------------------------------

#: Run by Python when it starts, before anything else: every connection of the kernel but to the front end that started
#: it (ZeroMQ connects in C and is not concerned) raises, and so does every look-up of a name.
REFUSING = """
import socket

def refuse(*arguments, **options):
    raise OSError(f"no network in this test: {arguments[1:] or arguments}")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture
def offline(tmp_path: Path) -> str:
    """A PYTHONPATH with which no connection can be made."""
    (tmp_path / "offline").mkdir()
    (tmp_path / "offline" / "sitecustomize.py").write_text(REFUSING)
    return os.pathsep.join([str(tmp_path / "offline"), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.mark.parametrize("name", sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
def test_every_tutorial_replays_without_key_and_network_with_the_same_answers(
    tmp_path: Path, offline: str, name: str
) -> None:
    path = Path(shutil.copy(NOTEBOOKS / f"{name}.ipynb", tmp_path))
    shutil.copytree(NOTEBOOKS / f"{name}.rlm", tmp_path / f"{name}.rlm")
    recorded = contents(tmp_path / f"{name}.rlm")
    replayed = executed(path, RLM_MODE="replay", PYTHONPATH=offline)

    assert contents(tmp_path / f"{name}.rlm") == recorded
    # A replay needs no file of a server that the notebook starts; the execution to compare with does.
    for helper in NOTEBOOKS.glob("*.py"):
        shutil.copy(helper, tmp_path)
    committed = answers(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4))
    assert answers(replayed) == (committed or answers(executed(path)))


def test_a_connection_is_refused_in_such_a_kernel(tmp_path: Path, offline: str) -> None:
    probe = nbformat.v4.new_code_cell("import socket; socket.create_connection(('127.0.0.1', 9))")
    nbformat.write(nbformat.v4.new_notebook(cells=[probe]), tmp_path / "probe.ipynb")
    with pytest.raises(CellExecutionError, match="no network in this test"):
        executed(tmp_path / "probe.ipynb", PYTHONPATH=offline)


def test_a_changed_task_is_refused_with_the_node_and_what_changed(tmp_path: Path) -> None:
    path = notebook(tmp_path / "paper.ipynb", TASK, "offline")
    executed(path)
    with pytest.raises(CellExecutionError) as error:
        executed(notebook(path, TASK + " | another part", "offline"), RLM_MODE="replay")

    assert "ReplayError" in str(error.value)
    assert "node 0 is not what was recorded" in str(error.value)
    assert "the task changed" in str(error.value)
