"""How long a run takes, against the best schedule that somebody could make who knows everything in advance.

Five kinds of trees whose calls take 20 to 200 ms. The engine learns the tree plan by plan and never knows how long a
call takes; the schedule that it is compared to is a discrete-event simulation of the same calls, the longest remaining
chain first, with full knowledge. Three planners: one estimates in five coarse levels the effort of each part and of
joining their results, as planners are asked to; one is also wrong by up to a factor of two, either way; one says
nothing of how long anything takes. Where nothing is said, siblings are alike until they are planned. How much of the
loss is due to that alone the last table shows: of the same simulation, still with full knowledge of the tree and of all
durations, but for which sibling is which.
Run: python tests/benchmarks/makespan.py
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import heapq
import itertools
import json
import random
import selectors
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rlm_notebook import AsyncRecursiveEngine

CONCURRENCY = (4, 8, 16, 32, 64)
SEEDS = range(5)
#: Of the median of a cell.
AIM = 1.05


@dataclass
class Task:
    """A node of a tree as it will turn out: seconds of its calls, its parts, and the siblings it waits for."""

    name: str
    plan: float
    synthesis: float
    depends_on: tuple[int, ...] = ()
    parts: list[Task] = field(default_factory=list)

    def walk(self) -> Iterator[Task]:
        yield self
        for part in self.parts:
            yield from part.walk()


# -- workloads ---------------------------------------------------------------------------------------------------


class Grower:
    """Makes trees by chance: `grow` gives a task with as many parts a level as `width` says."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._number = itertools.count()

    def grow(self, depth: int, width: Callable[[int], int], waits: float = 0.0) -> Task:
        latency = self.chance.uniform
        task = Task(f"task {next(self._number)}", latency(0.02, 0.2), latency(0.02, 0.2))
        for index in range(width(depth)):
            part = self.grow(depth + 1, width, waits)
            part.depends_on = tuple(other for other in range(index) if self.chance.random() < waits / index)
            task.parts.append(part)
        return task

    def some(self, probability: float, least: int, most: int) -> int:
        return self.chance.randint(least, most) if self.chance.random() < probability else 0


def wide(seed: int) -> Task:
    """Two levels: many parts, some of which have a few parts of their own."""
    grower = Grower(seed)
    return grower.grow(0, lambda depth: 40 if depth == 0 else grower.some(0.3, 4, 8) if depth == 1 else 0)


def deep(seed: int) -> Task:
    """Twos and threes, eight levels down."""
    grower = Grower(seed)
    return grower.grow(0, lambda depth: 3 if depth < 2 else grower.some(0.65, 2, 3) if depth < 8 else 0)


def skewed(seed: int) -> Task:
    """At each level one part goes on, and its siblings are leaves."""
    grower = Grower(seed)
    task = grower.grow(0, lambda depth: 8 if depth == 0 else 0)
    root = task
    for _ in range(8):
        task = grower.chance.choice(task.parts)
        task.parts = [grower.grow(1, lambda depth: 0) for _ in range(grower.chance.randint(4, 10))]
    return root


def mixed(seed: int) -> Task:
    """Chance decides at each node whether and how far it splits."""
    grower = Grower(seed)
    return grower.grow(0, lambda depth: 6 if depth == 0 else grower.some(0.75 - 0.15 * depth, 2, 8))


def dependent(seed: int) -> Task:
    """Parts that wait for some of their siblings."""
    grower = Grower(seed)
    return grower.grow(0, lambda depth: 8 if depth == 0 else grower.some(0.7 - 0.2 * depth, 4, 8), waits=0.8)


WORKLOADS = {"wide": wide, "deep": deep, "skewed": skewed, "random": mixed, "dependencies": dependent}


# -- the schedule of somebody who knows everything ---------------------------------------------------------------


@dataclass
class Call:
    """One model call: what it waits for, and what waits for it."""

    seconds: float
    waits: int = 0
    unlocks: list[Call] = field(default_factory=list)
    #: Seconds from its start to the end of the run, if nothing ever had to wait for a turn.
    chain: float = 0.0
    #: One object for the plans of all siblings.
    family: object = field(default_factory=object)

    def before(self, other: Call) -> None:
        self.unlocks.append(other)
        other.waits += 1


def calls_of(root: Task) -> list[Call]:
    """All calls of a tree, each before those that it unlocks."""
    calls: list[Call] = []

    def visit(task: Task, after: list[Call]) -> tuple[Call, Call]:
        """The first and last call of a task."""
        plan = Call(task.plan)
        calls.append(plan)
        for call in after:
            call.before(plan)
        if not task.parts:
            return plan, plan
        ends: list[Call] = []
        family = object()
        for part in task.parts:
            first, last = visit(part, [plan, *(ends[index] for index in part.depends_on)])
            first.family = family
            ends.append(last)
        synthesis = Call(task.synthesis)
        calls.append(synthesis)
        for end in ends:
            end.before(synthesis)
        return plan, synthesis

    visit(root, [])
    for call in reversed(calls):
        call.chain = call.seconds + max((after.chain for after in call.unlocks), default=0.0)
    return calls


def known_schedule(root: Task, concurrency: int, *, tells_apart: bool = True) -> float:
    """Seconds of the list schedule that always starts the call with the longest chain behind it.

    Who cannot tell siblings apart knows that one of them has that chain, and starts with any of them.
    """
    calls, number = calls_of(root), itertools.count()
    missing = {id(call): call.waits for call in calls}
    ready = [(-call.chain, next(number), call) for call in calls if not call.waits]
    running: list[tuple[float, int, Call]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < concurrency:
            call = heapq.heappop(ready)[2] if tells_apart else _any_like(ready)
            heapq.heappush(running, (now + call.seconds, next(number), call))
        now, _, ended = heapq.heappop(running)
        for call in ended.unlocks:
            missing[id(call)] -= 1
            if not missing[id(call)]:
                heapq.heappush(ready, (-call.chain, next(number), call))
    return now


def _any_like(ready: list[tuple[float, int, Call]]) -> Call:
    """Takes the first, in the plan's order, of the siblings of the most urgent call that are ready."""
    family = ready[0][2].family
    taken = min((entry for entry in ready if entry[2].family is family), key=lambda entry: entry[1])
    ready.remove(taken)
    heapq.heapify(ready)
    return taken[2]


# -- the engine --------------------------------------------------------------------------------------------------


#: A planner's estimate of what takes so many seconds.
Estimate = Callable[[float], int | None]
#: Seconds up to which something is of effort 1, 2, 3, 4; calls take 0.11 on average.
LEVELS = (0.11, 0.22, 0.44, 0.88)


def span(task: Task) -> float:
    """Seconds that a task takes if nothing in it ever has to wait for a turn."""
    ends: list[float] = []
    for part in task.parts:
        ends.append(max((ends[index] for index in part.depends_on), default=task.plan) + span(part))
    return max(ends) + task.synthesis if ends else task.plan


def nothing(seed: int) -> Estimate:
    return lambda seconds: None


def efforts(seed: int, wrong_by: float = 1.0) -> Estimate:
    chance = random.Random(seed)
    return lambda seconds: 1 + bisect.bisect_left(LEVELS, seconds * wrong_by ** chance.uniform(-1, 1))


PLANNERS: dict[str, Callable[[int], Estimate]] = {
    "estimates in five levels": efforts,
    "estimates that are wrong by up to a factor of two": lambda seed: efforts(seed, wrong_by=2.0),
    "no estimates": nothing,
}


def model_of(root: Task, estimate: Estimate) -> Callable[..., Any]:
    """A model that plans and answers the tree, each call taking its time."""
    tasks = {task.name: task for task in root.walk()}

    async def model(inputs: list[dict[str, Any]], context: dict[str, Any]) -> dict[str, Any]:
        task = tasks[context["task"]]
        if context["mode"] == "synthesizer":
            await asyncio.sleep(task.synthesis)
            return {"content": "joined"}
        await asyncio.sleep(task.plan)
        if not task.parts:
            return {"content": json.dumps({"decision": "EXECUTE", "answer": f"answer to {task.name}"})}
        parts = [{"task": p.name, "depends_on": p.depends_on, "effort": estimate(span(p))} for p in task.parts]
        plan = {"decision": "RECURSE", "sub_tasks": parts, "joining": estimate(task.synthesis)}
        return {"content": json.dumps(plan)}

    return model


async def engine_seconds(root: Task, concurrency: int, estimate: Estimate) -> float:
    loop = asyncio.get_running_loop()
    model = model_of(root, estimate)
    engine = AsyncRecursiveEngine(model, max_depth=20, max_steps=100_000, max_concurrency=concurrency)
    began = loop.time()
    await engine.solve(root.name)
    return loop.time() - began


class SimulatedTime(selectors.DefaultSelector):
    """An event loop's selector that does not wait: its clock jumps to the next timer. Everything else is real."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


def in_simulated_time(root: Task, concurrency: int, estimate: Estimate) -> float:
    selector = SimulatedTime()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(engine_seconds(root, concurrency, estimate))
    finally:
        loop.close()


def print_engine(planner: str) -> None:
    print_table(planner, lambda tree, at_once, seed: in_simulated_time(tree, at_once, PLANNERS[planner](seed)))


def print_untold() -> None:
    title = "no engine: the schedule with full knowledge, but for which sibling is which"
    print_table(title, lambda tree, at_once, seed: known_schedule(tree, at_once, tells_apart=False))


def print_table(title: str, seconds: Callable[[Task, int, int], float]) -> None:
    """`seconds` is what a tree takes with so many calls at once; the last argument is the tree's seed."""
    print(f"\n{title}\n{'':<14}{'calls':>6}" + "".join(f"{concurrency:>14}" for concurrency in CONCURRENCY))
    medians: list[float] = []
    worst = 0.0
    for name, workload in WORKLOADS.items():
        trees = [workload(seed) for seed in SEEDS]
        cells = ""
        for concurrency in CONCURRENCY:
            ratios = [
                seconds(tree, concurrency, seed) / known_schedule(tree, concurrency)
                for seed, tree in zip(SEEDS, trees, strict=True)
            ]
            medians.append(statistics.median(ratios))
            worst = max(worst, *ratios)
            cells += f"{medians[-1]:>8.3f} {max(ratios):.3f}"
        calls = statistics.median(len(calls_of(tree)) for tree in trees)
        print(f"{name:<14}{calls:>6.0f}{cells}", flush=True)
    above = sum(median > AIM for median in medians)
    print(f"medians above {AIM}: {above} of {len(medians)}, the largest {max(medians):.3f}; worst run {worst:.3f}")


def print_real(concurrency: int) -> None:
    """The same in real time, which adds what the engine itself takes."""
    print(f"\nin real time with efforts, max_concurrency={concurrency}")
    for name, workload in WORKLOADS.items():
        tree = workload(0)
        began = time.perf_counter()
        asyncio.run(engine_seconds(tree, concurrency, efforts(0)))
        took, known = time.perf_counter() - began, known_schedule(tree, concurrency)
        print(f"{name:<14}{took:>8.2f} s{took / known:>8.3f}", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--real", type=int, default=16, help="max_concurrency of the runs in real time; 0: none")
    given = options.parse_args()
    print("seconds / schedule with full knowledge: median and worst of", len(SEEDS), "trees; max_concurrency above")
    for planner in PLANNERS:
        print_engine(planner)
    print_untold()
    if given.real:
        print_real(given.real)
