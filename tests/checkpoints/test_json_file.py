"""The file beside the notebook: nothing paid for is lost, nothing is overwritten that was not understood."""

# What is tested blocks by design: small files, read and written where the loop may wait.
# ruff: noqa: ASYNC110, ASYNC240

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    ReplayError,
    ScriptedModel,
)
from rlm_notebook.checkpoints.json_file import load_recorded
from rlm_notebook.core.events import Event, RunFinished, from_json
from rlm_notebook.core.text import well_formed
from tests.support.checkpoint_files import (
    ANSWER,
    deny_writing,
    engine,
    files,
    held,
    journal_left_by_a_crash,
    journal_of,
)
from tests.support.checkpoint_schema import require_valid
from tests.support.trip import TRIP
from tests.support.waiting import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trip.json"


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


async def test_a_folder_that_is_made_is_mentioned_once_but_not_that_of_a_notebook(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("resluts/run.json", "resluts/other.json", "analysis.rlm/run.json", "run.json"):
        await engine().solve("trip", checkpoint=tmp_path / name)

    assert caplog.messages == [f"made the folder {tmp_path / 'resluts'}, which is new, for run.json"]


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
