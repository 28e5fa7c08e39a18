"""Requests of a node: prompts, content key, and how the prompt is shown afterwards."""

from typing import Any

import pytest

from rlm_notebook import Agent, AsyncRecursiveEngine, RLMContext, ScriptedModel
from rlm_notebook.core.plan import PLAN_SCHEMA

TRIP = {"trip": {"flights": "at 9", "food": {"lunch": "soup", "dinner": "stew"}}}


async def test_each_request_is_made_for_its_mode() -> None:
    model = ScriptedModel(TRIP, stream=True)
    await AsyncRecursiveEngine(model, call_timeout=7, temperature=0.3, max_depth=9).solve("trip")

    assert {r.mode for r in model.requests} == {"planner", "worker", "synthesizer"}
    for request in model.requests:
        assert request.deadline == 7
        assert (request.schema == PLAN_SCHEMA) == (request.mode == "planner")
        assert request.temperature == 0.3
        assert [message["role"] for message in request.messages] == ["system", "user"]


async def test_prompts_begin_with_the_same_bytes_for_all_nodes_of_a_mode() -> None:
    model = ScriptedModel(TRIP, capabilities=None)
    await AsyncRecursiveEngine(model, temperature=0.1).solve("trip")
    for mode in ("planner", "worker", "synthesizer"):
        assert len({r.messages[0]["content"] for r in model.requests if r.mode == mode}) == 1


async def test_instructions_of_an_agent_reach_it_alone() -> None:
    model = ScriptedModel(TRIP)
    writer = ScriptedModel(name="w")
    plan = {"decision": "RECURSE", "sub_tasks": [{"task": "x", "agent": "writer"}, "y"]}
    planner = ScriptedModel(lambda r: plan if r.facts.task == "t" and r.mode == "planner" else None, name="p")
    agents = {"planner": planner, "writer": Agent("writer", writer, instructions="Rhyme.")}
    await AsyncRecursiveEngine(model, agents).solve("t")

    assert "Rhyme." in writer.requests[0].messages[0]["content"]
    assert not any("Rhyme." in m["content"] for r in (*model.requests, *planner.requests) for m in r.messages)


async def keys(task: str = "t", variables: Any = None, context: Any = None, **options: Any) -> tuple[str, ...]:
    model = ScriptedModel({"t": ["a", "b"], "u": ["a", "b"]})
    engine = AsyncRecursiveEngine(model, **options)
    output = await engine.solve(task, variables=variables, context=context)
    return tuple(node.plan_key for node in output.run.tree.walk())


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"max_concurrency": 1, "call_timeout": 3, "on_failure": "synthesize", "max_steps": 9}, True),
        ({"task": "u"}, False),
        ({"temperature": 0.5}, False),
        ({"context": RLMContext(breadcrumbs=("outer",))}, False),
        ({"variables": {"x": "1"}}, False),
    ],
    ids=["nothing", "how it runs", "task", "temperature", "context", "references"],
)
async def test_a_key_is_what_can_enter_the_request(changed: dict[str, Any], same: bool) -> None:
    before, after = await keys(), await keys(**changed)

    assert (before == after) is same
    if not same:
        assert not set(before) & set(after), "the sub-tasks see the difference too"


async def test_of_a_reference_the_key_holds_what_prompts_tell_name_kind_and_size() -> None:
    one = await keys(variables={"x": "1"})

    assert one == await keys(variables={"x": "another and longer"})
    assert one != await keys(variables={"x": "a thousand" * 101})
    assert one != await keys(variables={"y": "1"})
    assert one != await keys(variables={"x": 1})


async def test_the_prompt_of_a_node_can_be_looked_at_afterwards() -> None:
    model = ScriptedModel(TRIP)
    run = AsyncRecursiveEngine(model).start("trip")
    await run
    sent = [request.messages for request in model.requests]

    assert run.internals.describe_prompt("0") in sent
    assert "# Results" in run.internals.describe_prompt("0")[1]["content"]
    assert run.internals.describe_prompt("0.0") in sent
