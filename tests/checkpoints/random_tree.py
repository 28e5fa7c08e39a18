"""A random tree of tasks, and a process that solves it: what `test_kill.py` kills.

    python random_tree.py SEED CHECKPOINT LOG ANSWER [LATENCY]

Everything follows from the seed, and every answer holds a digest of all that was seen for it: a result that was lost,
mixed up or made of something else changes the answer of the root. The log is the process's own, beside the checkpoint
machinery: one line per call, appended and synced before the call is made ("asked ...") and before its result is handed
over ("answered ...").
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_notebook import Agent, AsyncRecursiveEngine, CheckpointError, tool
from rlm_notebook.core.limits import Usage
from rlm_notebook.ports import Capabilities, Reply, Request, ToolCall

LARGEST = 300
DEPTH = 5
CENTS = 0.25
#: What the process ends with when the run could not be kept; what it had so far is in ANSWER.
NOT_KEPT = 3


@dataclass
class Task:
    """`after` are positions among its siblings; `rounds` how many tools a worker calls in each round."""

    depth: int
    after: tuple[int, ...] = ()
    parts: list[str] = field(default_factory=list)
    rounds: tuple[int, ...] = ()
    fused: bool = True


def random_tree(seed: int, largest: int = LARGEST) -> dict[str, Task]:
    """Tasks by name; the first is the root, which always has parts."""
    choose = random.Random(f"tree {seed}")
    # As many trees between 4 and 40 nodes as between 40 and 300 or so: small ones die at odd moments more often.
    size = round(4 * (largest / 4) ** choose.random())
    tasks = {"root": Task(0)}
    growing = ["root"]
    while growing and len(tasks) < size:
        name = growing.pop(choose.randrange(len(growing)))
        count = min(choose.randrange(2, 12), size - len(tasks))
        order = choose.sample(range(count), count)
        for number in range(count):
            earlier = order[: order.index(number)]
            after = tuple(choose.sample(earlier, min(len(earlier), choose.choice([0, 0, 0, 1, 2]))))
            part = f"{name}/{number}" if len(name) < 60 else f"{name[:50]}~{len(tasks)}"
            tasks[name].parts.append(part)
            tasks[part] = Task(tasks[name].depth + 1, after)
            if tasks[part].depth < DEPTH - 1:
                growing.append(part)
    for task in tasks.values():
        if not task.parts:
            task.rounds = choose.choice([(), (), (), (1,), (2,), (1, 1), (2, 3, 1)])
            task.fused = choose.random() < 0.7
    return tasks


class Log:
    """Lines that survive a kill: one write each, at the end of the file."""

    def __init__(self, path: Path | None) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if path is not None else None

    def __call__(self, *words: object) -> None:
        if self._file is not None:
            os.write(self._file, (json.dumps(words) + "\n").encode())
            os.fdatasync(self._file)


class Scripted:
    """The model: what it says is a function of the tasks and of what it is shown; it takes random times."""

    name = "random-tree"

    def __init__(self, tasks: dict[str, Task], seed: int, latency: float, log: Callable[..., None]) -> None:
        self.capabilities = Capabilities(True, True, True, bool(seed % 2), True)
        self._tasks, self._latency, self._log = tasks, latency, log

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        spoken = sum(message["role"] == "tool" for message in request.messages)
        asked = (request.mode, request.facts.task, _round(self._tasks[request.facts.task], spoken))
        self._log("asked", *asked)
        reply = self._reply(request, asked[2])
        pause = self._latency * (int(_digest(*asked)[:4], 16) / 0xFFFF)
        pieces = [reply.content[at : at + 40] for at in range(0, len(reply.content), 40)] if request.streaming else []
        for piece in pieces:
            await asyncio.sleep(pause / len(pieces))
            yield piece
        if not pieces:
            await asyncio.sleep(pause)
        self._log("answered", *asked)
        yield reply

    def _reply(self, request: Request, number: int) -> Reply:
        name, task = request.facts.task, self._tasks[request.facts.task]
        usage = Usage(7, 3, calls=1, cost_usd=CENTS)
        if request.mode == "planner":
            return Reply(json.dumps(self._plan(request, name, task)), usage=usage, model=self.name)
        if request.mode == "worker" and number < len(task.rounds):
            calls = [f"{name}#{number}.{index}" for index in range(task.rounds[number])]
            wanted = tuple(ToolCall(call, "measure", {"what": call}) for call in calls)
            return Reply("", wanted, usage=usage, model=self.name)
        return Reply(_seen(request), usage=usage, model=self.name)

    def _plan(self, request: Request, name: str, task: Task) -> dict[str, Any]:
        if not task.parts:
            return {"decision": "EXECUTE", **({"answer": _seen(request)} if task.fused else {})}
        parts = [
            {
                "description": part,
                "assigned_agent": "handy" if self._tasks[part].rounds else None,
                "depends_on": list(self._tasks[part].after),
            }
            for part in task.parts
        ]
        return {"decision": "RECURSE", "sub_tasks": parts}


def _seen(request: Request) -> str:
    """An answer that tells of everything it depends on."""
    facts = request.facts
    told = [message["content"] for message in request.messages if message["role"] == "tool"]
    known = [(part.task, part.content) for part in (*facts.parts, *facts.dependencies)]
    return f"{facts.task}={_digest(*told, *known)}"


def _digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]


def _round(task: Task, spoken: int) -> int:
    """How many rounds of tools a conversation has behind it."""
    done = 0
    while done < len(task.rounds) and spoken > 0:
        spoken -= task.rounds[done]
        done += 1
    return done


def engine(seed: int, *, latency: float = 0.0, log: Path | None = None, largest: int = LARGEST) -> AsyncRecursiveEngine:
    write = Log(log)

    @tool(version="1")
    def measure(what: str) -> str:
        """Measure something."""
        write("asked", "tool", what, 0)
        write("answered", "tool", what, 0)
        return f"{what}: {_digest(what)}"

    model = Scripted(random_tree(seed, largest), seed, latency, write)
    return AsyncRecursiveEngine(
        model,
        {"planner": model, "handy": Agent("handy", model, tools=[measure])},
        max_steps=LARGEST + 1,
        max_depth=DEPTH + 1,
        max_concurrency=random.Random(f"width {seed}").choice([1, 4, 16, 32]),
    )


def expected_calls(seed: int, largest: int = LARGEST) -> set[tuple[str, str, int]]:
    """(mode or "tool", task, round) of every call of an uninterrupted run, worked out from the tree alone."""
    calls: set[tuple[str, str, int]] = set()
    for name, task in random_tree(seed, largest).items():
        calls.add(("planner", name, 0))
        if task.parts:
            calls.add(("synthesizer", name, 0))
        elif task.rounds or not task.fused:
            calls |= {("worker", name, number) for number in range(len(task.rounds) + 1)}
        calls |= {("tool", f"{name}#{n}.{index}", 0) for n, count in enumerate(task.rounds) for index in range(count)}
    return calls


def main(seed: int, checkpoint: Path, log: Path, answer: Path, latency: float = 0.01) -> None:
    try:
        output = asyncio.run(engine(seed, latency=latency, log=log).solve("root", checkpoint=checkpoint))
    except CheckpointError as error:
        answer.write_text(json.dumps([error.run.partial().content, str(error)]))
        sys.exit(NOT_KEPT)
    answer.write_text(json.dumps([output.content, output.metadata["calls"], output.usage.to_json()]))


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:5]), *map(float, sys.argv[5:]))
