"""The command line `rlm-notebook`: mistakes are one line that says what was probably meant."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_notebook.cli.main import main
from tests.support.waiting import HANG


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu", "x"], "did you mean run?"),
        (["doctr"], "did you mean doctor?"),
        (["run", "x", "--modle", "y"], "did you mean --mode or --model?"),
        (["show", "x", "--mermaids"], "did you mean --mermaid?"),
        (["run", "x", "--mode", "repaly"], "did you mean replay?"),
        (["run", "x", "--concurency", "3"], "--concurency 3; `rlm-notebook run --help`"),
        (["run"], "the following arguments are required: task"),
        (["run", "x", "--max-depth", "deep"], "expected a whole number of at least 1, not 'deep'"),
        (["run", "x", "--max-calls", "0"], "expected a whole number of at least 1, not '0'"),
        (["run", "x", "--budget", "free"], "expected a number above 0, not 'free'"),
        (["run", "x", "--timeout", "-1"], "expected a number above 0, not '-1'"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert "--help` lists what there is" in lines[0]


def test_without_a_command_it_says_what_to_do_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    for command in ("rlm-notebook demo", "rlm-notebook run", "rlm-notebook doctor", "%load_ext rlm_notebook"):
        assert command in said


TASK = "1. Calculate 2 + 3\n2. Calculate 4 * 5"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RLM_MODEL", "RLM_MODE", "RLM_NOTEBOOK_PATH", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_run_goes_on_with_a_larger_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", TASK, "--max-calls", "2", "--budget", "0.5"]) == 1
    failed = capsys.readouterr().err.strip().splitlines()[-1]
    assert failed == (
        "rlm-notebook: the budget of 2 calls is spent (2 used); what finished is kept: "
        "run the same command with a larger --max-calls to continue"
    )
    assert main(["run", TASK, "--max-calls", "50", "--max-tokens", "100000", "--timeout", "60"]) == 0
    ended = capsys.readouterr()
    assert "5" in ended.out
    assert "20" in ended.out
    assert "2 calls, saved in" not in ended.err


def test_keys_of_a_file_are_set_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    (tmp_path / "keys.env").write_text("RLM_MODEL=offline\nSOME_KEY=not-to-be-shown\n")
    assert main(["run", TASK, "--env-file", "keys.env"]) == 0
    said = capsys.readouterr().err
    assert "set from keys.env: RLM_MODEL, SOME_KEY" in said
    assert "not-to-be-shown" not in said
    assert main(["run", TASK, "--env-file", "none.env"]) == 1
    assert capsys.readouterr().err.strip() == (
        "rlm-notebook: --env-file none.env: No such file or directory; name a file of NAME=value lines"
    )


def test_a_mode_and_a_file_are_those_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", TASK, "--checkpoint", "kept.json"]) == 0
    assert "6 calls, saved in kept.json" in capsys.readouterr().err
    assert main(["run", TASK, "--checkpoint", "kept.json", "--mode", "replay"]) == 0
    assert "0 calls, saved in" in capsys.readouterr().err
    assert main(["show", "kept.json"]) == 0
    assert "Calculate 2 + 3" in capsys.readouterr().out
    assert main(["run", "something else", "--checkpoint", "kept.json", "--mode", "replay"]) == 1
    assert "the task changed" in capsys.readouterr().err


def test_a_name_of_another_task_is_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["run", TASK, "--name", "sums"]) == 0
        assert main(["run", "something else", "--name", "sums"]) == 0
    said = capsys.readouterr().err
    assert said.count("sums.json holds another run, which is kept; this one is sums-2.json") == 2
    assert said.count("0 calls, saved in") == 2
    assert main(["run", "a third task", "--name", "sums", "--mode", "replay"]) == 1
    assert "the task changed" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    assert main(["run", TASK, "--checkpoint", "kept.json"]) == 0
    show = f"import sys; from rlm_notebook.cli.main import main; sys.exit(main(['show', {'kept.json'!r}]))"
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([sys.executable, "-c", show], stdout=writer, stderr=subprocess.PIPE, timeout=HANG)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_task_is_solved_by_code_over_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pydantic_monty")
    file = tmp_path / "log.txt"
    file.write_text("\n".join(f"{place} | kind: {'odd' if place % 2 else 'even'}" for place in range(9)))
    task = "How many lines of text are there where kind is odd?"

    for option in ("--code", "--code=root"):
        saved = str(tmp_path / f"{option}.json")
        assert main(["run", option, task, "--file", str(file), "-m", "offline", "--checkpoint", saved]) == 0
        assert capsys.readouterr().out.strip() == "4"


# -- map -----------------------------------------------------------------------------------------------------------


def test_sources_are_read_by_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.md").write_text("# Soil\nThe clay of the north plot holds 31 litres of water.\n")
    command = [
        "run",
        "How much water does the clay hold?",
        "--source",
        "notes.md",
        "--source",
        "*.md",
        "--name",
        "clay",
    ]
    assert main(command) == 0
    answer = capsys.readouterr().out
    assert "31 litres" in answer
    (tmp_path / "notes.md").unlink()
    assert main([*command, "--mode", "replay"]) == 0
    assert capsys.readouterr().out == answer
    assert main(command) == 1
    assert "notes.md: it cannot be read: No such file or directory" in capsys.readouterr().err


def test_map_answers_the_rows_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("id,text\n007,Parcel lost\n008,Late again\n", encoding="utf-8")
    command = ["map", "Summarise: {{text}}", "--file", "rows.csv", "--out", "answers.csv", "-m", "offline"]

    assert main(command) == 0
    first = Path("answers.csv").read_text(encoding="utf-8")
    said = capsys.readouterr()
    assert main(command) == 0

    assert first.startswith("id,text,answer,_state,_error,")
    assert "007,Parcel lost," in first
    assert Path("answers.csv").read_text(encoding="utf-8") == first
    assert "answers.csv: 2 of 2 rows done" in said.out
    assert "2 of 2 rows done, 2 reused, 0 calls" in capsys.readouterr().out


def test_map_with_a_mistake_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("text\na\n", encoding="utf-8")

    assert main(["map", "{{txt}}", "--file", "rows.csv", "--out", "answers.csv", "-m", "offline"]) == 1

    assert "rlm-notebook: {{txt}} names no column; did you mean {{text}}?" in capsys.readouterr().err
