"""Two runs side by side: what the browser is told of other runs, and of the nodes of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import ConfigurationError, RecursiveEngine, Run, ScriptedModel, load_run
from rlm_notebook.notebook.widget import TreeView
from rlm_notebook.notebook.widget.comparison import Comparison

OLD = {"trip": {"hotel": "The Ritz, 300 a night", "museum": "closed", "train": "at nine"}}
NEW = {"trip": {"hotel": "The Ritz, 250 a night", "train": "at nine", "park": "open"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "plan.rlm"
    place.mkdir()
    for name, script in (("trip.1", OLD), ("trip", NEW), ("other", {"other": "answer"})):
        RecursiveEngine(ScriptedModel(script)).solve(next(iter(script)), checkpoint=place / f"{name}.json")
    (place / "broken.json").write_text("{")
    return place


def test_the_runs_beside_it_are_offered_its_own_versions_first(folder: Path) -> None:
    listed = Comparison().runs(load_run(folder / "trip.json"))
    assert [each["key"] for each in listed] == ["trip.1", "other"]
    assert listed[0]["status"] == "done"


def test_nodes_of_two_runs_are_paired_in_the_order_of_the_shown_one(folder: Path) -> None:
    found = Comparison().rows(load_run(folder / "trip.json"), "trip.1")
    assert [(row["kind"], row["title"], row["depth"]) for row in found["rows"]] == [
        ("changed", "trip", 0),
        ("changed", "hotel", 1),
        ("same", "train", 1),
        ("added", "park", 1),
        ("removed", "museum", 1),
    ]
    assert found["rows"][1]["what"] == ["result"]
    assert found["rows"][3]["old"] is None
    assert found["rows"][4]["new"] is None
    assert (found["old"]["name"], found["new"]["name"], found["omitted"]) == ("trip.1", "trip", 0)
    assert (found["changed"], found["added"], found["removed"]) == (2, 1, 1)


def test_outputs_of_a_pair_are_those_of_each_run(folder: Path) -> None:
    found = Comparison().outputs(load_run(folder / "trip.json"), "trip.1", "0.0", "0.0")
    assert found == {"old": "The Ritz, 300 a night", "new": "The Ritz, 250 a night"}
    assert Comparison().outputs(load_run(folder / "trip.json"), "trip.1", None, "9.9") == {"old": None, "new": None}


def test_a_large_comparison_leaves_out_what_is_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_notebook.notebook.widget.comparison.MOST_ROWS", 2)
    found = Comparison().rows(load_run(folder / "trip.json"), "trip.1")
    assert [row["kind"] for row in found["rows"]] == ["changed", "changed"]
    assert found["omitted"] == 3


@pytest.mark.parametrize("key", ["", "trip", "../plan.rlm/other", "/etc/passwd", "given", "broken"])
def test_only_runs_that_are_listed_are_read(folder: Path, key: str) -> None:
    with pytest.raises(ConfigurationError, match="no run"):
        Comparison().rows(load_run(folder / "trip.json"), key)


def test_a_run_in_memory_has_none_but_the_given_one() -> None:
    run, other = (RecursiveEngine(ScriptedModel(script)).solve("trip").run for script in (NEW, OLD))
    assert isinstance(run, Run)
    assert Comparison().runs(run) == []
    assert [each["key"] for each in Comparison(other).runs(run)] == ["given"]
    assert Comparison(other).rows(run, "given")["changed"] == 2


def test_the_widget_answers_for_a_loaded_run_and_says_what_is_wrong(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(TreeView, "send", lambda self, content, buffers=None: sent.append(content))
    view = TreeView(load_run(folder / "trip.json"), compared_with=load_run(folder / "trip.1.json"))
    assert view._meta["opens"] == "compare"
    for request, (op, args) in enumerate([("runs", {}), ("compare", {"with": "given"}), ("compare", {"with": "x"})]):
        view._handle_custom_msg({"t": "cmd", "req": request, "c": "page", "op": op, "args": args}, [])
    runs, rows, refused = (message for message in sent if message["t"] == "ack")
    assert [each["key"] for each in runs["data"]] == ["given", "trip.1", "other"]
    assert rows["data"]["added"] == 1
    assert not refused["ok"]
    assert "%rlm runs" in refused["error"]
