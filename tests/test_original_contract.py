"""What code that was written for the package that this one descends from relies on, beside its examples."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from rlm_notebook import (
    Agent,
    AsyncRecursiveEngine,
    ConfigurationError,
    RecursiveEngine,
    RLMContext,
    ScriptedModel,
    ToolError,
)
from rlm_notebook.caches.memory import MemoryCache
from rlm_notebook.core.events import Token

SPLIT = json.dumps({"decision": "RECURSE", "sub_tasks": ["one", "two"]})


def caller(inputs: Any, context: Any) -> Any:
    if context["mode"] == "planner":
        return {"content": SPLIT if context["depth"] == 0 else '{"decision": "EXECUTE"}'}
    if context["mode"] == "synthesizer":
        return {"content": "joined", "metadata": {"model": "mine"}}
    usage = {"prompt_tokens": 2, "completion_tokens": 1}
    return {"content": f"{context['task']} is done", "metadata": {"model": "mine", "usage": usage, "cost_usd": 0.5}}


# -- context ---------------------------------------------------------------------------------------------------------


def contexts(**options: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []

    def spy(inputs: Any, context: dict[str, Any]) -> Any:
        seen.append(context)
        return caller(inputs, context)

    RecursiveEngine(spy, **options).solve("t")
    assert {context["mode"] for context in seen} == {"planner", "worker", "synthesizer"}
    return seen


def test_the_context_has_a_temperature_only_where_it_is_set() -> None:
    for context in contexts():
        assert context.get("temperature", 0.7) == 0.7
        assert context.get("max_output_tokens", 500) == 500
        assert "temperature" not in context
    assert {context["temperature"] for context in contexts(temperature=0.0)} == {0.0}


def test_each_agent_has_its_own() -> None:
    seen: dict[str, Any] = {}

    def spy(inputs: Any, context: dict[str, Any]) -> Any:
        seen[context["mode"]] = context.get("temperature", "its default")
        return caller(inputs, context)

    agents = {"planner": Agent("planner", spy), "default": spy, "synthesizer": Agent("synthesizer", spy, temperature=1)}
    RecursiveEngine(spy, agents=agents).solve("t")
    assert seen == {"planner": "its default", "worker": "its default", "synthesizer": 1}


def test_a_context_is_given_by_position() -> None:
    inner = RLMContext(breadcrumbs=("outer",))
    for engine in (RecursiveEngine(caller), RecursiveEngine("offline")):
        assert engine.solve("What is 2 + 2?", inner).metadata["breadcrumbs"] == ["outer"]

    async def awaited() -> Any:
        output = await AsyncRecursiveEngine(caller).solve("t", inner)
        run = AsyncRecursiveEngine(caller).start("t", inner)
        async for event in AsyncRecursiveEngine(caller).stream("t", inner):
            assert event is not None
        return output.metadata["breadcrumbs"], (await run).metadata["breadcrumbs"]

    assert asyncio.run(awaited()) == (["outer"], ["outer"])


# -- streaming callers -----------------------------------------------------------------------------------------------


class Streaming:
    """A caller that can be called, and streams."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.streamed: list[str] = []

    async def __call__(self, inputs: Any, context: Any) -> Any:
        self.called.append(context["mode"])
        return caller(inputs, context)

    async def stream(self, inputs: Any, context: Any) -> AsyncIterator[str]:
        self.streamed.append(context["mode"])
        text = caller(inputs, context)["content"]
        for at in range(0, len(text), 4):
            yield text[at : at + 4]


class Returning(Streaming):
    """The same, whose method returns the stream."""

    def stream(self, inputs: Any, context: Any) -> Any:
        return super().stream(inputs, context)


class Awaited(Streaming):
    async def stream(self, inputs: Any, context: Any) -> Any:  # type: ignore[override]
        return super().stream(inputs, context)


class Blocking(Streaming):
    """The same in blocking code."""

    def __call__(self, inputs: Any, context: Any) -> Any:  # type: ignore[override]
        self.called.append(context["mode"])
        return caller(inputs, context)

    def stream(self, inputs: Any, context: Any) -> Iterator[str]:  # type: ignore[override]
        self.streamed.append(context["mode"])
        yield caller(inputs, context)["content"]


@pytest.mark.parametrize("kind", [Streaming, Returning, Awaited, Blocking])
async def test_a_caller_with_a_method_stream_streams(kind: type[Streaming]) -> None:
    model = kind()
    tokens = [
        event.text async for event in AsyncRecursiveEngine(model, max_depth=2).stream("t") if isinstance(event, Token)
    ]

    assert "joined" in "".join(tokens)
    assert sorted(model.streamed) == ["planner", "synthesizer", "worker", "worker"]
    assert model.called == []


async def test_a_split_begins_while_such_a_caller_streams_its_plan() -> None:
    working = asyncio.Event()

    class Slow(Streaming):
        async def stream(self, inputs: Any, context: Any) -> AsyncIterator[str]:
            if context["mode"] == "planner":
                yield SPLIT[:-8]
                await asyncio.wait_for(working.wait(), 60)
                yield SPLIT[-8:]
                return
            working.set()
            yield "done"

    assert (await AsyncRecursiveEngine(Slow(), max_depth=2).solve("t")).content == "done"


async def test_with_tools_it_is_called() -> None:
    def look() -> str:
        "Look."
        return "seen"

    model = Streaming()
    await AsyncRecursiveEngine(model, tools=[look], max_depth=1).solve("t")
    assert (model.called, model.streamed) == (["worker"], [])


async def test_a_method_of_that_name_for_something_else_is_left_alone() -> None:
    class Device(Streaming):
        def stream(self, video: Any) -> Any:  # type: ignore[override]
            raise AssertionError("this is no reply")

    model = Device()
    assert (await AsyncRecursiveEngine(model, max_depth=1).solve("t")).content == "t is done"


# -- what is given is copied -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AsyncRecursiveEngine, RecursiveEngine])
def test_what_happens_to_the_arguments_later_changes_no_engine(kind: Any) -> None:
    def look() -> str:
        "Look."
        return "seen"

    agents: dict[str, Any] = {"planner": ScriptedModel(), "writer": ScriptedModel()}
    tools, observers, prices = [look], [lambda event: None], {"m": (1.0, 2.0)}
    engine = kind(ScriptedModel(), agents=agents, tools=tools, observers=observers, prices=prices)
    agents.clear()
    agents["stranger"] = 7
    for given in (tools, observers, prices):
        given.clear()  # type: ignore[attr-defined]

    assert sorted(engine.agents) == ["planner", "writer"]
    assert [tool.name for tool in engine.tools] == ["look"]
    assert (len(engine.observers), engine.prices) == (1, {"m": (1.0, 2.0)})
    of_async = getattr(engine, "async_engine", engine)
    again = of_async.replaced(max_depth=2)
    assert sorted(again.settings()["agents"]) == ["default", "planner", "writer"]
    assert again.settings()["tools"] == ["look"]


def test_what_can_be_gone_through_once_serves_both_faces() -> None:
    def look() -> str:
        "Look."
        return "seen"

    engine = RecursiveEngine(ScriptedModel(), tools=(each for each in [look]))
    assert [tool.name for tool in engine.tools] == ["look"]
    with pytest.raises(ConfigurationError, match="expected a dict"):
        RecursiveEngine(ScriptedModel(), agents=["planner"])  # type: ignore[arg-type]


# -- metadata --------------------------------------------------------------------------------------------------------


def test_metadata_has_the_answers_of_the_sub_tasks() -> None:
    output = RecursiveEngine(caller, max_depth=2).solve("t")
    parts = output.metadata["sub_results"]

    assert [part["content"] for part in parts] == ["one is done", "two is done"]
    assert [part["metadata"]["task"] for part in parts] == ["one", "two"]
    assert parts[1]["metadata"]["task_id"] == "0.1"
    assert parts[0]["metadata"]["usage"]["total_tokens"] == 3
    assert sum(part["metadata"]["cost_usd"] for part in parts) == 1.0
    assert json.loads(json.dumps(output.metadata))["sub_results"] == parts
    assert "one is done" not in repr(output)


def test_there_are_none_where_nothing_was_split_and_none_of_what_failed() -> None:
    assert RecursiveEngine(caller, max_depth=1).solve("t").metadata["sub_results"] == []

    def fails(inputs: Any, context: Any) -> Any:
        if context["task"] == "one":
            raise ValueError("no")
        return caller(inputs, context)

    output = RecursiveEngine(fails, max_depth=2, on_failure="synthesize", retry=None).solve("t")
    assert [part["content"] for part in output.metadata["sub_results"]] == ["two is done"]


# -- tools -----------------------------------------------------------------------------------------------------------


def endless(words: list[str]) -> ScriptedModel:
    from rlm_notebook.ports import Reply, ToolCall

    said = iter(words)
    return ScriptedModel(lambda request: Reply(next(said, "again"), (ToolCall("1", "look", {}),)))


async def test_rounds_that_are_used_up_leave_what_was_written() -> None:
    def look() -> str:
        "Look."
        return "seen"

    engine = AsyncRecursiveEngine(
        endless(["First I look.", "", "It is 42."]), tools=[look], max_depth=1, max_tool_rounds=2
    )
    with pytest.raises(ToolError, match="after 2 rounds") as caught:
        await engine.solve("t")

    assert caught.value.partial == "First I look.\n\nIt is 42."
    assert str(caught.value).endswith("First I look.\n\nIt is 42.")


async def test_a_long_one_is_shortened_in_the_message_alone() -> None:
    def look() -> str:
        "Look."
        return "seen"

    engine = AsyncRecursiveEngine(endless(["x" * 5_000, "the end"]), tools=[look], max_depth=1, max_tool_rounds=1)
    with pytest.raises(ToolError) as caught:
        await engine.solve("t")

    assert len(caught.value.partial) == 5_009
    assert len(str(caught.value)) < 2_000
    assert str(caught.value).endswith("the end")


async def test_without_words_nothing_is_said_of_them() -> None:
    def look() -> str:
        "Look."
        return "seen"

    with pytest.raises(ToolError) as caught:
        await AsyncRecursiveEngine(endless(["", ""]), tools=[look], max_depth=1, max_tool_rounds=1).solve("t")
    assert "written" not in str(caught.value)
    assert caught.value.partial == ""


# -- caches ----------------------------------------------------------------------------------------------------------


def test_a_cache_tells_its_hits_and_misses() -> None:
    cache = MemoryCache()
    engine = RecursiveEngine(caller, cache=cache, max_depth=2)
    engine.solve("t")
    assert (cache.hits, cache.misses) == (0, 4)
    engine.solve("t")
    assert (cache.hits, cache.misses) == (4, 4)


def test_that_of_an_engine_can_be_asked() -> None:
    engine = RecursiveEngine(caller, cache=True, max_depth=1)
    engine.solve("t")
    engine.solve("t")
    assert isinstance(engine.cache, MemoryCache)
    assert (engine.cache.hits, engine.cache.misses) == (1, 1)
