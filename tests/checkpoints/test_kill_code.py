"""Processes killed in the middle of code nodes: the rerun makes no reply, no sub-query and no tool call again that the
file holds, and gets the same answer."""

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

from rlm_notebook.core.events import CellWritten, Finished, NodeCreated, ToolCalled, ToolReturned, from_json
from tests.support.waiting import HANG

pytest.importorskip("pydantic_monty")
pytestmark = [pytest.mark.long, pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")]

ROUNDS = max(2, int(os.environ.get("RLM_KILL_ROUNDS", "3")) // 2)
CELLS = [
    "a = [llm_query('one ' + str(i)) for i in range(3)]\nt = work('x')",
    "b = llm_query_batched(['two ' + str(i) for i in range(8)])\nu = [work('y' + str(i)) for i in range(3)]",
    "import random\nr = random.random()\nc = rlm_query('three')\nprint(r, budget()['steps'])",
    "FINAL(' '.join(a + b + [t, c, str(r)] + u))",
]
#: Replies of the coder, leaves, the plan and the answer of the larger task.
MODEL_CALLS = len(CELLS) + 3 + 8 + 2
TOOL_CALLS = 4

SCRIPT = f"""
import asyncio, json, os, random, sys
from rlm_notebook import AsyncRecursiveEngine, tool

CELLS = {CELLS!r}
log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def note(*what):
    os.write(log, (json.dumps(what) + "\\n").encode())

@tool(version="1")
async def work(piece: str) -> str:
    "Work on a piece."
    note("tool", piece)
    await asyncio.sleep(random.random() * 0.02)
    return piece + "!"

async def caller(inputs, context):
    task, mode = context["task"], context["mode"]
    at = sum(each["role"] == "assistant" for each in inputs)
    note(mode, at if mode == "coder" else task)
    await asyncio.sleep(random.random() * 0.03)
    metadata = {{"usage": {{"prompt_tokens": 3, "completion_tokens": 2}}, "cost_usd": 0.25}}
    cell = "```python\\n" + CELLS[min(at, len(CELLS) - 1)] + "\\n```"
    content = {{"coder": cell, "planner": '{{"decision": "EXECUTE"}}'}}.get(mode, task.upper())
    return {{"content": content, "metadata": metadata}}

engine = AsyncRecursiveEngine(caller, tools=[work], code="root")
output = asyncio.run(engine.solve("root", checkpoint=sys.argv[1]))
print(json.dumps([output.content, output.metadata["calls"], output.usage.to_json()]))
"""


def started(folder: Path) -> "subprocess.Popen[bytes]":
    arguments = [str(folder / "run.json"), str(folder / "log")]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE)


def noted(folder: Path) -> list[tuple[Any, ...]]:
    log = folder / "log"
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def killed(folder: Path, choose: random.Random) -> None:
    """Start the run and kill it after some notes."""
    process = started(folder)
    wanted = len(noted(folder)) + choose.randrange(1, MODEL_CALLS + TOOL_CALLS - 1)
    deadline = time.monotonic() + HANG
    while len(noted(folder)) < wanted and process.poll() is None:
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.001)
    time.sleep(choose.random() * 0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def held(folder: Path) -> set[tuple[Any, ...]]:
    """What the file holds, read without the code that resumes: replies, sub-queries, returned tool calls."""
    found: set[tuple[Any, ...]] = set()
    path, journal = folder / "run.json", folder / "run.journal.jsonl"
    document = json.loads(path.read_bytes()) if path.exists() else {}
    for node in (*document.get("earlier", ()), *document.get("nodes", ())):
        found |= {("coder", at) for at in range(len(node.get("cells", ())))}
        found |= {("worker", node["task"])} if node["result"] and node["id"] != "0" else set()
        found |= {("planner", "three")} if node["task"] == "three" and node["plan"] else set()
        found |= {
            ("tool", use["arguments"]["piece"]) for use in node["tool_calls"] if use["ended"] and use["arguments"]
        }
    tasks: dict[str, str] = {}
    pieces: dict[str, str] = {}
    replies = 0
    for line in journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []:
        event = from_json(json.loads(line))
        if isinstance(event, NodeCreated):
            tasks[event.node] = event.task
            replies = 0 if event.parent is None else replies
        elif isinstance(event, Finished) and event.node != "0":
            found.add(("worker", tasks[event.node]))
        elif isinstance(event, CellWritten):
            found.add(("coder", replies))
            replies += 1
        elif isinstance(event, ToolCalled) and event.arguments:
            pieces[event.call] = event.arguments["piece"]
        elif isinstance(event, ToolReturned) and event.call in pieces:
            found.add(("tool", pieces[event.call]))
    return found


@pytest.mark.timeout(300 + 30 * ROUNDS)
def test_nothing_of_a_code_node_that_is_held_is_made_again(tmp_path: Path) -> None:
    figures: Counter[str] = Counter()
    answers = set()
    for seed in range(ROUNDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        choose, kept = random.Random(seed), set[tuple[Any, ...]]()
        for _ in range(choose.choice([1, 2, 3])):
            killed(folder, choose)
            now = held(folder)
            assert kept <= now, "what was on the disk is still there"
            kept = now
            figures["kills"] += 1
        before = len(noted(folder))
        content, calls, usage = json.loads(started(folder).communicate(timeout=HANG)[0])
        again = noted(folder)[before:]

        assert not kept & set(again), "what was held is made again"
        assert calls == sum(kind != "tool" for kind, _ in again)
        assert (usage["calls"], usage["cost_usd"]) == (MODEL_CALLS, MODEL_CALLS * 0.25), "counted once"
        answers.add(content)
        figures["held"] += len(kept)
        figures["made again"] += len(kept & set(again))
    assert len(answers) == 1, "the random numbers of a session, too, are those of the first one"
    assert figures["held"] > 0
    print(f"\n{ROUNDS} runs with cells: {dict(figures)}")
