"""Sub-tasks wait for those that they depend on, and for no others."""

import json

from rlm_notebook import (
    AsyncRecursiveEngine,
    Event,
    ModelError,
    RetryPolicy,
    ScriptedModel,
)
from rlm_notebook.core.events import Finished, Planned, Retried
from rlm_notebook.models.scripted import Fault
from tests.support.trip import planned, split


async def test_a_part_starts_when_what_it_depends_on_is_done_and_others_run_beside_it() -> None:
    order: list[str] = []

    def noted(event: Event) -> None:
        if isinstance(event, Planned | Finished):
            order.append(f"{event.node} {type(event).__name__}")

    plan = split("a", {"description": "b", "depends_on": [0]}, "c", {"description": "d", "depends_on": [1, 2]})
    model = planned(0.002, t=plan)
    await AsyncRecursiveEngine(model, observers=[noted]).solve("t")

    assert order.index("0.0 Finished") < order.index("0.1 Planned")
    assert order.index("0.2 Finished") < order.index("0.1 Planned"), "what depends on nothing waits for nobody"
    assert max(order.index("0.1 Finished"), order.index("0.2 Finished")) < order.index("0.3 Planned")


async def test_one_call_at_a_time_is_enough_for_any_tree_with_dependencies() -> None:
    """A waiting parent holds nothing, so nothing can block for ever."""
    chain = [{"description": f"p{n}", "depends_on": [n - 1] if n else []} for n in range(5)]
    model = planned(t=split(*chain[::1], {"description": "deep", "depends_on": [4]}), deep=split("x", "y"))
    output = await AsyncRecursiveEngine(model, max_concurrency=1).solve("t")

    assert model.peak == 1
    assert len(output.run.tree) == 9


async def test_no_more_calls_are_under_way_than_max_concurrency() -> None:
    model = ScriptedModel({"t": [f"p{n}" for n in range(12)]}, latency=0.002)
    await AsyncRecursiveEngine(model, max_concurrency=3).solve("t")
    assert model.peak == 3

    model = ScriptedModel({"t": [f"p{n}" for n in range(12)]}, latency=0.002)
    await AsyncRecursiveEngine(model).solve("t")
    assert model.peak == 12, "nothing else keeps siblings from running side by side"


async def test_a_wait_between_attempts_blocks_no_other_call() -> None:
    faults = [Fault("stuck", error=ModelError("busy", retryable=True), times=1)]
    model = ScriptedModel({"t": {"stuck": "S", "free": {"x": "X", "y": "Y"}}}, faults=faults)
    done: list[str] = []
    engine = AsyncRecursiveEngine(
        model,
        max_concurrency=1,
        retry=RetryPolicy(initial=0.1, jitter=False),
        observers=[lambda event: done.append(event.node) if isinstance(event, Finished) else None],
    )
    await engine.solve("t")

    assert done.index("0.0") > done.index("0.1")


async def test_the_planner_may_repair_circular_dependencies() -> None:
    circular = split({"task": "a", "depends_on": [1]}, {"task": "b", "depends_on": [0]})
    answers = iter([circular, split("a", "b")])
    model = ScriptedModel(lambda r: next(answers) if r.mode == "planner" and r.facts.task == "t" else None)
    reasons: list[str] = []
    engine = AsyncRecursiveEngine(
        model, observers=[lambda event: reasons.append(event.reason) if isinstance(event, Retried) else None]
    )
    output = await engine.solve("t")

    assert output.run.tree["0"].attempts == 2
    assert "circle" in reasons[0]
    assert "circle" in model.requests[1].messages[-1]["content"]
    assert json.loads(model.requests[1].messages[-2]["content"])["sub_tasks"] == circular["sub_tasks"]
