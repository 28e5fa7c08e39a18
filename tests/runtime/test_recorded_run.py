"""A recorded run: read from its file without a loop and without a model, and as good to look at as a live one."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    CheckpointError,
    ConfigurationError,
    ExecutionError,
    ModelError,
    NodeState,
    RecursiveEngine,
    ScriptedModel,
    load_run,
)
from rlm_notebook.core.events import Finished
from rlm_notebook.models.scripted import Fault
from rlm_notebook.views.outline import outline

TRIP = {"trip": {"flights": "at 9", "food": {"lunch": "soup", "dinner": "stew"}}}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    RecursiveEngine(ScriptedModel(TRIP), budget=Budget(calls=100)).solve("trip", checkpoint=path)
    return path


def test_it_reads_as_the_recorded_run(kept: Path) -> None:
    before = kept.read_bytes()
    run = load_run(kept)

    assert (run.status, run.ended, run.task) == ("done", True, "trip")
    assert run.output is not None
    assert str(run.output) == str(run.partial()) == "trip: at 9; food: soup; stew"
    assert {"depth", "steps", "task_id", "breadcrumbs", "duration", "usage", "calls"} <= set(run.output.metadata)
    assert (run.output.metadata["steps"], run.output.metadata["calls"]) == (5, 0)
    assert run.output.metadata["run_id"] == run.run_id == json.loads(before)["run_id"]
    assert run.usage.calls == 7
    assert run.internals.budget == Budget(calls=100)
    assert run.checkpoint == str(kept)
    assert [row["task"] for row in run.trace()] == ["trip", "flights", "food", "lunch", "dinner"]
    assert str(run) == outline(run.tree)
    assert '["✓ lunch"]' in run.to_mermaid()
    assert kept.read_bytes() == before
    assert sorted(kept.parent.iterdir()) == [kept], "no lock, no journal"


def test_its_path_may_be_text(kept: Path) -> None:
    assert load_run(str(kept)).run_id == load_run(kept).run_id


async def test_it_compares_with_a_live_run_in_both_directions(kept: Path) -> None:
    run = AsyncRecursiveEngine(ScriptedModel({"trip": {"flights": "at 10"}})).start("trip")
    await run

    assert [node.task for node in load_run(kept).diff(run).removed] == ["food", "lunch", "dinner"]
    assert [node.task for node in run.diff(load_run(kept)).added] == ["food", "lunch", "dinner"]
    assert not load_run(kept).diff(load_run(kept))


def test_a_run_that_failed_gives_what_it_had(tmp_path: Path) -> None:
    faults = [Fault("^dinner$", error=ModelError("no stew"), times=None)]
    with pytest.raises(Exception, match="no stew"):
        RecursiveEngine(ScriptedModel(TRIP, faults=faults)).solve("trip", checkpoint=tmp_path / "run.json")
    run = load_run(tmp_path / "run.json")

    assert (run.status, run.output) == ("failed", None)
    assert run.partial().metadata["partial"] is True
    assert "at 9" in run.partial().content
    assert "soup" in run.partial().content


async def test_a_run_that_died_is_shown_as_interrupted(tmp_path: Path) -> None:
    model = ScriptedModel({"trip": {"flights": "at 9", "hotel": lambda r: asyncio.sleep(60)}})
    run = AsyncRecursiveEngine(model).start("trip", checkpoint=tmp_path / "run.json")
    async for event in run.events():
        if isinstance(event, Finished):
            break
    # What a process leaves that is killed now.
    left = (tmp_path / "run.journal.jsonl").read_bytes()
    (tmp_path / "dead.journal.jsonl").write_bytes(left)
    await run.cancel()
    dead = load_run(tmp_path / "dead.json")

    assert (dead.status, dead.ended, dead.output) == ("cancelled", True, None)
    assert [(node.task, node.state) for node in dead.tree.walk()] == [
        ("trip", NodeState.CANCELLED),
        ("flights", NodeState.DONE),
        ("hotel", NodeState.CANCELLED),
    ]
    assert "interrupted" in str(dead)
    assert "at 9" in dead.partial().content


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, r"no run in .*none\.json; give the path"),
        ("{", "damaged"),
        ('{"format": "other"}', "not an rlm checkpoint"),
        ('{"format": "rlm-checkpoint", "version": 99}', "upgrade it"),
        ('{"format": "rlm-checkpoint", "version": 1, "task": 3}', "task|run_id"),
    ],
)
def test_a_file_without_a_run_is_refused_with_advice(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "none.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=problem):
        load_run(path)


def test_a_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot use.*it is a directory"):
        load_run(tmp_path)


def test_a_file_with_an_invalid_budget_can_be_read(kept: Path) -> None:
    data = json.loads(kept.read_text(encoding="utf-8"))
    data["engine"]["budget"] = {"calls": -3}
    kept.write_text(json.dumps(data), encoding="utf-8")

    assert load_run(kept).internals.budget == Budget()


def test_it_cannot_be_controlled(kept: Path) -> None:
    run = load_run(kept)
    told: list[Any] = []
    run.internals.watch(told.append)()
    run.cancel()
    run.pause()
    run.resume()

    assert (told, run.status, run.internals.describe_prompt("0")) == ([], "done", ())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: run.edit("0.1", result="x"), "RecursiveEngine(...).edit(run, '0.1', ...)"),
        (lambda run: run.retry(), "RecursiveEngine(...).retry_run(run)"),
        (lambda run: run.retry("0.1"), "RecursiveEngine(...).retry_run(run, '0.1')"),
        (lambda run: run.synthesize_anyway(), 'on_failure="synthesize"'),
    ],
)
def test_methods_that_need_a_model_name_the_engine_that_has_them(kept: Path, change: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        change(load_run(kept))

    assert said in str(caught.value)
    assert str(kept) in str(caught.value)


async def test_awaiting_and_events_behave_as_of_a_run_that_has_ended(kept: Path) -> None:
    run = load_run(kept)

    assert (await run).content == "trip: at 9; food: soup; stew"
    assert [event async for event in run.events()] == []


async def test_awaiting_a_failed_one_raises(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    model = ScriptedModel(TRIP, faults=[Fault("lunch", ModelError("no lunch"), times=None)])
    with pytest.raises(ExecutionError):
        await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)

    with pytest.raises(ExecutionError, match=r"run.json is failed: .*no lunch"):
        await load_run(path)
