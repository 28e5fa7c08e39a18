"""A run as an OpenTelemetry trace: spans nest as the tree does, end whatever happens, and keep texts to themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from rlm_notebook import AsyncRecursiveEngine, ModelError, RetryPolicy, RLMError, ScriptedModel
from rlm_notebook.models.scripted import Fault
from rlm_notebook.observers.tracing import Tracing


class Collected:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def above(self, name: str) -> str:
        parent = self.named(name).parent
        ids = {span.context.span_id: span.name for span in self.spans if span.context}
        return ids[parent.span_id] if parent else ""


@pytest.fixture
def collected() -> Collected:
    return Collected()


async def solved(collected: Collected, script: Any, **options: Any) -> None:
    tracing = Tracing(collected.tracer, content=options.pop("content", False))
    await AsyncRecursiveEngine(ScriptedModel(script), observers=[tracing], **options).solve("root")


async def test_spans_nest_as_the_tree_does(collected: Collected) -> None:
    await solved(collected, {"root": {"one": {"deep": "1"}, "two": "2"}})
    assert collected.above("rlm.run") == ""
    assert collected.above("rlm.node 0") == "rlm.run"
    assert collected.above("rlm.node 0.1") == "rlm.node 0"
    assert collected.above("rlm.node 0.0.0") == "rlm.node 0.0"
    assert sum(span.name == "rlm.plan" for span in collected.spans) == 4
    assert sum(span.name == "rlm.synthesize" for span in collected.spans) == 2


async def test_times_are_those_of_the_events(collected: Collected) -> None:
    await solved(collected, {"root": {"one": "1"}})
    outer, inner = collected.named("rlm.node 0"), collected.named("rlm.node 0.0")
    times: list[Any] = [outer.start_time, inner.start_time, inner.end_time, outer.end_time]
    assert times == sorted(times)


async def test_what_calls_took_is_on_their_phase(collected: Collected) -> None:
    await solved(collected, "done")
    attributes = dict(collected.named("rlm.plan").attributes or {})
    assert attributes["gen_ai.response.model"] == "scripted"
    assert attributes["rlm.calls"] == 1
    assert attributes["rlm.cost_usd"] == 0.0
    assert collected.named("rlm.run").attributes is not None
    assert (collected.named("rlm.run").attributes or {})["rlm.status"] == "done"


async def test_texts_are_recorded_only_on_request(collected: Collected) -> None:
    async def failing(inputs: Any, context: Any) -> dict[str, Any]:
        raise ValueError("the secret of the task")

    with pytest.raises(RLMError):
        await AsyncRecursiveEngine(failing, observers=[Tracing(collected.tracer)]).solve("the secret task")
    assert "secret" not in str([span.to_json() for span in collected.spans])
    assert collected.named("rlm.node 0").status.status_code is StatusCode.ERROR


async def test_with_content_the_task_and_the_answer_are_there(collected: Collected) -> None:
    await solved(collected, {"root": {"one": "1"}}, content=True)
    attributes = collected.named("rlm.node 0.0").attributes or {}
    assert (attributes["rlm.task"], attributes["rlm.answer"]) == ("one", "1")


async def test_tool_calls_are_spans_of_their_own(collected: Collected) -> None:
    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    replies = iter(
        [
            {"content": '{"decision": "EXECUTE"}'},
            {"content": None, "tool_calls": [{"name": "double", "arguments": {"number": 4}}]},
            {"content": None, "tool_calls": [{"name": "double", "arguments": {"number": "four"}}]},
            {"content": "eight"},
        ]
    )

    async def llm(inputs: Any, context: Any) -> Any:
        return next(replies)

    await AsyncRecursiveEngine(llm, tools=[double], observers=[Tracing(collected.tracer)]).solve("root")
    good, bad = [span for span in collected.spans if span.name == "execute_tool double"]
    assert (good.status.status_code, bad.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
    assert (good.attributes or {})["gen_ai.tool.name"] == "double"


async def test_two_runs_of_one_engine_do_not_mix_and_each_is_under_its_caller(collected: Collected) -> None:
    engine = AsyncRecursiveEngine(
        ScriptedModel({"root": {"one": "1"}}, latency=0.01), observers=[Tracing(collected.tracer)]
    )

    async def caller(name: str) -> None:
        with collected.tracer.start_as_current_span(name):
            await engine.solve("root")

    await asyncio.gather(caller("first"), caller("second"))
    assert len({span.context.trace_id for span in collected.spans if span.context}) == 2
    assert len(collected.spans) == 2 * 7


async def test_cancelling_ends_every_span(collected: Collected) -> None:
    model = ScriptedModel({"root": {"one": "1", "two": "2"}}, latency=5)
    run = AsyncRecursiveEngine(model, observers=[Tracing(collected.tracer)]).start("root")
    await asyncio.sleep(0.05)
    await run.cancel()
    assert {span.name for span in collected.spans} == {"rlm.run", "rlm.node 0", "rlm.plan"}
    assert all(span.end_time for span in collected.spans)


async def test_nothing_global_is_set(collected: Collected) -> None:
    before = trace.get_tracer_provider()
    await AsyncRecursiveEngine(ScriptedModel("x"), observers=[Tracing()]).solve("root")
    assert trace.get_tracer_provider() is before


async def test_each_call_of_a_model_is_a_span_and_what_was_waited_for_is_in_none(collected: Collected) -> None:
    fault = Fault("root", ModelError("503", retryable=True))
    model = ScriptedModel("done", faults=[fault])
    retry = RetryPolicy(initial=0.1, jitter=False)
    await AsyncRecursiveEngine(model, retry=retry, observers=[Tracing(collected.tracer)]).solve("root")

    failed, good = [span for span in collected.spans if span.name == "rlm.plan"]
    assert (failed.status.status_code, good.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert failed.end_time is not None
    assert good.start_time is not None
    assert good.start_time - failed.end_time >= 0.1e9
    assert [event.name for event in collected.named("rlm.node 0").events] == ["rlm.retry"]
    assert (good.attributes or {})["rlm.calls"] == (failed.attributes or {})["rlm.calls"] == 1


async def test_tokens_of_every_round_are_on_the_call_that_used_them(collected: Collected) -> None:
    def look() -> str:
        """Look."""
        return "seen"

    def llm(inputs: Any, context: Any) -> Any:
        usage = {"prompt_tokens": 7, "completion_tokens": 2}
        if any(message["role"] == "tool" for message in inputs):
            return {"content": "done", "metadata": {"usage": usage}}
        return {"content": None, "tool_calls": [{"name": "look", "arguments": {}}], "metadata": {"usage": usage}}

    tracing = Tracing(collected.tracer)
    output = await AsyncRecursiveEngine(llm, tools=[look], max_depth=1, observers=[tracing]).solve("root")
    spans = [span for span in collected.spans if span.name == "rlm.execute"]
    told = [(span.attributes or {})["gen_ai.usage.input_tokens"] for span in spans]
    assert told == [7, 7]
    assert output.usage.prompt_tokens == 14
    tool = collected.named("execute_tool look")
    assert (spans[0].end_time or 0) <= (tool.start_time or 0) <= (spans[1].start_time or 0)
