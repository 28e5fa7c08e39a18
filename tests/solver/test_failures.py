"""Failures: what is recorded, which nodes end, what the error names."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    BudgetExceededError,
    ExecutionError,
    InvalidJSONError,
    ModelError,
    PlanError,
    RetryPolicy,
    ScriptedModel,
)
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Reply, Request
from tests.support.tasks import others
from tests.support.trip import TRIP, asked, failing, split, states
from tests.support.virtual_time import in_virtual_time


async def test_siblings_of_a_failed_sub_task_finish_and_the_parent_names_every_cause() -> None:
    model = ScriptedModel(TRIP, faults=failing("flights", "lunch"), latency=0.001)
    with pytest.raises(ExecutionError) as error:
        await AsyncRecursiveEngine(model).solve("trip")
    run = error.value.run

    assert states(run) == {
        "0": "failed",
        "0.0": "failed",
        "0.1": "done",
        "0.2": "failed",
        "0.2.0": "failed",
        "0.2.1": "done",
    }
    assert str(error.value) == "node 0: 2 of 3 parts failed: [0.0] no flights; [0.2.0] no lunch"
    assert (error.value.node, [cause.node for cause in error.value.causes]) == ("0", ["0.0", "0.2"])  # type: ignore[attr-defined]
    assert run.tree["0.2"].error == "node 0.2: 1 of 2 parts failed: [0.2.0] no lunch"


async def test_one_error_object_for_several_nodes_blames_each_for_its_own() -> None:
    same = ModelError("overloaded")
    model = ScriptedModel(TRIP, faults=failing("flights", "hotel", error=same))
    with pytest.raises(ExecutionError, match=r"\[0\.0\] overloaded; \[0\.1\] overloaded"):
        await AsyncRecursiveEngine(model).solve("trip")


async def test_the_same_cause_three_times_is_told_once() -> None:
    tasks = ["a", "b", "c", "d"]
    faults = [*failing("a", "b", "d", error=ModelError("overloaded")), *failing("c")]
    with pytest.raises(ExecutionError) as error:
        await AsyncRecursiveEngine(ScriptedModel({"t": tasks}, faults=faults)).solve("t")

    assert str(error.value) == ("node 0: 4 of 4 parts failed: [0.0] overloaded (3 times, also in 0.1, 0.3); [0.2] no c")
    assert len(error.value.causes) == 4


@in_virtual_time
async def test_a_time_limit_during_an_outage_names_the_outage() -> None:
    down = ModelError("HTTP 503", status=503, retryable=True)
    model = ScriptedModel({"t": ["a", "b", "c"]}, faults=failing("a", "b", "c", error=down), latency=0.001)
    with pytest.raises(BudgetExceededError) as error:
        await AsyncRecursiveEngine(model, budget=Budget(seconds=2)).solve("t")

    outage = "calls failed until then: [0.0] HTTP 503 (3 times, also in 0.1, 0.2)"
    assert outage in str(error.value)
    tree = error.value.run.tree
    assert tree.error.endswith(outage), "the tree shows the state, not the advice for programs"
    assert tree["0.1"].note == "its calls failed until then: HTTP 503"


async def test_many_causes_are_counted_and_all_are_in_causes() -> None:
    tasks = [f"p{n}" for n in range(100)]
    model = ScriptedModel({"t": tasks}, faults=failing(*tasks))
    with pytest.raises(ExecutionError, match="and 80 more") as error:
        await AsyncRecursiveEngine(model, max_steps=101).solve("t")

    assert len(error.value.causes) == 100
    assert len(str(error.value)) < 2000


async def test_with_synthesize_a_gap_is_stated_and_the_rest_is_joined() -> None:
    model = ScriptedModel(TRIP, faults=failing("hotel", "lunch"))
    output = await AsyncRecursiveEngine(model, on_failure="synthesize").solve("trip")

    assert output.content == "trip: at 9; (missing: no hotel); food: (missing: no lunch); stew"
    assert output.run.status == "done"
    assert states(output.run)["0.1"] == "failed"


async def test_what_depends_on_a_failed_part_fails_without_a_call() -> None:
    model = ScriptedModel(
        lambda r: (
            split("a", {"description": "b", "depends_on": [0]}, {"description": "c", "depends_on": [1]}, "d")
            if r.mode == "planner" and r.facts.task == "t"
            else None
        ),
        faults=failing("a"),
    )
    with pytest.raises(
        ExecutionError, match=r"3 of 4 parts failed: \[0\.0\] no a; \[0\.1\] node 0\.1 depends on"
    ) as error:
        await AsyncRecursiveEngine(model).solve("t")

    assert states(error.value.run) == {"0": "failed", "0.0": "failed", "0.1": "failed", "0.2": "failed", "0.3": "done"}
    assert not {"b", "c"} & set(asked(model))


async def test_a_fatal_error_stops_the_run_at_once() -> None:
    wrong_key = ModelError("401: the key is wrong", status=401, fatal=True)

    async def late(request: Request) -> str:
        await asyncio.sleep(0.05)
        return json.dumps(split("d1", "d2"))

    slow: Any = {"t": {"bad": "x", "slow": lambda request: asyncio.sleep(60), "deep": late}}
    model = ScriptedModel(slow, faults=failing("bad", error=wrong_key))
    with pytest.raises(ModelError, match="the key is wrong") as error:
        await AsyncRecursiveEngine(model, on_failure="synthesize").solve("t")

    assert error.value.fatal
    assert states(error.value.run)["0.1"] == "cancelled"
    assert not {"d1", "d2"} & set(asked(model))
    assert others() == set()


async def test_a_plan_that_stays_invalid_is_refused_after_three_attempts_with_feedback() -> None:
    model = ScriptedModel(faults=[Fault(reply='{"decision": "MAYBE"}', times=None)])
    with pytest.raises(PlanError, match=r"node 0: scripted gave no usable plan in 3 attempts.*MAYBE.*max_depth=1"):
        await AsyncRecursiveEngine(model).solve("t")

    assert [len(request.messages) for request in model.requests] == [2, 4, 6]
    assert "cannot be used" in model.requests[2].messages[-1]["content"]


async def test_a_planner_without_json_raises_an_error_of_its_own() -> None:
    with pytest.raises(InvalidJSONError, match="no JSON object") as error:
        await AsyncRecursiveEngine(ScriptedModel(faults=[Fault(reply="Sure!", times=None)])).solve("t")

    assert isinstance(error.value, PlanError)


async def test_an_empty_answer_is_a_clear_error() -> None:
    empty = ScriptedModel(lambda request: Reply("  "))
    with pytest.raises(ModelError, match=r"node 0: scripted gave an empty answer \(asked once\); run again, or choose"):
        await AsyncRecursiveEngine(empty, max_depth=1).solve("t")


async def test_a_retryable_error_is_retried_and_the_node_counts_its_attempts() -> None:
    busy = Fault("flights", error=ModelError("busy", status=503, retryable=True), times=2)
    output = await AsyncRecursiveEngine(ScriptedModel(TRIP, faults=[busy]), retry=RetryPolicy(initial=0)).solve("trip")

    assert output.run.tree["0.0"].attempts == 3
    assert output.content.startswith("trip: at 9")


class Broken:
    """A model that does not keep to the protocol."""

    name = "broken"
    capabilities = ScriptedModel().capabilities

    def __init__(self, stream: Callable[[], Any]) -> None:
        self._stream = stream

    def stream(self, request: Request) -> Any:
        return self._stream()


async def test_a_model_that_breaks_its_protocol_fails_its_node_in_words() -> None:
    async def silent() -> Any:
        return
        yield

    async def raising() -> Any:
        raise ZeroDivisionError("division by zero")
        yield

    for stream, said in ((silent, "ended its stream without a reply"), (raising, "raised ZeroDivisionError: division")):
        with pytest.raises(ModelError, match=f"node 0: the model broken {said}"):
            await AsyncRecursiveEngine(Broken(stream), max_depth=1).solve("t")
