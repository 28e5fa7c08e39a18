"""Files that are damaged, cut off or made up are read as far as they hold, or refused."""

# What is tested blocks by design: small files, read and written where the loop may wait.
# ruff: noqa: ASYNC240, PT017

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_notebook import (
    AsyncRecursiveEngine,
    CheckpointError,
    ExecutionError,
    ScriptedModel,
)
from rlm_notebook.checkpoints import safe_files
from rlm_notebook.checkpoints.document import document_of
from rlm_notebook.checkpoints.json_file import JsonFile, load_recorded
from rlm_notebook.core.events import from_json
from rlm_notebook.core.tree import Tree
from tests.support.checkpoint_files import (
    engine,
    failing,
    files,
    journal_left_by_a_crash,
    journal_of,
)
from tests.support.trip import TRIP


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trip.json"


@pytest.fixture(scope="module")
def whole_journal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """One journal for all examples, and where a run looks for it."""
    path = tmp_path_factory.mktemp("whole") / "trip.json"
    raw = asyncio.run(journal_left_by_a_crash(path))
    journal_of(path).unlink()
    return path, raw


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), spot=st.integers(0, 10**6))
def test_a_journal_cut_or_damaged_anywhere_loses_only_what_follows(
    whole_journal: tuple[Path, bytes], seed: int, spot: int
) -> None:
    choose = random.Random(seed)
    path, whole = whole_journal
    at = spot % len(whole)
    damaged = whole[:at] if choose.random() < 0.5 else whole[:at] + bytes([choose.randrange(256)]) + whole[at + 1 :]
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


@pytest.fixture(scope="module")
def whole_document(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One document for all examples, and a folder for what becomes of it."""
    run = asyncio.run(engine().solve("trip")).run
    return tmp_path_factory.mktemp("changed"), json.dumps(document_of(run.internals.snapshot()))


@settings(max_examples=150)
@given(data=st.data())
def test_any_change_to_a_file_is_read_or_refused(whole_document: tuple[Path, str], data: st.DataObject) -> None:
    """Whatever a stranger puts into a field: a run comes back, or a `CheckpointError`."""
    folder, text = whole_document
    whole = json.loads(text)
    spot, way = whole, []
    while isinstance(spot, dict | list) and spot and (not way or data.draw(st.integers(0, 4))):
        key = data.draw(st.sampled_from(sorted(spot) if isinstance(spot, dict) else range(len(spot))))
        way.append((spot, key))
        spot = spot[key]
    holder, key = way[-1]
    holder[key] = data.draw(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]) | st.just({}) | st.just("0.0")
    )
    path = folder / "changed.json"
    path.write_text(json.dumps(whole))
    try:
        load_recorded(path)
    except CheckpointError as error:
        assert "changed.json" in str(error)


async def test_a_circle_in_a_recorded_plan_is_refused_instead_of_waited_for(path: Path) -> None:
    with pytest.raises(ExecutionError):
        await failing().solve("trip", checkpoint=path)
    data = json.loads(path.read_text())
    parts = data["nodes"][0]["plan"]["sub_tasks"]
    parts[0]["depends_on"], parts[1]["depends_on"] = [1], [0]
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=r"nodes\.0\.plan: .*circle"):
        await engine().solve("trip", checkpoint=path)
