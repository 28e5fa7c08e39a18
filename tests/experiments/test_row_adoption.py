"""The rows of a renamed or copied notebook: taken over, not paid again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import filelock
import pytest

from rlm_notebook import RecursiveEngine, ReplayError, ScriptedModel, study

TASK = "Classify: {{row}}"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens a notebook of this name: from now on, it is the one that runs."""
    monkeypatch.chdir(tmp_path)

    def opened(name: str, *, exists: bool = True) -> Path:
        notebook = tmp_path / f"{name}.ipynb"
        if exists:
            notebook.write_text("{}", encoding="utf-8")
        monkeypatch.setenv("RLM_NOTEBOOK_PATH", str(notebook))
        return notebook

    return opened


def mapped(*texts: str, task: str = TASK, **options: Any) -> tuple[Any, list[str]]:
    """The experiment `labels`, and which rows its model was asked."""
    model = ScriptedModel()
    made = RecursiveEngine(model, max_depth=1).map(task, list(texts), **{"name": "labels", **options})
    return made, [asked.removeprefix("Classify: ") for asked in model.asked()]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.rlm*"))


def test_a_renamed_notebook_moves_its_rows(opened: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = opened("one")
    mapped("a", "b")
    mapped("a", name=None, checkpoint=True)
    one.rename(tmp_path / "two.ipynb")
    opened("two")

    assert mapped("a", "b", mode="replay")[1] == []
    assert (tmp_path / "one.rlm" / "labels.rlmx.jsonl").exists()
    made, asked = mapped("a", "b", "c")
    _, unnamed = mapped("a", name=None, checkpoint=True)

    assert (asked, unnamed, made.summary.reused) == (["c"], [], 2)
    assert made.run(0).output.content == "answer to: Classify: a"
    assert files(tmp_path) == ["two.rlm", "two.rlm/classify-row.rlmx.jsonl", "two.rlm/labels.rlmx.jsonl"]
    line = "rlm: one.rlm/labels.rlmx.jsonl, whose notebook is gone, is moved to two.rlm/labels.rlmx.jsonl\n"
    assert capsys.readouterr().out.count(line) == 1


def test_a_copied_notebook_copies_them(opened: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened("one")
    mapped("a", "b")
    before = (tmp_path / "one.rlm" / "labels.rlmx.jsonl").read_bytes()
    opened("two")

    _, asked = mapped("b", "c")

    assert asked == ["c"]
    assert (tmp_path / "one.rlm" / "labels.rlmx.jsonl").read_bytes() == before
    assert "which answers this cell, too, is copied to two.rlm/labels" in capsys.readouterr().out


def test_the_name_alone_takes_nothing_over(opened: Any, tmp_path: Path) -> None:
    opened("one")
    mapped("a")
    (tmp_path / "bad.rlm").mkdir()
    (tmp_path / "bad.ipynb").touch()
    (tmp_path / "bad.rlm" / "labels.rlmx.jsonl").write_text("not rows\n", encoding="utf-8")
    opened("two")

    assert mapped("a", task="Sort: {{row}}")[0].summary.rows == 1
    text = (tmp_path / "two.rlm" / "labels.rlmx.jsonl").read_text(encoding="utf-8")

    assert "Classify" not in text
    assert mapped("a", mode="fresh")[1] == ["a"]


def test_rows_made_where_the_notebook_was_unknown_are_moved_to_it(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped("a")
    assert files(tmp_path) == ["notebook.rlm", "notebook.rlm/labels.rlmx.jsonl"]
    opened("two", exists=False)

    assert mapped("a")[1] == []
    assert files(tmp_path) == ["two.rlm", "two.rlm/labels.rlmx.jsonl"]
    monkeypatch.delenv("RLM_NOTEBOOK_PATH")
    assert mapped("a")[1] == []


def test_rows_that_are_being_written_are_copied(opened: Any, tmp_path: Path) -> None:
    one = opened("one")
    mapped("a")
    one.unlink()
    opened("two")
    with filelock.FileLock(tmp_path / "one.rlm" / "labels.rlmx.jsonl.lock"):
        assert mapped("a")[1] == []

    assert {"one.rlm/labels.rlmx.jsonl", "two.rlm/labels.rlmx.jsonl"} <= set(files(tmp_path))


def test_where_nothing_can_be_written_finished_rows_are_read_where_they_are(opened: Any, tmp_path: Path) -> None:
    opened("one")
    mapped("a")
    opened("two")
    (tmp_path / "two.rlm").write_text("in the way", encoding="utf-8")

    assert mapped("a")[1] == []


def test_a_study_moves_too(opened: Any, tmp_path: Path) -> None:
    def studied(model: Any) -> Any:
        grid = {"model": {"one": model}, "max_depth": [1]}
        return study(["a", "b"], task="{{row}}", score=lambda row, output: 1.0, grid=grid, name="arms")

    one = opened("one")
    studied(ScriptedModel())
    one.unlink()
    opened("two")
    again = ScriptedModel()

    studied(again)

    assert again.asked() == []
    assert files(tmp_path) == ["two.rlm", "two.rlm/arms.rlmx.jsonl"]


def test_a_replay_of_what_nobody_has_is_refused(opened: Any, tmp_path: Path) -> None:
    opened("one")
    mapped("a")
    opened("two")

    with pytest.raises(ReplayError):
        mapped("z", mode="replay")

    assert not (tmp_path / "two.rlm").exists()
