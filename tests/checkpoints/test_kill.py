"""Processes that are killed at any moment: the rerun ends with the same answer and repeats no call that was kept.

RLM_KILL_ROUNDS and RLM_KILL_SEED set how many random trees are killed, and which; the figures are printed at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import Output
from rlm_notebook.checkpoints.json_file import load_recorded
from rlm_notebook.core.events import Event, Finished, NodeCreated, Planned, Replied, ToolReturned, from_json
from tests.checkpoints import random_tree
from tests.checkpoints.random_tree import CENTS, expected_calls
from tests.support.amounts import few_or_many
from tests.support.waiting import HANG

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")

ROUNDS = int(os.environ.get("RLM_KILL_ROUNDS", "5"))
SEED = int(os.environ.get("RLM_KILL_SEED", "0"))
#: Rounds at once: most of a round is waiting.
AT_ONCE = 3
#: The longest that a call takes, in seconds.
LATENCY = 0.02

Call = tuple[str, str, int]
#: In the place of a reply that only asked for tools.
KEPT_REPLY = "(asked for tools)"


@dataclass
class Round:
    """One tree: its files, what was seen on the disk after each kill, and what came of it."""

    seed: int
    folder: Path
    path: Path = Path()
    kept: dict[Call, str] = field(default_factory=dict)
    figures: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.path = self.folder / "kept" / "run.json" if self.path == Path() else self.path

    @property
    def journal(self) -> Path:
        return self.path.with_name("run.journal.jsonl")

    @property
    def log(self) -> Path:
        return self.folder / "calls.log"

    @property
    def answer(self) -> Path:
        return self.folder / "answer.json"

    def start(self, before: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
        arguments = [str(self.seed), str(self.path), str(self.log), str(self.answer), str(LATENCY)]
        command = [sys.executable, random_tree.__file__, *arguments]
        return subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=before)

    def calls(self, word: str = "asked") -> list[Call]:
        # What comes after the last line is a line that is being written just now.
        lines = self.log.read_text().split("\n")[:-1] if self.log.exists() else []
        return [(mode, task, number) for said, mode, task, number in map(json.loads, lines) if said == word]


def events_in(journal: Path) -> Iterator[Event]:
    """The events of the lines that are whole."""
    raw = journal.read_bytes() if journal.exists() else b""
    for line in raw.split(b"\n")[:-1]:
        yield from_json(json.loads(line))


def kept_in(round_: Round) -> dict[Call, str]:
    """The calls whose results are on the disk, with what they gave: read here, without the code that resumes."""
    document = json.loads(round_.path.read_bytes()) if round_.path.exists() else {}
    found: dict[Call, str] = {}
    for node in (*document.get("earlier", ()), *document.get("nodes", ())):
        if node["keys"]["plan"]:
            found |= calls_of_plan(node["task"], node["plan"])
        if node["result"]:
            found |= calls_of_answer(round_.seed, node["task"], node["result"]["content"])
        found |= {("tool", use["call"], 0): use["content"] for use in node["tool_calls"] if use["content"] is not None}
        found |= {("worker", node["task"], at): KEPT_REPLY for at in range(len(node.get("rounds", ())))}
    tasks, rounds = {}, Counter[str]()
    for event in events_in(round_.journal):
        if isinstance(event, NodeCreated):
            tasks[event.node] = event.task
        elif isinstance(event, Planned):
            found |= calls_of_plan(tasks[event.node], event.plan)
        elif isinstance(event, ToolReturned):
            found["tool", event.call, 0] = event.content
        elif isinstance(event, Replied):
            found["worker", tasks[event.node], rounds[event.node]] = KEPT_REPLY
            rounds[event.node] += 1
        elif isinstance(event, Finished):
            found |= calls_of_answer(round_.seed, tasks[event.node], event.content)
    return found


def calls_of_plan(task: str, plan: Any) -> dict[Call, str]:
    return {("planner", task, 0): json.dumps(plan, sort_keys=True)}


def calls_of_answer(seed: int, task: str, content: str) -> dict[Call, str]:
    """The calls that made a node's answer, those of its tools apart; none where the planner gave it."""
    calls = {call for call in expected_calls(seed) if call[1] == task and call[0] not in ("planner", "tool")}
    return {call: content if call == max(calls) else KEPT_REPLY for call in calls}


def kill(round_: Round, choose: random.Random, total: int) -> None:
    """Start a process and kill it: after some calls, or after some time; sometimes its last line is torn as well."""
    process = round_.start()
    if choose.random() < 0.7:
        wanted = len(round_.calls()) + choose.randrange(1, max(2, total - len(round_.kept)))
        deadline = time.monotonic() + HANG
        while len(round_.calls()) < wanted and process.poll() is None:
            assert time.monotonic() < deadline, "the run does not get on"
            time.sleep(0.002)
        time.sleep(choose.random() * LATENCY)
    else:
        time.sleep(choose.uniform(0.2, 1.2))
    round_.figures["killed" if process.poll() is None else "ended before the kill"] += 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = kept_in(round_)
    assert round_.kept.items() <= kept.items(), "what was on the disk before is still there"
    round_.kept = kept
    if choose.random() < 0.25:
        tear(round_, choose)
        round_.kept = kept_in(round_)


def tear(round_: Round, choose: random.Random) -> None:
    """What a power loss leaves: the last line without its end, or with garbage for it."""
    raw = round_.journal.read_bytes() if round_.journal.exists() else b""
    last = len(raw) - (raw.rstrip(b"\n").rfind(b"\n") + 1)
    if last > 1:
        cut = choose.randrange(1, last)
        round_.journal.write_bytes(raw[:-cut] + choose.choice([b"", b"\0" * cut]))
        round_.figures["torn"] += 1


def check_rerun(round_: Round, uninterrupted: Output) -> tuple[Counter[Call], Counter[Call]]:
    """Let a run end that was stopped, and check all that is promised; returns its calls before and after the stop."""
    expected = expected_calls(round_.seed)
    before = Counter(round_.calls())
    rerun = round_.start()
    assert rerun.wait(HANG) == 0, rerun.communicate()[1].decode()
    rerun.communicate()
    again = Counter(round_.calls()) - before
    content, calls, usage = json.loads(round_.answer.read_text())

    assert content == uninterrupted.content, "the same result as without a kill"
    assert not again.keys() & round_.kept.keys(), "a call whose result was kept was made again"
    assert set(before + again) == expected, "no call was left out, and none was made up"
    assert calls == sum(count for call, count in again.items() if call[0] != "tool")
    check_file(round_, uninterrupted.run.tree, usage, again)
    return before, again


def played(seed: int, folder: Path) -> Round:
    """Kill a run once or twice, let it end, and check all that is promised."""
    folder.mkdir()
    round_, choose = Round(seed, folder), random.Random(f"kill {seed}")
    expected = expected_calls(seed)
    uninterrupted = asyncio.run(random_tree.engine(seed).solve("root"))
    for _ in range(choose.choice([1, 1, 2])):
        kill(round_, choose, len(expected))
    done = round_.path.exists() and not round_.journal.exists() and json.loads(round_.path.read_bytes())["status"]
    before, again = check_rerun(round_, uninterrupted)

    assert done != "done" or not again, "a run that had ended is not made again"
    round_.figures.update(
        nodes=len(uninterrupted.run.tree),
        calls=len(expected),
        kept=len(round_.kept),
        repeated=sum((before & again).values()),
        largest=0,
    )
    return round_


def check_file(round_: Round, tree: Any, usage: dict[str, Any], again: Counter[Call]) -> None:
    """What is on the disk in the end is the whole run, counted once, and executing it again calls nothing."""
    files = sorted(each.name for each in round_.path.parent.iterdir())
    if not again and files[-1:] == ["run.json.lock"]:
        # It had just ended when it was killed, and what changes nothing later takes no lock: it is nobody's, and free.
        files.pop()
    recorded = load_recorded(round_.path)
    assert recorded is not None
    assert files == ["run.json"]
    assert recorded.tree.status == "done"
    results = {node.task: node.result for node in recorded.tree}
    answers = [(call, said) for call, said in round_.kept.items() if call[0] in ANSWERS and said != KEPT_REPLY]
    assert results == {node.task: node.result for node in tree}
    assert all(results[task] == content for (mode, task, _), content in answers)
    assert usage["cost_usd"] <= usage["calls"] * CENTS, "a call that was cancelled is counted, its price is unknown"
    before = round_.path.read_bytes()
    again = asyncio.run(random_tree.engine(round_.seed).solve("root", checkpoint=round_.path))
    assert (again.metadata["calls"], round_.path.read_bytes()) == (0, before)


ANSWERS = ("worker", "synthesizer")


@pytest.mark.timeout(300 + 10 * ROUNDS)
@few_or_many(2, ROUNDS)
def test_killed_runs_end_as_uninterrupted_ones_and_repeat_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], amount: int
) -> None:
    began = time.monotonic()
    seeds = range(SEED, SEED + amount)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        attempts = {seed: pool.submit(played, seed, tmp_path / str(seed)) for seed in seeds}
    failed = {seed: error for seed, attempt in attempts.items() if (error := attempt.exception()) is not None}
    total: Counter[str] = Counter()
    for attempt in attempts.values():
        total += attempt.result().figures if attempt.exception() is None else Counter()
    with capsys.disabled():
        figures = ", ".join(f"{count} {name}" for name, count in total.items())
        print(f"\nkill -9: {amount} rounds from seed {SEED} in {time.monotonic() - began:.0f} s: {figures}")
    assert not failed, f"RLM_KILL_SEED={min(failed)} shows the first of {len(failed)}: {failed}"
    assert total["killed"] > 0
    assert 0 < total["kept"] < total["calls"] * 2


# -- disks ---------------------------------------------------------------------------------------------------------

#: A tree of 84 nodes and 326 calls, four at a time.
FULL = 6


def limited(room: int) -> Callable[[], None]:
    """For a process to be: no file of it grows beyond so many bytes."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    return limit


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory that can be mounted with any size; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted(folder, 16):
        pytest.skip("mounting a small file system needs root; the quota is tested without")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def mounted(folder: Path, kilobytes: int, *options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={kilobytes}k"]), "tmpfs", str(folder)]
    return shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0


def check_stopped_loudly(round_: Round, process: subprocess.Popen[bytes], why: str) -> None:
    said = process.communicate(timeout=HANG)[1]
    assert process.returncode == random_tree.NOT_KEPT, said.decode()
    partial, error = json.loads(round_.answer.read_text())
    finished = {event.content for event in events_in(round_.journal) if isinstance(event, Finished)}
    assert why in error
    advice = (
        "the answer so far is in memory only (error.run.partial()" if round_.calls() else "choose a place that can be"
    )
    assert advice in error
    assert partial or not finished, "what finished is in the answer so far"


@pytest.mark.long
@pytest.mark.parametrize("kilobytes", [1, 12, 60])
def test_a_run_over_its_quota_fails_loudly_and_goes_on_later(tmp_path: Path, kilobytes: int) -> None:
    round_ = Round(FULL, tmp_path)
    process = round_.start(limited(kilobytes << 10))
    check_stopped_loudly(round_, process, "File too large")
    round_.kept = kept_in(round_)
    assert round_.kept or kilobytes < 12

    check_rerun(round_, asyncio.run(random_tree.engine(FULL).solve("root")))


@pytest.mark.long
@pytest.mark.parametrize("kilobytes", [4, 16, 64])
def test_a_run_on_a_full_disk_fails_loudly_and_goes_on_later(small_disk: Path, tmp_path: Path, kilobytes: int) -> None:
    round_ = Round(FULL, tmp_path, path=small_disk / "run.json")
    assert mounted(small_disk, kilobytes, "remount")
    check_stopped_loudly(round_, round_.start(), "No space left on device")
    round_.kept = kept_in(round_)
    assert round_.kept or kilobytes < 16
    assert mounted(small_disk, 2048, "remount")

    check_rerun(round_, asyncio.run(random_tree.engine(FULL).solve("root")))


@pytest.mark.parametrize("fate", ["removed", "moved"])
def test_a_folder_that_goes_away_fails_the_run_before_it_spends_much_more(tmp_path: Path, fate: str) -> None:
    round_ = Round(FULL, tmp_path)
    process = round_.start()
    while len(round_.calls()) < 60:
        assert process.poll() is None
        time.sleep(0.002)
    away = tmp_path / "away"
    round_.path.parent.rename(away)
    if fate == "removed":
        shutil.rmtree(away)
    check_stopped_loudly(round_, process, "was removed or moved while it ran")
    assert len(round_.calls()) < len(expected_calls(FULL))
    if fate == "moved":
        away.rename(round_.path.parent)
    round_.kept = kept_in(round_)
    assert bool(round_.kept) == (fate == "moved")

    check_rerun(round_, asyncio.run(random_tree.engine(FULL).solve("root")))
