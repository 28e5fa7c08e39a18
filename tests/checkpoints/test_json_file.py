"""The file beside the notebook: nothing paid for is lost, nothing is overwritten that was not understood."""

# What is tested blocks by design: small files, read and written where the loop may wait.
# ruff: noqa: ASYNC110, ASYNC220, ASYNC240, PT017

import asyncio
import errno
import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_notebook import (
    AsyncRecursiveEngine,
    CheckpointError,
    ExecutionError,
    ModelError,
    ReplayError,
    RetryPolicy,
    ScriptedModel,
)
from rlm_notebook.checkpoints import safe_files
from rlm_notebook.checkpoints.journal import line_with_checksum
from rlm_notebook.checkpoints.json_file import JsonFile, load_recorded
from rlm_notebook.core.events import Event, Finished, NodeCreated, RunFinished, from_json
from rlm_notebook.core.text import well_formed
from rlm_notebook.core.tree import Tree
from rlm_notebook.models.scripted import Fault
from tests.support.checkpoint_schema import require_valid
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import HANG, until

TRIP = {"trip": {"flights": "at 9", "hotel": "downtown", "food": {"lunch": "soup", "dinner": "stew"}}}
ANSWER = "trip: at 9; downtown; food: soup; stew"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trip.json"


def journal_of(path: Path) -> Path:
    return path.with_name(path.stem + ".journal.jsonl")


def files(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def engine(**options: Any) -> AsyncRecursiveEngine:
    return AsyncRecursiveEngine(ScriptedModel(TRIP), **options)


def failing(task: str = "lunch") -> AsyncRecursiveEngine:
    return AsyncRecursiveEngine(ScriptedModel(TRIP, faults=[Fault(task, error=ModelError(f"no {task}"), times=None)]))


async def journal_left_by_a_crash(path: Path, model: Any = None, **options: Any) -> bytes:
    """Run to the end and leave what would be there had the process died just before it."""
    kept: list[bytes] = []
    crashing = AsyncRecursiveEngine(model or ScriptedModel(TRIP), **options)
    run = crashing.start("trip", checkpoint=path)
    run.internals.watch(lambda event: kept.append(journal_of(path).read_bytes()) if journal_of(path).exists() else None)
    await asyncio.wait([asyncio.ensure_future(_awaited(run))])
    path.unlink()
    journal_of(path).write_bytes(kept[-1])
    return kept[-1]


async def _awaited(run: Any) -> Any:
    return await run


# -- what is there -------------------------------------------------------------------------------------------------


async def test_a_finished_run_is_one_file_that_its_schema_describes(path: Path) -> None:
    output = await engine().solve("trip", checkpoint=path)
    data = json.loads(path.read_text(encoding="utf-8"))

    assert files(path) == ["trip.json"]
    require_valid(data)
    assert (data["status"], data["result"]["content"]) == ("done", output.content) == ("done", ANSWER)
    assert output.metadata["checkpoint"] == str(path)


async def test_while_it_runs_every_durable_event_is_a_line_before_it_is_told(path: Path) -> None:
    told: list[Event] = []
    kept: list[int] = []

    def note(event: Event) -> None:
        if event.durable and not isinstance(event, RunFinished):
            told.append(event)
            kept.append(len(list(lines_of(journal_of(path)))) if journal_of(path).exists() else 0)

    await AsyncRecursiveEngine(ScriptedModel(TRIP), observers=[note]).solve("trip", checkpoint=path)

    first = next(index for index, count in enumerate(kept) if count)
    assert kept[first:] == list(range(first + 1, len(told) + 1))


def lines_of(path: Path) -> Iterator[Event]:
    for line in path.read_bytes().splitlines():
        yield from_json(json.loads(line))


async def test_a_run_that_calls_no_model_opens_nothing(path: Path) -> None:
    with pytest.raises(ReplayError):
        await engine().solve("trip", checkpoint=path, mode="replay")

    assert files(path) == []


@pytest.mark.parametrize("name", ["run", "run.json", "deep/er/run.json", "results.v1"])
async def test_folders_are_made_and_the_suffix_is_added(tmp_path: Path, name: str) -> None:
    output = await engine().solve("trip", checkpoint=str(tmp_path / name))
    made = tmp_path / (name if name.endswith(".json") else f"{name}.json")

    assert made.exists()
    assert output.metadata["checkpoint"] == str(made)


async def test_any_text_comes_back_from_the_file(path: Path) -> None:
    odd = 'half \ud83d, \udfff, nul \0, tab\t, "quotes", \u2028, emoji 🎈, \x1b[31m'
    model = ScriptedModel({"trip": {"a": odd, "b \ud800": []}})
    first = await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)
    path.read_text(encoding="utf-8")
    again = await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)

    assert again.content == first.content == f"trip: {well_formed(odd)}; answer to: b \ufffd"
    assert again.metadata["calls"] == 0
    assert again.run.tree["0.1"].task == "b \ufffd"


async def test_any_text_comes_back_from_the_journal(path: Path) -> None:
    odd = "half \ud83d, nul \0, line\nbreak, \u2028"
    model = ScriptedModel({"trip": {"a": odd, "b": "B"}})
    await journal_left_by_a_crash(path, model)
    recorded = load_recorded(path)

    assert recorded is not None
    assert recorded.tree["0.0"].result == well_formed(odd)


async def test_a_line_is_synced_soon_also_when_no_other_one_follows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that come thick and fast are synced together; the last of them does not wait for a slow model's reply."""
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (real(number), synced.append(len(journal_of(path).read_bytes()))))
    waits, done = asyncio.Event(), asyncio.Event()

    async def slow(inputs: Any, context: Any) -> Any:
        if context["task"] == "hotel":
            waits.set()
            await done.wait()
        plan = {"decision": "RECURSE", "sub_tasks": ["flights", "hotel"]}
        wanted = plan if context["task"] == "trip" else {"decision": "EXECUTE"}
        return {"content": json.dumps(wanted) if context["mode"] == "planner" else "a"}

    run = AsyncRecursiveEngine(slow).start("trip", checkpoint=path)
    await waits.wait()
    while run.tree["0.0"].result is None:
        await asyncio.sleep(0)
    written, lines, grouped = (
        len(journal_of(path).read_bytes()),
        journal_of(path).read_bytes().count(b"\n"),
        len(synced),
    )
    # All is on the disk while the model still thinks.
    await until(lambda: synced[-1] == written)
    assert grouped < lines, "not each line by itself"
    done.set()
    await run


# -- unchanged -----------------------------------------------------------------------------------------------------


async def test_a_run_that_changes_nothing_leaves_the_file_as_it_was(path: Path) -> None:
    await engine().solve("trip", checkpoint=path)
    before, stamp = path.read_bytes(), path.stat().st_mtime_ns
    for mode in ("resume", "replay"):
        output = await engine().solve("trip", checkpoint=path, mode=mode)  # type: ignore[arg-type]
        assert (output.content, output.metadata["calls"]) == (ANSWER, 0)

    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == stamp
    assert files(path) == ["trip.json"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
async def test_a_run_that_changes_nothing_needs_no_write_access(path: Path) -> None:
    await engine().solve("trip", checkpoint=path)
    path.parent.chmod(0o500)
    try:
        assert (await engine().solve("trip", checkpoint=path)).content == ANSWER
    finally:
        path.parent.chmod(0o700)


async def test_a_run_that_changes_nothing_opens_nothing_for_writing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine().solve("trip", checkpoint=path)
    for mode in ("resume", "replay"):
        with monkeypatch.context() as locked:
            deny_writing(locked, path.parent)
            output = await engine().solve("trip", checkpoint=path, mode=mode)  # type: ignore[arg-type]
        assert (output.content, output.metadata["calls"]) == (ANSWER, 0)


async def test_a_run_that_changes_nothing_needs_no_lock(path: Path) -> None:
    await engine().solve("trip", checkpoint=path)
    with held(path):
        assert (await engine().solve("trip", checkpoint=path)).content == ANSWER


async def test_a_finished_journal_is_put_into_its_final_form_where_that_is_possible(path: Path) -> None:
    await journal_left_by_a_crash(path)
    with held(path):
        output = await engine().solve("trip", checkpoint=path)
        assert (output.content, output.metadata["calls"]) == (ANSWER, 0)
        assert not path.exists()
    output = await engine().solve("trip", checkpoint=path)

    assert (output.content, output.metadata["calls"]) == (ANSWER, 0)
    assert "trip.json" in files(path)
    assert "trip.journal.jsonl" not in files(path)


# -- resuming ------------------------------------------------------------------------------------------------------


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


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_journal_cut_or_damaged_anywhere_loses_only_what_follows(seed: int, spot: int) -> None:
    choose = random.Random(seed)
    whole = WHOLE.get(lambda path: asyncio.run(journal_left_by_a_crash(path)))
    at = spot % len(whole)
    damaged = whole[:at] if choose.random() < 0.5 else whole[:at] + bytes([choose.randrange(256)]) + whole[at + 1 :]
    path = WHOLE.path
    journal_of(path).write_bytes(damaged)
    try:
        recorded = load_recorded(path)
    except CheckpointError:
        assert at < whole.index(b"\n", whole.index(b"NodeCreated")), "only where nothing is left is it refused"
        return
    intact = whole[:at].count(b"\n")
    expected = Tree()
    for line in whole.splitlines()[:intact]:
        expected.apply(from_json(json.loads(line)))

    assert (
        list(recorded.tree if recorded else [])[: len(expected)] == list(expected)
        or damaged == whole
        or (
            # A byte that was damaged into itself, or a whole last line without its line break.
            recorded is not None and len(list(recorded.tree)) >= len(expected)
        )
    )
    assert (recorded is None) == (expected.root is None) or at <= whole.index(b"\n", whole.index(b"NodeCreated"))


class _Whole:
    """One journal for all examples."""

    def __init__(self) -> None:
        self.path = Path()
        self._raw = b""

    def get(self, make: Any) -> bytes:
        if not self._raw:
            import tempfile

            self.path = Path(tempfile.mkdtemp()) / "trip.json"
            self._raw = make(self.path)
            journal_of(self.path).unlink()
        return self._raw


WHOLE = _Whole()


@pytest.fixture(scope="module", autouse=True)
def _remove_whole() -> Iterator[None]:
    yield
    if WHOLE.path != Path():
        shutil.rmtree(WHOLE.path.parent)


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


# -- damaged files -------------------------------------------------------------------------------------------------

DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "truncated": b'{"format": "rlm-checkpoint", "version": 1, "run_',
    "other json": b'{"cells": []}',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "binary": bytes(range(256)),
    "zeros": b"\0" * 4096,
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "long number": b'{"format": "rlm-checkpoint", "version": ' + b"9" * 5000 + b"}",
    "newer": b'{"format": "rlm-checkpoint", "version": 7}',
    "no fields": b'{"format": "rlm-checkpoint", "version": 1}',
    "utf-16 half": b"\xff\xfe{",
    "pickle": b"cos\nsystem\n(S'true'\ntR.",
    "garbage": random.Random(1).randbytes(1 << 20),
}


@pytest.mark.parametrize("mode", ["resume", "fresh", "replay"])
@pytest.mark.parametrize("name", DAMAGED)
async def test_a_damaged_file_is_refused_by_name_and_left_alone(path: Path, name: str, mode: Any) -> None:
    path.write_bytes(DAMAGED[name])
    model = ScriptedModel(TRIP)
    with pytest.raises(CheckpointError, match=r"trip\.json.*Nothing was changed"):
        await AsyncRecursiveEngine(model).solve("trip", checkpoint=path, mode=mode)

    assert model.calls == 0
    assert path.read_bytes() == DAMAGED[name]
    assert files(path) == ["trip.json"]


async def test_a_newer_version_says_to_upgrade(path: Path) -> None:
    path.write_bytes(DAMAGED["newer"])
    with pytest.raises(CheckpointError, match=r"version 7.*reads up to 1: upgrade"):
        load_recorded(path)


async def test_a_wrong_field_is_named_with_its_place(path: Path) -> None:
    await engine().solve("trip", checkpoint=path)
    data = json.loads(path.read_text())
    data["nodes"][2]["result"]["content"] = 5
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=r"trip\.json: nodes\.2\.result\.content: .*string"):
        load_recorded(path)


def test_a_file_that_is_too_large_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_files, "LARGEST_FILE", 1 << 20)
    path.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(CheckpointError, match="larger than 1 MB"):
        load_recorded(path)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="directory"):
        JsonFile(tmp_path)


@settings(max_examples=150)
@given(st.data())
def test_any_change_to_a_file_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever a stranger puts into a field: a run comes back, or a `CheckpointError`."""
    whole = json.loads(json.dumps(DOCUMENT))
    spot, way = whole, []
    while isinstance(spot, dict | list) and spot and (not way or data.draw(st.integers(0, 4))):
        key = data.draw(st.sampled_from(sorted(spot) if isinstance(spot, dict) else range(len(spot))))
        way.append((spot, key))
        spot = spot[key]
    holder, key = way[-1]
    holder[key] = data.draw(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]) | st.just({}) | st.just("0.0")
    )
    path = WHOLE.path.parent / "changed.json" if WHOLE.path != Path() else Path("/nonexistent")
    if WHOLE.path == Path():
        WHOLE.get(lambda path: asyncio.run(journal_left_by_a_crash(path)))
        path = WHOLE.path.parent / "changed.json"
    path.write_text(json.dumps(whole))
    try:
        load_recorded(path)
    except CheckpointError as error:
        assert "changed.json" in str(error)


async def _document() -> Any:
    from rlm_notebook.checkpoints.document import document_of

    return document_of((await engine().solve("trip")).run.internals.snapshot())


DOCUMENT = asyncio.run(_document())


async def test_a_circle_in_a_recorded_plan_is_refused_instead_of_waited_for(path: Path) -> None:
    with pytest.raises(ExecutionError):
        await failing().solve("trip", checkpoint=path)
    data = json.loads(path.read_text())
    parts = data["nodes"][0]["plan"]["sub_tasks"]
    parts[0]["depends_on"], parts[1]["depends_on"] = [1], [0]
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=r"nodes\.0\.plan: .*circle"):
        await engine().solve("trip", checkpoint=path)


# -- writers -------------------------------------------------------------------------------------------------------


def held(path: Path) -> Any:
    import filelock

    lock = path.with_name(path.name + ".lock")
    return filelock.FileLock(lock, thread_local=False, is_singleton=False)


async def test_a_second_writer_is_refused_and_told_who_holds_the_file(path: Path) -> None:
    gate = asyncio.Event()

    async def waiting(request: Any) -> str:
        await gate.wait()
        return "slow"

    first = AsyncRecursiveEngine(ScriptedModel({"trip": waiting}), max_depth=1).start("trip", checkpoint=path)
    while not journal_of(path).exists():
        await asyncio.sleep(0.001)
    model = ScriptedModel(TRIP)
    with pytest.raises(CheckpointError, match="another run of this very session is writing it; wait for that run"):
        await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)
    assert model.calls == 0
    gate.set()

    assert (await first).content == "slow"
    assert files(path) == ["trip.json"], "neither journal nor lock is left"


async def test_a_writer_that_was_overtaken_does_not_overwrite_what_the_other_one_wrote(path: Path) -> None:
    gate = asyncio.Event()
    late = engine().start("trip", checkpoint=path)
    late.internals.admission.pause()
    await asyncio.sleep(0)
    output = await AsyncRecursiveEngine(ScriptedModel({"other": "first"})).solve("other", checkpoint=path)
    gate.set()
    late.internals.admission.resume()
    with pytest.raises(CheckpointError, match="another run changed it in the meantime; run again"):
        await late

    assert json.loads(path.read_text())["result"]["content"] == output.content
    assert files(path) == ["trip.json"]


HOLDER = """
import asyncio, sys
from rlm_notebook import AsyncRecursiveEngine, ScriptedModel

async def forever(request):
    print("holding", flush=True)
    await asyncio.sleep(60)

asyncio.run(AsyncRecursiveEngine(ScriptedModel({"trip": forever}), max_depth=1).solve("trip", checkpoint=sys.argv[1]))
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
async def test_the_lock_of_a_killed_process_is_free(path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holding\n"
        with pytest.raises(CheckpointError, match=f"process {holder.pid} is writing it"):
            await engine().solve("trip", checkpoint=path)
        holder.send_signal(signal.SIGKILL)
        holder.wait(HANG)
        assert (await engine().solve("trip", checkpoint=path)).content == ANSWER
    finally:
        holder.kill()
        holder.communicate()


# -- disks ---------------------------------------------------------------------------------------------------------


class Full:
    """A file on a disk that is full after some bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            self._file.write(data[: max(0, self._room + len(data))])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "Full":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def fill(monkeypatch: pytest.MonkeyPatch, suffix: str, room: int) -> None:
    """Files with this suffix have only so much room."""
    real = Path.open

    def opened(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = real(self, mode, *args, **kwargs)
        return Full(file, room) if self.name.endswith(suffix) and "w" in mode else file

    monkeypatch.setattr(Path, "open", opened)


@pytest.mark.parametrize("room", [0, 300, 1500, 2500])
async def test_when_the_disk_is_full_the_run_fails_loudly_and_goes_on_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    with monkeypatch.context() as full:
        fill(full, ".journal.jsonl", room)
        model = ScriptedModel(TRIP)
        with pytest.raises(CheckpointError, match=r"cannot write.*No space left on device") as error:
            await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)
        assert error.value.run.status == "failed"
        assert asyncio.all_tasks() == {asyncio.current_task()}
        if room < 300:
            assert model.calls == 0, "what is paid for must have a place first"
    again = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(again).solve("trip", checkpoint=path)

    assert output.content == ANSWER
    assert again.calls <= 8
    assert ".lock" not in "".join(files(path))


async def test_when_the_file_cannot_be_written_the_journal_stays_and_the_answer_is_in_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        fill(full, ".json.tmp", 100)
        with pytest.raises(CheckpointError, match="No space left on device") as error:
            await engine().solve("trip", checkpoint=path)
    assert error.value.run.partial().content == ANSWER
    assert files(path) == ["trip.journal.jsonl"]
    output = await engine().solve("trip", checkpoint=path)

    assert (output.content, output.metadata["calls"]) == (ANSWER, 0)


async def test_a_file_that_cannot_be_replaced_stays_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExecutionError):
        await failing().solve("trip", checkpoint=path)
    before = path.read_bytes()
    with monkeypatch.context() as full:
        fill(full, ".json.tmp", 100)
        with pytest.raises(CheckpointError):
            await engine().solve("trip", checkpoint=path)

    assert path.read_bytes() == before
    assert (await engine().solve("trip", checkpoint=path)).metadata["calls"] == 0


def deny_writing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As if the folder were read-only, also for those who may write everywhere."""
    real_open, real_os_open = Path.open, os.open

    def opened(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if self.parent == folder and mode != "rb" and mode != "r":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real_open(self, mode, *args, **kwargs)

    def os_opened(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if str(path).startswith(str(folder)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real_os_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(os, "open", os_opened)


async def test_a_folder_that_denies_writing_fails_before_the_first_call(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ScriptedModel(TRIP)
    with monkeypatch.context() as locked:
        deny_writing(locked, path.parent)
        with pytest.raises(CheckpointError, match=r"cannot write.*Permission denied.*choose a place"):
            await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)

    assert model.calls == 0
    assert files(path) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
async def test_a_place_that_cannot_be_written_fails_before_the_first_call(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        model = ScriptedModel(TRIP)
        with pytest.raises(CheckpointError, match=r"cannot write.*choose a place"):
            await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)
        assert model.calls == 0
    finally:
        path.parent.chmod(0o700)


async def test_a_place_below_a_file_fails_before_the_first_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    model = ScriptedModel(TRIP)
    run = AsyncRecursiveEngine(model).start("trip", checkpoint=tmp_path / "file" / "x.json")
    with pytest.raises(CheckpointError, match="cannot"):
        await run

    assert model.calls == 0
    assert run.checkpoint is None, "and nobody is told that it is kept"


async def test_a_folder_that_vanished_fails_the_run_and_keeps_the_answer_in_memory(tmp_path: Path) -> None:
    folder = tmp_path / "gone"

    def vanish(event: Event) -> None:
        if isinstance(event, NodeCreated) and event.node == "0.2.1":
            shutil.rmtree(folder, ignore_errors=True)

    output = None
    try:
        output = await AsyncRecursiveEngine(ScriptedModel(TRIP), observers=[vanish]).solve(
            "trip", checkpoint=folder / "x.json"
        )
    except CheckpointError as error:
        assert error.run.partial().content == ANSWER
    else:
        assert load_recorded(folder / "x.json") is not None
        assert output.content == ANSWER


async def test_a_folder_that_vanished_is_noticed_by_the_next_line_however_late_that_comes(tmp_path: Path) -> None:
    file = JsonFile(tmp_path / "gone" / "x.json")
    file.read()
    file.open()
    for number in range(2):
        file.append(NodeCreated(at=float(number), node=f"0.{number}", parent="0", task="t"))
    shutil.rmtree(tmp_path / "gone")
    await asyncio.sleep(0.3)
    with pytest.raises(CheckpointError, match="was removed or moved while it ran"):
        file.append(NodeCreated(at=3.0, node="0.3", parent="0", task="t"))
    file.close()


async def test_the_garbage_collector_is_left_as_it_was_found(path: Path) -> None:
    await engine().solve("trip", checkpoint=path)
    for wanted in (True, False):
        (gc.enable if wanted else gc.disable)()
        try:
            load_recorded(path)
            path.with_name("bad.json").write_text("{")
            with pytest.raises(CheckpointError):
                load_recorded(path.with_name("bad.json"))
            assert gc.isenabled() == wanted
        finally:
            gc.enable()
