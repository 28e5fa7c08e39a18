"""Which agent does which part."""

import pytest

from rlm_notebook import (
    Agent,
    AsyncRecursiveEngine,
    ConfigurationError,
    ScriptedModel,
)
from tests.support.trip import TRIP, asked, planned, split


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
