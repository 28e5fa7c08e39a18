"""Disks that are full, folders that deny writing, vanish, or never were."""

# What is tested blocks by design: small files, read and written where the loop may wait.
# ruff: noqa: ASYNC240, PT017

import asyncio
import errno
import gc
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    CheckpointError,
    ExecutionError,
    ScriptedModel,
)
from rlm_notebook.checkpoints import json_file
from rlm_notebook.checkpoints.json_file import JsonFile, load_recorded
from rlm_notebook.core.events import Event, NodeCreated
from tests.support.checkpoint_files import (
    ANSWER,
    deny_writing,
    engine,
    failing,
    files,
)
from tests.support.trip import TRIP


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trip.json"


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


async def test_a_small_file_is_read_without_counting_what_the_process_has_frozen(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting takes as long as there are frozen objects, and a suite or a server may freeze millions of them."""
    await engine().solve("trip", checkpoint=path)
    counted: list[int] = []
    real = gc.get_freeze_count
    monkeypatch.setattr(gc, "get_freeze_count", lambda: counted.append(real()) or counted[-1])
    load_recorded(path)
    assert not counted
    monkeypatch.setattr(json_file, "MANY_OBJECTS", -1)
    load_recorded(path)
    assert len(counted) == 1
