"""The same small notebook in everything that executes notebooks here, and the same task in a terminal.

Each host must run it to the end, keep the run beside it, and call no model when it executes the notebook again.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pexpect
import pytest

from tests.notebook.conftest import Kernel
from tests.support.waiting import HANG

pytestmark = pytest.mark.kernel

PATIENCE = 120
MODEL = """\
from rlm_notebook import RecursiveEngine, ScriptedModel

def logged(inputs, context):
    with open("calls.log", "a") as lines:
        lines.write(context["task"] + "\\n")
    return scripted[context["mode"], context["task"]]

scripted = {
    ("planner", "Name two primes"): {"content": '{"decision": "RECURSE", "sub_tasks": ["the first", "the second"]}'},
    ("planner", "the first"): {"content": '{"decision": "EXECUTE", "answer": "2"}'},
    ("planner", "the second"): {"content": '{"decision": "EXECUTE", "answer": "3"}'},
    ("synthesizer", "Name two primes"): {"content": "2 and 3"},
}"""
CELLS = (
    f"%load_ext rlm_notebook\n{MODEL}",
    "%%rlm -m logged -n primes answer <<\nName two primes",
    "assert str(answer) == '2 and 3', answer\nprint('calls of this execution:', answer.metadata['calls'])",
    "print(RecursiveEngine(logged).solve('the second'))",
)


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "small.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def run(folder: Path, *command: str) -> str:
    """What a command printed; it must succeed."""
    ran = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"
    return ran.stdout + ran.stderr


def need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        reason = f"{module} is not installed (pip install 'rlm-notebook[browser]')"
        assert not os.environ.get("RLM_REQUIRE_ALL"), reason
        pytest.skip(reason)


def executed_twice(folder: Path, execute: Callable[[], object]) -> None:
    """The first execution asks each question once, the second asks only what is not kept in a file."""
    kept_in_no_file = "the second"
    execute()
    asked = (folder / "calls.log").read_text().splitlines()
    assert sorted(asked[:4]) == ["Name two primes", "Name two primes", "the first", "the second"]
    assert asked[4:] == [kept_in_no_file]
    (kept,) = folder.glob("*.rlm/primes.json")
    before = kept.read_bytes()
    assert json.loads(before)["status"] == "done"
    execute()
    assert (folder / "calls.log").read_text().splitlines()[5:] == [kept_in_no_file]
    assert kept.read_bytes() == before
    assert [path.name for path in folder.glob("*.rlm/*")] == ["primes.json"]


def test_nbclient(notebook: Path) -> None:
    from nbclient import NotebookClient

    def execute() -> None:
        document = nbformat.read(notebook, as_version=4)
        NotebookClient(document, resources={"metadata": {"path": str(notebook.parent)}}).execute()
        assert document.cells[3].outputs[0].text == "3\n"

    executed_twice(notebook.parent, execute)


def test_nbmake(notebook: Path) -> None:
    executed_twice(
        notebook.parent,
        lambda: run(notebook.parent, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbmake", notebook.name),
    )


def test_jupyter_execute(notebook: Path) -> None:
    need("nbclient")
    executed_twice(notebook.parent, lambda: run(notebook.parent, "-m", "jupyter", "execute", notebook.name))


def test_nbconvert(notebook: Path) -> None:
    need("nbconvert")
    command = ("-m", "nbconvert", "--to", "html", "--execute", notebook.name)
    executed_twice(notebook.parent, lambda: run(notebook.parent, *command))
    page = notebook.with_suffix(".html").read_text()
    assert "rlm-static" in page
    assert "the first" in page


def test_papermill(notebook: Path) -> None:
    need("papermill")
    command = ("-m", "papermill", "--no-progress-bar", notebook.name, "out.ipynb")
    executed_twice(notebook.parent, lambda: run(notebook.parent, *command))
    outputs = nbformat.read(notebook.parent / "out.ipynb", as_version=4).cells[2].outputs
    assert "calls of this execution: 0" in outputs[0].text


def test_papermill_fails_at_a_mistyped_option(notebook: Path) -> None:
    need("papermill")
    document = nbformat.read(notebook, as_version=4)
    document.cells[1].source = document.cells[1].source.replace("-n primes", "--nmae primes")
    nbformat.write(document, notebook)
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", notebook.name, "out.ipynb"]
    ran = subprocess.run(command, cwd=notebook.parent, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.returncode != 0
    assert "unknown option --nmae; did you mean --name" in ran.stderr


@pytest.mark.parametrize(
    ("needed", "command"),
    [
        ("nbclient", ("jupyter", "execute", "--inplace", "small.ipynb")),
        ("nbconvert", ("nbconvert", "--to", "notebook", "--execute", "--inplace", "small.ipynb")),
        ("papermill", ("papermill", "--no-progress-bar", "small.ipynb", "small.ipynb")),
    ],
)
def test_an_executed_notebook_stays_small_and_quiet(notebook: Path, needed: str, command: tuple[str, ...]) -> None:
    """Without a front end: the static copy alone, no code of a widget, and no change where nothing was computed."""
    need(needed)
    document = nbformat.read(notebook, as_version=4)
    del document.cells[2:]
    document.cells[0].source += f"\nscripted['planner', 'Name two primes']['content'] = {json.dumps(MANY)!r}"
    document.cells[0].source += f"\ntwelve = {{'content': {json.dumps(TWELVE)!r}}}"
    document.cells[0].source += "\nmodel = lambda i, c: scripted.get((c['mode'], c['task']), twelve)"
    document.cells[1].source = "%%rlm -m model -n primes --max-steps 500\nName two primes"
    nbformat.write(document, notebook)
    before = notebook.stat().st_size

    run(notebook.parent, "-m", *command)
    first = unstamped(notebook)
    assert notebook.stat().st_size - before <= 20_000
    outputs = nbformat.read(notebook, as_version=4).cells[1].outputs
    assert ["text/html" in output.data for output in outputs] == [True, False]
    assert "rlm done: 201 of 201 nodes" in outputs[0].data["text/plain"]
    assert outputs[1].data["text/plain"] == "2 and 3"
    assert "widget-view" not in notebook.read_text()
    assert "widgets" not in nbformat.read(notebook, as_version=4).metadata

    run(notebook.parent, "-m", *command)
    assert unstamped(notebook) == first


TWELVE = {"decision": "EXECUTE", "answer": "twelve"}
MANY = {"decision": "RECURSE", "sub_tasks": [f"weigh the market of country number {at}" for at in range(200)]}


def unstamped(notebook: Path) -> str:
    """The text of a notebook without the times that Jupyter and papermill write."""
    text = re.sub(r'"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?"', '""', notebook.read_text(encoding="utf-8"))
    return re.sub(r'"duration": [\d.]+', '"duration": 0', text)


def test_a_reused_run_is_shown_once_and_as_it_ends(new_kernel: Callable[..., Kernel]) -> None:
    """Tools that compare outputs (nbval) see one display, and it is the final one."""
    kernel = new_kernel(JPY_SESSION_NAME="")
    setup, cell = CELLS[0], CELLS[1]
    assert kernel.run(setup).ok
    first, again = kernel.run(cell), kernel.run(cell)
    updated = [message["content"]["data"] for message in first.of("display_data", "update_display_data")]
    shown = again.of("display_data", "update_display_data", "comm_open")
    assert [message["msg_type"] for message in shown] == ["display_data"]
    assert shown[0]["content"]["data"] == updated[-1]


def test_a_front_end_that_asks_for_the_widget_gets_it(new_kernel: Callable[..., Kernel]) -> None:
    kernel = new_kernel(JPY_SESSION_NAME="")
    kernel.run(CELLS[0])
    assert kernel.run(CELLS[1].replace("-n primes", "--view widget")).of("comm_open")
    assert not kernel.run(CELLS[1]).of("comm_open")
    assert kernel.run(CELLS[1], cell_id="a-cell").of("comm_open")


def test_ipython_runs_a_notebook_file(notebook: Path) -> None:
    def execute() -> None:
        printed = run(notebook.parent, "-m", "IPython", "--no-banner", "--colors=nocolor", notebook.name)
        assert "calls of this execution:" in printed
        assert printed.rstrip().endswith("3")

    executed_twice(notebook.parent, execute)


def test_ipython_dash_c(tmp_path: Path) -> None:
    cell = "%%rlm -m offline --no-checkpoint\nWhat is 17 * 3?"
    printed = run(tmp_path, "-m", "IPython", "--no-banner", "--colors=nocolor", "--ext", "rlm_notebook", "-c", cell)
    assert "51" in printed
    assert list(tmp_path.glob("*.rlm")) == []


def test_python_dash_c(tmp_path: Path) -> None:
    program = f"{MODEL}\nprint(RecursiveEngine(logged).solve('Name two primes', checkpoint='primes.json'))"
    assert run(tmp_path, "-c", program) == "2 and 3\n"
    assert run(tmp_path, "-c", program) == "2 and 3\n"
    assert len((tmp_path / "calls.log").read_text().splitlines()) == 4


def test_an_interactive_terminal(tmp_path: Path) -> None:
    """Typed into IPython at a terminal: the tree as text, the answer, and Ctrl-C stops a run that can go on."""
    (tmp_path / "model.py").write_text(MODEL)
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    arguments = ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--colors=nocolor", "--ext", "rlm_notebook"]
    terminal = pexpect.spawn(
        sys.executable,
        arguments,
        cwd=str(tmp_path),
        env=environment,
        encoding="utf-8",
        timeout=HANG,
        dimensions=(40, 110),
    )
    try:
        terminal.expect(r"In \[1\]")
        terminal.sendline("from model import *")
        terminal.expect(r"In \[2\]")
        terminal.sendline("%%rlm -m logged -n primes\nName two primes\n\n")
        terminal.expect(r"Out\[2\]")
        assert "the first" in plain(terminal.before or "")
        terminal.expect("2 and 3")
        terminal.expect(r"In \[3\]")
        terminal.sendline("import time; slow = lambda inputs, context: time.sleep(60)")
        terminal.expect(r"In \[4\]")
        terminal.sendline("%%rlm -m slow -n slow\nTake your time\n\n")
        terminal.expect(r"\? .*Take your time")
        terminal.sendintr()
        terminal.expect(r"Interrupted: 0 of 1 nodes")
        terminal.expect(r"In \[5\]")
        terminal.sendline("_rlm.status")
        terminal.expect("'cancelled'")
        terminal.sendline("exit()")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close(force=True)
    (kept,) = tmp_path.glob("*.rlm/primes.json")
    assert json.loads(kept.read_text())["status"] == "done"


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
