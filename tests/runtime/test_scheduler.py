"""`max_concurrency` bounds an engine over all its runs, on any loops and threads, without deadlock."""

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, Budget, BudgetExceededError, ModelError, RecursiveEngine
from rlm_notebook.runtime.scheduler import PrioritySemaphore, Slots

SPLIT = json.dumps({"decision": "RECURSE", "sub_tasks": [f"part {number}" for number in range(6)]})


class Counting:
    """A callable that counts how many of its calls are under way, and at most were."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds = seconds
        self.under_way = self.most = self.calls = 0
        self.order: list[str] = []
        self._lock = threading.Lock()

    async def __call__(self, inputs: Any, context: Any) -> Any:
        self._begin(context)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self._end()
        return said(context)

    def _begin(self, context: Any) -> None:
        with self._lock:
            self.calls += 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self.order.append(context["goal"])

    def _end(self) -> None:
        with self._lock:
            self.under_way -= 1


def said(context: Any) -> Any:
    if context["mode"] == "planner":
        return {"content": SPLIT if context["depth"] == 0 else '{"decision": "EXECUTE"}'}
    return {"content": f"{context['mode']}: {context['task']}"}


async def all_of(runs: Any) -> None:
    await asyncio.wait_for(asyncio.gather(*runs), 60)


async def test_runs_of_one_engine_share_its_slots() -> None:
    model = Counting()
    engine = AsyncRecursiveEngine(model, max_concurrency=3, max_depth=2)
    await all_of(engine.start(f"task {number}") for number in range(8))

    assert model.calls == 8 * 8
    assert model.most == 3


async def test_engines_do_not_share_theirs() -> None:
    model = Counting(0.05)
    engines = [AsyncRecursiveEngine(model, max_concurrency=1, max_depth=1) for _ in range(4)]
    await all_of(engine.start("t") for engine in engines)

    assert model.most == 4


def in_threads(work: list[Callable[[], Any]]) -> None:
    failures: list[BaseException] = []

    def contained(each: Callable[[], Any]) -> None:
        try:
            each()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=contained, args=(each,), daemon=True) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"


@pytest.mark.parametrize("most", [1, 2, 5])
def test_so_do_runs_on_other_loops_and_in_other_threads(most: int) -> None:
    model = Counting(0.002)
    engine = RecursiveEngine(model, max_concurrency=most, max_depth=2)
    in_threads([lambda: engine.solve("by solve")] * 3 + [lambda: asyncio.run(_three(engine.async_engine))] * 2)

    assert model.calls == (3 + 2 * 3) * 8
    assert model.most == most


async def _three(engine: AsyncRecursiveEngine) -> None:
    await all_of(engine.start("by start") for _ in range(3))


async def test_a_small_run_is_not_held_up_by_a_large_one() -> None:
    model = Counting(0)
    engine = AsyncRecursiveEngine(model, max_concurrency=1, max_depth=2)
    large = engine.start("large")
    while model.calls < 2:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    small = engine.start("small")
    await all_of([large, small])

    between = model.order[model.order.index("small") :]
    assert between.index("large") == 1, "in rotation"
    assert between[:6] == ["small", "large"] * 3


async def test_a_paused_run_holds_no_slot() -> None:
    model = Counting()
    engine = AsyncRecursiveEngine(model, max_concurrency=1, max_depth=2)
    paused = engine.start("paused")
    paused.pause()
    for _ in range(10):
        await asyncio.sleep(0)
    await all_of([engine.start("other")])

    assert paused.status == "paused"
    paused.resume()
    await all_of([paused])


async def test_a_run_that_waits_for_its_provider_holds_no_slot() -> None:
    refused = asyncio.Event()

    async def model(inputs: Any, context: Any) -> Any:
        if context["goal"] == "limited" and not refused.is_set():
            refused.set()
            raise ModelError("busy", status=429, retryable=True, retry_after=1.0)
        return {"content": "done"}

    model.name = "named"  # type: ignore[attr-defined]
    engine = AsyncRecursiveEngine(model, max_concurrency=1, max_depth=1)
    limited = engine.start("limited")
    await asyncio.wait_for(refused.wait(), 60)
    await all_of([engine.start("other")])
    assert limited.status == "running"
    await all_of([limited])


async def test_a_call_that_waits_for_the_budget_of_its_run_holds_no_slot() -> None:
    """Two calls of one run do not fit its budget at once: the second waits, and another run goes ahead."""
    order: list[str] = []
    first_is_under_way, go_on = asyncio.Event(), asyncio.Event()

    async def model(inputs: Any, context: Any) -> Any:
        order.append(f"{context['goal']} {context['task']}")
        if context["mode"] == "planner":
            return {"content": json.dumps({"decision": "RECURSE", "sub_tasks": ["a", "b"]})}
        if context["goal"] == "tight" and context["mode"] == "worker" and not first_is_under_way.is_set():
            first_is_under_way.set()
            await go_on.wait()
        return {"content": "x", "metadata": {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}}

    engine = AsyncRecursiveEngine(model, max_concurrency=2, max_depth=2)
    tight = engine.replaced(budget=Budget(tokens=2_700)).sharing(None, engine.slots)
    one = tight.start("tight")
    await asyncio.wait_for(first_is_under_way.wait(), 60)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(order) == 2, "its plan and one part: the other part waits"
    await all_of([engine.start("other")])
    go_on.set()
    with contextlib.suppress(BudgetExceededError):
        await all_of([one])


async def test_a_cancelled_waiter_keeps_no_slot() -> None:
    model = Counting(0.02)
    engine = AsyncRecursiveEngine(model, max_concurrency=2, max_depth=2)
    for seed in range(20):
        chance = random.Random(seed)
        runs = [engine.start(f"{seed} {number}") for number in range(4)]
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        for run in chance.sample(runs, 3):
            await asyncio.wait_for(asyncio.ensure_future(_cancelled(run)), 60)
        await asyncio.wait_for(asyncio.gather(*runs, return_exceptions=True), 60)

    slots = engine._configuration.slots
    assert slots.free == 2
    assert not slots.waiting
    await all_of([engine.start("at last")])
    assert model.most <= 2


async def _cancelled(run: Any) -> None:
    await run.cancel()


def test_a_closed_loop_blocks_no_other_run() -> None:
    engine = AsyncRecursiveEngine(Counting(0.005), max_concurrency=1, max_depth=2)

    async def leaves() -> None:
        for number in range(3):
            engine.start(f"left {number}")
        await asyncio.sleep(0.01)

    for _ in range(5):
        asyncio.run(leaves())
    asyncio.run(asyncio.wait_for(_awaited(engine), 60))
    assert engine._configuration.slots.free == 1


async def _awaited(engine: AsyncRecursiveEngine) -> None:
    await engine.solve("t")


def test_a_stopped_loop_is_skipped_and_served_when_it_runs_again() -> None:
    model = Counting(0)
    engine = AsyncRecursiveEngine(model, max_concurrency=1, max_depth=1)
    slots = engine._configuration.slots
    loop = asyncio.new_event_loop()

    async def waits() -> Any:
        held = PrioritySemaphore(slots)
        assert held.acquire(0) is None
        run = engine.start("stands still")
        for _ in range(5):
            await asyncio.sleep(0)
        return held, run

    held, run = loop.run_until_complete(waits())
    assert slots.waiting, "it waits, and its loop is stopped"
    held.release()
    asyncio.run(asyncio.wait_for(_awaited(engine), 60))

    assert loop.run_until_complete(asyncio.wait_for(run, 60)).content == "worker: stands still"
    loop.close()


def test_a_callable_that_solves_with_its_own_engine_does_not_wait_for_itself() -> None:
    engines: list[RecursiveEngine] = []

    def model(inputs: Any, context: Any) -> Any:
        if context["task"] == "inner":
            return {"content": "from inside"}
        return {"content": engines[0].solve("inner").content}

    for safe in (True, False):
        engines[:] = [RecursiveEngine(model, max_concurrency=1, max_depth=1, thread_safe=safe)]
        found: list[str] = []
        in_threads([lambda found=found: found.append(engines[0].solve("outer").content)])  # type: ignore[misc]
        assert found == ["from inside"]


async def test_nor_does_a_loop_that_is_blocked_wait_for_its_own_runs() -> None:
    model = Counting(0.05)
    engine = RecursiveEngine(model, max_concurrency=1, max_depth=1)
    outer = engine.async_engine.start("outer")
    while not model.under_way:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)

    assert engine.solve("inner").content == "worker: inner"
    assert (await asyncio.wait_for(outer, 60)).content == "worker: outer"


async def test_a_baseline_counts_among_the_calls_of_its_engine() -> None:
    model = Counting(0.02)
    engine = AsyncRecursiveEngine(model, max_concurrency=1, max_depth=2)
    run = engine.start("t")
    await run
    await all_of([engine.start("other"), run.baseline(), run.baseline()])

    assert model.most == 1


async def test_slots_are_served_in_rotation() -> None:
    slots = Slots(1)
    runs = {name: PrioritySemaphore(slots) for name in "abc"}
    assert runs["a"].acquire(0) is None
    served: list[str] = []

    async def waits(name: str, priority: float) -> None:
        turn = runs[name].acquire(priority)
        assert turn is not None
        await turn
        served.append(f"{name}{priority}")
        runs[name].release()

    waiting = [asyncio.create_task(waits(name, number)) for name in "abc" for number in (1, 3, 2)]
    await asyncio.sleep(0)
    runs["a"].release()
    await asyncio.wait_for(asyncio.gather(*waiting), 60)

    assert served == ["a3", "b3", "c3", "a2", "b2", "c2", "a1", "b1", "c1"]
    assert (slots.free, len(slots.waiting)) == (1, 0)
