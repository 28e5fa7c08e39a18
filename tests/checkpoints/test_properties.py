"""What holds for any run: its file is its tree, any beginning of its journal leads to the same end, and a change makes
anew what depends on it and nothing else."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_notebook import Run
from rlm_notebook.checkpoints.journal import line_of
from rlm_notebook.checkpoints.json_file import JsonFile, load_recorded
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.core.events import Event
from rlm_notebook.core.limits import NOTHING
from rlm_notebook.core.tree import Recorded, Tree
from tests.checkpoints.reasoning import Call, Thinker, Thought, World, random_thought, stages
from tests.core.test_tree import random_history
from tests.support.amounts import few_or_many

seeds = st.integers(0, 1_000_000)
NAMES = ["alpha", "beta", "gamma"]


# -- the file is the tree ------------------------------------------------------------------------------------------


def nodes_of(tree: Tree) -> dict[str, Any]:
    return {node.id: node for node in tree}


@given(seeds)
def test_the_fold_of_a_journal_is_the_tree_whatever_the_order_of_events(seed: int) -> None:
    tree, events, _ = random_history(seed)
    with tempfile.TemporaryDirectory() as folder:
        file = JsonFile(Path(folder) / "run.json")
        file.read()
        choose = random.Random(seed)
        opened_at = choose.randrange(len(events))
        for at, event in enumerate(events):
            if at == opened_at:
                file.open()
            if event.durable:
                file.append(event)
        file.close()
        back = load_recorded(Path(folder) / "run.json")

    if tree.root is None:
        assert back is None
        return
    assert back is not None
    assert nodes_of(back.tree) == nodes_of(tree)
    assert (back.tree.status, back.tree.error, back.tree.usage) == (tree.status, tree.error, tree.usage)
    assert back.spent == sum((getattr(e, "usage", NOTHING) for e in events), NOTHING), "nothing here was replayed"


@given(seeds)
def test_compaction_loses_nothing(seed: int) -> None:
    tree, events, _ = random_history(seed)
    earlier = tuple(replace(node, plan_key="p", result_key="r") for node in random_history(seed + 1)[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        file = JsonFile(path, cell_id="cell")
        file.read()
        file.open()
        for event in events:
            if event.durable:
                file.append(event)
        file.compact(Recorded(tree, earlier, spent=tree.usage, active_seconds=3.5))
        file.close()
        back = load_recorded(path)
        left = sorted(each.name for each in Path(folder).iterdir())

    assert back is not None
    assert left == ["run.json"]
    assert nodes_of(back.tree) == nodes_of(tree)
    assert [node.id for node in back.tree.walk()] == [node.id for node in tree.walk()]
    assert back.earlier == earlier
    assert (back.spent, back.active_seconds, back.cell_id) == (tree.usage, 3.5, "cell")


# -- any beginning leads to the same end ---------------------------------------------------------------------------


class Remembering(MemoryJournal):
    """A journal that remembers its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []

    def append(self, event: Event) -> None:
        self.lines.append(line_of(event))


async def whole_run(world: World) -> tuple[Run, list[bytes], int]:
    thinker, journal = Thinker(world), Remembering()
    run = thinker.engine().start(world.root.task, checkpoint=journal, variables=world.variables)
    await run
    return run, journal.lines, thinker.model.calls


def random_world(seed: int) -> World:
    choose = random.Random(seed)
    return World(random_thought(choose, NAMES), {name: f"{name} {choose.random()}" for name in NAMES})


@few_or_many(4, 15)
def test_any_prefix_of_a_journal_leads_to_the_same_end(amount: int) -> None:
    @given(seeds)
    @settings(max_examples=amount)
    def holds(seed: int) -> None:
        asyncio.run(check_prefixes(seed))

    holds()


async def check_prefixes(seed: int) -> None:
    world, choose = random_world(seed), random.Random(seed)
    first, lines, calls = await whole_run(world)
    assert first.output is not None
    assert first.output.content == world.evaluate()[0]
    for cut in {0, len(lines), *(choose.randrange(len(lines)) for _ in range(4))}:
        with tempfile.TemporaryDirectory() as folder:
            torn = lines[cut][: choose.randrange(len(lines[cut]) - 1)] if cut < len(lines) else b""
            (Path(folder) / "run.journal.jsonl").write_bytes(b"".join(lines[:cut]) + torn)
            thinker = Thinker(world)
            run = thinker.engine().start(
                world.root.task, checkpoint=Path(folder) / "run.json", variables=world.variables
            )
            output = await run
            assert output.content == first.output.content
            assert run.usage == first.usage, "what the prefix holds is counted once, and so is the rest"
            assert thinker.model.calls == calls - calls_in(lines[:cut])
            assert {node.id: node.result for node in run.tree} == {n.id: n.result for n in first.tree}


def calls_in(lines: list[bytes]) -> int:
    """The calls whose replies these lines hold: each line that used something is one."""
    data = [json.loads(line) for line in lines]
    return sum(line.get("usage", {}).get("calls", 0) for line in data)


# -- a change makes anew what depends on it ------------------------------------------------------------------------


def replaced_in(root: Thought, task: str, change: Any) -> Thought:
    if root.task == task:
        changed: Thought = change(root)
        return changed
    return replace(root, parts=tuple(replaced_in(part, task, change) for part in root.parts))


def node_id(run: Run, task: str) -> str:
    return next(node.id for node in run.tree.walk() if node.task == task)


class Change:
    """One edit: the world after it, and how a run is told of it."""

    def __init__(self, world: World, choose: random.Random) -> None:
        self.world, self.choose = world, choose
        self.thoughts = list(world.root.walk())

    def task(self) -> tuple[World, Any]:
        chosen = self.choose.choice(self.thoughts[1:])
        parent = next(each for each in self.thoughts if chosen in each.parts)
        renamed = replaced_in(self.world.root, chosen.task, lambda t: replace(t, task=t.task + " anew"))
        after = replace(self.world, root=renamed, planned={parent.task})
        return after, lambda run: run.edit(node_id(run, chosen.task), task=chosen.task + " anew")

    def result(self) -> tuple[World, Any]:
        chosen = self.choose.choice(self.thoughts)
        result = self.choose.choice(["kind 0", "kind 1", "another"])
        after = replace(self.world, fixed={chosen.task: result})
        return after, lambda run: run.edit(node_id(run, chosen.task), result=result)

    def plan(self) -> tuple[World, Any]:
        """The same parts in another order is not it: one is left out, or put in before the others."""
        chosen = self.choose.choice([each for each in self.thoughts if each.parts])
        parts = chosen.parts[:-1] if self.choose.random() < 0.5 and len(chosen.parts) > 1 else chosen.parts
        parts = tuple(replace(part, after=tuple(at + 1 for at in part.after)) for part in parts)
        new = (Thought(f"{chosen.task}.new", reads=("beta",)), *parts)
        root = replaced_in(self.world.root, chosen.task, lambda t: replace(t, parts=new))
        plan = {
            "decision": "RECURSE",
            "sub_tasks": [{"task": part.task, "depends_on": list(part.after)} for part in new],
        }
        after = replace(self.world, root=root, planned={chosen.task})
        return after, lambda run: run.edit(node_id(run, chosen.task), plan=plan)

    def one_more_child(self) -> tuple[World, Any]:
        chosen = self.choose.choice([each for each in self.thoughts if each.parts])
        new = (*chosen.parts, Thought(f"{chosen.task}.more"))
        root = replaced_in(self.world.root, chosen.task, lambda t: replace(t, parts=new))
        plan = {
            "decision": "RECURSE",
            "sub_tasks": [{"task": part.task, "depends_on": list(part.after)} for part in new],
        }
        after = replace(self.world, root=root, planned={chosen.task})
        return after, lambda run: run.edit(node_id(run, chosen.task), plan=plan)

    def variable(self) -> tuple[World, Any]:
        name = self.choose.choice(NAMES)
        return replace(self.world, variables={**self.world.variables, name: "quite another"}), None

    def tool_version(self) -> tuple[World, Any]:
        return replace(self.world, tool_version="2"), None


KINDS = ["task", "result", "plan", "one_more_child", "variable", "tool_version"]


@few_or_many(15, 25)
@pytest.mark.parametrize("kind", KINDS)
def test_a_change_makes_anew_exactly_what_depends_on_it(kind: str, amount: int) -> None:
    figures = {"calls": 0, "of": 0, "cut off early": 0}

    @given(seeds)
    @settings(max_examples=amount)
    def holds(seed: int) -> None:
        asyncio.run(check(kind, seed, figures))

    holds()
    assert 0 < figures["calls"] < figures["of"] or kind == "tool_version"
    assert figures["cut off early"] > 0 or kind == "tool_version"
    print(f"\n{kind}: {figures}")


async def check(kind: str, seed: int, figures: dict[str, int]) -> None:
    world = random_world(seed)
    after, edit = getattr(Change(world, random.Random(seed)), kind)()
    answer, known = world.evaluate()
    wanted_answer, wanted = after.evaluate()
    expected = wanted - known

    thinker, journal = Thinker(world), MemoryJournal()
    old = thinker.engine().start(world.root.task, checkpoint=journal, variables=world.variables)
    assert (await old).content == answer
    assert thinker.made() == stages(known)
    thinker.world = after
    if edit is not None:
        new = edit(old)
    else:
        new = thinker.engine().start(after.root.task, checkpoint=journal, variables=after.variables)
    output = await new

    assert output.content == wanted_answer
    assert thinker.made() == stages(expected)
    figures["calls"] += len(expected)
    figures["of"] += len(wanted)
    figures["cut off early"] += cut_off(world, after, expected)


def cut_off(world: World, after: World, made: set[Call]) -> bool:
    """Whether a node that was made anew came out as before, so that what is above it was not made anew."""
    return bool(made) and not any(call[:2] == ("synthesizer", world.root.task) for call in made)
