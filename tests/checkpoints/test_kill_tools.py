"""Processes killed in the middle of a loop of tool calls: the rerun asks for no reply and calls no tool again that
the journal holds, and calls those again that had not returned."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook.core.events import Finished, Planned, Replied, ToolCalled, ToolReturned, from_json
from tests.support.waiting import HANG

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")

ROUNDS = max(2, int(os.environ.get("RLM_KILL_ROUNDS", "3")) // 2)
#: The calls of each reply of each leaf.
REPLIES = [["a"], ["b", "c", "d", "e"], ["f", "g"], ["h"], ["i", "j", "k"]]
LEAVES = ["one", "two"]
TOOL_CALLS = len(LEAVES) * sum(map(len, REPLIES))
#: The root's plan, the leaves' plans, each leaf's replies, the synthesis.
MODEL_CALLS = 1 + len(LEAVES) * (1 + len(REPLIES) + 1) + 1
ANSWER = "; ".join(f"{leaf}: {' '.join(f'{leaf}-{p}!' for calls in REPLIES for p in calls)}" for leaf in LEAVES)

SCRIPT = f"""
import asyncio, json, os, random, sys
from rlm_notebook import AsyncRecursiveEngine, tool

REPLIES, LEAVES = {REPLIES!r}, {LEAVES!r}
log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def note(*what):
    os.write(log, (json.dumps(what) + "\\n").encode())

@tool(version="1")
async def work(piece: str) -> str:
    "Work on a piece."
    note("called", piece)
    await asyncio.sleep(random.random() * 0.03)
    note("returned", piece)
    return piece + "!"

async def caller(inputs, context):
    task, mode = context["task"], context["mode"]
    at = sum(each["role"] == "assistant" for each in inputs)
    note("asked", mode, task, at)
    await asyncio.sleep(0.01)
    metadata = {{"usage": {{"prompt_tokens": 3, "completion_tokens": 2}}, "cost_usd": 0.25}}
    if mode == "planner":
        plan = {{"decision": "RECURSE", "sub_tasks": LEAVES}} if task == "root" else {{"decision": "EXECUTE"}}
        return {{"content": json.dumps(plan), "metadata": metadata}}
    if mode == "synthesizer":
        return {{"content": "; ".join(part["content"] for part in context["parts"]), "metadata": metadata}}
    if at < len(REPLIES):
        calls = [{{"name": "work", "arguments": {{"piece": f"{{task}}-{{piece}}"}}}} for piece in REPLIES[at]]
        return {{"content": "", "tool_calls": calls, "metadata": metadata}}
    told = [each["content"] for each in inputs if each["role"] == "tool"]
    return {{"content": f"{{task}}: {{' '.join(told)}}", "metadata": metadata}}

output = asyncio.run(AsyncRecursiveEngine(caller, tools=[work]).solve("root", checkpoint=sys.argv[1]))
print(json.dumps([output.content, output.metadata["calls"], output.usage.to_json()]))
"""


def started(folder: Path) -> "subprocess.Popen[bytes]":
    arguments = [str(folder / "run.json"), str(folder / "log")]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE)


def noted(folder: Path) -> list[list[Any]]:
    log = folder / "log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def killed(folder: Path, choose: random.Random) -> set[tuple[Any, ...]]:
    """Kill a run after some notes; returns what its journal holds: replies and returned calls, by what they are."""
    process = started(folder)
    wanted = len(noted(folder)) + choose.randrange(3, 2 * TOOL_CALLS)
    deadline = time.monotonic() + HANG
    while len(noted(folder)) < wanted and process.poll() is None:
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.001)
    time.sleep(choose.random() * 0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return kept(folder)


def kept(folder: Path) -> set[tuple[Any, ...]]:
    """Read without the code that resumes. Nodes are told by their tasks, replies by their place."""
    journal = folder / "run.journal.jsonl"
    found: set[tuple[Any, ...]] = set()
    replies: Counter[str] = Counter()
    pieces: dict[tuple[str, str], str] = {}
    tasks = {"0": "root", **{f"0.{at}": leaf for at, leaf in enumerate(LEAVES)}}
    for line in journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []:
        event = from_json(json.loads(line))
        task = tasks.get(event.node, "")
        if isinstance(event, Planned):
            found.add(("asked", "planner", task, 0))
        elif isinstance(event, Replied):
            found.add(("asked", "worker", task, replies[task]))
            replies[task] += 1
        elif isinstance(event, ToolCalled):
            pieces[event.node, event.call] = event.arguments["piece"]
        elif isinstance(event, ToolReturned):
            found.add(("called", pieces[event.node, event.call]))
        elif isinstance(event, Finished) and event.node != "0":
            found.add(("asked", "worker", task, len(REPLIES)))
    return found


@pytest.mark.timeout(300 + 10 * ROUNDS)
def test_no_reply_and_no_tool_that_was_kept_is_asked_for_again(tmp_path: Path) -> None:
    figures: Counter[str] = Counter()
    for seed in range(ROUNDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        choose = random.Random(seed)
        before: set[tuple[Any, ...]] = set()
        for _ in range(choose.choice([1, 2, 3])):
            held = killed(folder, choose)
            if not (folder / "run.journal.jsonl").exists():
                figures["ended before the kill"] += 1
                continue
            assert before <= held | before_in(folder), "what was on the disk is told again by the run that goes on"
            before |= held
            figures["kills"] += 1
        notes = len(noted(folder))
        content, calls, usage = json.loads(started(folder).communicate(timeout=HANG)[0])
        again = [tuple(note) for note in noted(folder)[notes:] if note[0] != "returned"]

        assert content == ANSWER
        assert not before & set(again), "what was kept is neither asked for nor called again"
        assert calls == sum(note[0] == "asked" for note in again)
        assert (usage["calls"], usage["cost_usd"]) == (MODEL_CALLS, MODEL_CALLS * 0.25), "counted once"
        returned = {note[1] for note in noted(folder) if note[0] == "returned"}
        assert len(returned) == TOOL_CALLS
        figures["kept"] += len(before)
        figures["tools kept"] += sum(what[0] == "called" for what in before)
        figures["tools called again"] += sum(note[0] == "called" for note in noted(folder)) - TOOL_CALLS
    assert figures["kills"] >= ROUNDS // 2
    assert figures["tools kept"] > 0
    print(f"\n{ROUNDS} loops of tool calls: {dict(figures)}")


def before_in(folder: Path) -> set[tuple[Any, ...]]:
    """What the document beside the journal holds of stopped and finished leaves."""
    path = folder / "run.json"
    document = json.loads(path.read_bytes()) if path.exists() else {}
    found: set[tuple[Any, ...]] = set()
    for node in (*document.get("earlier", ()), *document.get("nodes", ())):
        replies = len(node.get("rounds", ())) if not node["result"] else len(REPLIES) + 1
        found |= {("asked", "worker", node["task"], at) for at in range(replies)}
        found |= {("asked", "planner", node["task"], 0)} if node["plan"] else set()
        found |= {("called", use["arguments"]["piece"]) for use in node["tool_calls"] if use["ended"]}
    return found
