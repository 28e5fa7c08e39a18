"""Processes that are killed at any moment: the rerun ends with the same answer and repeats no call that was kept.

RLM_KILL_ROUNDS and RLM_KILL_SEED set how many random trees are killed, and which; the figures are printed at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook.checkpoints.json_file import load_recorded
from rlm_notebook.core.events import Event, Finished, NodeCreated, Planned, from_json
from tests.checkpoints import random_tree
from tests.checkpoints.random_tree import CENTS, expected_calls

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")

ROUNDS = int(os.environ.get("RLM_KILL_ROUNDS", "20"))
SEED = int(os.environ.get("RLM_KILL_SEED", "0"))
#: Rounds at once: most of a round is waiting.
AT_ONCE = 3
#: The longest that a call takes, in seconds.
LATENCY = 0.02

Call = tuple[str, str, int]


@dataclass
class Round:
    """One tree: its files, what was seen on the disk after each kill, and what came of it."""

    seed: int
    folder: Path
    kept: dict[Call, str] = field(default_factory=dict)
    figures: Counter[str] = field(default_factory=Counter)

    @property
    def path(self) -> Path:
        return self.folder / "kept" / "run.json"

    @property
    def journal(self) -> Path:
        return self.path.with_name("run.journal.jsonl")

    @property
    def log(self) -> Path:
        return self.folder / "calls.log"

    @property
    def answer(self) -> Path:
        return self.folder / "answer.json"

    def start(self) -> subprocess.Popen[bytes]:
        arguments = [str(self.seed), str(self.path), str(self.log), str(self.answer), str(LATENCY)]
        return subprocess.Popen([sys.executable, random_tree.__file__, *arguments], stderr=subprocess.PIPE)

    def calls(self, word: str = "asked") -> list[Call]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(mode, task, number) for said, mode, task, number in map(json.loads, lines) if said == word]


def events_in(journal: Path) -> Iterator[Event]:
    """The events of the lines that are whole."""
    raw = journal.read_bytes() if journal.exists() else b""
    for line in raw.split(b"\n")[:-1]:
        yield from_json(json.loads(line.rpartition(b"\t")[0]))


def kept_in(round_: Round) -> dict[Call, str]:
    """The calls whose results are on the disk, with what they gave: read here, without the code that resumes."""
    document = json.loads(round_.path.read_bytes()) if round_.path.exists() else {}
    found: dict[Call, str] = {}
    for node in (*document.get("earlier", ()), *document.get("nodes", ())):
        if node["keys"]["plan"]:
            found |= calls_of_plan(node["task"], node["plan"])
        if node["result"]:
            found |= calls_of_answer(round_.seed, node["task"], node["result"]["content"])
    tasks = {}
    for event in events_in(round_.journal):
        if isinstance(event, NodeCreated):
            tasks[event.node] = event.task
        elif isinstance(event, Planned):
            found |= calls_of_plan(tasks[event.node], event.plan)
        elif isinstance(event, Finished):
            found |= calls_of_answer(round_.seed, tasks[event.node], event.content)
    return found


def calls_of_plan(task: str, plan: Any) -> dict[Call, str]:
    return {("planner", task, 0): json.dumps(plan, sort_keys=True)}


def calls_of_answer(seed: int, task: str, content: str) -> dict[Call, str]:
    """The calls that made a node's answer, those of its tools among them; none where the planner gave it."""
    calls = {call for call in expected_calls(seed) if call[1].partition("#")[0] == task and call[0] != "planner"}
    return dict.fromkeys(calls, content)


def kill(round_: Round, choose: random.Random, total: int) -> None:
    """Start a process and kill it: after some calls, or after some time; sometimes its last line is torn as well."""
    process = round_.start()
    if choose.random() < 0.7:
        wanted = len(round_.calls()) + choose.randrange(1, max(2, total - len(round_.kept)))
        deadline = time.monotonic() + 60
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


def played(seed: int, folder: Path) -> Round:
    """Kill a run once or twice, let it end, and check all that is promised."""
    folder.mkdir()
    round_, choose = Round(seed, folder), random.Random(f"kill {seed}")
    expected = expected_calls(seed)
    uninterrupted = asyncio.run(random_tree.engine(seed).solve("root"))
    for _ in range(choose.choice([1, 1, 2])):
        kill(round_, choose, len(expected))
    before = Counter(round_.calls())
    done = round_.path.exists() and not round_.journal.exists() and json.loads(round_.path.read_bytes())["status"]
    rerun = round_.start()
    assert rerun.wait(60) == 0, rerun.communicate()[1].decode()
    rerun.communicate()
    again = Counter(round_.calls()) - before
    content, calls, usage = json.loads(round_.answer.read_text())

    assert content == uninterrupted.content, "the same result as without a kill"
    assert not again.keys() & round_.kept.keys(), "a call whose result was kept was made again"
    assert set(before + again) == expected, "no call was left out, and none was made up"
    assert calls == sum(count for call, count in again.items() if call[0] != "tool")
    assert done != "done" or not again, "a run that had ended is not made again"
    check_file(round_, uninterrupted.run.tree, usage)
    round_.figures.update(
        nodes=len(uninterrupted.run.tree),
        calls=len(expected),
        kept=len(round_.kept),
        repeated=sum((before & again).values()),
        largest=0,
    )
    return round_


def check_file(round_: Round, tree: Any, usage: dict[str, Any]) -> None:
    """What is on the disk in the end is the whole run, counted once, and executing it again calls nothing."""
    kept_beside = sorted(each.name for each in round_.path.parent.iterdir())
    recorded = load_recorded(round_.path)
    assert recorded is not None
    assert kept_beside == ["run.json"]
    assert recorded.tree.status == "done"
    results = {node.task: node.result for node in recorded.tree}
    assert results == {node.task: node.result for node in tree}
    assert all(results[task] == content for (mode, task, _), content in round_.kept.items() if mode in ANSWERS)
    assert usage["cost_usd"] == pytest.approx(usage["calls"] * CENTS)
    before = round_.path.read_bytes()
    again = asyncio.run(random_tree.engine(round_.seed).solve("root", checkpoint=round_.path))
    assert (again.metadata["calls"], round_.path.read_bytes()) == (0, before)


ANSWERS = ("worker", "synthesizer")


@pytest.mark.timeout(60 + 10 * ROUNDS)
def test_killed_runs_end_as_uninterrupted_ones_and_repeat_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    seeds = range(SEED, SEED + ROUNDS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        attempts = {seed: pool.submit(played, seed, tmp_path / str(seed)) for seed in seeds}
    failed = {seed: error for seed, attempt in attempts.items() if (error := attempt.exception()) is not None}
    total: Counter[str] = Counter()
    for attempt in attempts.values():
        total += attempt.result().figures if attempt.exception() is None else Counter()
    with capsys.disabled():
        figures = ", ".join(f"{count} {name}" for name, count in total.items())
        print(f"\nkill -9: {ROUNDS} rounds from seed {SEED} in {time.monotonic() - began:.0f} s: {figures}")
    assert not failed, f"RLM_KILL_SEED={min(failed)} shows the first of {len(failed)}: {failed}"
    assert total["killed"] > 0
    assert 0 < total["kept"] < total["calls"] * 2
