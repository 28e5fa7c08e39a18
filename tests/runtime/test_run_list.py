"""`list_runs`: one row for each file of a run, readable or not."""

import contextlib
import json
import os
import pickle
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import CheckpointError, ModelError, RecursiveEngine, ScriptedModel, list_runs
from rlm_notebook.runtime.run_list import RunList


def kept(path: Path, task: str = "add it up", model: Any = None) -> None:
    engine = RecursiveEngine(model or ScriptedModel({task: ["a", "b"]}), max_depth=2, retry=None)
    with contextlib.suppress(ModelError):
        engine.solve(task, checkpoint=path)


def test_each_run_is_a_row(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    kept(tmp_path / "one.json", "first\ntask")
    kept(tmp_path / "two.json", "second", ScriptedModel(lambda request: ModelError("down")))
    runs = list_runs(tmp_path)

    assert [run.name for run in runs] == ["one", "two"]
    one, two = runs
    assert (one.path, one.status, one.task, one.nodes, one.calls) == (
        tmp_path / "one.json",
        "done",
        "first\ntask",
        3,
        4,
    )
    assert one.tokens > 0
    assert (one.cost_usd, one.model) == (0.0, "scripted")
    assert one.created is not None
    assert one.updated is not None
    assert abs((one.created - before).total_seconds()) < 3600
    assert (two.status, one.problem) == ("failed", "")
    assert "down" in two.problem


def test_folders_beside_notebooks_are_looked_into(tmp_path: Path) -> None:
    kept(tmp_path / "study.rlm" / "cell.json")
    kept(tmp_path / "other" / "deep.json")
    assert [run.path for run in list_runs(tmp_path)] == [tmp_path / "study.rlm" / "cell.json"]
    assert [run.name for run in list_runs(str(tmp_path / "other"))] == ["deep"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"name": "package"}', b"\xff\xfe\x00", b'{"format": "rlm", "version": 999}'],
)
def test_a_file_without_a_run_is_listed_with_its_problem(tmp_path: Path, content: bytes) -> None:
    kept(tmp_path / "fine.json")
    (tmp_path / "bad.json").write_bytes(content)
    bad, fine = list_runs(tmp_path)

    assert (bad.name, bad.status) == ("bad", "unreadable")
    assert bad.problem
    assert bad.updated is not None
    assert fine.status == "done"


def test_a_file_that_cannot_be_opened_is_listed_too(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "dangling.json").symlink_to(tmp_path / "nowhere")
    assert [run.status for run in list_runs(tmp_path)] == ["unreadable", "unreadable"]


def test_a_run_that_is_still_a_journal_is_interrupted(tmp_path: Path) -> None:
    copies: list[Path] = []

    def reply(request: Any) -> Any:
        if request.mode == "planner":
            return {"decision": "RECURSE", "sub_tasks": ["a", "b"]}
        if request.mode == "synthesizer":
            for file in tmp_path.glob("*.journal.jsonl"):
                copies.append(tmp_path / "copied" / file.name)
                copies[-1].parent.mkdir()
                shutil.copy(file, copies[-1])
        return "x"

    kept(tmp_path / "run.json", "t", ScriptedModel(reply))
    assert copies
    (run,) = list_runs(tmp_path / "copied")
    assert (run.name, run.status, run.task, run.nodes) == ("run", "interrupted", "t", 3)


def test_an_empty_folder_is_an_empty_list_and_none_is_an_error(tmp_path: Path) -> None:
    assert list_runs(tmp_path) == []
    assert "no runs are recorded here" in str(list_runs(tmp_path))
    with pytest.raises(CheckpointError, match="there is no folder"):
        list_runs(tmp_path / "nowhere")


def test_the_working_directory_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path / "run.json")
    monkeypatch.chdir(tmp_path)
    assert [run.name for run in list_runs()] == ["run"]


def test_it_is_shown_as_a_table_and_is_plain_data(tmp_path: Path) -> None:
    kept(tmp_path / "run.json", "<script>alert(1)</script>")
    (tmp_path / "bad.json").write_text("{")
    runs = list_runs(tmp_path)

    assert isinstance(runs, RunList)
    assert [line.split()[0] for line in str(runs).splitlines()] == ["name", "bad", "run"]
    assert "<script>" not in runs._repr_html_()
    assert json.loads(json.dumps([run.to_json() for run in runs]))[1]["status"] == "done"
    assert pickle.loads(pickle.dumps(runs)) == runs


def test_a_clock_of_another_age_does_no_harm(tmp_path: Path) -> None:
    kept(tmp_path / "run.json")
    os.utime(tmp_path / "run.json", (0, 0))
    document = json.loads((tmp_path / "run.json").read_text())
    document["created"] = 1e300
    (tmp_path / "run.json").write_text(json.dumps(document))
    assert len(list_runs(tmp_path)) == 1


def test_the_list_as_a_data_frame(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    kept(tmp_path / "one.json", "first\ntask")
    kept(tmp_path / "two.json", "second", ScriptedModel(lambda request: ModelError("down")))
    (tmp_path / "bad.json").write_text("{")
    runs = list_runs(tmp_path)
    frame = runs.to_frame()

    assert list(frame.columns)[:10] == [
        "name",
        "state",
        "nodes",
        "calls",
        "tokens",
        "cost_usd",
        "seconds",
        "model",
        "when",
        "task",
    ]
    assert list(frame.state) == ["unreadable", "done", "failed"]
    assert list(frame.tokens) == [run.tokens for run in runs]
    assert frame.cost_usd.isna().tolist() == [True, False, False]
    assert frame.seconds[1] == runs[1].seconds
    assert frame.task[1] == "first\ntask"
    assert isinstance(frame.when.dtype, pandas.DatetimeTZDtype)
    assert frame.when[1] == runs[1].ended


def test_an_empty_list_has_the_same_columns(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    empty = list_runs(tmp_path).to_frame()
    kept(tmp_path / "one.json")
    full = list_runs(tmp_path).to_frame()
    assert len(empty) == 0
    assert dict(empty.dtypes[["nodes", "tokens", "cost_usd", "seconds", "when"]]) == dict(
        full.dtypes[["nodes", "tokens", "cost_usd", "seconds", "when"]]
    )


def test_the_time_of_a_run_is_that_of_its_end_and_not_of_its_file(tmp_path: Path) -> None:
    """A clone writes all files anew."""
    kept(tmp_path / "run.json")
    os.utime(tmp_path / "run.json", (1e9, 1e9))
    (run,) = list_runs(tmp_path)
    assert run.when == run.ended
    assert run.when != run.updated
