"""A process that is killed at any moment: the rerun ends with the same answer and repeats no call that was kept."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook.core.events import Finished, Planned, from_json

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")

#: Two levels below the root: 1 + 4 + 12 nodes, 5 splits, so 2 * 5 + 12 calls.
CALLS = 22
ROUNDS = 6
IN_FLIGHT = 4
#: Seconds that each call takes; four run at a time.
LATENCY = 0.02

SCRIPT = f"""
import asyncio, json, os, sys
from rlm_notebook import AsyncRecursiveEngine

log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

async def caller(inputs, context):
    os.write(log, (json.dumps([context["mode"], context["task_id"]]) + "\\n").encode())
    await asyncio.sleep({LATENCY})
    task, depth = context["task"], context["depth"]
    if context["mode"] == "planner" and depth < 2:
        parts = [f"{{task}}/{{n}}" for n in range(4 if depth == 0 else 3)]
        content = json.dumps({{"decision": "RECURSE", "sub_tasks": parts}})
    elif context["mode"] == "synthesizer":
        content = "(" + " ".join(part["content"] for part in context["parts"]) + ")"
    else:
        content = json.dumps({{"decision": "EXECUTE", "answer": f"<{{task}}>"}})
    usage = {{"prompt_tokens": 3, "completion_tokens": 2}}
    return {{"content": content, "metadata": {{"usage": usage, "cost_usd": 0.25}}}}

output = asyncio.run(AsyncRecursiveEngine(caller, max_concurrency={IN_FLIGHT}).solve("root", checkpoint=sys.argv[1]))
print(json.dumps([output.content, output.metadata["calls"], output.usage.to_json()]))
"""
GROUPS = [" ".join(f"<root/{a}/{b}>" for b in range(3)) for a in range(4)]
ANSWER = "(" + " ".join(f"({group})" for group in GROUPS) + ")"


def started(path: Path, log: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(path), str(log)], stdout=subprocess.PIPE)


def asked(log: Path) -> list[tuple[str, str]]:
    """(stage, node) of every call that was made, in order."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [("plan" if mode == "planner" else "answer", node) for mode, node in map(json.loads, lines)]


def kept(path: Path) -> set[tuple[str, str]]:
    """(stage, node) of the calls whose results are on the disk, whole."""
    journal = path.with_name(path.stem + ".journal.jsonl")
    found = set()
    for line in journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []:
        event = from_json(json.loads(line.rpartition(b"\t")[0]))
        if isinstance(event, Planned | Finished):
            found.add(("plan" if isinstance(event, Planned) else "answer", event.node))
    return found


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_killed_run_ends_as_an_uninterrupted_one_and_repeats_nothing(tmp_path: Path, seed: int) -> None:
    path, log = tmp_path / "run.json", tmp_path / "calls.log"
    choose = random.Random(seed)
    before: set[tuple[str, str]] = set()
    kills = choose.choice([1, 1, 2])
    for _ in range(kills):
        before |= killed_after(path, log, choose.randrange(1, CALLS - 2), choose.random() * LATENCY)
    calls_before = len(asked(log))
    rerun = started(path, log)
    said, _ = rerun.communicate(timeout=30)
    content, calls, usage = json.loads(said)
    again = asked(log)[calls_before:]

    assert content == ANSWER
    assert not before & set(again), "a call whose result was kept was made again"
    assert calls == len(again)
    assert len(set(asked(log))) == CALLS, "every call was made at least once"
    assert len(asked(log)) - CALLS <= (IN_FLIGHT + 1) * kills, "only what was under way is asked again"
    assert usage["calls"] == CALLS, "what was kept is counted once, what was lost is not"
    assert usage["cost_usd"] == CALLS * 0.25
    assert sorted(each.name for each in tmp_path.iterdir()) == ["calls.log", "run.json"]
    assert json.loads(path.read_text())["status"] == "done"


def killed_after(path: Path, log: Path, calls: int, delay: float) -> set[tuple[str, str]]:
    """Kill a run `delay` seconds after so many calls in all; returns what it left behind."""
    process = started(path, log)
    deadline = time.monotonic() + 20
    while len(asked(log)) < calls and process.poll() is None:
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return kept(path)


def test_an_uninterrupted_run_gives_the_expected_answer_in_the_expected_calls(tmp_path: Path) -> None:
    process = started(tmp_path / "run.json", tmp_path / "calls.log")
    said: list[Any] = json.loads(process.communicate(timeout=30)[0])

    assert said[:2] == [ANSWER, CALLS]
    assert len(asked(tmp_path / "calls.log")) == CALLS
