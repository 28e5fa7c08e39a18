"""The form of OpenAI's own endpoint: when it is chosen, and what is its own. What both forms hold is in test_model."""

import json

import pytest

from rlm_notebook import AsyncRecursiveEngine, tool
from rlm_notebook.exceptions import ConfigurationError, ModelError
from rlm_notebook.models import openai as adapter
from rlm_notebook.models.openai import OpenAIModel
from tests.fault_server import Act, FaultServer, refusal
from tests.models.openai.test_model import WEATHER, asking, collect, failure


@pytest.fixture
async def official(monkeypatch):
    """A server that refuses what OpenAI's own endpoint refuses, in its place."""
    async with FaultServer(official=True) as server:
        monkeypatch.setattr(adapter, "OFFICIAL_URL", server.url)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
        yield server


class TestChoice:
    async def test_openai_itself_is_asked_in_responses_and_takes_tools_with_reasoning(self, official):
        call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        official.script = [Act(tool_calls=[call])]
        _, reply = await collect(OpenAIModel("gpt-5-mini", reasoning_effort="high"), asking(tools=(WEATHER,)))

        assert [call.name for call in reply.tool_calls] == ["weather"]
        assert [seen.path for seen in official.requests] == ["/v1/responses"]
        assert official.bodies[0]["reasoning"] == {"effort": "high"}

    async def test_chat_completions_there_would_have_cost_the_reasoning(self, official):
        model = OpenAIModel("gpt-5-mini", reasoning_effort="high", wire="chat")
        await collect(model, asking(tools=(WEATHER,)))

        assert [(act.status, seen.effort) for act, seen in zip(official.acts, official.requests, strict=True)] == [
            (400, "high"),
            (200, "none"),
        ]

    async def test_a_run_with_tools_never_meets_the_refusal(self, official):
        call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}

        @tool
        def weather(city: str) -> str:
            """The weather in a city."""
            return f"sunny in {city}"

        official.script = lambda seen: (
            None if seen.wants_plan or "output" in str(seen.body["input"][-1]) else Act(tool_calls=[call])
        )
        output = await AsyncRecursiveEngine(OpenAIModel("gpt-5-mini"), tools=[weather], max_depth=1).solve("Weather?")

        assert output.content == "answer to: Weather?"
        assert [act.status for act in official.acts] == [200, 200]
        assert official.bodies[1]["input"][-2:] == [
            {"type": "function_call", "call_id": "a", "name": "weather", "arguments": '{"city": "Oslo"}'},
            {"type": "function_call_output", "call_id": "a", "output": "sunny in Oslo"},
        ]

    @pytest.mark.parametrize(
        ("url", "wire"),
        [
            ("https://api.openai.com/v1", "responses"),
            ("https://eu.api.openai.com/v1", "responses"),
            ("https://api.openai.com.example.org/v1", "chat"),
            ("http://127.0.0.1:11434/v1", "chat"),
        ],
    )
    def test_the_form_goes_by_the_address(self, url, wire):
        assert adapter._is_official(url) is (wire == "responses")

    def test_a_form_that_is_none_is_refused_where_it_is_given(self):
        with pytest.raises(ConfigurationError, match=r"wire='completions'.*'responses', 'chat'"):
            OpenAIModel("m", wire="completions")  # type: ignore[arg-type]


@pytest.fixture
async def serve():
    servers = []

    async def start(script=(), **options):
        servers.append(await FaultServer(script, **options).__aenter__())
        return servers[-1]

    yield start
    for server in servers:
        await server.__aexit__()


def model_of(server, **options):
    return OpenAIModel("test", base_url=server.url, wire="responses", **options)


class TestForm:
    async def test_only_what_is_given_is_sent_and_nothing_is_stored(self, serve):
        server = await serve()
        await collect(model_of(server), asking())
        await collect(model_of(server, temperature=0.7), asking(max_output_tokens=9, tools=(WEATHER,)))

        assert set(server.bodies[0]) == {"model", "input", "store"}
        assert server.bodies[0]["store"] is False
        assert server.bodies[1]["temperature"] == 0.7
        assert server.bodies[1]["max_output_tokens"] == 9
        assert server.bodies[1]["tools"] == [{"type": "function", **WEATHER, "strict": False}]

    async def test_parallel_calls_stream_in_the_order_of_the_reply_behind_text_and_reasoning(self, serve):
        calls = [
            {"id": f"call_{n}", "type": "function", "function": {"name": "weather", "arguments": json.dumps({"n": n})}}
            for n in range(3)
        ]
        server = await serve([Act(content="I look it up.", tool_calls=calls)])
        pieces, reply = await collect(model_of(server), asking(tools=(WEATHER,), streaming=True))

        assert "".join(pieces) == reply.content == "I look it up."
        assert [(call.id, call.arguments) for call in reply.tool_calls] == [(f"call_{n}", {"n": n}) for n in range(3)]
        assert reply.finish_reason == "tool_calls"

    async def test_an_answer_that_was_cut_off_says_so(self, serve):
        server = await serve([Act(content="half an ans", finish_reason="length")] * 2)
        for streaming in (False, True):
            _, reply = await collect(model_of(server), asking(streaming=streaming))
            assert (reply.content, reply.finish_reason) == ("half an ans", "length")

    @pytest.mark.parametrize(
        ("code", "retryable", "fatal"),
        [("server_error", True, False), ("rate_limit_exceeded", True, False), ("invalid_prompt", False, False)],
    )
    @pytest.mark.parametrize("streaming", [False, True])
    async def test_a_response_that_failed_is_an_error_with_what_it_used(self, serve, code, retryable, fatal, streaming):
        failed = {
            "id": "r",
            "object": "response",
            "status": "failed",
            "model": "test",
            "output": [],
            "error": {"code": code, "message": "it did not work"},
            "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
        }
        act = Act(chunks=[{"type": "response.failed", "response": failed}]) if streaming else Act(body=failed)
        server = await serve([act])
        error = await failure(model_of(server), asking(streaming=streaming))

        assert "it did not work" in str(error)
        assert (error.retryable, error.fatal) == (retryable, fatal)
        assert error.usage is not None
        assert error.usage.total_tokens == 10

    async def test_a_reply_that_comes_whole_at_the_end_of_a_stream_is_read_there(self, serve):
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
        usage = {"input_tokens": 7, "output_tokens": -3}
        whole = {"id": "r", "object": "response", "status": "completed", "output": [said], "usage": usage}
        server = await serve([Act(chunks=[{"type": "response.completed", "response": whole}])])
        pieces, reply = await collect(model_of(server), asking(streaming=True))

        assert (pieces, reply.content) == (["hello"], "hello")
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (7, 0), "nobody is given tokens back"

    async def test_an_error_event_in_a_stream(self, serve):
        event = {"type": "error", "code": "server_error", "message": "overloaded", "param": None}
        server = await serve([Act(chunks=[event])])
        error = await failure(model_of(server), asking(streaming=True))

        assert error.retryable
        assert "overloaded" in str(error)

    async def test_a_server_without_responses_says_what_to_do(self, serve):
        server = await serve([refusal(404, "no such path")])
        error = await failure(model_of(server), asking())

        assert isinstance(error, ModelError)
        assert "not found" in str(error)
