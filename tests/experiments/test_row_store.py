"""The file of an experiment: append-only, one writer, and nothing lost to a kill, a torn line or a full disk."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import filelock
import pytest

from rlm_notebook import CheckpointError, RecursiveEngine, ScriptedModel
from rlm_notebook.experiments.row_store import RowStore
from tests.support.amounts import few_or_many

TASK = "Classify: {{row}}"


def mapped(path: Path, *texts: str, model: Any = None, **options: Any) -> Any:
    return RecursiveEngine(model or ScriptedModel(), max_depth=1).map(TASK, list(texts), checkpoint=path, **options)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_file_has_a_header_the_engine_once_and_a_line_for_each_row(tmp_path: Path) -> None:
    path = tmp_path / "x.rlmx.jsonl"
    mapped(path, "a", "b")
    before = path.read_bytes()
    mapped(path, "a", "b", "c")

    assert path.read_bytes().startswith(before)
    found = lines(path)
    assert (found[0]["format"], found[0]["version"]) == ("rlm-experiment", 1)
    assert [set(line) & {"engine", "row"} for line in found[1:]] == [{"engine"}] + [{"engine", "row"}] * 3
    assert [line["answer"] for line in found[2:]] == [f"answer to: Classify: {each}" for each in "abc"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.rlmx.jsonl"]


def test_a_torn_last_line_is_dropped_and_its_row_runs_again(tmp_path: Path) -> None:
    path = tmp_path / "x.rlmx.jsonl"
    mapped(path, "a", "b")
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for kept in (1, len(last) // 2, len(last) - 1):
        path.write_bytes(whole[: len(whole) - len(last) + kept])
        model = ScriptedModel()

        again = mapped(path, "a", "b", model=model)

        assert model.asked() == ["Classify: b"]
        assert again.summary.done == 2
        assert len(lines(path)) == len(whole.splitlines())


def test_a_damaged_line_costs_its_own_row_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.rlmx.jsonl"
    mapped(path, "a", "b", "c")
    path.write_bytes(path.read_bytes().replace(b"answer to: Classify: b", b"answer to: Classify: B", 1))
    model = ScriptedModel()

    with caplog.at_level(logging.WARNING, "rlm_notebook"):
        again = mapped(path, "a", "b", "c", model=model)

    assert model.asked() == ["Classify: b"]
    assert "is damaged (its checksum is wrong); its row runs again" in caplog.text
    assert again.frame["answer"][1] == "answer to: Classify: b"


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b'{"format": "rlm-checkpoint"}\n', b"\0" * 50 + b"\n"])
def test_another_file_is_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=r"cannot use the checkpoint .*x\.jsonl: it is no file of an experiment"):
        mapped(path, "a")

    assert path.read_bytes() == content


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real.jsonl").touch()
    (tmp_path / "x.jsonl").symlink_to(tmp_path / "real.jsonl")

    with pytest.raises(CheckpointError, match="symbolic link"):
        mapped(tmp_path / "x.jsonl", "a")


def test_a_second_writer_is_refused_in_words_and_a_reader_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.rlmx.jsonl"
    mapped(path, "a")
    model = ScriptedModel()
    lock = filelock.FileLock(f"{path}.lock")
    with lock:
        Path(f"{path}.lock").write_text("12345", encoding="ascii")
        with pytest.raises(CheckpointError, match=r"cannot write .*x\.rlmx\.jsonl: process 12345 is writing it; wait"):
            mapped(path, "a", "b", model=model)
        assert mapped(path, "a", model=model).frame["answer"] == ["answer to: Classify: a"]

    assert model.requests == []
    assert caplog.text == "", "it is said once, by the error"
    assert mapped(path, "a", "b").summary.done == 2


def test_rows_that_another_process_added_meanwhile_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.rlmx.jsonl"
    early = RowStore(path)
    mapped(path, "a", "b")
    size = path.stat().st_size

    early.open()
    early.close()

    assert path.stat().st_size == size
    assert mapped(path, "a", "b").summary.reused == 2


def test_an_answer_may_contain_anything(tmp_path: Path) -> None:
    nasty = '","tree":{"x":1}\n\ud800 \0 {"row": 1}'
    model = ScriptedModel(lambda request: nasty)
    path = tmp_path / "x.rlmx.jsonl"

    first = mapped(path, "a", model=model)

    again = mapped(path, "a", model=ScriptedModel())
    assert again.frame["answer"] == first.frame["answer"]
    assert str(again.run(0).output) == first.frame["answer"][0]


def test_a_file_that_vanished_is_an_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "x.rlmx.jsonl"
    labels = mapped(path, "a")
    path.unlink()

    with pytest.raises(CheckpointError, match=r"cannot read .* again"):
        _ = labels.frame


def test_a_full_disk_ends_the_map_and_the_file_can_be_read(tmp_path: Path) -> None:
    program = f"""
import resource, sys
sys.path.insert(0, {os.getcwd()!r})
from tests.experiments.test_row_store import mapped, Path
from rlm_notebook import CheckpointError
resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    mapped(Path({str(tmp_path / "x.rlmx.jsonl")!r}), *map(str, range(100)))
except CheckpointError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    path = tmp_path / "x.rlmx.jsonl"
    assert "cannot write more rows to" in said
    assert "make room, and run again" in said
    kept = len(lines(path)) - 2
    assert kept > 2
    assert path.read_bytes().endswith(b"\n")
    again = mapped(path, *map(str, range(100)))
    assert (again.summary.reused, again.summary.calls) == (kept, 100 - kept)


WRITER = """
import asyncio, os, sys
sys.path.insert(0, {here!r})
from rlm_notebook import AsyncRecursiveEngine
log = os.open({calls!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
async def model(inputs, context):
    await asyncio.sleep(0.002 + hash(context["task"]) % 7 / 1000)
    os.write(log, (context["task"] + "\\n").encode())
    return {{"content": "class of " + context["task"], "metadata": {{}}}}
async def main():
    engine = AsyncRecursiveEngine(model, max_depth=1)
    rows = [str(number) for number in range({rows})]
    labels = await engine.map("Classify: {{{{row}}}}", rows, checkpoint={path!r}, concurrency=8)
    print("done", labels.summary.calls)
asyncio.run(main())
"""


@few_or_many(1, 12, 50)
def test_a_kill_loses_no_recorded_row_and_repeats_none(amount: int, tmp_path: Path) -> None:
    """Killed at random moments: each recorded row is reused, and the calls of a row are at most those in flight."""
    path, calls, rows = tmp_path / "x.rlmx.jsonl", tmp_path / "calls", 40 * amount
    calls.touch()
    program = WRITER.format(here=os.getcwd(), calls=str(calls), path=str(path), rows=rows)
    moment = random.Random(7)
    for _ in range(amount):
        recorded = _recorded(path)
        before = len(calls.read_text(encoding="utf-8").splitlines())
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        target = before + moment.randrange(1, 40)
        ends = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < ends:
            if len(calls.read_bytes().splitlines()) >= target:
                break
            time.sleep(moment.uniform(0.0005, 0.004))
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert b"Traceback" not in errors, errors.decode()
        asked = calls.read_text(encoding="utf-8").splitlines()[before:]
        assert not recorded & {task.removeprefix("Classify: ") for task in asked}, "a recorded row was asked again"
        assert recorded <= _recorded(path), "a recorded row was lost"
        assert len(_recorded(path) - recorded) >= len(asked) - 8, "at most the rows in flight were lost"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("done")
    assert _recorded(path) == {str(number) for number in range(rows)}


def _recorded(path: Path) -> set[str]:
    """The rows that a new process finds in the file."""
    store, found = RowStore(path), set()
    for key in list(store):
        record = store.record(key)
        assert record is not None
        assert record.answer is not None
        found.add(record.answer.removeprefix("class of Classify: "))
    return found
