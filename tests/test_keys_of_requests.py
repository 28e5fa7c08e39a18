"""All that enters a request is in its key: what changes it is asked for anew, and nothing else is."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import Agent, AsyncRecursiveEngine, RetryPolicy, ScriptedModel, Tool, tool
from rlm_notebook.caches.shared_replies import cache_key
from rlm_notebook.core.keys import digest
from rlm_notebook.models.anthropic import AnthropicModel
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.models.provider.settings import settings_of
from rlm_notebook.ports import Capabilities, Model, Reply, Request
from rlm_notebook.runtime.team import Team
from rlm_notebook.wrappers.cached import Cached
from rlm_notebook.wrappers.limited import Limited
from rlm_notebook.wrappers.retried import Retried


def key(llm: Any, agents: Any = None, tools: Any = ()) -> str:
    return Team.of(llm, agents, "planner", tools, None).fingerprint


OPENAI: list[dict[str, Any]] = [
    {},
    {"temperature": 0.0},
    {"temperature": 1.0},
    {"max_output_tokens": 100},
    {"reasoning_effort": "low"},
    {"reasoning_effort": "high"},
    {"label": "openai:mine"},
]
ANTHROPIC: list[dict[str, Any]] = [{}, {"temperature": 0.0}, {"temperature": 1.0}, {"max_output_tokens": 100}]
WRAPPERS: dict[str, Any] = {
    "bare": lambda model: model,
    "retried": lambda model: Retried(model, RetryPolicy()),
    "limited": lambda model: Limited(model, requests_per_minute=10),
    "cached": Cached,
    "cached, limited": lambda model: Cached(Limited(model)),
}


@pytest.mark.parametrize("wrapped", WRAPPERS)
def test_each_option_that_is_sent_makes_another_key(wrapped: str) -> None:
    wrap = WRAPPERS[wrapped]
    models: list[Model] = [
        *(OpenAIModel("gpt-5-mini", **options) for options in OPENAI),
        *(AnthropicModel("claude-haiku-4-5", **options) for options in ANTHROPIC),
    ]
    keys = [key(wrap(model)) for model in models]
    assert len(set(keys)) == len(models)
    for role in ("planner", "synthesizer", "writer"):
        agents = [{"planner": "offline", role: wrap(model)} for model in models]
        assert len({key("offline", each) for each in agents}) == len(models), role


def test_how_a_model_is_reached_and_waited_for_is_no_other_key() -> None:
    plain = OpenAIModel("gpt-5-mini")
    for changes in (
        {"stall_timeout": 5.0},
        {"max_connections": 3},
        {"transport": "httpx"},
        {"wire": "chat"},
        {"api_key_env": "OTHER_KEY"},
        {"temperature": None, "max_output_tokens": None, "reasoning_effort": None},
    ):
        assert key(replace(plain, **changes)) == key(plain) == key("openai:gpt-5-mini"), changes
    assert settings_of(plain) == {} == settings_of(AnthropicModel("claude-haiku-4-5"))
    local = OpenAIModel("qwen3", base_url="http://127.0.0.1:11434/v1", label="ollama:qwen3")
    assert settings_of(local) == {}
    assert settings_of(replace(local, label="small")) == {"model": "qwen3"}, "a label hides which model answers"


def test_a_plain_model_is_keyed_as_it_was_recorded_before_there_were_settings() -> None:
    agent = Agent("a", "openai:gpt-5-mini", tools=[tool(look, version="1")]).to_json()

    assert set(agent) == {"model", "description", "instructions", "temperature", "tools"}
    assert set(agent["tools"][0]) >= {"name", "schema", "version"}
    assert "settings" in Agent("a", OpenAIModel("gpt-5-mini", temperature=1)).to_json()


def test_models_of_one_name_that_are_set_otherwise_do_not_answer_for_each_other() -> None:
    cool, warm = OpenAIModel("m", temperature=0), OpenAIModel("m", temperature=1)
    both = Team.of(
        cool, {"planner": cool, "writer": warm, "same": OpenAIModel("m", temperature=0)}, "planner", (), None
    )

    assert not both.agent_answers_inline("writer")
    assert both.agent_answers_inline("same")
    request = Request("worker", ({"role": "user", "content": "t"},), None)  # type: ignore[arg-type]
    assert cache_key(cool, request) != cache_key(warm, request)
    assert cache_key(OpenAIModel("m"), request) == digest(
        [["openai:m", "", "worker", None, None], [{"role": "user", "content": "t"}], [], None]
    )


class Own:
    """A model of a user's own that declares what it sends, behind a wrapper that forwards what a model declares."""

    name = "own"

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.calls = 0

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(settings={"seed": self.seed} if self.seed else {})

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        self.calls += 1
        yield Reply('{"decision": "EXECUTE"}' if request.mode == "planner" else f"seed {self.seed}")


async def test_a_model_declares_what_else_enters_its_requests(tmp_path: Path) -> None:
    async def answer(model: Own) -> tuple[str, int]:
        engine = AsyncRecursiveEngine(Cached(Retried(model)), max_depth=1)
        return str(await engine.solve("t", checkpoint=tmp_path / "run.json")), model.calls

    assert await answer(Own(1)) == ("seed 1", 1)
    assert await answer(Own(1)) == ("seed 1", 0)
    assert await answer(Own(2)) == ("seed 2", 1)


async def test_the_synthesizers_options_are_in_the_key_of_a_synthesis(tmp_path: Path) -> None:
    async def modes(synthesizer: Any) -> list[str]:
        model = ScriptedModel({"t": ["a", "b"]})
        engine = AsyncRecursiveEngine(model, {"planner": model, "synthesizer": synthesizer})
        await engine.solve("t", checkpoint=tmp_path / "run.json")
        return [request.mode for request in model.requests]

    shared = ScriptedModel({"t": ["a", "b"]}, name="joins")
    assert await modes(shared)
    for changed in (
        Agent("synthesizer", shared, instructions="Be brief."),
        Agent("synthesizer", shared, temperature=0.5),
        ScriptedModel({"t": ["a", "b"]}, name="joins otherwise"),
        ScriptedModel({"t": ["a", "b"]}, name="joins", capabilities=Capabilities(settings={"effort": "low"})),
    ):
        before = len(shared.requests)
        asked = len(await modes(changed)) + len(shared.requests) - before + len(getattr(changed, "requests", []))
        assert asked, changed
        assert await modes(changed) == []


# -- tools ---------------------------------------------------------------------------------------------------------


def look(x: int) -> str:
    """Looks it up."""
    return str(x)


SCHEMA: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
OTHER_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "integer", "minimum": 3}}}


def test_all_that_a_model_is_told_of_a_tool_is_in_the_key() -> None:
    tools = [
        tool(look),
        tool(look, description="Looks twice."),
        tool(look, name="look_up"),
        tool(look, version="1"),
        tool(look, version="2"),
        tool(look, version="1", description="Looks twice."),
        Tool("look", "Looks it up.", look, SCHEMA),
        Tool("look", "Looks twice.", look, SCHEMA),
        Tool("look", "Looks it up.", look, OTHER_SCHEMA),
        Tool("look", "Looks it up.", lambda x: str(x + 1), SCHEMA),
        Tool("look", "Looks it up.", look, SCHEMA, version="1"),
    ]
    keys = [key("offline", tools=[each]) for each in tools]
    assert len(set(keys)) == len(tools)
    of_agents = [key("offline", {"planner": Agent("planner", "offline", tools=[each])}) for each in tools]
    assert len(set(of_agents)) == len(tools)


def test_how_a_tool_is_called_is_no_other_key() -> None:
    for same in (tool(look), tool(look, timeout=5), tool(look, retries=3), tool(look, requires_approval=True)):
        assert key("offline", tools=[same]) == key("offline", tools=[look])


# -- references ----------------------------------------------------------------------------------------------------


def asked_about(model: ScriptedModel) -> list[str]:
    said = [f"{request.mode}: {request.facts.task}" for request in model.requests]
    model.requests.clear()
    return said


async def test_the_size_that_a_prompt_tells_is_in_its_key(tmp_path: Path) -> None:
    """A plan may rest on it: one page is read at once, a thousand are split."""
    model = ScriptedModel({"t": ["a", "b"]})
    engine = AsyncRecursiveEngine(model)

    async def asked(text: str) -> list[str]:
        await engine.solve("t", variables={"book": text}, checkpoint=tmp_path / "run.json")
        return asked_about(model)

    first = await asked("ten signs.")
    assert any(request.startswith("planner") for request in first)
    assert await asked("ten signs.") == []
    assert await asked("a little more, and nobody read it\n") == [], "what all are told of it is the same"
    assert await asked("ten signs." * 1_000) == first
    assert await asked("\n" * 1_000) == first, "lines are told, too"


async def test_prompts_tell_no_more_of_a_value_than_its_key_holds() -> None:
    """Two values of one key are told of in the same words, by whoever lists them, too."""

    def listing(request: Request) -> Any:
        told = [message["content"] for message in request.messages if message["role"] == "tool"]
        return told[-1] if told else {"tool_calls": [{"name": "list_references", "arguments": {}}]}

    said: dict[str, set[str]] = {}
    for length in (1, 999, 1_000, 1_001, 9_000, 99_999, 100_001):
        engine = AsyncRecursiveEngine(model := ScriptedModel(listing), max_depth=1)
        output = await engine.solve("t", variables={"book": "x" * length})
        said.setdefault(output.run.tree["0"].plan_key, set()).add(str([r.messages for r in model.requests]))

    assert [len(prompts) for prompts in said.values()] == [1, 1, 1, 1]
