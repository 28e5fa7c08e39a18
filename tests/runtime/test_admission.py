"""Only nodes with a call in flight are at work, and phases have the times of their calls."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    Event,
    ModelError,
    Node,
    NodeState,
    Request,
    RetryPolicy,
    Run,
    ScriptedModel,
)
from rlm_notebook.core.tree import Tree
from rlm_notebook.models.scripted import Fault
from rlm_notebook.wrappers.cached import Cached
from rlm_notebook.wrappers.limited import Limited
from rlm_notebook.wrappers.retried import Retried
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import HANG

ACTIVE = (NodeState.PLANNING, NodeState.RUNNING, NodeState.SYNTHESIZING)
PARTS = [f"part {number}" for number in range(10)]


class Watched:
    """The maximum of nodes at work at once, and of nodes in a working state."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.at_work = self.active = 0
        run.internals.watch(self)

    def __call__(self, event: Event) -> None:
        self.at_work = max(self.at_work, sum(node.at_work for node in self._run.tree))
        self.active = max(self.active, sum(node.state in ACTIVE for node in self._run.tree))


def peak(tree: Tree) -> int:
    """The most phases of work that overlap, as a view draws them."""
    phases = [phase for node in tree for phase in node.phases if phase.kind != "wait"]
    ends = [(phase.ended or 0.0, -1) for phase in phases]
    most = now = 0
    for _, step in sorted([*ends, *((phase.started, 1) for phase in phases)]):
        now += step
        most = max(most, now)
    return most


def kinds(node: Node) -> list[str]:
    return [phase.kind for phase in node.phases]


def worked(node: Node) -> float:
    return sum((phase.ended or 0.0) - phase.started for phase in node.phases if phase.kind != "wait")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "planned by another"])
@in_virtual_time
async def test_no_more_are_at_work_than_may_call_at_once(stream: bool, fused: bool) -> None:
    model = ScriptedModel({"whole": PARTS}, latency=0.02, stream=stream)
    agents = None if fused else {"planner": ScriptedModel({"whole": PARTS}, latency=0.02, stream=stream)}
    run = AsyncRecursiveEngine(model, agents=agents, max_concurrency=2).start("whole")
    watched = Watched(run)
    await run

    assert len(run.tree) == 11
    assert (watched.at_work, watched.active, peak(run.tree)) == (2, 2, 2)
    began = sorted(run.tree[f"0.{number}"].started or 0.0 for number in range(10))
    assert began[-1] - began[0] > 0.07, "who came last began when others had ended"
    assert {tuple(kinds(node)) for node in run.tree.children("0")} <= (
        {("execute",)} if fused else {("plan", "execute"), ("plan", "wait", "execute")}
    )


@in_virtual_time
async def test_a_call_without_a_slot_is_pending_and_a_parent_waits() -> None:
    script = {"whole": {"first": "1", "second": "2", "third": "3"}}
    slow = ScriptedModel(script, latency=0.05)
    run = AsyncRecursiveEngine(slow, max_concurrency=1).start("whole")
    async with asyncio.timeout(HANG):
        while len(run.tree) < 4 or not any(node.at_work for node in run.tree.children("0")):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    states = sorted(node.state for node in run.tree)
    assert states == ["pending", "pending", "planning", "waiting"]
    await run
    assert kinds(run.tree["0"]) == ["plan", "wait", "synthesize"]


@in_virtual_time
async def test_a_paused_run_shows_only_calls_in_flight_as_working() -> None:
    model = ScriptedModel({"whole": PARTS}, latency=0.02)
    run = AsyncRecursiveEngine(model, max_concurrency=3).start("whole")
    async with asyncio.timeout(HANG):
        while model.calls < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        run.pause()
        while not run.internals.admission.meter.idle:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    assert not any(node.at_work or node.state in ACTIVE for node in run.tree)
    run.resume()
    await run


@in_virtual_time
async def test_between_two_attempts_a_node_waits() -> None:
    fault = Fault("whole", ModelError("503", retryable=True), times=1)
    model = ScriptedModel("done", faults=[fault], latency=0.02)
    retry = RetryPolicy(attempts=2, initial=0.2, jitter=False)
    output = await AsyncRecursiveEngine(model, retry=retry).solve("whole")
    node = output.run.tree["0"]

    assert kinds(node)[:3] == ["failed", "wait", "execute"]
    assert node.attempts == 2
    assert worked(node) == pytest.approx((node.ended or 0.0) - (node.started or 0.0) - 0.2, abs=1e-6)


@pytest.mark.parametrize("around", [lambda model: model, lambda model: Retried(Cached(model))], ids=["bare", "wrapped"])
@in_virtual_time
async def test_a_turn_at_a_paced_model_is_waited_for_and_not_worked_through(around: Any) -> None:
    inner = ScriptedModel({"whole": ["a", "b", "c"]}, latency=0.01)
    limited = Limited(inner, requests_per_minute=10, clock=asyncio.get_running_loop().time)
    run = AsyncRecursiveEngine(around(limited)).start("whole")
    watched = Watched(run)
    await run

    assert (watched.at_work, watched.active, peak(run.tree)) == (1, 1, 1)
    began = sorted(node.started or 0.0 for node in run.tree)
    assert [later - earlier for earlier, later in pairwise(began)] == pytest.approx([6.0, 6.0, 6.0], abs=0.1)


@in_virtual_time
async def test_a_replay_takes_no_slot_and_no_time() -> None:
    model = ScriptedModel({"whole": ["a", "b"]}, latency=0.2)
    engine = AsyncRecursiveEngine(model, cache=True, max_concurrency=1)
    await engine.solve("whole")
    output = await engine.solve("whole")

    assert model.calls == 4
    assert {node.mark for node in output.run.tree} == {"cached"}
    assert all(node.started is not None and worked(node) == pytest.approx(0, abs=1e-6) for node in output.run.tree)


@in_virtual_time
async def test_tools_are_work_and_the_turn_after_them_is_not() -> None:
    """Two nodes with a tool each, one turn: while the tool of one works, the other has the turn."""

    async def look(what: str) -> str:
        """Look something up."""
        await asyncio.sleep(0.01)
        return f"{what} found"

    async def llm(inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
        if context["mode"] == "planner":
            return {"content": json.dumps({"decision": "RECURSE", "sub_tasks": ["a", "b"]})}
        await asyncio.sleep(0.2)
        if context["mode"] == "synthesizer" or any(message["role"] == "tool" for message in inputs):
            return {"content": "found"}
        return {"content": None, "tool_calls": [{"name": "look", "arguments": {"what": context["task"]}}]}

    output = await AsyncRecursiveEngine(llm, tools=[look], max_depth=2, max_concurrency=1).solve("whole")
    first, second = output.run.tree["0.0"], output.run.tree["0.1"]

    assert kinds(first) == ["execute", "wait", "execute"], "the other one was asked in between"
    assert [worked(node) for node in (first, second)] == pytest.approx([0.41, 0.41], abs=1e-6)


@in_virtual_time
async def test_no_call_of_a_model_starts_before_the_wait_that_its_provider_asked_for() -> None:
    started: list[tuple[str, float]] = []

    def say(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "RECURSE", "sub_tasks": [f"part {number}" for number in range(6)]}
        started.append((request.facts.task, asyncio.get_running_loop().time()))
        if len(started) == 1:
            raise ModelError("slow down", status=429, retryable=True, retry_after=7.0)
        return "done"

    engine = AsyncRecursiveEngine(ScriptedModel(say), max_depth=2, max_concurrency=1, retry=RetryPolicy(jitter=False))
    begun = asyncio.get_running_loop().time()
    await engine.solve("Go")

    assert len(started) == 8, "six parts, one of them twice, and the synthesis"
    assert [at - begun for _, at in started[1:] if at - begun < 7.0] == []
