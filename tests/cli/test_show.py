"""`rlm-notebook show`: a recorded run in the terminal."""

import asyncio
from pathlib import Path

import pytest

from rlm_notebook import AsyncRecursiveEngine, RecursiveEngine, ScriptedModel, load_run
from rlm_notebook.cli.main import main
from tests.support.virtual_time import in_virtual_time


@pytest.fixture
def kept(tmp_path: Path) -> str:
    path = tmp_path / "run.json"
    RecursiveEngine(ScriptedModel({"trip": {"flights": "at 9"}})).solve("trip", checkpoint=path)
    return str(path)


def test_the_tree_and_the_answer_are_printed(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", kept]) == 0
    assert capsys.readouterr().out == f"{load_run(kept)}\n\ntrip: at 9\n"


@in_virtual_time
async def test_neither_pauses_nor_the_time_between_two_executions_are_a_part_of_what_it_took(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"
    engine = AsyncRecursiveEngine(ScriptedModel({"trip": ["flights", "hotel"]}, latency=0.01), approve=True)
    run = engine.start("trip", checkpoint=path)
    while not run.awaiting:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.01)
    await asyncio.sleep(3600)
    run.approve("0")
    await run

    assert main(["show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{load_run(path)}\n")
    assert shown.splitlines()[0].endswith(" 0.0s"), "a plan, and two calls side by side, of 10 ms each"


def test_the_flowchart_is_printed_alone(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", kept, "--mermaid"]) == 0
    assert capsys.readouterr().out == load_run(kept).to_mermaid()


def test_where_there_is_no_run_one_line_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path / "none.json")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "there is no run in" in said.err
    assert said.err.count("\n") == 1
