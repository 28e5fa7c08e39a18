"""A run that was stopped goes on where its file ends."""

# What is tested blocks by design: small files, read and written where the loop may wait.
# ruff: noqa: ASYNC110, ASYNC240

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    CheckpointError,
    ExecutionError,
    ModelError,
    ReplayError,
    RetryPolicy,
    ScriptedModel,
)
from rlm_notebook.checkpoints.checked_lines import line_with_checksum
from rlm_notebook.checkpoints.json_file import load_recorded
from rlm_notebook.core.events import Event, Finished, from_json
from rlm_notebook.core.tree import Tree
from rlm_notebook.models.scripted import Fault
from tests.support.checkpoint_files import (
    ANSWER,
    engine,
    failing,
    files,
    journal_left_by_a_crash,
    journal_of,
)
from tests.support.checkpoint_schema import require_valid
from tests.support.trip import TRIP
from tests.support.virtual_time import in_virtual_time


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trip.json"


async def test_a_failed_run_is_kept_and_only_what_is_missing_is_done_again(path: Path) -> None:
    with pytest.raises(ExecutionError):
        await failing().solve("trip", checkpoint=path)
    data = json.loads(path.read_text(encoding="utf-8"))
    require_valid(data)
    assert data["status"] == "failed"
    model = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)

    assert output.content == ANSWER
    assert [request.facts.task for request in model.requests] == ["lunch", "food", "trip"]
    assert output.usage.calls == data["usage"]["calls"] + 3
    assert files(path) == ["trip.json"], "an unfinished run is gone on with, not kept as a copy"


async def test_a_cancelled_run_is_kept_and_gone_on_with(path: Path) -> None:
    model = ScriptedModel({"trip": {**TRIP["trip"], "hotel": lambda request: asyncio.sleep(60)}})
    run = AsyncRecursiveEngine(model).start("trip", checkpoint=path)
    while "0.2" not in run.tree or run.tree["0.2"].result is None:
        await asyncio.sleep(0.001)
    await run.cancel()
    assert json.loads(path.read_text(encoding="utf-8"))["status"] == "cancelled"
    assert files(path) == ["trip.json"]
    again = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(again).solve("trip", checkpoint=path)

    assert output.content == ANSWER
    assert [request.facts.task for request in again.requests] == ["hotel", "trip"]


async def test_every_prefix_of_a_journal_resumes_without_repeating_a_call_it_holds(path: Path) -> None:
    whole = await journal_left_by_a_crash(path)
    lines = whole.splitlines(keepends=True)
    for count in range(len(lines) + 1):
        path.unlink(missing_ok=True)
        journal_of(path).write_bytes(b"".join(lines[:count]))
        known = answered(lines[:count])
        model = ScriptedModel(TRIP)
        output = await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)

        assert output.content == ANSWER
        assert not known & {(request.facts.task_id, stage(request.mode)) for request in model.requests}
        assert output.metadata["calls"] == model.calls == 8 - calls_in(lines[:count])
        assert output.usage.calls == 8


def stage(mode: str) -> str:
    return "Planned" if mode == "planner" else "Finished"


def answered(lines: list[bytes]) -> set[tuple[str, str]]:
    """(node, event) of the replies that a journal holds."""
    events = [from_json(json.loads(line)) for line in lines]
    return {(event.node, type(event).__name__) for event in events if getattr(event, "usage", None)}


def calls_in(lines: list[bytes]) -> int:
    events = [from_json(json.loads(line)) for line in lines]
    return sum(event.usage.calls for event in events if hasattr(event, "usage"))


async def test_a_damaged_line_in_the_middle_is_reported_with_its_number(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = (await journal_left_by_a_crash(path)).splitlines(keepends=True)
    lines[5] = lines[5].replace(b"event", b"evenT", 1)
    journal_of(path).write_bytes(b"".join(lines))
    output = await engine().solve("trip", checkpoint=path)

    assert output.content == ANSWER
    assert "line 6 is damaged" in caplog.text
    assert str(journal_of(path)) in caplog.text
    assert f"the {len(lines) - 6} lines after it are not" in caplog.text


async def test_a_torn_last_line_is_nothing_to_speak_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = await journal_left_by_a_crash(path)
    journal_of(path).write_bytes(whole[:-7])

    assert (await engine().solve("trip", checkpoint=path)).content == ANSWER
    assert caplog.text == ""


async def test_a_line_that_is_whole_but_no_event_ends_the_journal_there(path: Path) -> None:
    lines = (await journal_left_by_a_crash(path)).splitlines(keepends=True)
    for strange in (
        {"event": "Finished", "at": 1.0, "node": "0", "content": {"not": "text"}},
        {"event": "Planned", "at": 1.0, "node": "0.0", "plan": {}},
        {"event": "NodeCreated", "at": 1.0, "node": "../x", "parent": None, "task": "x"},
        {"event": [1, 2]},
        {"event": "Finished", "at": 1.0, "node": "0.77", "content": "nobody's"},
    ):
        line = line_with_checksum(json.dumps(strange).encode())
        journal_of(path).write_bytes(b"".join([*lines[:8], line, *lines[8:]]))
        recorded = load_recorded(path)
        journal_of(path).write_bytes(b"".join(lines[:8]))
        expected = load_recorded(path)

        assert recorded is not None
        assert expected is not None
        assert list(recorded.tree) == list(expected.tree)


async def test_the_journal_of_an_interrupted_resume_is_read_over_the_file(path: Path) -> None:
    """Crash after crash: what any of them finished is never asked again, and all of it is counted."""
    with pytest.raises(ExecutionError):
        await failing("dinner").solve("trip", checkpoint=path)
    kept = path.read_bytes()
    made = await journal_left_by_a_crash(path, ScriptedModel(TRIP, faults=[Fault("lunch", error=ModelError("x"))]))
    del made
    path.write_bytes(kept)
    model = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)

    assert output.content == ANSWER
    assert "flights" not in [request.facts.task for request in model.requests]


async def test_a_crash_between_writing_the_file_and_removing_the_journal_counts_nothing_twice(path: Path) -> None:
    whole: list[bytes] = []
    run = engine().start("trip", checkpoint=path)
    run.internals.watch(
        lambda event: whole.append(journal_of(path).read_bytes()) if isinstance(event, Finished) else None
    )
    await run
    journal_of(path).write_bytes(whole[-1])
    output = await engine().solve("trip", checkpoint=path)

    assert output.usage.calls == 8
    assert output.metadata["calls"] == 0


async def test_the_fold_of_the_journal_is_the_tree(path: Path) -> None:
    told: list[Event] = []
    faults = [Fault("lunch", error=ModelError("busy", retryable=True), times=2), Fault("hotel", error=ModelError("no"))]
    model = ScriptedModel(TRIP, faults=faults, stream=True)
    run = AsyncRecursiveEngine(model, retry=RetryPolicy(initial=0), on_failure="synthesize").start(
        "trip", checkpoint=path
    )
    copies: list[bytes] = []
    run.internals.watch(told.append)
    run.internals.watch(
        lambda event: copies.append(journal_of(path).read_bytes()) if isinstance(event, Finished) else None
    )
    await run
    path.unlink()
    journal_of(path).write_bytes(copies[-1])
    recorded = load_recorded(path)

    assert recorded is not None
    assert list(recorded.tree) == list(run.tree)
    assert recorded.spent == recorded.tree.usage == run.usage
    assert run.usage.calls == model.calls


@in_virtual_time
async def test_compaction_loses_nothing(path: Path) -> None:
    await journal_left_by_a_crash(path)
    from_journal = load_recorded(path)
    assert from_journal is not None
    await engine().solve("trip", checkpoint=path)
    from_file = load_recorded(path)
    assert from_file is not None

    def kept(tree: Tree) -> list[Any]:
        from dataclasses import replace

        return [replace(node, mark="") for node in tree.walk()]

    assert kept(from_file.tree) == kept(from_journal.tree)
    assert from_file.spent == from_journal.spent


async def test_a_run_of_n_nodes_writes_in_proportion_to_n(path: Path) -> None:
    written: dict[int, int] = {}
    for count in (20, 200):
        model = ScriptedModel({"trip": [f"part {n}" for n in range(count)]})
        written[count] = len(await journal_left_by_a_crash(path, model, max_steps=1000))
        journal_of(path).unlink()

    assert written[200] < 12 * written[20]


async def test_an_edited_task_keeps_the_finished_run_as_a_numbered_copy(path: Path) -> None:
    contents = []
    for number in range(5):
        task = f"trip {number}"
        output = await AsyncRecursiveEngine(ScriptedModel({task: TRIP["trip"]})).solve(task, checkpoint=path)
        contents.append(output.content)

    assert files(path) == ["trip.1.json", "trip.2.json", "trip.3.json", "trip.json"]
    kept = [json.loads((path.parent / name).read_text())["task"] for name in files(path)]
    assert kept == ["trip 3", "trip 2", "trip 1", "trip 4"]
    old = await AsyncRecursiveEngine(ScriptedModel()).solve(
        "trip 3", checkpoint=path.with_name("trip.1.json"), mode="replay"
    )
    assert old.content == contents[3]


async def test_fresh_keeps_the_finished_run_as_a_numbered_copy(path: Path) -> None:
    first = await engine().solve("trip", checkpoint=path)
    before = path.read_bytes()
    again = await engine().solve("trip", checkpoint=path, mode="fresh")

    assert again.metadata["calls"] == 8
    assert again.metadata["run_id"] != first.metadata["run_id"]
    assert path.with_name("trip.1.json").read_bytes() == before


async def test_an_edited_task_reuses_the_parts_of_an_unfinished_one(path: Path) -> None:
    """Editing after a failure: records whose key still matches are found, also two edits later."""
    model = ScriptedModel({r"trip.*": {"flights": "at 9"}}, faults=[Fault("trip", error=ModelError("no"), times=1)])
    with pytest.raises(ModelError):
        await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)
    with pytest.raises(ExecutionError):
        await failing("other").solve("other", checkpoint=path)
    with pytest.raises(ExecutionError):
        await failing().solve("trip", checkpoint=path)
    with pytest.raises(ExecutionError):
        await failing("another").solve("another", checkpoint=path)
    again = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(again).solve("trip", checkpoint=path)

    assert output.content == ANSWER
    assert [request.facts.task for request in again.requests] == ["lunch", "food", "trip"]


async def test_what_an_unfinished_run_had_is_kept_when_something_else_takes_its_place(path: Path) -> None:
    """Another model by mistake, another task, a fresh start: what was paid for is still there, as a numbered copy."""
    model = ScriptedModel({"root": {"one": "1", "two": "2"}}, faults={"two": ModelError("down")})
    with pytest.raises(ExecutionError):
        await AsyncRecursiveEngine(model, retry=None).solve("root", checkpoint=path)
    before = path.read_bytes()
    await AsyncRecursiveEngine(ScriptedModel({"other": "3"})).solve("other", checkpoint=path)
    assert path.with_name("trip.1.json").read_bytes() == before
    assert load_recorded(path).tree["0"].result == "3"


async def test_an_unfinished_run_that_is_only_gone_on_with_leaves_no_copy(path: Path) -> None:
    model = ScriptedModel({"root": {"one": "1", "two": "2"}}, faults={"two": ModelError("down")})
    with pytest.raises(ExecutionError):
        await AsyncRecursiveEngine(model, retry=None).solve("root", checkpoint=path)
    await AsyncRecursiveEngine(ScriptedModel({"root": {"one": "1", "two": "2"}})).solve("root", checkpoint=path)
    assert [each.name for each in path.parent.glob("*.json")] == [path.name]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that takes no files, also from root, is /proc")
async def test_where_no_lock_can_be_made_nobody_is_said_to_hold_it() -> None:
    with pytest.raises(CheckpointError, match="cannot write the checkpoint") as refused:
        await engine().solve("trip", checkpoint="/proc/run.json")
    assert "is writing it" not in str(refused.value)


async def test_rlm_mode_sets_the_mode_of_a_session(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await engine().solve("trip", checkpoint=path)
    monkeypatch.setenv("RLM_MODE", "replay")
    with pytest.raises(ReplayError):
        await engine().solve("another", checkpoint=path)
    assert (await engine().solve("trip", checkpoint=path)).metadata["calls"] == 0
    assert (await engine().solve("another")).metadata["calls"] == 1, "a run that is kept nowhere cannot be replayed"
    monkeypatch.setenv("RLM_MODE", "sometimes")
    for kept in (path, None):
        with pytest.raises(ValueError, match="RLM_MODE='sometimes'"):
            await engine().solve("trip", checkpoint=kept)


async def test_a_replay_in_another_setting_needs_only_the_same_request(path: Path) -> None:
    await engine().solve("trip", checkpoint=path)
    data = json.loads(path.read_text())
    data["engine"]["prompts_version"] = 99
    data["engine"]["model"] = "gone:model"
    path.write_text(json.dumps(data))
    before = path.read_bytes()
    dead = ScriptedModel(faults=[Fault(error=ModelError("no key"), times=None)], name="dead")
    output = await AsyncRecursiveEngine(dead, max_depth=2).solve("trip", checkpoint=path, mode="replay")

    assert output.content == ANSWER
    assert path.read_bytes() == before
