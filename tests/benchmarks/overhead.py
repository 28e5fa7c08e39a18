"""What the engine itself costs: CPU per node, how it grows with the tree, and memory per node.

Trees with ten sub-tasks a node on a model that answers at once, kept in memory, with an observer that counts.
CPU includes the model's own few microseconds and the garbage collector. Run: python tests/benchmarks/overhead.py
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import pstats
import time
import tracemalloc
from collections.abc import Callable
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


def print_profile(levels: int, top: int) -> None:
    profile = cProfile.Profile()
    profile.runcall(asyncio.run, solved(levels))
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(top)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--levels", type=int, default=5, help="of the largest tree")
    options.add_argument("--profile", action="store_true", help="show where the time goes")
    given = options.parse_args()
    if given.profile:
        print_profile(min(given.levels, 3), 40)
    else:
        print_cpu(range(2, given.levels + 1))
        print_memory(min(given.levels, 4))
