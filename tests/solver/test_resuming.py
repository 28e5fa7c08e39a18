"""A resumed run makes the missing calls and no others."""

from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    ExecutionError,
    ModelError,
    ScriptedModel,
)
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.models.scripted import Fault
from tests.support.trip import TRIP, asked, failing, planned, split


async def test_a_finished_request_makes_no_call() -> None:
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(model := ScriptedModel(TRIP))
    first = await engine.solve("trip", checkpoint=journal)
    calls = model.calls
    again = await engine.solve("trip", checkpoint=journal)

    assert model.calls == calls
    assert (again.content, again.metadata["calls"], again.run.internals.reused) == (first.content, 0, True)
    assert again.metadata["run_id"] == first.metadata["run_id"]
    assert {node.mark for node in again.run.tree} == {"replayed"}
    assert again.usage == first.usage


async def test_only_what_failed_is_done_again_with_what_depends_on_it() -> None:
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP, faults=failing("lunch")))
    with pytest.raises(ExecutionError):
        await engine.solve("trip", checkpoint=journal)
    model = ScriptedModel(TRIP)
    output = await engine.replaced(llm=model).solve("trip", checkpoint=journal)

    assert asked(model) == ["lunch", "food", "trip"]
    assert output.content == "trip: at 9; downtown; food: soup; stew"


async def test_a_part_that_gives_the_same_answer_again_does_not_redo_its_parent() -> None:
    journal = MemoryJournal()
    plan = split("same", "stable")
    first = ScriptedModel(lambda r: plan if r.mode == "planner" and r.facts.task == "t" else None)
    agents = {"planner": first, "writer": ScriptedModel(name="w")}
    await AsyncRecursiveEngine(first, agents).solve("t", checkpoint=journal)
    recorded = journal.read()
    assert recorded is not None
    # The part's record is lost; what it answers when it is asked again is what it answered before.
    recorded.tree._nodes["0.0"] = type(recorded.tree["0.0"])("0.0", "0", "same")
    first.requests.clear()
    await AsyncRecursiveEngine(first, agents).solve("t", checkpoint=journal)

    assert asked(first) == ["same"]


async def test_parts_are_found_again_by_what_they_are_not_by_where_they_stand() -> None:
    journal = MemoryJournal()
    plans = iter([split("a", "b"), split("new", "b", "a")])
    fails = Fault("t", error=ModelError("no"), mode="synthesizer")
    model = ScriptedModel(
        lambda r: next(plans) if r.mode == "planner" and r.facts.task == "t" else None, faults=[fails]
    )
    engine = AsyncRecursiveEngine(model)
    with pytest.raises(ModelError):
        await engine.solve("t", checkpoint=journal)
    recorded = journal.read()
    assert recorded is not None
    recorded.tree._nodes["0"] = type(recorded.tree["0"])("0", None, "t")
    model.requests.clear()
    output = await engine.solve("t", checkpoint=journal)

    assert asked(model) == ["t", "new", "t"]
    assert output.content == "t: answer to: new; answer to: b; answer to: a"


async def test_a_limited_plan_is_reused_when_the_limit_is_raised() -> None:
    journal = MemoryJournal()
    model = planned(t=split("a", "b"), a=split("a1", "a2", "a3"))
    engine = AsyncRecursiveEngine(model, max_steps=3)
    first = await engine.solve("t", checkpoint=journal)
    assert first.run.tree["0.0"].limited == "max_steps"
    model.requests.clear()
    output = await engine.replaced(max_steps=10).solve("t", checkpoint=journal)

    assert [child.task for child in output.run.tree.children("0.0")] == ["a1", "a2", "a3"]
    assert asked(model, "planner") == ["a1", "a2", "a3"], "the recorded plan was reused, not made again"


async def test_an_execution_forced_by_max_depth_is_planned_when_the_limit_is_raised() -> None:
    journal = MemoryJournal()
    model = planned(t=split("a", "b"), a=split("a1", "a2"))
    engine = AsyncRecursiveEngine(model, max_depth=2)
    await engine.solve("t", checkpoint=journal)
    output = await engine.replaced(max_depth=3).solve("t", checkpoint=journal)

    assert [child.task for child in output.run.tree.children("0.0")] == ["a1", "a2"]


async def test_fresh_ignores_the_records() -> None:
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(model := ScriptedModel(TRIP))
    first = await engine.solve("trip", checkpoint=journal)
    again = await engine.solve("trip", checkpoint=journal, mode="fresh")

    assert model.calls == 16
    assert again.usage.calls == 8
    assert again.run.run_id != first.run.run_id


@pytest.mark.parametrize(
    "change",
    [
        {"llm": ScriptedModel(TRIP, name="other")},
        {"temperature": 0.5},
        {"agents": {"planner": ScriptedModel(TRIP), "writer": ScriptedModel()}},
        {"tools": [max]},
    ],
    ids=["model", "temperature", "agents", "tools"],
)
async def test_what_enters_the_prompts_makes_records_worthless(change: dict[str, Any]) -> None:
    if "tools" in change:

        def look(where: str) -> str:
            """Look somewhere."""
            return where

        change = {"tools": [look]}
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP))
    await engine.solve("trip", checkpoint=journal)
    output = await engine.replaced(**change).solve("trip", checkpoint=journal)

    assert output.metadata["calls"] >= 8


async def test_how_it_runs_does_not_make_records_worthless() -> None:
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP))
    await engine.solve("trip", checkpoint=journal)
    other = engine.replaced(max_concurrency=1, on_failure="synthesize", retry=None, call_timeout=5, verbose=False)

    assert (await other.solve("trip", checkpoint=journal)).metadata["calls"] == 0
