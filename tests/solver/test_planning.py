"""From a node to its plan: requested, repaired, forced by a limit, or replayed."""

from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, InvalidJSONError, PlanError, ScriptedModel
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.core.events import Retried
from rlm_notebook.core.plan import UnusablePlan, plan_from_json
from rlm_notebook.ports import Reply, Request

GOOD = '{"decision": "RECURSE", "sub_tasks": ["a", "b"]}'


def planner(*replies: str) -> ScriptedModel:
    """The plans of the root, one after another; all else is executed."""
    given = list(replies)

    def script(request: Request) -> Any:
        if request.mode == "planner" and request.facts.task == "t":
            return Reply(given.pop(0) if len(given) > 1 else given[0])
        return None

    return ScriptedModel(script)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("I would split it.", "no JSON object"),
        ('{"decision": "MAYBE"}', "decision"),
        ('{"decision": "RECURSE", "sub_tasks": [{"description": " "}]}', "this one is empty"),
        ('{"decision": "RECURSE", "sub_tasks": [{"description": "a", "depends_on": [5]}]}', "names 5"),
        ('{"decision": "RECURSE", "sub_tasks": [{"task": "a", "depends_on": [0]}]}', "names 0"),
        (
            '{"decision": "RECURSE", "sub_tasks": ['
            '{"task": "a", "depends_on": [1]}, {"task": "b", "depends_on": [0]}]}',
            "circle",
        ),
    ],
)
async def test_the_planner_gets_the_problem_of_its_plan_and_may_repair_it(bad: str, told: str) -> None:
    model = planner(bad, GOOD)
    reasons: list[str] = []
    engine = AsyncRecursiveEngine(
        model, observers=[lambda e: reasons.append(e.reason) if isinstance(e, Retried) else None]
    )
    output = await engine.solve("t")

    assert output.content == "t: answer to: a; answer to: b"
    assert told in reasons[0]
    assert told in model.requests[1].messages[-1]["content"]
    assert model.requests[1].messages[-2]["content"] == bad
    assert output.run.tree["0"].usage.calls == 3, "two plans and a synthesis"


@pytest.mark.parametrize(("reply", "kind"), [("nothing of the sort", InvalidJSONError), ('{"x": 1}', PlanError)])
async def test_three_times_is_enough(reply: str, kind: type[PlanError]) -> None:
    model = planner(reply)
    with pytest.raises(kind, match="3 attempts"):
        await AsyncRecursiveEngine(model).solve("t")

    assert model.calls == 3


def test_a_circle_is_found_among_thousands_and_names_only_its_members() -> None:
    tasks: list[Any] = [{"task": f"t{n}", "depends_on": [n + 1]} for n in range(20_000)] + [{"task": "last"}]
    assert len(plan_from_json({"decision": "RECURSE", "sub_tasks": tasks}).sub_tasks) == 20_001  # type: ignore[union-attr]
    tasks[7] = {"task": "t7", "depends_on": [5]}
    with pytest.raises(UnusablePlan, match=r"\[5, 6, 7\] form a circle"):
        plan_from_json({"decision": "RECURSE", "sub_tasks": tasks})


async def test_a_plan_is_found_again_although_the_run_failed_after_it() -> None:
    journal = MemoryJournal()
    failing = planner(GOOD)
    failing.stream = _failing_after_the_plan(failing)  # type: ignore[method-assign]
    with pytest.raises(Exception, match="parts failed"):
        await AsyncRecursiveEngine(failing, retry=None).solve("t", checkpoint=journal)
    model = planner("never asked for")
    output = await AsyncRecursiveEngine(model).solve("t", checkpoint=journal)

    assert output.content == "t: answer to: a; answer to: b"
    assert ("planner", "t") not in [(r.mode, r.facts.task) for r in model.requests]


def _failing_after_the_plan(model: ScriptedModel) -> Any:
    original = model.stream

    async def stream(request: Request) -> Any:
        if request.facts.task != "t":
            raise RuntimeError("down")
        async for piece in original(request):
            yield piece

    return stream


async def test_the_planner_prompt_names_agents_tools_and_references() -> None:
    def look() -> str:
        """Look."""
        return ""

    model = ScriptedModel()
    agents = {"planner": model, "writer": ScriptedModel()}
    await AsyncRecursiveEngine(model, agents, tools=[look]).solve("t", variables={"book": "x" * 50})
    system, user = (message["content"] for message in model.requests[0].messages)

    assert "writer" in system
    assert "look" in system
    assert "book (text, up to 1,000 characters" in user
    assert not model.requests[0].tools, "planners do not call tools"
