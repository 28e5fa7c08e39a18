"""The tutorials: each replays without a key, and executing it changes nothing of its recorded runs."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from rlm_notebook.demo.quickstart import written
from tests.support.waiting import HANG

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
ALL = sorted(NOTEBOOKS.glob("*.ipynb"))


def execute(notebook: Path, **environment: str) -> nbformat.NotebookNode:
    """Execute a notebook in its folder, as nbmake does: the kernel is told nothing but the working directory."""
    content = nbformat.read(notebook, as_version=4)
    client = NotebookClient(content, timeout=HANG, resources={"metadata": {"path": str(notebook.parent)}})
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    client.execute(env={**kept, **environment})
    return content


def recorded(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def copy(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    source: Path = request.param
    for path in (source, *NOTEBOOKS.glob("*.py")):
        shutil.copy(path, tmp_path)
    shutil.copytree(source.with_suffix(".rlm"), tmp_path / f"{source.stem}.rlm")
    return tmp_path / source.name


@pytest.mark.kernel
@pytest.mark.parametrize("copy", ALL, indirect=True, ids=lambda path: path.stem)
@pytest.mark.parametrize("mode", ["resume", "replay"])
def test_executing_a_tutorial_changes_nothing_of_its_record(copy: Path, mode: str) -> None:
    before = recorded(copy.with_suffix(".rlm"))
    assert before, "a tutorial is committed with its recorded run"
    if mode == "replay":
        # A replay needs neither the server of a tutorial nor the client.
        (copy.parent / "notes_server.py").unlink()
        (copy.parent / "mcp.py").write_text("raise ImportError", encoding="utf-8")
    execute(copy, RLM_MODE=mode)
    assert recorded(copy.with_suffix(".rlm")) == before


@pytest.mark.kernel
def test_a_changed_task_is_not_replayed(tmp_path: Path) -> None:
    shutil.copytree(NOTEBOOKS / "01_quickstart.rlm", tmp_path / "01_quickstart.rlm")
    changed = tmp_path / "01_quickstart.ipynb"
    changed.write_text(written().replace("in two sentences", "in three sentences"), encoding="utf-8")
    with pytest.raises(Exception, match="ReplayError") as caught:
        execute(changed, RLM_MODE="replay")
    assert "the task changed" in str(caught.value)


def test_the_quickstart_is_written_from_its_source() -> None:
    assert (NOTEBOOKS / "01_quickstart.ipynb").read_text(encoding="utf-8") == written()


def test_tutorials_pin_model_and_name() -> None:
    """A tutorial must not depend on a key of its reader, nor on a file that its words happen to choose."""
    for path in ALL:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and cell.source.startswith("%%rlm"):
                line = cell.source.splitlines()[0]
                assert " -m " in line, (path.name, line)
                assert "--name" in line or " -n " in line, (path.name, line)
