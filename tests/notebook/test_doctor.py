"""`%rlm doctor` and `rlm-notebook doctor`: what was found, with keys by name only."""

# ruff: noqa: ASYNC240 - a test may block
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import __version__
from rlm_notebook.cli.main import main
from rlm_notebook.notebook.commands.doctor import examined
from rlm_notebook.views.table import Table
from tests.notebook.conftest import Kernel


@pytest.fixture(autouse=True)
def _no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)


def found(table: Table) -> dict[str, str]:
    return dict(table.rows)  # type: ignore[arg-type]


async def test_it_says_what_there_is(shell: Any) -> None:
    rows = found(await shell.value("%rlm doctor"))
    assert f"rlm-notebook {__version__}" in rows["packages"]
    assert rows["packages"] in str(await shell.value("%rlm doctor")), "nothing is cut"
    assert "ipython " in rows["packages"]
    assert rows["host"] == "IPython in a terminal: runs show as text"
    assert "offline" in rows["model of a cell without -m"]
    assert rows["keys that are set"].startswith("none (OPENAI_API_KEY")
    assert rows["notebook"].startswith("not known")
    assert rows["runs are kept in"] == f"{Path.cwd() / 'notebook.rlm'} (made by the first run)"


async def test_keys_are_names_and_addresses_have_no_password(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("GROQ_API_KEY", "gsk-very-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:very-secret@127.0.0.1:9/v1")
    table = await shell.value("%rlm doctor")
    rows = found(table)
    assert rows["keys that are set"] == "GROQ_API_KEY, OPENAI_API_KEY"
    assert "openai:" in rows["model of a cell without -m"]
    assert "127.0.0.1:9" in rows["settings"]
    assert "secret" not in str(table) + table._repr_html_()


async def test_the_model_is_the_one_that_a_cell_would_use(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_MODEL", "ollama:tiny")
    assert found(await shell.value("%rlm doctor"))["model of a cell without -m"] == "ollama:tiny (RLM_MODEL)"
    await shell.run('%config RLMMagics.model = "offline"')
    assert "%config" in found(await shell.value("%rlm doctor"))["model of a cell without -m"]


async def test_the_notebook_and_the_rule_that_found_it(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("analysis.ipynb").write_text("{}")
    Path("analysis.rlm").mkdir()
    Path("analysis.rlm/a.json").write_text("{}")
    monkeypatch.setenv("JPY_SESSION_NAME", str(Path("analysis.ipynb").absolute()))
    rows = found(await shell.value("%rlm doctor"))
    assert rows["notebook"] == f"{Path('analysis.ipynb').absolute()} (the Jupyter server, JPY_SESSION_NAME)"
    assert rows["runs are kept in"] == f"{Path('analysis.rlm').absolute()} (1 file)"
    monkeypatch.setenv("RLM_NOTEBOOK_PATH", "elsewhere/b.ipynb")
    assert "(RLM_NOTEBOOK_PATH)" in found(await shell.value("%rlm doctor"))["notebook"]
    monkeypatch.setenv("RLM_NOTEBOOK_PATH", "b.txt")
    assert "expected the path of a notebook" in found(await shell.value("%rlm doctor"))["notebook"]


def test_in_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "host: a terminal, without IPython" in printed
    assert "keys that are set: OPENAI_API_KEY" in printed
    assert "secret" not in printed


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by permissions: who runs the tests may be allowed everything."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert "NOT WRITABLE" in found(examined())["runs are kept in"]


@pytest.mark.kernel
def test_in_a_kernel(kernel: Kernel) -> None:
    ran = kernel.run("%rlm doctor")
    assert ran.ok, ran.reply
    (result,) = ran.of("execute_result")
    assert "a kernel (ipykernel " in result["content"]["data"]["text/plain"]
    assert "<table>" in result["content"]["data"]["text/html"]
    assert json.dumps(result["content"])
