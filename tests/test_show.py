"""`rlm-notebook show`: a recorded run in the terminal."""

from pathlib import Path

import pytest

from rlm_notebook import RecursiveEngine, ScriptedModel, load_run
from rlm_notebook.__main__ import main


@pytest.fixture
def kept(tmp_path: Path) -> str:
    path = tmp_path / "run.json"
    RecursiveEngine(ScriptedModel({"trip": {"flights": "at 9"}})).solve("trip", checkpoint=path)
    return str(path)


def test_the_tree_and_the_answer_are_printed(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", kept]) == 0
    assert capsys.readouterr().out == f"{load_run(kept)}\n\ntrip: at 9\n"


def test_the_flowchart_is_printed_alone(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", kept, "--mermaid"]) == 0
    assert capsys.readouterr().out == load_run(kept).to_mermaid()


def test_where_there_is_no_run_one_line_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path / "none.json")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "there is no run in" in said.err
    assert said.err.count("\n") == 1
