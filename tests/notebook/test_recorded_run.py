"""The widget of a recorded run: there without an event loop, with everything but commands."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ModelError, RecursiveEngine, ScriptedModel, load_run
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.core.limits import Usage
from rlm_notebook.models.scripted import Fault
from rlm_notebook.notebook.display.static_tree import bundle_of
from rlm_notebook.notebook.kernel.host import NotebookHost
from rlm_notebook.notebook.widget import TreeView
from rlm_notebook.runtime.recorded_run import RecordedRun


@pytest.fixture
def run(tmp_path: Path) -> RecordedRun:
    path = tmp_path / "trips.rlm" / "trip.json"
    model = ScriptedModel({"trip": {"flights": "at 9", "hotel": "downtown"}})
    RecursiveEngine(model).solve("trip", checkpoint=path)
    return load_run(path)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(TreeView, "send", lambda self, content, buffers=None: messages.append(content))
    return messages


def test_it_is_complete_at_once(run: RecordedRun, sent: list[dict[str, Any]]) -> None:
    shown = json.loads(gzip.decompress(TreeView(run).get_state()["_snap"]))

    assert shown["nodes"]["title"] == ["trip", "flights", "hotel"]
    assert shown["nodes"]["state"] == ["done"] * 3
    assert all(shown["nodes"]["phases"]), "the recorded timeline"
    assert (shown["run"]["status"], shown["run"]["can"]) == ("done", [])
    assert shown["run"]["notice"] == "recorded just now"
    assert shown["run"]["checkpoint"].endswith("trip.json")


def test_details_are_answered_and_commands_are_not(run: RecordedRun, sent: list[dict[str, Any]]) -> None:
    view = TreeView(run)
    sent.clear()
    view._handle_custom_msg({"t": "get", "req": 1, "id": "0.1", "fields": ["output", "prompt"]}, [])
    view._handle_custom_msg({"t": "cmd", "req": 2, "op": "cancel"}, [])

    assert [message.get("data") for message in sent[:2]] == ["downtown", []]
    assert sent[2] == {"t": "ack", "req": 2, "ok": False, "error": sent[2]["error"]}
    assert "loaded from a file" in sent[2]["error"]


def test_what_a_saved_notebook_keeps_of_it(run: RecordedRun) -> None:
    text = bundle_of(run)["text/plain"]

    assert text.startswith("rlm done: 3 of 3 nodes")
    assert "saved in trips.rlm/trip.json" in text
    assert run.usage != Usage()


def test_without_a_kernel_it_is_printed(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    NotebookHost(object()).display(run)

    assert capsys.readouterr().out == f"{run}\n"


def test_a_run_that_failed_is_not_said_to_be_reused(tmp_path: Path) -> None:
    model = ScriptedModel(faults=[Fault(error=ModelError("no"), times=None)])
    with pytest.raises(ModelError):
        RecursiveEngine(model, retry=None).solve("trip", checkpoint=tmp_path / "run.json")
    shown = json.loads(gzip.decompress(TreeView(load_run(tmp_path / "run.json")).get_state()["_snap"]))

    assert (shown["run"]["status"], shown["run"]["notice"]) == ("failed", "recorded just now")


async def test_the_header_says_which_variable_changed() -> None:
    journal, engine = MemoryJournal(), AsyncRecursiveEngine(ScriptedModel())
    await engine.solve("trip", checkpoint=journal, variables={"report": "old"})
    run = engine.start("trip", checkpoint=journal, variables={"report": "new"})
    view = TreeView(run)
    await run
    await asyncio.sleep(0)
    shown = json.loads(gzip.decompress(view.get_state()["_snap"]))
    assert shown["run"]["notes"] == ["changed since it was recorded: report"]


def test_marimo_is_given_the_tree(run: RecordedRun) -> None:
    """It asks with a method of its own, and knows widgets; of IPython's way to display it knows nothing."""
    solved = RecursiveEngine(ScriptedModel()).solve("trip").run

    for each in (run, solved):
        shown = each._display_()
        assert isinstance(shown, TreeView)
        assert shown._run is each
