"""Checkpoints from strangers, or out of a broken disk: thousands of them, each used or refused in words.

Whatever a file holds, reading it and going on from it ends in an answer or in a `CheckpointError` that says what to
do; what was refused is not changed; nothing outside its folder is written; and it takes bounded time and memory.
"""

# The advice of an error is checked where errors are as welcome as answers.
# ruff: noqa: PT017

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, CheckpointError, ConfigurationError, ScriptedModel, load_run
from rlm_notebook.checkpoints.checked_lines import line_with_checksum
from rlm_notebook.checkpoints.json_file import load_recorded
from rlm_notebook.checkpoints.location import checked_name
from rlm_notebook.models.scripted import Fault
from rlm_notebook.tools import tool
from tests.support.checkpoint_files import journal_of
from tests.support.waiting import HANG

#: Of each kind: JSON documents, and journals.
MUTANTS = 520
TRIP = {"trip": {"flights": "at 9", "hotel": "downtown", "food": {"lunch": "soup", "dinner": "stew"}}}
ANSWER = "trip: at 9; downtown; food: soup; stew"
ODD: list[Any] = [
    None, True, -1, 0, 2**63, -(2**63), 10**400, 1e308, -1e308, 0.5, "", "0", "0.0", "../../x", "\x00", "\ud800",
    "x" * 10_000, "done", "running", [], {}, [[]], [None], {"a": {}}, "RECURSE", ["0.0"], ["0"], "NaN",
]  # fmt: skip


@tool(version="1")
def look(where: str) -> str:
    """Look somewhere."""
    return f"seen {where}"


def script(request: Any) -> Any:
    if request.mode == "worker" and request.facts.task == "lunch" and len(request.messages) == 2:
        return {"tool_calls": [{"name": "look", "arguments": {"where": "kitchen"}}]}
    plans: dict[str, list[Any]] = {
        "trip": ["flights", {"task": "hotel", "depends_on": [0]}, "food"],
        "food": ["lunch", "dinner"],
    }
    plan = plans.get(request.facts.task)
    return {"decision": "RECURSE", "sub_tasks": plan} if plan and request.mode == "planner" else None


def engine(**options: Any) -> AsyncRecursiveEngine:
    return AsyncRecursiveEngine(ScriptedModel(script, **options), tools=[look])


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The document of a finished run, and the journal that it had just before."""
    path = tmp_path_factory.mktemp("original") / "trip.json"
    journals: list[bytes] = []
    faulty = engine(faults=[Fault("dinner", error=ConnectionError("busy"), times=1)])

    async def run() -> None:
        running = faulty.start("trip", checkpoint=path)
        running.internals.watch(
            lambda _: journals.append(journal_of(path).read_bytes()) if journal_of(path).exists() else None
        )
        await asyncio.wait([asyncio.ensure_future(awaited(running))])
        path.unlink()
        await engine().solve("trip", checkpoint=path)

    asyncio.run(run())
    return path.read_bytes(), journals[-1]


async def awaited(run: Any) -> Any:
    return await run


# -- mutants ---------------------------------------------------------------------------------------------------------


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a JSON value."""
    if at:
        yield at
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*at, key))


def in_place(data: Any, at: tuple[Any, ...]) -> tuple[Any, Any]:
    for key in at[:-1]:
        data = data[key]
    return data, at[-1]


def replaced(data: Any, choose: random.Random) -> None:
    holder, key = in_place(data, choose.choice(list(places(data))))
    holder[key] = copy.deepcopy(choose.choice(ODD))


def removed(data: Any, choose: random.Random) -> None:
    holder, key = in_place(data, choose.choice(list(places(data))))
    del holder[key]


def doubled(data: Any, choose: random.Random) -> None:
    lists = [at for at in places(data) if isinstance(in_place(data, at)[0], list)]
    if lists:
        holder, key = in_place(data, choose.choice(lists))
        holder.insert(choose.randrange(len(holder) + 1), copy.deepcopy(holder[key]))


def swapped(data: Any, choose: random.Random) -> None:
    one, other = (in_place(data, choose.choice(list(places(data)))) for _ in range(2))
    one[0][one[1]], other[0][other[1]] = copy.deepcopy(other[0][other[1]]), copy.deepcopy(one[0][one[1]])


def nested(data: Any, choose: random.Random) -> None:
    holder, key = in_place(data, choose.choice(list(places(data))))
    for _ in range(choose.choice([5, 90, 290])):
        holder[key] = [holder[key]] if choose.random() < 0.5 else {"a": holder[key]}


CHANGES: list[Callable[[Any, random.Random], None]] = [replaced, replaced, replaced, removed, doubled, swapped, nested]


def changed(data: Any, choose: random.Random) -> Any:
    """A value that is still JSON, with one to three places of it changed."""
    data = copy.deepcopy(data)
    for _ in range(choose.randrange(1, 4)):
        if isinstance(data, dict | list) and data:
            choose.choice(CHANGES)(data, choose)
    return data


def bytes_changed(raw: bytes, choose: random.Random) -> bytes:
    """Cut, flipped, filled, doubled, in another encoding."""
    at = choose.randrange(len(raw))
    end = min(len(raw), at + choose.choice([1, 1, 8, 500]))
    return choose.choice(
        [
            raw[:at],
            raw[at:],
            raw[:at] + bytes([raw[at] ^ (1 << choose.randrange(8))]) + raw[at + 1 :],
            raw[:at] + choose.randbytes(end - at) + raw[end:],
            raw[:at] + b"\0" * (end - at) + raw[end:],
            raw[:at] + raw[end:],
            raw[:at] + raw[at:end] * 2 + raw[end:],
            raw[:at] + b"[" * 50_000 + raw[at:],
            raw + raw,
            raw.decode().encode("utf-16"),
            raw.decode().encode("utf-32-le"),
            raw[:at] + "é".encode("latin-1") + raw[at:],
            raw.replace(b'"version": 1', b'"version": 2'),
            raw.replace(b'"id": "0.1"', b'"id": "0.0"'),
            raw.replace(b'"parent": "0"', b'"parent": "0.2"'),
        ]
    )


def mutant_document(raw: bytes, choose: random.Random) -> bytes:
    if choose.random() < 0.35:
        return bytes_changed(raw, choose)
    return json.dumps(changed(json.loads(raw), choose)).encode()


def mutant_journal(raw: bytes, choose: random.Random) -> bytes:
    """Bytes changed, or lines changed whose checksums are right: a stranger can count as well."""
    if choose.random() < 0.3:
        return bytes_changed(raw, choose)
    lines = raw.splitlines(keepends=True)
    for at in choose.sample(range(len(lines)), choose.randrange(1, min(3, len(lines) + 1))):
        data = json.loads(lines[at])
        del data["crc"]
        lines[at] = line_with_checksum(json.dumps(changed(data, choose)).encode())
    if choose.random() < 0.3:
        choose.shuffle(lines)
    return b"".join(lines)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def gone_on_from(path: Path, mode: Any) -> str:
    """What comes of a file: the answer, or the class of the error, which must say what to do."""
    before = contents(path.parent)
    try:
        output = asyncio.run(engine().solve("trip", checkpoint=path, mode=mode))
    except CheckpointError as error:
        assert any(advice in str(error) for advice in ("move the file away", "run once with", "choose another"))
        assert str(path.parent) in str(error)
        assert contents(path.parent) == before, "what is refused is not changed"
        return type(error).__name__
    assert isinstance(output.content, str)
    return "answer"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["document", "journal"])
def test_thousands_of_mutants_are_used_or_refused_in_words(
    tmp_path: Path, originals: tuple[bytes, bytes], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("rlm_notebook").setLevel(logging.ERROR)
    (tmp_path / "outside.txt").write_text("mine")
    outcomes: Counter[str] = Counter()
    longest = 0.0
    for seed in range(MUTANTS):
        choose = random.Random(f"{kind} {seed}")
        path = tmp_path / "runs" / str(seed) / "trip.json"
        path.parent.mkdir(parents=True)
        if kind == "document":
            path.write_bytes(mutant_document(originals[0], choose))
        else:
            journal_of(path).write_bytes(mutant_journal(originals[1], choose))
        began = time.monotonic()
        try:
            outcomes[gone_on_from(path, choose.choice(["resume", "resume", "replay", "fresh"]))] += 1
            shown = str(load_run(path))
            assert shown
        except CheckpointError:
            pass
        except Exception as error:
            error.add_note(f"{kind} {seed}")
            raise
        longest = max(longest, time.monotonic() - began)
    logging.getLogger("rlm_notebook").setLevel(logging.NOTSET)
    with capsys.disabled():
        print(f"\n{MUTANTS} mutants of a {kind}: {dict(outcomes)}, the longest took {longest:.2f} s")
    assert outcomes["CheckpointError"] > 50
    assert outcomes["answer"] > 50
    assert {each.name for each in tmp_path.iterdir()} == {"outside.txt", "runs"}


# -- what is no file -------------------------------------------------------------------------------------------------


def refused(path: Path, *words: str, mode: Any = "resume") -> None:
    """Using the path is refused before a model is asked, in words, and nothing in its folder changes."""
    before = contents(path.parent)
    model = ScriptedModel(TRIP)
    with pytest.raises(CheckpointError) as error:
        asyncio.run(AsyncRecursiveEngine(model).solve("trip", checkpoint=path, mode=mode))
    assert all(word in str(error.value) for word in (*words, str(path.parent))), error.value
    assert model.calls == 0
    assert contents(path.parent) == before


FILES = ["trip.json", "trip.journal.jsonl", "trip.json.lock", "trip.json.tmp", "trip.1.json", "trip.3.json"]


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
@pytest.mark.parametrize("dangling", [False, True], ids=["of a file", "of nothing"])
@pytest.mark.parametrize("name", FILES)
def test_a_link_is_not_followed(tmp_path: Path, originals: tuple[bytes, bytes], name: str, dangling: bool) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "runs"
    folder.mkdir()
    if not dangling:
        outside.write_bytes(originals[0])
    (folder / name).symlink_to(outside)
    refused(folder / "trip.json", name, "symbolic link", "choose another name")

    assert (outside.read_bytes() if not dangling else None) == (originals[0] if not dangling else None)
    assert outside.exists() != dangling


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
def test_the_folder_of_a_notebook_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "analysis.rlm").symlink_to(tmp_path / "elsewhere")
    refused(tmp_path / "analysis.rlm" / "trip.json", "analysis.rlm", "symbolic link", "--checkpoint PATH")

    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", FILES)
def test_a_directory_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "runs" / name / "inner").mkdir(parents=True)
    refused(tmp_path / "runs" / "trip.json", name, "directory")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of POSIX systems")
@pytest.mark.parametrize("name", FILES)
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    refused(tmp_path / "trip.json", name, "no ordinary file")


@pytest.mark.parametrize(
    "name",
    [
        "../../x", "..", ".", "/etc/passwd", "a/b", "a\\b", "C:x", "x\0", "x\n", "", " ", "x ", "x.", ".hidden", "con",
        "NUL.txt", "x" * 300, "x*", "x?", "x|y", "<x>", "x.1", "\u202ex", "~root/x/..",
    ],
)  # fmt: skip
def test_a_name_is_one_component_of_a_path(name: str) -> None:
    with pytest.raises(ConfigurationError, match="use letters, digits"):
        checked_name(name)


# -- size ------------------------------------------------------------------------------------------------------------

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from pathlib import Path
from rlm_notebook import CheckpointError
from rlm_notebook.checkpoints.json_file import load_recorded
try:
    load_recorded(Path(sys.argv[1]))
except CheckpointError as error:
    print(error)
"""
HEAD = b'{"format": "rlm-checkpoint", "version": 1, "nodes": '
HUGE: dict[str, Callable[[int], bytes]] = {
    "garbage": lambda size: random.Random(1).randbytes(size),
    "nothing": lambda size: b"\0" * size,
    "line breaks": lambda size: b"\n" * size,
    "other json": lambda size: b"[" + b"1," * (size // 2) + b"1]",
    "brackets": lambda size: HEAD + b"[" + b"[]," * (size // 3) + b"[]]}",
    "deep": lambda size: HEAD + b"[" * (size // 2) + b"]" * (size // 2) + b"}",
    "numbers": lambda size: HEAD + b"[" + b"12," * (size // 3) + b"1]}",
    "one text": lambda size: HEAD + b'"' + b"x" * size + b'"}',
}


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="the memory of a process is limited as on POSIX systems")
@pytest.mark.parametrize("suffix", [".json", ".journal.jsonl"])
@pytest.mark.parametrize("kind", HUGE)
def test_a_hundred_megabytes_are_refused_in_bounded_memory(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"trip{suffix}"
    path.write_bytes(HUGE[kind](100_000_000))
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "trip.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    size = path.stat().st_size
    path.unlink()

    if not (kind == "nothing" and suffix == ".journal.jsonl"):  # what a power loss may leave of a first line
        assert "Nothing was changed" in done.stdout, done.stderr[-500:]
    assert done.returncode == 0, done.stderr[-500:]
    assert size >= 99_000_000


# -- permission ------------------------------------------------------------------------------------------------------

#: Root may read and write everywhere, so what is tested runs as somebody else.
DROPPED = """
import asyncio, os, sys
from rlm_notebook import AsyncRecursiveEngine, CheckpointError, ScriptedModel
import rlm_notebook.checkpoints.json_file, filelock
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
model = ScriptedModel({"trip": {"flights": "at 9"}})
try:
    output = asyncio.run(AsyncRecursiveEngine(model).solve("trip", checkpoint=sys.argv[1], mode=sys.argv[2]))
    print("answer:", output.content, output.metadata["calls"])
except CheckpointError as error:
    print(model.calls, error)
"""


def as_somebody_else(path: Path, mode: str = "resume") -> str:
    done = subprocess.run([sys.executable, "-c", DROPPED, str(path), mode], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that others can read; those above `tmp_path` are closed by each session of pytest's that begins."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX systems")
def test_without_permission_nothing_is_asked_and_nothing_changed(open_path: Path) -> None:
    path = open_path / "runs" / "trip.json"
    asyncio.run(AsyncRecursiveEngine(ScriptedModel({"trip": {"flights": "at 9"}})).solve("trip", checkpoint=path))
    before = contents(path.parent)
    path.parent.chmod(0o555)
    path.chmod(0o444)
    try:
        assert as_somebody_else(path) == "answer: trip: at 9 0\n", "what changes nothing needs no right to write"
        assert as_somebody_else(path, "fresh").startswith("0 cannot write the checkpoint")
        assert "choose a place that can be written" in as_somebody_else(path.with_name("new.json"))
        path.chmod(0o000)
        unreadable = as_somebody_else(path)
        assert unreadable.startswith("0 cannot read the checkpoint")
        assert "make it readable, or choose another name" in unreadable
        path.chmod(0o444)
        path.parent.chmod(0o000)
        assert as_somebody_else(path).startswith("0 cannot")
    finally:
        path.parent.chmod(0o755)
        path.chmod(0o644)
    assert contents(path.parent) == before


# -- journals --------------------------------------------------------------------------------------------------------


def test_lines_behind_a_damaged_one_are_set_aside_before_the_journal_is_written_anew(
    tmp_path: Path, originals: tuple[bytes, bytes]
) -> None:
    path = tmp_path / "trip.json"
    lines = originals[1].splitlines(keepends=True)
    damaged = b"".join([*lines[:6], lines[6].replace(b"e", b"E", 1), *lines[7:]])
    for count in (1, 2):
        path.unlink(missing_ok=True)
        journal_of(path).write_bytes(damaged)
        asyncio.run(engine().solve("trip", checkpoint=path))
        assert (tmp_path / f"trip.journal.damaged-{count}.jsonl").read_bytes() == damaged
    assert load_recorded(path) is not None


@pytest.mark.parametrize(
    "begun", [b"", b'{"ev', b'{"event":"RunStarted","node"', b"\0" * 100, b'{"event":' + b"\0" * 9]
)
def test_a_first_line_that_a_crash_tore_is_no_obstacle(tmp_path: Path, begun: bytes) -> None:
    path = tmp_path / "trip.json"
    journal_of(path).write_bytes(begun)

    assert asyncio.run(engine().solve("trip", checkpoint=path)).metadata["calls"] > 0
    assert [each.name for each in tmp_path.iterdir()] == ["trip.json"]


@pytest.mark.parametrize("text", [b"Dear diary,\n", b"\n\n", b"[1, 2]\t00000000\n{}", b"\xff\xfe{\0"])
def test_a_file_that_was_never_a_journal_is_not_overwritten(tmp_path: Path, text: bytes) -> None:
    journal_of(tmp_path / "trip.json").write_bytes(text)
    refused(tmp_path / "trip.json", "trip.journal.jsonl", "line 1 is damaged", "move the file away")
