"""The OpenAI adapter against a server on a real socket, well behaved and not."""

import asyncio
import gc
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rlm_notebook.core.limits import Usage
from rlm_notebook.core.plan import PLAN_SCHEMA, Recurse, parse_plan
from rlm_notebook.exceptions import ConfigurationError, ModelError
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.models.provider import http_clients
from rlm_notebook.models.provider.errors import retry_after
from rlm_notebook.ports import Model, NodeFacts, Reply, Request
from tests.fault_server import Act, FaultServer, refusal
from tests.support.waiting import HANG

SECRET = "sk-proj-abcdefghijklmnop1234567890"
ROOT = Path(__file__).parents[2]
WEATHER = {"name": "weather", "description": "", "parameters": {"type": "object", "properties": {}}}


def asking(text="What?", *, mode="worker", **options):
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": text})
    return Request(mode, options.pop("messages", messages), NodeFacts(text), **options)


async def collect(model, request):
    """The pieces of text and the reply."""
    *pieces, reply = [piece async for piece in model.stream(request)]
    assert isinstance(reply, Reply)
    assert all(isinstance(piece, str) for piece in pieces)
    return pieces, reply


async def collect_rest(stream):
    return [piece async for piece in stream]


async def failure(model, request) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await collect(model, request)
    error = caught.value
    assert "\n" not in str(error), "one line"
    assert model.name in str(error), "it says what was attempted"
    assert "; " in str(error), "it says what to do next"
    return error


@pytest.fixture
async def serve():
    """Servers that live as long as the test."""
    servers = []

    async def start(script=(), **options):
        servers.append(await FaultServer(script, **options).__aenter__())
        return servers[-1]

    yield start
    for server in servers:
        await server.__aexit__()


class Spoken:
    """The form of the protocol, and the transport, in which a test's models speak."""

    wire = "chat"
    transport = os.environ.get("RLM_TEST_TRANSPORT")


@pytest.fixture(params=["chat", "responses"])
def wire(request, monkeypatch):
    """For tests whose promise holds in both forms of the protocol."""
    monkeypatch.setattr(Spoken, "wire", request.param)
    return request.param


def model_of(server, name="test", **options):
    return OpenAIModel(name, **{"base_url": server.url, "wire": Spoken.wire, "transport": Spoken.transport, **options})


both_forms = pytest.mark.usefixtures("wire")


class TestReplies:
    @both_forms
    async def test_a_plain_call_gives_one_reply_with_the_tokens_as_counted(self, serve):
        server = await serve()
        pieces, reply = await collect(model_of(server), asking("Hello"))
        assert pieces == []
        assert reply.content == "answer to: Hello"
        assert reply.usage == Usage(10, 5, cached_tokens=4, reasoning_tokens=2, cost_usd=0.0)
        assert (reply.model, reply.finish_reason) == ("test", "stop")
        assert "stream" not in server.bodies[0]

    @both_forms
    async def test_a_streamed_call_gives_the_text_in_pieces_then_the_same_reply(self, serve):
        server = await serve()
        pieces, reply = await collect(model_of(server), asking("Hello", streaming=True))
        assert len(pieces) > 1
        assert "".join(pieces) == reply.content == "answer to: Hello"
        assert reply.usage == Usage(10, 5, cached_tokens=4, reasoning_tokens=2, cost_usd=0.0)

    @both_forms
    @pytest.mark.parametrize("streaming", [False, True])
    async def test_usage_that_the_server_does_not_tell_is_unknown(self, serve, streaming):
        server = await serve([Act(content="hi", usage=None)])
        _, reply = await collect(model_of(server), asking(streaming=streaming))
        assert reply.usage is None

    @both_forms
    @pytest.mark.parametrize("streaming", [False, True])
    async def test_tool_calls_come_with_decoded_arguments(self, serve, streaming):
        calls = [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Łódź"}'}},
            {"id": "b", "type": "function", "function": {"name": "weather", "arguments": '{"city": '}},
        ]
        server = await serve([Act(tool_calls=calls)])
        _, reply = await collect(model_of(server), asking(tools=(WEATHER,), streaming=streaming))
        assert [call.id for call in reply.tool_calls] == ["a", "b"]
        assert reply.tool_calls[0].arguments == {"city": "Łódź"}
        assert reply.tool_calls[1].arguments == '{"city": ', "what does not decode stays text"
        assert reply.finish_reason == "tool_calls"
        (offered,) = server.bodies[0]["tools"]
        assert WEATHER.items() <= offered.get("function", offered).items()

    @both_forms
    @pytest.mark.parametrize("streaming", [False, True])
    async def test_calls_without_an_id_get_one_that_is_new_in_the_conversation(self, serve, streaming):
        call = {"id": "", "type": "function", "function": {"name": "weather", "arguments": ""}}
        server = await serve(lambda seen: Act(tool_calls=[call, call]))
        told = {"role": "tool", "content": "sunny", "tool_call_id": "call_0"}
        request = asking(messages=({"role": "user", "content": "?"}, told), tools=(WEATHER,), streaming=streaming)
        _, reply = await collect(model_of(server), request)
        assert [(call.id, call.arguments) for call in reply.tool_calls] == [("call_1", {}), ("call_2", {})]

    async def test_streamed_tool_calls_that_share_an_index_are_told_apart_by_their_ids(self, serve):
        def event(call_id, city):
            function = {"name": "weather", "arguments": json.dumps({"city": city})}
            delta = {"tool_calls": [{"index": 0, "id": call_id, "type": "function", "function": function}]}
            return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}

        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
        server = await serve([Act(chunks=[event("a", "Oslo"), event("b", "Rome"), end, "[DONE]"])])
        _, reply = await collect(model_of(server), asking(tools=(WEATHER,), streaming=True))
        assert [(call.id, call.arguments) for call in reply.tool_calls] == [
            ("a", {"city": "Oslo"}),
            ("b", {"city": "Rome"}),
        ]

    async def test_a_conversation_with_tools_goes_out_in_the_form_of_the_protocol(self, serve):
        server = await serve()
        messages = (
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "a", "name": "weather", "arguments": {"x": 1}}]},
            {"role": "tool", "content": "sunny", "tool_call_id": "a"},
        )
        await collect(model_of(server), asking(messages=messages))
        function = {"name": "weather", "arguments": '{"x": 1}'}
        assert server.bodies[0]["messages"][1]["tool_calls"] == [{"id": "a", "type": "function", "function": function}]
        assert server.bodies[0]["messages"][2] == messages[2]

    async def test_only_what_is_given_is_sent(self, serve):
        server = await serve()
        await collect(model_of(server), asking())
        await collect(model_of(server, temperature=0.7), asking(temperature=0.0, max_output_tokens=9))
        assert set(server.bodies[0]) == {"model", "messages"}
        assert server.bodies[1]["temperature"] == 0.0, "the request's own goes first, zero too"
        assert server.bodies[1]["max_tokens"] == 9

    @both_forms
    async def test_the_servers_brain_plans_what_the_engine_can_read(self, serve):
        server = await serve()
        text = "# Goal\nnot this\nsplit: x\n\n# Task\nTrip\nsplit: fly | sleep\n\n# Results\nnor this"
        _, reply = await collect(model_of(server), asking(text, mode="planner", schema=PLAN_SCHEMA))
        plan = parse_plan(reply.content)
        assert isinstance(plan, Recurse)
        assert [task.task for task in plan.sub_tasks] == ["fly", "sleep"]

    async def test_text_in_parts_is_joined(self, serve):
        parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
        message = {"choices": [{"message": {"role": "assistant", "content": parts}, "finish_reason": "stop"}]}
        server = await serve([Act(body=message)])
        assert (await collect(model_of(server), asking()))[1].content == "one two"


class TestWhatServersDoNotTake:
    @both_forms
    async def test_a_refused_schema_goes_down_the_ladder_and_is_remembered(self, serve):
        def script(seen):
            form = seen.form.get("type")
            return refusal(400, f"response_format of type {form} is not supported") if form else Act(content="{}")

        server = await serve(script)
        schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
        await collect(model_of(server), asking(schema=schema))
        await collect(model_of(server), asking(schema=schema))
        sent = [seen.form.get("type") for seen in server.requests]
        assert sent == ["json_schema", "json_object", None, None], "the second call starts where the first ended"
        assert json.dumps(schema) in server.requests[-1].messages[0]["content"], "then the model itself is told"

    @both_forms
    async def test_a_failed_call_teaches_nothing(self, serve):
        """A wrong schema must not cost every later schema its strictness."""

        def script(seen):
            return refusal(400, "bad response_format, and the rest too") if seen.index < 3 else Act(content="{}")

        server = await serve(script)
        await failure(model_of(server), asking(schema=PLAN_SCHEMA))
        await collect(model_of(server), asking(schema=PLAN_SCHEMA))
        assert server.requests[-1].form["type"] == "json_schema"

    @both_forms
    async def test_strict_is_asked_for_only_where_the_schema_allows_it(self, serve):
        server = await serve()
        await collect(model_of(server), asking(schema=PLAN_SCHEMA))
        await collect(model_of(server), asking(schema={"type": "object", "properties": {"x": {"type": "string"}}}))
        assert [seen.form["strict"] for seen in server.requests] == [True, False]

    @both_forms
    @pytest.mark.parametrize("param", ["temperature", None])
    async def test_a_refused_temperature_is_left_out_and_stays_out(self, serve, param):
        def script(seen):
            if "temperature" not in seen.body:
                return Act(content="fine")
            error = {"message": "Unsupported value: 'temperature' does not support 0", "param": param}
            return Act(status=400, body={"error": error})

        server = await serve(script)
        for _ in range(2):
            await collect(model_of(server), asking(temperature=0.0))
        assert ["temperature" in body for body in server.bodies] == [True, False, False]

    async def test_refused_stream_options_are_left_out(self, serve):
        def script(seen):
            if "stream_options" in seen.body:
                return Act(status=422, body={"detail": "Extra inputs are not permitted: stream_options"})
            return Act(content="fine")

        server = await serve(script)
        pieces, _ = await collect(model_of(server), asking(streaming=True))
        assert "".join(pieces) == "fine"
        assert len(server.requests) == 2

    async def test_the_other_name_of_the_token_limit_is_tried(self, serve):
        def script(seen):
            if "max_tokens" in seen.body:
                return refusal(400, "'max_tokens' is not supported with this model. Use 'max_completion_tokens'.")
            return Act(content="fine")

        server = await serve(script)
        await collect(model_of(server), asking(max_output_tokens=7))
        assert server.bodies[-1]["max_completion_tokens"] == 7

    async def test_a_model_that_takes_tools_only_without_reasoning(self, serve):
        def script(seen):
            if "tools" not in seen.body or seen.body.get("reasoning_effort") == "none":
                return Act(content="fine")
            said = "Function tools with reasoning_effort are not supported. Use /v1/responses or set it to 'none'."
            return Act(status=400, body={"error": {"message": said, "param": "reasoning_effort"}})

        server = await serve(script)
        model = model_of(server, reasoning_effort="high")
        await collect(model, asking(tools=(WEATHER,)))
        await collect(model, asking(tools=(WEATHER,)))
        await collect(model, asking())
        assert [body["reasoning_effort"] for body in server.bodies] == ["high", "none", "none", "high"]

    @both_forms
    async def test_a_server_that_repeats_its_refusal_is_not_asked_for_ever(self, serve):
        server = await serve(lambda seen: refusal(400, "temperature reasoning_effort response_format stream_options"))
        request = asking(temperature=0.5, schema=PLAN_SCHEMA, streaming=True, tools=(WEATHER,))
        await asyncio.wait_for(failure(model_of(server), request), HANG)
        assert len(server.requests) <= 7

    @both_forms
    async def test_a_refusal_that_names_its_parameter_is_taken_at_its_word(self, serve):
        error = {"message": "messages[1] mentions temperature", "param": "messages"}
        server = await serve([Act(status=400, body={"error": error})])
        await failure(model_of(server), asking(temperature=0.5))
        assert len(server.requests) == 1

    @both_forms
    async def test_a_400_about_something_else_is_not_repeated(self, serve):
        server = await serve([refusal(400, "messages: too strange")])
        error = await failure(model_of(server), asking(temperature=0.5, schema=PLAN_SCHEMA, streaming=True))
        assert (error.status, error.retryable, error.fatal) == (400, False, False)
        assert "too strange" in str(error)
        assert len(server.requests) == 1


class TestErrors:
    @both_forms
    @pytest.mark.parametrize(
        ("act", "status", "retryable", "fatal", "words"),
        [
            (refusal(401, "Incorrect API key provided"), 401, False, True, "access refused"),
            (refusal(403, "region"), 403, False, True, "access refused"),
            (refusal(404, "The model `test` does not exist", code="model_not_found"), 404, False, True, "not found"),
            (refusal(402, "no money"), 402, False, True, "quota"),
            (refusal(429, "too many tokens per minute"), 429, True, False, "rate limited"),
            (refusal(429, "slow down"), 429, True, False, "rate limited"),
            (refusal(429, "You exceeded your quota", code="insufficient_quota"), 429, False, True, "quota"),
            (refusal(400, "too long", code="context_length_exceeded"), 400, False, False, "prompt is too long"),
            (refusal(400, "exceeds the available context size"), 400, False, False, "prompt is too long"),
            (refusal(408, "slow"), 408, True, False, "server failed"),
            (refusal(409, "conflict"), 409, True, False, "server failed"),
            (refusal(500, "oops"), 500, True, False, "server failed"),
            (refusal(503, "overloaded"), 503, True, False, "server failed"),
            (Act(status=502, body="<html>Bad gateway</html>", content_type="text/html"), 502, True, False, "failed"),
            (refusal(418, "teapot"), 418, False, False, "refused"),
        ],
    )
    @pytest.mark.parametrize("streaming", [False, True])
    async def test_each_status_says_whether_trying_again_can_help(
        self, serve, act, status, retryable, fatal, words, streaming
    ):
        server = await serve([act])
        error = await failure(model_of(server), asking(streaming=streaming))
        assert (error.status, error.retryable, error.fatal) == (status, retryable, fatal)
        assert words in str(error)
        assert server.url in str(error)
        assert len(server.requests) == 1, "the SDK does not repeat on its own"

    @both_forms
    async def test_the_wait_that_the_provider_asks_for_is_passed_on(self, serve):
        server = await serve([refusal(429, "slow down", headers={"Retry-After": "7"})])
        assert (await failure(model_of(server), asking())).retry_after == 7.0

    @both_forms
    @pytest.mark.parametrize(
        ("act", "words"),
        [
            (Act(body='{"choices": [', content_type="application/json"), "not what the protocol says"),
            (Act(body="<html>Welcome</html>", content_type="text/html"), "Welcome"),
            (Act(body={"object": "x"}), "no answer"),
            (Act(body={"choices": []}), "no answer"),
            (Act(body={"choices": [{"index": 0}]}), "no answer"),
            (Act(body={"error": {"message": "provider down", "code": 503}}), "provider down"),
            (Act(content=""), "empty"),
            (Act(content=" \n "), "empty"),
        ],
    )
    async def test_a_200_that_holds_no_answer_is_a_retryable_error(self, serve, act, words):
        server = await serve([act])
        error = await failure(model_of(server), asking())
        assert words in str(error)
        assert error.retryable

    @both_forms
    @pytest.mark.parametrize(
        "act",
        [
            Act(content="a long enough answer", broken="reset", after=3),
            Act(content="a long enough answer", broken="cut", after=3),
            Act(chunks=[{"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": None}]}]),
            Act(chunks=[{"type": "response.output_text.delta", "output_index": 0, "delta": "half"}]),
            Act(chunks=["not json"]),
            Act(chunks=['{"error": {"message": "overloaded"}}']),
            Act(chunks=[]),
            Act(body="<html>Welcome</html>", content_type="text/html"),
        ],
    )
    async def test_a_stream_that_breaks_off_is_a_retryable_error_never_a_short_answer(self, serve, act):
        server = await serve([act])
        assert (await failure(model_of(server), asking(streaming=True))).retryable

    @both_forms
    @pytest.mark.parametrize("broken", ["reset", "cut"])
    @pytest.mark.parametrize("after", [0, 2])
    async def test_a_connection_that_breaks_is_a_retryable_error(self, serve, broken, after):
        server = await serve([Act(broken=broken, after=after)])
        error = await failure(model_of(server), asking())
        assert error.retryable
        assert "broke" in str(error)

    @both_forms
    async def test_reasoning_that_eats_the_whole_answer_is_said_and_not_repeated(self, serve):
        server = await serve([Act(content="", finish_reason="length")])
        error = await failure(model_of(server), asking())
        assert "output tokens" in str(error)
        assert not error.retryable

    @both_forms
    @pytest.mark.parametrize("streaming", [False, True])
    async def test_a_refusal_in_the_models_own_words(self, serve, streaming):
        server = await serve([Act(refusal="I cannot help with that")])
        error = await failure(model_of(server), asking(streaming=streaming))
        assert "I cannot help with that" in str(error)
        assert not error.retryable

    @both_forms
    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize("act", [Act(delay=3600), Act(broken="hang"), Act(drip=0.02)])
    async def test_the_deadline_holds_however_the_server_stalls(self, serve, act, streaming):
        server = await serve([act])
        error = await failure(model_of(server), asking(streaming=streaming, deadline=0.4))
        assert "0.4 s" in str(error)
        assert error.retryable

    @both_forms
    async def test_a_stream_that_stops_in_the_middle_of_its_text_is_given_up(self, serve):
        server = await serve([Act(content="x" * 100, broken="hang", after=9)])
        error = await failure(model_of(server, stall_timeout=0.2), asking(streaming=True, deadline=30))
        assert "the stream stalled, nothing came for 0.2 s" in str(error)
        assert error.retryable

    @both_forms
    async def test_silence_before_the_text_is_thinking(self, serve):
        server = await serve([Act(content="x" * 100, delay=0.5)])
        assert (await collect(model_of(server, stall_timeout=0.2), asking(streaming=True)))[1].content == "x" * 100

    @both_forms
    async def test_a_slow_consumer_is_not_cut_off_by_a_timer_in_its_own_code(self, serve):
        """A deadline that passes while the consumer works shows when it waits again, as a `ModelError`."""
        server = await serve([Act(content="x" * 100, broken="hang", after=9)])
        stream = model_of(server).stream(asking(streaming=True, deadline=1.5))
        await anext(stream)
        await asyncio.sleep(1.7)
        with pytest.raises(ModelError, match=r"1\.5 s"):
            await collect_rest(stream)

    async def test_a_server_that_is_not_running_is_said_at_once(self):
        model = OpenAIModel("m", base_url="http://127.0.0.1:1/v1")
        error = await failure(model, asking())
        assert "http://127.0.0.1:1/v1" in str(error)
        assert str(error).endswith("is the server running?")
        assert error.retryable

    async def test_a_name_that_does_not_resolve(self):
        error = await failure(OpenAIModel("m", base_url="http://no-such-host.invalid/v1"), asking())
        assert "does not resolve" in str(error)

    async def test_https_on_a_plain_server(self, serve):
        server = await serve()
        error = await failure(OpenAIModel("m", base_url=server.url.replace("http:", "https:")), asking())
        assert "no secure connection" in str(error)
        assert not error.retryable

    @both_forms
    async def test_cancelling_the_caller_closes_the_call(self, serve):
        arrived = asyncio.Event()
        server = await serve(lambda seen: arrived.set() or Act(broken="hang"))
        task = asyncio.create_task(collect(model_of(server), asking(streaming=True)))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


class TestKeys:
    @both_forms
    async def test_the_key_is_read_when_it_is_used(self, serve, monkeypatch):
        server = await serve()
        model = model_of(server, api_key_env="MY_KEY")
        monkeypatch.setenv("MY_KEY", SECRET)
        await collect(model, asking())
        assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"

    async def test_a_key_for_openai_is_not_sent_elsewhere_unasked(self, serve, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        server = await serve()
        await collect(model_of(server), asking())
        assert SECRET not in str(server.requests)

    async def test_without_a_base_url_the_environments_is_used_with_its_key(self, serve, monkeypatch):
        server = await serve()
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        _, reply = await collect(OpenAIModel("gpt-5-mini"), asking("Hi"))
        assert reply.content == "answer to: Hi"
        assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"

    async def test_a_missing_key_is_one_clear_line_and_ends_the_run(self, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        with pytest.raises(
            ModelError, match=r"^openai:gpt-5-mini needs OPENAI_API_KEY; set it, or choose another model"
        ) as caught:
            await collect(OpenAIModel("gpt-5-mini"), asking())
        assert caught.value.fatal

    @both_forms
    @pytest.mark.parametrize(
        "act",
        [
            refusal(401, f"Incorrect API key provided: {SECRET}. Also Bearer {SECRET}"),
            refusal(400, f"unknown field {SECRET}"),
            Act(body=f"<html>{SECRET}</html>", content_type="text/html"),
            Act(body={"error": {"message": SECRET}}),
        ],
    )
    async def test_no_key_is_in_an_error_however_the_server_echoes_it(self, serve, monkeypatch, act):
        monkeypatch.setenv("MY_KEY", SECRET)
        server = await serve([act])
        error = await failure(model_of(server, api_key_env="MY_KEY"), asking())
        assert SECRET not in shown(error)
        assert "***" in str(error)

    async def test_a_key_that_does_not_look_like_one_is_masked_too(self, serve, monkeypatch):
        monkeypatch.setenv("MY_KEY", "correct horse battery")
        server = await serve([refusal(401, "wrong key: correct horse battery")])
        error = await failure(model_of(server, api_key_env="MY_KEY"), asking())
        assert "horse" not in shown(error)

    @both_forms
    async def test_credentials_in_the_url_are_used_and_never_shown(self, serve):
        server = await serve([Act(), refusal(500, "oops")])
        model = model_of(server, base_url=server.url.replace("//", "//ann:pass%40word@"))
        await collect(model, asking())
        assert server.requests[0].headers["authorization"] == "Basic YW5uOnBhc3NAd29yZA=="
        told = f"{model!r} {model.name} {shown(await failure(model, asking()))}"
        assert "word" not in told
        assert "ann" not in told

    async def test_a_key_in_the_query_is_sent_and_never_shown(self, serve):
        server = await serve([Act(), refusal(500, "oops")])
        model = model_of(server, base_url=f"{server.url}?code=hidden")
        await collect(model, asking())
        assert server.requests[0].path == "/v1/chat/completions?code=hidden"
        assert "hidden" not in f"{model!r} {model.name} {shown(await failure(model, asking()))}"

    async def test_a_placeholder_key_does_not_garble_errors(self, serve, monkeypatch):
        monkeypatch.setenv("MY_KEY", "e")
        server = await serve([refusal(500, "everything else")])
        assert "everything else" in str(await failure(model_of(server, api_key_env="MY_KEY"), asking()))

    def test_an_endpoint_shows_no_secret(self):
        endpoint = http_clients.ClientSettings("http://ann:secret@host/v1", SECRET, 10)
        assert "secret" not in repr(endpoint)
        assert SECRET not in repr(endpoint)


def shown(error: BaseException) -> str:
    """What a traceback prints of an error."""
    import traceback

    return "".join(traceback.format_exception(error))


class TestValue:
    def test_it_is_a_model(self):
        assert isinstance(OpenAIModel("x"), Model)

    def test_names(self):
        assert OpenAIModel("gpt-5-mini").name == "openai:gpt-5-mini"
        assert OpenAIModel("q", base_url="http://h:1/v1").name == "http://h:1/v1#q"
        assert OpenAIModel("q", base_url="http://h:1/v1", label="ollama:q").name == "ollama:q"

    def test_equal_settings_are_equal(self):
        assert OpenAIModel("x") == OpenAIModel("x") != OpenAIModel("x", temperature=0.1)

    def test_no_name_is_refused_where_it_is_given(self):
        with pytest.raises(ConfigurationError, match="name a model"):
            OpenAIModel("")

    @pytest.mark.parametrize(
        "url", ["localhost:8080", "http://", "http://h:port/v1", "ftp://h/v1", "ann:secret@h/v1", ""]
    )
    async def test_what_is_no_url_is_refused_wherever_it_comes_from(self, monkeypatch, url):
        with pytest.raises(ConfigurationError, match="base_url=") as caught:
            OpenAIModel("x", base_url=url)
        assert "secret" not in str(caught.value)
        if url:
            monkeypatch.setenv("OPENAI_BASE_URL", url)
            with pytest.raises(ConfigurationError, match="OPENAI_BASE_URL="):
                await collect(OpenAIModel("x"), asking())

    @both_forms
    async def test_a_local_model_is_free_and_the_price_of_any_other_unknown(self, serve):
        server = await serve()
        _, reply = await collect(model_of(server), asking())
        assert reply.usage.cost_usd == 0.0
        assert not http_clients.is_loopback("https://api.openai.com/v1")
        assert not http_clients.is_loopback("http://127.0.0.1.example.com/v1")
        assert http_clients.is_loopback("http://[::1]:8080/v1")
        assert http_clients.is_loopback("http://localhost/v1")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "20s"}, None),
    ],
)
def test_retry_after_reads_every_form_that_providers_use(headers, seconds):
    assert retry_after(headers) == seconds


class TestClients:
    async def test_calls_share_connections(self, serve):
        server = await serve()
        for _ in range(5):
            await collect(model_of(server), asking())
        assert server.connections == 1

    async def test_a_hundred_calls_at_once_all_run_at_once(self, serve):
        server = await serve(lambda seen: Act(delay=0.3))
        await asyncio.gather(*(collect(model_of(server), asking(str(at))) for at in range(100)))
        assert server.peak == 100

    async def test_models_at_one_address_share_a_client_and_other_loops_have_their_own(self, serve):
        server = await serve()
        await collect(model_of(server), asking())
        await collect(model_of(server, "other"), asking())
        here = [endpoint for _, endpoint in http_clients._open if endpoint.url == server.url]
        assert len(here) == 1
        await asyncio.to_thread(asyncio.run, collect(model_of(server), asking()))
        here = [endpoint for _, endpoint in http_clients._open if endpoint.url == server.url]
        assert len(here) == 1, "the other loop's client went with its loop"

    @pytest.mark.parametrize(
        "main",
        [
            "asyncio.run(call()); asyncio.run(call())",
            "loop = asyncio.new_event_loop(); loop.run_until_complete(call())",
            # Who closes a loop like this leaves its transports open; that warning is his, and Python hides it.
            "warnings.simplefilter('ignore', ResourceWarning); loop = asyncio.new_event_loop(); "
            "loop.run_until_complete(call()); loop.close()",
            "loop = asyncio.new_event_loop(); threading.Thread(target=loop.run_forever, daemon=True).start(); "
            "asyncio.run_coroutine_threadsafe(call(), loop).result()",
        ],
    )
    def test_a_process_ends_without_complaints_however_it_ran_its_loop(self, main):
        with FaultServer() as server:
            code = f"""
                import asyncio, threading, warnings
                from rlm_notebook.models.openai import OpenAIModel
                from rlm_notebook.ports import NodeFacts, Request

                async def call():
                    request = Request("worker", ({{"role": "user", "content": "Hi"}},), NodeFacts("Hi"), streaming=True)
                    async for piece in OpenAIModel("m", base_url="{server.url}").stream(request):
                        pass
                    print(piece.content)

                {main}
            """
            done = subprocess.run(
                [sys.executable, "-W", "default::ResourceWarning", "-c", textwrap.dedent(code)],
                capture_output=True,
                text=True,
                timeout=HANG,
                cwd=ROOT,
            )
        assert set(done.stdout.split("\n")) == {"answer to: Hi", ""}
        complaints = re.findall(r"^.*(?:Unclosed|Warning|Error|Exception|never).*$", done.stderr, re.MULTILINE)
        # A loop that its owner did not close is his leak, too.
        assert [line for line in complaints if "event loop" not in line] == []

    @pytest.mark.filterwarnings("ignore::ResourceWarning")
    def test_what_a_closed_loop_left_is_cleared_away(self):
        def leave():
            loop = asyncio.new_event_loop()
            loop.run_until_complete(collect(OpenAIModel("m", base_url=server.url), asking()))
            loop.close()
            return [loop for loop, endpoint in http_clients._open if endpoint.url == server.url]

        with FaultServer() as server:
            assert [len(leave()) for _ in range(3)] == [1, 1, 1]
        http_clients._close_all(only_of_closed_loops=True)
        gc.collect()

    def test_importing_the_adapter_imports_no_sdk(self):
        code = "import sys, rlm_notebook.models.openai as m; m.OpenAIModel('x'); print('openai' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, cwd=ROOT)
        assert done.stdout.strip() == "False"


@both_forms
async def test_nothing_is_left_open_after_an_abandoned_stream(serve, recwarn):
    server = await serve([Act(content="x" * 200, broken="hang", after=9)])
    stream = model_of(server).stream(asking(streaming=True))
    await anext(stream)
    await stream.aclose()
    del stream
    gc.collect()
    await asyncio.sleep(0.05)
    assert [str(warning.message) for warning in recwarn if "nclosed" in str(warning.message)] == []
