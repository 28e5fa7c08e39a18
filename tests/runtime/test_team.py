"""Roles of agents, assignment, and when the planner's inline answer is used."""

from typing import Any

import pytest

from rlm_notebook import Agent, ConfigurationError, ScriptedModel
from rlm_notebook.core.tree import Node
from rlm_notebook.runtime.team import Team


def team(llm: Any = None, agents: Any = None, router: str = "planner", **options: Any) -> Team:
    return Team.of(llm or ScriptedModel(), agents, router, options.get("tools", ()), options.get("temperature"))


def node(agent: str = "default") -> Node:
    return Node("0.0", "0", "t", agent=agent)


def test_without_agents_one_model_has_all_roles() -> None:
    alone = team()

    assert alone.default.resolved is alone.planner.resolved is alone.synthesizer.resolved
    assert alone.offered == {}


@pytest.mark.parametrize(
    ("llm", "agents", "told"),
    [
        (
            "offline",
            {"writer": "offline"},
            r"'planner' is not among the agents \(writer\), and it is the one",
        ),
        ("offline", {"writer": "offline"}, r"name another one \(router_model='writer', say\)"),
        ("offline", {"planner": None}, r"Agent\('planner', model=None\): give a model"),
        (None, {"planner": "offline"}, r"llm=None: give a model"),
    ],
)
def test_an_agent_that_is_missing_is_named(llm: Any, agents: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Team.of(llm, agents, "planner", (), None)


def test_the_router_plans_and_is_not_offered() -> None:
    some = team(agents={"boss": ScriptedModel(), "writer": Agent("w", ScriptedModel(), "writes")}, router="boss")

    assert some.planner.name == "boss"
    assert some.offered == {"writer": "writes"}
    assert some.agents["writer"].name == "writer", "the name in the mapping is the one it goes by"


@pytest.mark.parametrize(
    ("assigned", "agent", "note"),
    [
        (None, "default", ""),
        ("", "default", ""),
        ("default", "default", ""),
        ("writer", "writer", ""),
        ("wizard", "default", "there is no agent 'wizard'"),
    ],
)
def test_an_assignment_is_followed_where_it_can_be(assigned: str | None, agent: str, note: str) -> None:
    assert team(agents={"planner": ScriptedModel(), "writer": ScriptedModel()}).assigned(assigned) == (agent, note)


def test_a_name_without_any_agents_is_no_mistake_worth_a_note() -> None:
    assert team().assigned("researcher") == ("default", "")


def test_the_planners_answer_will_do_for_its_own_model_only() -> None:
    model = ScriptedModel()
    assert team(model).answers_inline(node())
    assert not team(model, temperature=0.5).answers_inline(node())
    assert team(model, {"planner": model, "writer": model}).answers_inline(node("writer"))
    assert not team(model, {"planner": model, "writer": Agent("writer", model, instructions="x")}).answers_inline(
        node("writer")
    )
    assert not team(model, {"planner": ScriptedModel(name="other")}).answers_inline(node())


def test_two_functions_of_one_name_are_two_models() -> None:
    planner, writer = (lambda inputs, context: "p"), (lambda inputs, context: "w")
    some = team(planner, {"planner": planner, "writer": writer})

    assert some.planner.resolved.name == some.agents["writer"].resolved.name
    assert some.answers_inline(node()), "the same function twice is one model"
    assert not some.answers_inline(node("writer"))


def test_one_spec_twice_is_one_model() -> None:
    assert team("offline", {"planner": "offline"}).answers_inline(node())


@pytest.mark.parametrize("change", ["name", "instructions", "temperature", "description", "tools"])
def test_what_requests_can_tell_changes_the_fingerprint(change: str) -> None:
    def look() -> str:
        """Look."""
        return ""

    values: dict[str, Any] = {"instructions": "x", "temperature": 0.1, "description": "d", "tools": [look]}
    base = team(agents={"planner": ScriptedModel(), "w": ScriptedModel()})
    model = ScriptedModel(name="other") if change == "name" else ScriptedModel()
    other = team(
        agents={
            "planner": ScriptedModel(),
            "w": Agent("w", model, **({} if change == "name" else {change: values[change]})),
        }
    )

    assert base.fingerprint != other.fingerprint
    assert base.fingerprint == team(agents={"planner": ScriptedModel(), "w": ScriptedModel()}).fingerprint


def test_agents_that_are_none_are_refused() -> None:
    for agents in (
        [ScriptedModel()],
        {"planner": ScriptedModel(), "w": 3},
        {"planner": ScriptedModel(), "": "offline"},
    ):
        with pytest.raises(ConfigurationError):
            team(agents=agents)
