"""What the engine itself costs: CPU per node, how it grows with the tree, memory per node, and all that beside another
engine of the same kind in the same run.

Trees with ten sub-tasks a node on a model that answers at once, kept in memory, with an observer that counts.
CPU includes the model's own few microseconds and the garbage collector. Run: python tests/benchmarks/overhead.py

The other engine is llm-recursive 0.1.0 if it is installed (`pip install llm-recursive==0.1.0`, Python 3.12 and newer),
else the least that can do it: a recursion of a semaphore and `gather`. The model of that comparison waits a millisecond
for each answer; llm-recursive calls it twice for a leaf.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import pstats
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlm_notebook import AsyncRecursiveEngine

BRANCHING = 10
UNLIMITED = 10**9
RUNS = 3


def planned(levels: int, branching: int = BRANCHING) -> Callable[..., Any]:
    """A model whose tree has so many levels below the root; the planner answers leaves itself."""
    leaf = json.dumps({"decision": "EXECUTE", "answer": "the answer of a leaf, a sentence long"})

    async def model(inputs: list[dict[str, Any]], context: dict[str, Any]) -> dict[str, Any]:
        if context["mode"] == "synthesizer":
            return {"content": f"joined {len(context['parts'])} parts"}
        if context["depth"] == levels:
            return {"content": leaf}
        parts = [{"task": f"Part {context['task_id']}.{index}"} for index in range(branching)]
        return {"content": json.dumps({"decision": "RECURSE", "sub_tasks": parts})}

    return model


def engine(model: Any, concurrency: int, observers: Any = ()) -> AsyncRecursiveEngine:
    return AsyncRecursiveEngine(
        model, max_depth=20, max_steps=UNLIMITED, max_concurrency=concurrency, observers=observers
    )


async def solved(levels: int) -> tuple[int, int, float]:
    """Nodes, events and CPU seconds of one run."""
    seen: list[type] = []
    subject = engine(planned(levels), 16, [lambda event: seen.append(type(event))])
    gc.collect()
    began = time.process_time()
    output = await subject.solve("The whole")
    return output.metadata["steps"], len(seen), time.process_time() - began


def print_cpu(levels: range) -> None:
    print(f"{'nodes':>8} {'events':>8} {'CPU s':>8} {'us/node':>8} {'growth':>7}")
    before = None
    for each in levels:
        # As many runs of each size: the best of more would make small trees look better.
        nodes, events, seconds = min((asyncio.run(solved(each)) for _ in range(RUNS)), key=lambda run: run[2])
        per_node = seconds / nodes * 1e6
        growth = f"{per_node / before:.2f}x" if before else ""
        print(f"{nodes:>8,} {events:>8,} {seconds:>8.2f} {per_node:>8.0f} {growth:>7}", flush=True)
        before = per_node


async def memory(levels: int, branching: int, concurrency: int) -> tuple[float, float]:
    """Bytes per node while all leaves are alive, and once the run is done and only its tree remains."""
    leaves, answer = branching**levels, planned(levels, branching)
    alive, go_on = asyncio.Event(), asyncio.Event()
    waiting = 0

    async def model(inputs: list[dict[str, Any]], context: dict[str, Any]) -> Any:
        nonlocal waiting
        if context["depth"] == levels:
            waiting += 1
            if waiting == min(leaves, concurrency):
                alive.set()
            await go_on.wait()
        return await answer(inputs, context)

    # A small run first: what is imported and cached once is not a node's.
    await engine(planned(1), 16).solve("The whole")
    subject = engine(model, concurrency)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run = subject.start("The whole")
        await alive.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        nodes = len(run.tree)
        live = tracemalloc.get_traced_memory()[0] - before
        go_on.set()
        await run
        gc.collect()
        done = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    return live / nodes, done / len(run.tree)


async def held_by_callable() -> float:
    """Bytes that a callable that waits holds by itself: its frame, what it waits with, and the arguments that it was
    given, which are its own. They are in the figure of a node in its call, and no engine could do without them."""
    given: list[Any] = []

    async def model(inputs: list[dict[str, Any]], context: dict[str, Any]) -> Any:
        given.append((inputs, context))
        return {"content": json.dumps({"decision": "EXECUTE", "answer": "done"})}

    await engine(planned(1), 16).solve("The whole")
    await engine(model, 16).solve("The whole")
    go_on = asyncio.Event()

    async def wait(inputs: list[dict[str, Any]], context: dict[str, Any]) -> Any:
        await go_on.wait()
        return await model(inputs, context)

    (inputs, context), number = given[-1], 1000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        waiting = []
        for _ in range(number):
            lists = {name: list(value) for name, value in context.items() if isinstance(value, list)}
            copied = context.copy()
            copied.update(lists)
            call = wait([message.copy() for message in inputs], copied)
            call.send(None)
            waiting.append(call)
        return (tracemalloc.get_traced_memory()[0] - before) / number
    finally:
        tracemalloc.stop()
        for call in waiting:
            call.close()


def print_memory(levels: int) -> None:
    # Of a deep tree the branches that are not begun are not there yet, as long as all turns are taken.
    waiting, _ = asyncio.run(memory(1, BRANCHING**levels, 16))
    calling, finished = asyncio.run(memory(levels, BRANCHING, UNLIMITED))
    own = asyncio.run(held_by_callable())
    print("\nmemory a node, its task included, all nodes at once:")
    print(f"{waiting / 1024:>8.2f} KB waiting for its turn (the parts of one node, max_concurrency=16)")
    print(f"{calling / 1024:>8.2f} KB in its call (no limit), of which the callable itself holds {own / 1024:.2f}")
    print(f"{finished / 1024:>8.2f} KB finished")


def waiting(model: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same model, a millisecond later."""

    async def waits(inputs: list[dict[str, Any]], context: dict[str, Any]) -> Any:
        await asyncio.sleep(0.001)
        return await model(inputs, context)

    return waits


async def own(levels: int, checkpoint: str | None = None) -> float:
    """Microseconds of CPU per node."""
    seen: list[type] = []
    subject = engine(waiting(planned(levels)), 16, [lambda event: seen.append(type(event))])
    gc.collect()
    began = time.process_time()
    output = await subject.solve("The whole", checkpoint=checkpoint)
    return (time.process_time() - began) / output.metadata["steps"] * 1e6


async def own_with_file(levels: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return await own(levels, str(Path(folder) / "run.json"))


async def least(levels: int) -> float:
    """A recursion with nothing around it: the same calls, as many at once."""
    model, slots, nodes = waiting(planned(levels)), asyncio.Semaphore(16), 0

    async def asked(task: str, **context: Any) -> str:
        async with slots:
            reply = await model([{"role": "user", "content": task}], context)
        content: str = reply["content"]
        return content

    async def node(task: str, node_id: str, depth: int) -> str:
        nonlocal nodes
        nodes += 1
        plan = json.loads(await asked(task, mode="planner", depth=depth, task_id=node_id))
        if plan["decision"] == "EXECUTE":
            answer: str = plan["answer"]
            return answer
        below = [node(part["task"], f"{node_id}.{at}", depth + 1) for at, part in enumerate(plan["sub_tasks"])]
        return await asked(task, mode="synthesizer", parts=await asyncio.gather(*below))

    gc.collect()
    began = time.process_time()
    await node("The whole", "0", 0)
    return (time.process_time() - began) / nodes * 1e6


async def llm_recursive(levels: int) -> float:
    """The same tree; which of its calls this is, its callable has to read out of the text."""
    from rlm.async_engine import AsyncRecursiveEngine as Other  # type: ignore[import-not-found]

    leaf = json.dumps({"decision": "EXECUTE", "sub_tasks": []})
    split = json.dumps({"decision": "RECURSE", "sub_tasks": [{"description": "Part"}]})

    async def model(inputs: list[dict[str, Any]], context: dict[str, Any]) -> dict[str, Any]:
        text = inputs[-1]["content"]
        if text.startswith("Task: "):
            depth = int(text.rpartition(": ")[2].partition("/")[0])
            return {"content": leaf if depth == levels else split}
        if text.startswith("Decompose"):
            name = text.partition("\n")[2].removeprefix("Part ")
            parts = [{"description": f"Part {name}.{index}"} for index in range(BRANCHING)]
            return {"content": json.dumps({"sub_tasks": parts})}
        return {"content": "the answer of a leaf, a sentence long"}

    subject = Other(waiting(model), max_depth=20, max_steps=UNLIMITED, max_concurrency=16)
    gc.collect()
    began = time.process_time()
    await subject.solve("The whole")
    return (time.process_time() - began) / subject._step_count * 1e6  # type: ignore[no-any-return]


def print_ratios(levels: int) -> None:
    """All in turn: what else the machine does meets each of them."""
    other = "llm-recursive 0.1.0" if find_spec("rlm") else "the least: a semaphore, gather"
    subjects: dict[str, Callable[[int], Awaitable[float]]] = {
        other: llm_recursive if find_spec("rlm") else least,
        "in memory, events on": own,
        "with a checkpoint file": own_with_file,
    }
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(RUNS):
        for name, subject in subjects.items():
            taken[name].append(asyncio.run(subject(levels)))  # type: ignore[arg-type]
    nodes = sum(BRANCHING**level for level in range(levels + 1))
    print(f"{nodes:,} nodes, the model waits 1 ms: CPU per node")
    for name, each in taken.items():
        print(f"{min(each):>8.0f} us {min(each) / min(taken[other]):>5.2f}x {name}", flush=True)
    if Path("/proc/self/status").exists():
        subprocess.run([sys.executable, __file__, "--peak", str(levels)], check=True)


def print_peak(levels: int) -> None:
    """Of this whole process, with a checkpoint file; what is imported and cached once is in the first figure."""
    asyncio.run(own_with_file(1))
    before = _peak()
    asyncio.run(own_with_file(levels))
    print(f"{_peak():>8.0f} MB peak of the process with a checkpoint file; {before:.0f} MB after a small run")


def _peak() -> float:
    """In megabytes. `getrusage` would give the parent's, which the process was before it began."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def print_profile(levels: int, top: int) -> None:
    profile = cProfile.Profile()
    profile.runcall(asyncio.run, solved(levels))
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(top)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--levels", type=int, default=5, help="of the largest tree")
    options.add_argument("--profile", action="store_true", help="show where the time goes")
    options.add_argument("--peak", type=int, metavar="LEVELS", help="print the peak of memory of one run, alone")
    given = options.parse_args()
    if given.peak:
        print_peak(given.peak)
    elif given.profile:
        print_profile(min(given.levels, 3), 40)
    else:
        print_ratios(min(given.levels, 4))
        print_cpu(range(2, given.levels + 1))
        print_memory(min(given.levels, 4))
