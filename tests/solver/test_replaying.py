"""A replay makes no call."""

import itertools

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    ExecutionError,
    ModelError,
    ReplayError,
    ScriptedModel,
)
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.models.scripted import Fault
from rlm_notebook.runtime import steady_clock
from tests.support.trip import TRIP, failing, states


async def test_replay_tells_the_recorded_tree_again_without_a_model() -> None:
    journal = MemoryJournal()
    first = await AsyncRecursiveEngine(ScriptedModel(TRIP)).solve("trip", checkpoint=journal)
    dead = ScriptedModel(faults=[Fault(error=ModelError("no key"), times=None)], name="another")
    again = await AsyncRecursiveEngine(dead).solve("trip", checkpoint=journal, mode="replay")

    assert dead.calls == 0
    assert again.content == first.content
    assert {node.id: (node.started, node.ended, node.phases) for node in again.run.tree} == {
        node.id: (node.started, node.ended, node.phases) for node in first.run.tree
    }


async def test_a_wait_between_the_plan_and_the_answer_in_it_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a busy machine an answer that came with the plan is recorded late; the wait is not work, nor forgotten."""
    moments = itertools.count(1_000.0)
    monkeypatch.setattr(steady_clock.time, "time", lambda: next(moments))
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP))
    first = await engine.solve("trip", checkpoint=journal)
    again = await engine.solve("trip", checkpoint=journal, mode="replay")

    phases = {node.id: node.phases for node in first.run.tree}
    assert any([phase.kind for phase in each] == ["execute", "wait"] for each in phases.values())
    assert {node.id: node.phases for node in again.run.tree} == phases


async def test_a_run_that_was_joined_with_gaps_can_be_replayed() -> None:
    """Failed and cancelled nodes are shown as they were, with the finished ones below them."""
    journal = MemoryJournal()
    model = ScriptedModel(TRIP, faults=failing("lunch"))
    first = await AsyncRecursiveEngine(model, on_failure="synthesize", max_depth=9).solve("trip", checkpoint=journal)
    inner = ScriptedModel({"t": {"a": {"a1": "x", "a2": "y"}, "b": "B"}}, faults=failing("a2"))
    second_journal = MemoryJournal()
    # Only the outer level is joined in spite of the failure below it.
    engine = AsyncRecursiveEngine(inner, on_failure="synthesize")
    engine_inner = engine.replaced(
        llm=ScriptedModel(
            {"t": {"a": {"a1": "x", "a2": "y"}, "b": "B"}},
            faults=[*failing("a2"), Fault("^a$", error=ModelError("no synthesis"), mode="synthesizer")],
        )
    )
    second = await engine_inner.solve("t", checkpoint=second_journal)
    assert states(second.run) == {"0": "done", "0.0": "failed", "0.0.0": "done", "0.0.1": "failed", "0.1": "done"}

    for given, output, task in ((journal, first, "trip"), (second_journal, second, "t")):
        again = await engine.solve(task, checkpoint=given, mode="replay")
        assert again.content == output.content
        assert states(again.run) == states(output.run)
        assert [node.error for node in again.run.tree.walk()] == [node.error for node in output.run.tree.walk()]


async def test_replaying_an_unrecorded_run_raises_with_advice() -> None:
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(model := ScriptedModel(TRIP))
    with pytest.raises(ReplayError, match="nothing is recorded for this task; run once with a model"):
        await engine.solve("trip", checkpoint=journal, mode="replay")
    await engine.solve("trip", checkpoint=journal)
    calls = model.calls
    with pytest.raises(ReplayError, match=r"node 0 .*the task changed; run once without replay"):
        await engine.solve("trip!", checkpoint=journal, mode="replay")
    with pytest.raises(ReplayError, match="the agents, tools, temperature, context or output type changed"):
        await engine.replaced(temperature=1.0).solve("trip", checkpoint=journal, mode="replay")

    assert model.calls == calls


async def test_replaying_an_unfinished_run_raises() -> None:
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP, faults=failing("lunch")))
    with pytest.raises(ExecutionError):
        await engine.solve("trip", checkpoint=journal)
    with pytest.raises(ReplayError, match="is failed, not done; run once without replay to finish it"):
        await engine.solve("trip", checkpoint=journal, mode="replay")


async def test_a_refused_replay_leaves_the_record_as_it_was() -> None:
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP))
    await engine.solve("trip", checkpoint=journal)
    with pytest.raises(ReplayError):
        await engine.solve("other", checkpoint=journal, mode="replay")

    assert (await engine.solve("trip", checkpoint=journal, mode="replay")).content.startswith("trip")
