"""`%autoawait`: a shell that does not await cells, or awaits them elsewhere than on asyncio, gets the blocking form."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from rlm_notebook.notebook.cell.transformer import await_rlm
from tests.notebook.conftest import Kernel
from tests.support.waiting import HANG

SETUP = "from rlm_notebook import ScriptedModel\nmodel = ScriptedModel({'root': {'a': '1', 'b': '2'}})"
CELL = "%%rlm -m model --no-checkpoint --view none answer <<\nroot"


def transformed(shell: Any) -> str:
    return "".join(await_rlm(shell.ip.input_transformer_manager.transform_cell(CELL).splitlines(keepends=True)))


@pytest.mark.parametrize(
    ("mode", "awaited"), [("False", False), ("sync", False), ("runner", False), ("asyncio", True), ("True", True)]
)
async def test_a_cell_is_awaited_only_where_the_shell_awaits_on_asyncio(shell: Any, mode: str, awaited: bool) -> None:
    before = shell.ip.loop_runner, shell.ip.autoawait
    shell.names["runner"] = lambda coroutine: None
    try:
        shell.ip.run_line_magic("autoawait", mode)
        assert transformed(shell).startswith("await ") is awaited
    finally:
        shell.ip.loop_runner, shell.ip.autoawait = before


def test_cells_of_a_shell_without_autoawait_run(tmp_path: Path, shell_class: type[InteractiveShell]) -> None:
    shell = shell_class.instance()
    shell.autoawait = False
    shell.run_cell(SETUP).raise_error()
    shell.run_cell(CELL).raise_error()
    assert shell.user_ns["answer"].content == "root: 1; 2"


@pytest.fixture
def shell_class(shell: Any) -> type[InteractiveShell]:
    return type(shell.ip)


def need_trio() -> None:
    if importlib.util.find_spec("trio") is None:
        assert not os.environ.get("RLM_REQUIRE_ALL"), "trio is not installed (pip install 'rlm-notebook[browser]')"
        pytest.skip("trio is not installed")


@pytest.mark.kernel
@pytest.mark.parametrize("mode", ["False", "trio", "sync"])
def test_a_kernel(new_kernel: Callable[..., Kernel], mode: str) -> None:
    if mode == "trio":
        need_trio()
    kernel = new_kernel()
    assert kernel.run(f"%load_ext rlm_notebook\n{SETUP}").ok
    assert kernel.run(f"%autoawait {mode}").ok
    ran = kernel.run(CELL.replace("--view none", "--view widget"))
    assert ran.ok, ran.failed_with
    assert "root: 1; 2" in ran.text
    assert kernel.run("answer.content").text == "'root: 1; 2'"
    assert kernel.run(CELL.replace("-m model", "-m missing")).failed_with.count("\n") == 0


@pytest.mark.kernel
@pytest.mark.parametrize("mode", ["False", "trio"])
def test_a_terminal(tmp_path: Path, mode: str) -> None:
    if mode == "trio":
        need_trio()
    cells = [f"%load_ext rlm_notebook\n{SETUP}", f"%autoawait {mode}", CELL, "print('the answer is', answer)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "small.ipynb")
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=nocolor", "small.ipynb"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=2 * HANG, check=False)
    assert "the answer is root: 1; 2" in ran.stdout, ran.stdout + ran.stderr
