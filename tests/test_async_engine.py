"""The recursion: what is planned, split, executed and joined, within which limits, and what a failure leaves."""

# Polling is the simplest way to wait for a state that only the run knows.
# ruff: noqa: ASYNC110, ASYNC240, PT012

import asyncio
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    Agent,
    AsyncRecursiveEngine,
    ConfigurationError,
    Event,
    ExecutionError,
    InvalidJSONError,
    MaxStepsError,
    ModelError,
    NodeState,
    PlanError,
    RecursionDepthError,
    ReplayError,
    RetryPolicy,
    RLMContext,
    ScriptedModel,
)
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.core.events import Finished, NodeCreated, Planned, Retried, RunFinished, Token
from rlm_notebook.core.text import well_formed
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Reply, Request
from tests.support.amounts import few_or_many
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import HANG

TRIP = {"trip": {"flights": "at 9", "hotel": "downtown", "food": {"lunch": "soup", "dinner": "stew"}}}
NEVER = RetryPolicy(attempts=1)


def others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


def split(*parts: Any) -> dict[str, Any]:
    return {"decision": "RECURSE", "sub_tasks": list(parts)}


def planned(latency: float = 0, **plans: dict[str, Any]) -> ScriptedModel:
    """A model with these plans by task; every other task is executed."""

    def answer(request: Request) -> Any:
        return plans.get(request.facts.task) if request.mode == "planner" else None

    return ScriptedModel(answer, latency=latency)


def asked(model: ScriptedModel, mode: str | None = None) -> list[str]:
    """The tasks that the model was asked about, in order."""
    return [request.facts.task for request in model.requests if mode in (None, request.mode)]


def states(run: Any) -> dict[str, str]:
    return {node.id: str(node.state) for node in run.tree.walk()}


# -- deciding ------------------------------------------------------------------------------------------------------


async def test_a_task_is_planned_split_solved_and_joined() -> None:
    output = await AsyncRecursiveEngine(ScriptedModel(TRIP)).solve("trip")

    assert output.content == "trip: at 9; downtown; food: soup; stew"
    assert states(output.run) == dict.fromkeys(["0", "0.0", "0.1", "0.2", "0.2.0", "0.2.1"], "done")


async def test_a_leaf_is_one_call_when_the_planner_answers_in_the_same_reply() -> None:
    model = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(model).solve("trip")
    leaves, internal = 4, 2

    assert model.calls == output.metadata["calls"] == 2 * internal + leaves


@pytest.mark.parametrize(
    "kind",
    [
        {"instructions": "Be brief."},
        {"temperature": 0.2},
        {"tools": [lambda: "x"]},
        {"model": ScriptedModel(name="m2")},
    ],
    ids=["instructions", "temperature", "tools", "model"],
)
async def test_the_planners_own_answer_is_not_used_for_an_agent_that_would_answer_otherwise(
    kind: dict[str, Any],
) -> None:
    model = ScriptedModel({"t": {"part": "by the planner"}})
    writer = Agent("writer", **{"model": model, **kind})
    plan = split({"description": "part", "assigned_agent": "writer"})
    planner = ScriptedModel(lambda r: plan if r.facts.task == "t" and r.mode == "planner" else None, name="scripted")
    output = await AsyncRecursiveEngine(planner, {"planner": planner, "writer": writer}).solve("t")

    assert "worker" in [r.mode for r in (*model.requests, *planner.requests, *getattr(writer.model, "requests", []))]
    assert output.run.tree["0.0"].agent == "writer"


async def test_the_engines_own_temperature_and_tools_ask_the_worker_too() -> None:
    for options in ({"temperature": 0.5}, {"tools": [lambda: "x"]}):
        model = ScriptedModel({"t": "answer"})
        if "tools" in options:
            options["tools"][0].__name__ = "look"  # type: ignore[index]
        await AsyncRecursiveEngine(model, **options).solve("t")  # type: ignore[arg-type]
        assert [request.mode for request in model.requests] == ["planner", "worker"]


async def test_results_are_joined_in_the_order_of_the_plan_whatever_ends_first() -> None:
    async def late(request: Request) -> str:
        await asyncio.sleep(0.02)
        return "first"

    model = ScriptedModel({"t": {"a": late, "b": "second", "c": "third"}})
    output = await AsyncRecursiveEngine(model).solve("t")

    assert output.content == "t: first; second; third"


async def test_a_part_that_restates_an_ancestor_is_executed_and_not_split() -> None:
    def restating(request: Request) -> Any:
        return split("  TASK, one! ", "task two") if request.mode == "planner" else None

    output = await AsyncRecursiveEngine(ScriptedModel(restating), max_depth=3, max_steps=9).solve("Task one")

    assert output.run.tree["0.0"].limited == "restates an ancestor"
    assert output.run.tree["0.0"].decision == "EXECUTE"
    assert output.run.tree["0.1"].decision == "RECURSE"


async def test_prompts_hold_the_goal_the_way_down_and_what_a_node_depends_on() -> None:
    model = planned(
        goal=split("first", {"description": "second", "depends_on": [0]}), second=split("deep one", "deep two")
    )
    await AsyncRecursiveEngine(model).solve("goal")
    deep = next(r for r in model.requests if r.facts.task == "deep one")
    second = [r for r in model.requests if r.facts.task == "second"]

    assert deep.facts.breadcrumbs == ("goal", "second")
    assert "goal" in deep.messages[1]["content"]
    assert "second" in deep.messages[1]["content"]
    assert len(second) == 2, "planned and synthesised"
    assert all("answer to: first" in request.messages[1]["content"] for request in second)


async def test_an_outer_context_is_shown_to_every_prompt() -> None:
    model = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(model).solve("trip", context=RLMContext(breadcrumbs=("the summer",)))
    assert output.metadata["breadcrumbs"] == ["the summer"]

    assert all(request.facts.breadcrumbs[0] == request.facts.goal == "the summer" for request in model.requests)


# -- dependencies --------------------------------------------------------------------------------------------------


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


async def test_a_wait_between_attempts_holds_nobody_up() -> None:
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


async def test_circular_dependencies_are_told_to_the_planner_which_may_repair_them() -> None:
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


# -- agents --------------------------------------------------------------------------------------------------------


async def test_parts_go_to_the_agents_that_the_planner_assigns() -> None:
    plan = split({"description": "look it up", "assigned_agent": "researcher"}, {"description": "write it down"})
    planner, researcher, llm = planned(t=plan), ScriptedModel(name="r"), ScriptedModel(name="llm")
    agents = {"planner": planner, "researcher": Agent("researcher", researcher, "finds facts")}
    output = await AsyncRecursiveEngine(llm, agents).solve("t")

    assert asked(researcher) == ["look it up"]
    assert asked(llm) == ["write it down"]
    assert "- researcher: finds facts" in planner.requests[0].messages[0]["content"]
    assert output.run.tree["0.0"].model == "r"


async def test_an_agent_that_the_planner_invented_is_the_default_one_with_a_note() -> None:
    plan = split({"description": "a", "assigned_agent": "wizard"}, {"description": "b", "assigned_agent": "default"})
    planner = planned(t=plan)
    output = await AsyncRecursiveEngine(planner, {"planner": planner, "writer": planner}).solve("t")

    assert output.run.tree["0.0"].agent == "default"
    assert "wizard" in output.run.tree["0.0"].note
    assert output.run.tree["0.1"].note == ""


async def test_an_agent_named_synthesizer_joins_the_parts() -> None:
    joiner = ScriptedModel(lambda request: "joined", name="joiner")
    model = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(model, {"planner": model, "synthesizer": joiner}).solve("trip")

    assert output.content == "joined"
    assert {request.mode for request in joiner.requests} == {"synthesizer"}


def test_an_unknown_router_is_refused_naming_the_agents() -> None:
    with pytest.raises(ConfigurationError, match=r"'boss'.*\(planner, writer\)") as error:
        AsyncRecursiveEngine(ScriptedModel(), {"planner": ScriptedModel(), "writer": ScriptedModel()}, "boss")
    assert isinstance(error.value, ValueError)


# -- limits --------------------------------------------------------------------------------------------------------


def endless() -> ScriptedModel:
    """A planner that never stops splitting."""

    def answer(request: Request) -> Any:
        task = request.facts.task
        return split(f"{task}1", f"{task}2") if request.mode == "planner" else f"<{task}>"

    return ScriptedModel(answer)


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_no_node_is_deeper_than_max_depth_allows(depth: int) -> None:
    output = await AsyncRecursiveEngine(model := endless(), max_depth=depth, max_steps=1000).solve("t")

    assert max(node.depth for node in output.run.tree) == depth - 1
    assert len(output.run.tree) == 2**depth - 1
    deepest = [node for node in output.run.tree if node.depth == depth - 1]
    assert {node.limited for node in deepest} == {"max_depth"}
    assert len(asked(model, "planner")) == 2 ** (depth - 1) - 1, "a node that may not split is not planned"
    assert output.metadata["limited"] is True


async def test_with_max_depth_1_the_root_is_executed_by_one_call() -> None:
    output = await AsyncRecursiveEngine(model := endless(), max_depth=1).solve("t")

    assert (output.content, [request.mode for request in model.requests]) == ("<t>", ["worker"])


async def test_a_split_beyond_max_steps_is_executed_instead() -> None:
    model = planned(t=split("a", "b"), a=split("a1", "a2", "a3"), b=split("b1"))
    output = await AsyncRecursiveEngine(model, max_steps=4, max_concurrency=1).solve("t")
    tree = output.run.tree

    assert len(tree) == 4
    assert (tree["0.0"].limited, tree["0.0"].decision) == ("max_steps", "EXECUTE")
    assert tree["0.1"].limited == ""
    assert output.metadata["steps"] == 4


async def test_beyond_max_depth_with_raise_the_planner_is_asked_and_what_finished_is_kept() -> None:
    journal = MemoryJournal()
    model = planned(t=split("easy", "hard"), hard=split("x", "y"))
    engine = AsyncRecursiveEngine(model, max_depth=2, on_limit="raise")
    with pytest.raises(RecursionDepthError, match=r"node 0\.1 .*max_depth=2.*raise max_depth") as error:
        await engine.solve("t", checkpoint=journal)
    run = error.value.run

    assert states(run) == {"0": "cancelled", "0.0": "done", "0.1": "cancelled"}
    asked_before = model.calls
    output = await engine.replaced(max_depth=3).solve("t", checkpoint=journal)
    assert len(output.run.tree) == 5
    assert asked(model).count("easy") == 1
    assert asked(model)[asked_before:] == ["x", "y", "hard", "t"], "the plan that went too deep was kept"


async def test_beyond_max_steps_with_raise_the_run_ends_and_siblings_finish() -> None:
    model = planned(t=split("a", "b"), a=split("a1", "a2", "a3"))
    with pytest.raises(MaxStepsError, match=r"node 0\.0 wants 3 sub-tasks.*max_steps=4.*raise max_steps") as error:
        await AsyncRecursiveEngine(model, max_steps=4, on_limit="raise").solve("t")

    assert states(error.value.run)["0.1"] == "done"


async def test_a_leaf_at_the_limit_does_not_raise() -> None:
    output = await AsyncRecursiveEngine(ScriptedModel(), max_depth=1, on_limit="raise").solve("t")

    assert output.content == "answer to: t"


@few_or_many(1_100, 2_000)
async def test_a_chain_deeper_than_the_stack_ends(amount: int) -> None:
    def answer(request: Request) -> Any:
        depth = request.facts.depth
        return split(f"level {depth + 1}") if request.mode == "planner" and depth < amount - 1 else "bottom"

    before = sys.getrecursionlimit()
    assert amount > before
    output = await AsyncRecursiveEngine(ScriptedModel(answer), max_depth=amount, max_steps=amount).solve("level 0")

    assert (len(output.run.tree), output.metadata["depth"]) == (amount, amount - 1)
    assert output.content == "bottom"
    assert sys.getrecursionlimit() == before


async def test_a_failure_at_the_end_of_a_deep_chain_is_told_once_and_cancelling_one_leaves_nothing() -> None:
    def answer(request: Request) -> Any:
        depth = request.facts.depth
        if request.mode == "planner" and depth < 499:
            return split(f"level {depth + 1}")
        raise ModelError("the bottom is missing")

    engine = AsyncRecursiveEngine(ScriptedModel(answer), max_depth=500, max_steps=500)
    with pytest.raises(ExecutionError) as error:
        await engine.solve("level 0")
    assert str(error.value).count("the bottom is missing") == 1
    assert len(str(error.value)) < 3000

    run = engine.replaced(llm=ScriptedModel(lambda r: answer(r) if r.facts.depth < 499 else asyncio.sleep(60))).start(
        "level 0"
    )
    while len(run.tree) < 500:
        await asyncio.sleep(0.001)
    await run.cancel()
    assert others() == set()
    assert {str(node.state) for node in run.tree} == {"cancelled"}


# -- failures ------------------------------------------------------------------------------------------------------


def failing(*tasks: str, error: ModelError | None = None) -> list[Fault]:
    return [Fault(f"^{re.escape(task)}$", error=error or ModelError(f"no {task}"), times=None) for task in tasks]


async def test_a_failed_part_lets_its_siblings_finish_and_the_parent_names_every_cause() -> None:
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


async def test_many_causes_are_counted_and_all_of_them_kept() -> None:
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


async def test_a_plan_that_stays_invalid_is_refused_after_three_attempts_each_told_what_was_wrong() -> None:
    model = ScriptedModel(faults=[Fault(reply='{"decision": "MAYBE"}', times=None)])
    with pytest.raises(PlanError, match=r"node 0: scripted gave no usable plan in 3 attempts.*MAYBE.*max_depth=1"):
        await AsyncRecursiveEngine(model).solve("t")

    assert [len(request.messages) for request in model.requests] == [2, 4, 6]
    assert "cannot be used" in model.requests[2].messages[-1]["content"]


async def test_a_planner_that_writes_no_json_is_told_apart() -> None:
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


# -- reusing an engine ---------------------------------------------------------------------------------------------


async def test_an_engine_keeps_nothing_of_a_run() -> None:
    engine = AsyncRecursiveEngine(endless(), max_depth=3, max_steps=7)
    first, second = await engine.solve("a"), await engine.solve("b")

    assert len(first.run.tree) == len(second.run.tree) == 7
    together = await asyncio.gather(*(engine.solve(task) for task in "cdef"))
    assert [len(output.run.tree) for output in together] == [7] * 4
    assert [output.content[0] for output in together] == ["<"] * 4 or all(output.content for output in together)


def test_an_engine_works_in_one_event_loop_after_another() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP))

    assert asyncio.run(engine.solve("trip")).content == asyncio.run(engine.solve("trip")).content


def test_replaced_leaves_the_engine_as_it_was() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(), max_depth=3)

    assert engine.replaced(max_depth=7).settings()["limits"]["max_depth"] == 7
    assert engine.settings()["limits"]["max_depth"] == 3


# -- streaming -----------------------------------------------------------------------------------------------------


async def test_stream_gives_every_event_in_order_tokens_included() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP, stream=True))
    told = [event async for event in engine.stream("trip")]

    assert isinstance(told[-1], RunFinished)
    assert sum(isinstance(event, NodeCreated) for event in told) == 6
    joined = "".join(e.text for e in told if isinstance(e, Token) and e.node == "0")
    assert joined == "trip: at 9; downtown; food: soup; stew", "of answers only: no plan JSON streams"


async def test_leaving_the_stream_early_cancels_the_run() -> None:
    model = ScriptedModel(TRIP, latency=0.01)
    async for event in AsyncRecursiveEngine(model).stream("trip"):
        if isinstance(event, Finished):
            break
    for _ in range(20):
        await asyncio.sleep(0)
    after = model.calls
    await asyncio.sleep(0.05)

    assert others() == set()
    assert model.calls == after < 8


async def test_the_error_of_a_run_comes_after_its_last_event() -> None:
    told: list[Event] = []
    with pytest.raises(ModelError, match="no t"):
        async for event in AsyncRecursiveEngine(ScriptedModel(faults=failing("t"))).stream("t"):
            told.append(event)

    assert isinstance(told[-1], RunFinished)
    assert told[-1].status == "failed"


# -- resuming ------------------------------------------------------------------------------------------------------


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


async def test_fresh_ignores_what_is_recorded() -> None:
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


# -- replaying -----------------------------------------------------------------------------------------------------


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


async def test_replaying_what_is_not_recorded_says_what_to_do() -> None:
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(model := ScriptedModel(TRIP))
    with pytest.raises(ReplayError, match="nothing is recorded in memory; run once with a model"):
        await engine.solve("trip", checkpoint=journal, mode="replay")
    await engine.solve("trip", checkpoint=journal)
    calls = model.calls
    with pytest.raises(ReplayError, match=r"node 0 .*the task changed; run once without replay"):
        await engine.solve("trip!", checkpoint=journal, mode="replay")
    with pytest.raises(ReplayError, match="the agents, tools, temperature, context or output type changed"):
        await engine.replaced(temperature=1.0).solve("trip", checkpoint=journal, mode="replay")

    assert model.calls == calls


async def test_replaying_an_unfinished_run_says_so() -> None:
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


# -- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"on_limit": "stop"}, "on_limit='stop': expected one of 'execute', 'raise'"),
        ({"on_failure": "ignore"}, "on_failure"),
        ({"max_depth": 0}, "max_depth=0"),
        ({"max_steps": -1}, "max_steps=-1"),
        ({"agents": ["planner"]}, "agents="),
        ({"tools": [3]}, "3 is not a function"),
        ({"llm": None}, "llm=None"),
        ({"llm": 3}, "3 is no model"),
        ({"budget": 3}, "budget=3: expected Budget"),
        ({"budget": {"usd": 1}}, "budget="),
        ({"retry": 3}, "retry=3: expected RetryPolicy"),
        ({"prices": [1]}, "prices="),
        ({"observers": 3}, "observers: 3 cannot be called"),
        ({"observers": [print, 3]}, "observers: 3 cannot be called"),
        ({"temperature": "hot"}, "temperature='hot'"),
        ({"temperature": -1}, "temperature=-1"),
        ({"call_timeout": 0}, "call_timeout=0"),
        ({"default_model": 3}, "default_model=3"),
    ],
)
def test_arguments_that_cannot_work_are_refused_when_the_engine_is_made(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        AsyncRecursiveEngine(**{"llm": ScriptedModel(), **arguments})


@pytest.mark.parametrize("task", ["", "  \n", 3, None, b"text"])
async def test_what_is_no_task_is_refused_before_any_call(task: Any) -> None:
    with pytest.raises(ConfigurationError, match="task"):
        await AsyncRecursiveEngine(ScriptedModel()).solve(task)


async def test_one_observer_needs_no_list() -> None:
    told: list[Event] = []
    await AsyncRecursiveEngine(ScriptedModel(), observers=told.append).solve("t")  # type: ignore[arg-type]

    assert told


async def test_an_unknown_mode_or_checkpoint_is_refused() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel())
    with pytest.raises(ConfigurationError, match=r"context=\{\}: expected RLMContext"):
        await engine.solve("t", context={})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="output_type='int' is a text"):
        await engine.solve("t", output_type="int")
    with pytest.raises(ConfigurationError, match="mode='again'"):
        await engine.solve("t", mode="again")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="checkpoint=3"):
        await engine.solve("t", checkpoint=3)


def test_without_a_running_loop_the_error_names_the_synchronous_engine() -> None:
    with pytest.raises(ConfigurationError, match="RecursiveEngine"):
        AsyncRecursiveEngine(ScriptedModel()).start("t")


async def test_verbose_logs_the_run(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="rlm_notebook.run"):
        await AsyncRecursiveEngine(ScriptedModel(TRIP), verbose=True).solve("trip")

    assert "0.2.1" in caplog.text


async def test_texts_of_any_kind_go_through() -> None:
    odd = "half \ud83d, nul \0, \u202e reversed, ``` fence"
    output = await AsyncRecursiveEngine(ScriptedModel({"t": {"a": odd, "b": "B"}})).solve("t")

    assert output.content == f"t: {well_formed(odd)}; B"
    assert output.run.tree["0.0"].state is NodeState.DONE


# -- side by side --------------------------------------------------------------------------------------------------


async def test_equal_requests_under_way_are_one_call_whose_failure_is_each_ones_own() -> None:
    model = planned(0.005, t=split("same", "same", "other"))
    output = await AsyncRecursiveEngine(model).solve("t")
    assert asked(model).count("same") == 1
    assert output.usage.calls == model.calls == 4

    broken = ScriptedModel(
        lambda r: split("same", "same") if r.mode == "planner" and r.facts.task == "t" else None,
        faults=failing("same"),
        latency=0.005,
    )
    with pytest.raises(ExecutionError, match=r"\[0\.0\] no same; \[0\.1\] no same"):
        await AsyncRecursiveEngine(broken).solve("t")


async def test_cancelling_two_that_wait_for_one_answer_starts_no_other_call() -> None:
    model = ScriptedModel(
        lambda r: split("same", "same", "same") if r.facts.task == "t" else asyncio.sleep(60),
    )
    run = AsyncRecursiveEngine(model).start("t")
    while model.calls < 2:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    async with asyncio.timeout(HANG):
        await run.cancel()

    assert model.calls == 2
    assert others() == set()


async def test_a_wait_that_nobody_will_make_does_not_hold_up_the_others() -> None:
    """A provider that asks for a day: the one that was refused fails, and so does the run, now."""
    refused = Fault("^a$", error=ModelError("quota of today", retry_after=86_400, retryable=True), times=None)
    model = ScriptedModel({"t": {"a": "A", "b": {"b1": "1", "b2": "2"}}}, faults=[refused], latency=0.002)
    with pytest.raises(ExecutionError, match="quota of today") as error:
        await AsyncRecursiveEngine(model).solve("t")

    assert states(error.value.run)["0.1"] == "done"


@in_virtual_time
async def test_a_wait_that_a_provider_asks_for_is_made_by_all() -> None:
    refused = Fault("^a$", error=ModelError("slow down", retry_after=0.05, retryable=True))
    began: dict[str, float] = {}

    def answer(request: Request) -> Any:
        began.setdefault(request.facts.task, asyncio.get_running_loop().time())
        return (
            split("a", {"task": "b", "depends_on": []})
            if request.facts.task == "t" and not request.facts.parts
            else None
        )

    model = ScriptedModel(answer, faults=[refused])
    engine = AsyncRecursiveEngine(model, max_concurrency=1, retry=RetryPolicy(initial=0, jitter=False))
    await engine.solve("t")

    assert began["b"] - began["t"] >= 0.05


async def test_a_wait_for_one_provider_leaves_the_turns_to_the_others() -> None:
    refused = Fault("^a$", error=ModelError("slow down", retry_after=0.2, retryable=True))
    plan = split("a", {"task": "a too", "depends_on": []}, {"task": "b", "agent": "other"})
    busy = ScriptedModel(lambda r: plan if r.mode == "planner" and r.facts.task == "t" else None, faults=[refused])
    ended: dict[str, float] = {}

    def note(event: Event) -> None:
        if isinstance(event, Finished):
            ended[event.node] = asyncio.get_running_loop().time()

    engine = AsyncRecursiveEngine(
        busy,
        {"planner": busy, "other": Agent("other", ScriptedModel(name="free"))},
        max_concurrency=1,
        max_depth=2,
        retry=RetryPolicy(initial=0, jitter=False),
        observers=[note],
    )
    await engine.solve("t")

    assert ended["0.2"] < min(ended["0.0"], ended["0.1"]) - 0.1, "the other provider is asked while this one rests"


async def test_an_answer_that_no_longer_fits_its_type_ends_the_run_in_words() -> None:
    from typing import Annotated

    from pydantic import AfterValidator

    strict = False

    def checked(value: int) -> int:
        if strict:
            raise ValueError("not today")
        return value

    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(ScriptedModel({"t": "7"}))
    wanted = Annotated[int, AfterValidator(checked)]
    assert (await engine.solve("t", checkpoint=journal, output_type=wanted)).parsed == 7
    strict = True
    run = engine.start("t", checkpoint=journal, output_type=wanted)
    with pytest.raises(ExecutionError, match=r'does not fit the output type any more.*not today.*mode="fresh"'):
        await run

    assert run.status == "failed"


@pytest.mark.parametrize(("said", "recorded"), [({}, "house-model"), ({"model": "its-own"}, "its-own")])
async def test_the_default_model_names_what_does_not_name_itself(said: dict[str, str], recorded: str) -> None:
    engine = AsyncRecursiveEngine(
        lambda inputs, context: {"content": "x", "metadata": said}, max_depth=1, default_model="house-model"
    )
    output = await engine.solve("task")
    assert output.metadata["model"] == output.run.tree["0"].model == recorded


# -- before anything starts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["openai:gpt-5-mini", "anthropic:claude-haiku-4-5"])
async def test_a_missing_key_is_said_before_anything_starts(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    engine = AsyncRecursiveEngine(spec)
    with pytest.raises(ModelError, match=f"{spec} needs .*_API_KEY; set it") as caught:
        engine.start("t", checkpoint=tmp_path / "run.json")

    assert caught.value.run is None
    assert list(tmp_path.iterdir()) == []


async def test_what_is_recorded_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    file = tmp_path / "run.json"
    await AsyncRecursiveEngine(ScriptedModel(TRIP, name="openai:gpt-5-mini")).solve("trip", checkpoint=file)
    kept = file.read_bytes()
    keyless = AsyncRecursiveEngine("openai:gpt-5-mini")

    assert (await keyless.solve("trip", checkpoint=file)).metadata["calls"] == 0
    assert (await keyless.solve("trip", checkpoint=file, mode="replay")).metadata["calls"] == 0
    assert "by hand" in (await keyless.edit(file, "0", result="by hand")).content
    with pytest.raises(ModelError, match="needs OPENAI_API_KEY"):
        await keyless.solve("another trip", checkpoint=file)
    with pytest.raises(ModelError, match="needs OPENAI_API_KEY"):
        await keyless.solve("trip", checkpoint=file, mode="fresh")
    assert file.read_bytes() == kept
