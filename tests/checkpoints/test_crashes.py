"""A run that is stopped at any change of the disk, once, twice and three times: nothing that was kept is paid twice.

A sample of the places is tried; RLM_CRASH_POINTS=all tries each one, and prints how many there were.
"""

# ruff: noqa: ASYNC220
from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    BudgetExceededError,
    ConfigurationError,
    Output,
    RLMError,
    Run,
    load_run,
    tool,
)
from rlm_notebook.runtime import steady_clock
from tests.checkpoints.crashes import Disk, Fault
from tests.support.amounts import few_or_many

ALL = os.environ.get("RLM_CRASH_POINTS") == "all"
FAULTS: tuple[Fault, ...] = ("killed", "torn", "full")


class World:
    """A model and a tool that write down what is asked of them; and the disk, at whose end they end too."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder, self.disk = folder, disk
        self.asked: Counter[str] = Counter()
        self.fails: set[str] = set()

        @tool(version="1")
        def pay(n: int) -> str:
            """Pay something."""
            self._note(f"paid {n}")
            return f"receipt {n}"

        self.pay = pay

    @property
    def path(self) -> Path:
        return self.folder / "run.json"

    @property
    def files(self) -> list[str]:
        return sorted(each.name for each in self.folder.iterdir() if each.suffix != ".lock")

    def engine(self, **options: Any) -> AsyncRecursiveEngine:
        given = {"tools": [self.pay], "max_depth": 3, "max_concurrency": 1, "retry": None, **options}
        return AsyncRecursiveEngine(self._answer, **given)

    def _note(self, what: str) -> None:
        if self.disk.dead:
            raise RuntimeError("the process is dead")
        self.asked[what] += 1

    async def _answer(self, inputs: list[dict[str, Any]], context: dict[str, Any]) -> dict[str, Any]:
        mode, task = context["mode"], context["task"]
        told = sum(each["role"] == "tool" for each in inputs)
        said = [str(each.get("content")) for each in inputs]
        self._note(f"{mode} {task} {told} {hash(tuple(said))}")
        await asyncio.sleep(0)
        metadata = {"usage": {"prompt_tokens": 2, "completion_tokens": 1}, "cost_usd": 0.5}
        if mode == "planner":
            # One after the other: so at most one thing is under way when the disk comes to its end.
            parts = ["look", _after("pay", 0), _after("sum", 1)] if task == "root" else []
            plan = {"decision": "RECURSE", "sub_tasks": parts} if parts else {"decision": "EXECUTE"}
            return {"content": json.dumps(plan), "metadata": metadata}
        if task in self.fails and mode == "worker":
            raise ValueError("out of order")
        if task == "pay" and mode == "worker" and told < 4:
            calls = [{"name": "pay", "arguments": {"n": told}}]
            return {"content": "", "tool_calls": calls, "metadata": metadata}
        return {"content": f"{mode} of {task} after {told}", "metadata": metadata}


def _after(task: str, other: int) -> dict[str, Any]:
    return {"description": task, "depends_on": [other]}


Action = Callable[[World], Any]


async def solve(world: World) -> Output:
    return await world.engine().solve("root", checkpoint=world.path)


def attempted(world: World, action: Action, at: int | None, fault: Fault = "killed") -> Any:
    """The output, or `None` where the disk came to its end before it was there."""
    world.disk.start(at, fault)
    try:
        return asyncio.run(action(world))
    except (RLMError, OSError, RuntimeError):
        if at is None:
            raise
        return None
    finally:
        world.disk.start(None)


def places(last: int, seed: str, some: int) -> list[int]:
    """Where the disk comes to its end: `some` of all places, if not all are to be tried."""
    every = list(range(1, last + 1))
    return every if ALL or last <= some else sorted(random.Random(seed).sample(every, some))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    with Disk().mounted(monkeypatch) as disk:
        yield disk


def copied(world: World, folder: Path) -> World:
    """The same files, and the same past."""
    shutil.copytree(world.folder, folder)
    copy = World(folder, world.disk)
    copy.asked, copy.fails = Counter(world.asked), world.fails
    return copy


def check_end(world: World, action: Action, wanted: World, answer: str, faults: int) -> None:
    """The last execution ends as one that was never stopped, and what was kept was not asked again."""
    output = attempted(world, action, None)
    assert output.content == answer
    assert set(world.asked) == set(wanted.asked), "nothing was left out, and nothing made up"
    again = world.asked - wanted.asked
    assert sum(again.values()) <= faults, f"more was asked again than was under way: {again}"
    assert world.files == wanted.files
    before = Counter(world.asked)
    assert attempted(world, action, None).content == answer
    assert world.asked == before, "what has ended is asked nothing"


@pytest.mark.timeout(3600 if ALL else 120)
@few_or_many(4, 8)
@pytest.mark.parametrize("fault", FAULTS)
def test_stopped_again_while_it_is_told_again_it_loses_nothing(
    tmp_path: Path, disk: Disk, fault: Fault, amount: int
) -> None:
    """The second execution first writes again what it found: it may be stopped in the middle of that, and so may the
    third."""
    (tmp_path / "whole").mkdir()
    whole = World(tmp_path / "whole", disk)
    answer = attempted(whole, solve, None).content
    disk.start(None)
    tried = 0
    for first in places(_changes(tmp_path / "first", disk, solve), f"first {fault}", amount // 2 - 1):
        (tmp_path / f"{first}").mkdir()
        base = World(tmp_path / f"{first}", disk)
        attempted(base, solve, first)
        last = _changes(tmp_path / f"{first}-all", disk, solve, base)
        for second in places(last, f"second {first} {fault}", amount):
            world = copied(base, tmp_path / f"{first}-{second}")
            attempted(world, solve, second, fault)
            third = random.Random(f"{first} {second}").randrange(1, last)
            for at in [None, third]:
                again = copied(world, tmp_path / f"{first}-{second}-{at}")
                if at is not None:
                    attempted(again, solve, at, fault)
                check_end(again, solve, whole, answer, 2 + (at is not None))
                tried += 1
    print(f"\n{fault} again while told again: {tried} places")
    assert tried >= amount


def _changes(folder: Path, disk: Disk, action: Action, base: World | None = None) -> int:
    """How many changes of the disk an execution makes that nothing stops."""
    if base is None:
        folder.mkdir()
    world = copied(base, folder) if base is not None else World(folder, disk)
    disk.start(None)
    asyncio.run(action(world))
    return disk.changes


# -- clocks --------------------------------------------------------------------------------------------------------

CLOCKS: dict[str, Callable[[int], float]] = {
    "stands still": lambda ticks: 1_700_000_000.0,
    "runs backwards": lambda ticks: 1_700_000_000.0 - ticks,
    "is before 1970": lambda ticks: -1e6 + ticks,
    "is after the year 9999": lambda ticks: 1e12 + ticks,
    "is set back again and again": lambda ticks: 1_700_000_000.0 + ticks % 7,
}


@pytest.mark.timeout(3600 if ALL else 120)
@few_or_many(3, 8)
@pytest.mark.parametrize("name", CLOCKS)
def test_whatever_the_clock_says_nothing_is_lost(
    tmp_path: Path, disk: Disk, name: str, amount: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(steady_clock.time, "time", lambda: CLOCKS[name](next(ticks)))
    (tmp_path / "whole").mkdir()
    whole = World(tmp_path / "whole", disk)
    answer = attempted(whole, solve, None).content
    last = _changes(tmp_path / "count", disk, solve)
    for first in places(last, name, amount):
        second = random.Random(f"{name} {first}").randrange(1, last)
        (tmp_path / f"{first}").mkdir()
        world = World(tmp_path / f"{first}", disk)
        attempted(world, solve, first)
        attempted(world, solve, second)
        check_end(world, solve, whole, answer, 2)
        tree = load_run(world.path).tree
        assert all(node.started <= node.ended for node in tree if node.started is not None and node.ended is not None)
        assert [use.content for use in tree["0.1"].tool_calls] == [f"receipt {n}" for n in range(4)]
        assert str(tree)


# -- edits and the like ------------------------------------------------------------------------------------------


async def edit_task(world: World) -> Output:
    return await world.engine().edit(world.path, "0.1", task="another")


async def edit_result(world: World) -> Output:
    return await world.engine().edit(world.path, "0.0", result="as I say")


async def edit_plan(world: World) -> Output:
    return await world.engine().edit(world.path, "0.0", plan={"decision": "RECURSE", "sub_tasks": ["here", "there"]})


async def edit_the_edit(world: World) -> Output:
    return await world.engine().edit(world.path.with_name("run-edit.json"), "0.0", task="once more")


async def retry_one(world: World) -> Output:
    return await world.engine().retry_run(world.path, "0.1")


async def retry_failed(world: World) -> Output:
    world.fails = set()
    return await world.engine().retry_run(world.path)


async def baseline(world: World) -> Output:
    return await world.engine().baseline(world.path)


async def synthesize(world: World) -> Output:
    run = await _spent(world)
    return await run.synthesize_anyway()


async def _spent(world: World) -> Run:
    with pytest.raises(BudgetExceededError) as spent:
        await world.engine(budget=Budget(calls=9)).solve("root", checkpoint=world.path)
    run: Run = spent.value.run
    return run


async def half_solved(world: World) -> None:
    world.fails = {"look"}
    with pytest.raises(RLMError):
        await solve(world)


async def edited(world: World) -> None:
    await solve(world)
    await edit_task(world)


ACTIONS: dict[str, tuple[Action, Action]] = {
    "task": (solve, edit_task),
    "result": (solve, edit_result),
    "plan": (solve, edit_plan),
    "edit of an edit": (edited, edit_the_edit),
    "retry of a node": (solve, retry_one),
    "retry of what failed": (half_solved, retry_failed),
    "baseline": (solve, baseline),
    "synthesize anyway": (_spent, synthesize),
}


@pytest.mark.timeout(3600 if ALL else 120)
@few_or_many(2, 8)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ACTIONS)
def test_what_follows_from_a_run_is_found_again_wherever_it_was_stopped(
    tmp_path: Path, disk: Disk, name: str, fault: Fault, amount: int
) -> None:
    before, action = ACTIONS[name]
    (tmp_path / "base").mkdir()
    base = World(tmp_path / "base", disk)
    attempted(base, before, None)
    whole = copied(base, tmp_path / "whole")
    kept = {each: (base.folder / each).read_bytes() for each in base.files}
    answer = attempted(whole, action, None).content
    last = _changes(tmp_path / "count", disk, action, base)
    tried = 0
    for first in places(last, f"{name} {fault}", amount):
        world = copied(base, tmp_path / f"{first}")
        attempted(world, action, first, fault)
        second = random.Random(f"{name} {first}").randrange(1, last)
        for at in [None, second]:
            again = copied(world, tmp_path / f"{first}-{at}")
            if at is not None:
                attempted(again, action, at, fault)
            check_end(again, action, whole, answer, 1 + (at is not None))
            tried += 1
            if name != "synthesize anyway":
                assert {each: (again.folder / each).read_bytes() for each in kept} == kept, "the old run stays"
    print(f"\n{name}, {fault}: {tried} places")


# -- a run that is under way ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["another process", "this process"])
async def test_a_run_that_is_under_way_is_not_edited_by_its_path(tmp_path: Path, where: str) -> None:
    """Its file is being written: an edit would build on half of it."""
    world = World(tmp_path, Disk())
    await solve(world)
    before, lock = world.path.read_bytes(), world.path.with_name("run.json.lock")
    holder = None
    if where == "another process":
        hold = "import sys, filelock as f; lock = f.FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"
        holder = subprocess.Popen(
            [sys.executable, "-c", hold, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdout is not None
        holder.stdout.readline()
    else:
        held = filelock.FileLock(lock, thread_local=False)
        held.acquire()
    try:
        for attempt in (
            lambda: world.engine().edit(world.path, "0.0", result="x"),
            lambda: world.engine().edit(load_run(world.path), "0.1", task="x"),
            lambda: world.engine().retry_run(world.path, "0.0"),
        ):
            with pytest.raises(ConfigurationError, match=r"is under way.*wait until it has ended, or cancel it first"):
                attempt()
        assert world.files == ["run.json"]
        assert world.path.read_bytes() == before
    finally:
        if holder is not None:
            holder.communicate()
        else:
            held.release()
    assert (await edit_result(world)).content, "as soon as it has ended"
