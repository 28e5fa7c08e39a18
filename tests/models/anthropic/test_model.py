"""The Anthropic adapter against a server on a real socket, well behaved and not."""

import asyncio
import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_notebook import AsyncRecursiveEngine
from rlm_notebook.core.limits import Usage
from rlm_notebook.core.plan import PLAN_SCHEMA, Recurse, parse_plan
from rlm_notebook.exceptions import ConfigurationError, ModelError
from rlm_notebook.host.installation import install_command
from rlm_notebook.models import anthropic as adapter
from rlm_notebook.models.anthropic import AnthropicModel
from rlm_notebook.ports import Model, NodeFacts, Reply, Request
from tests.fault_server import Act
from tests.messages_server import MessagesServer, refusal
from tests.support.waiting import HANG

pytest.importorskip("anthropic", reason="needs the extra `anthropic`, which the extra `test` brings")

SECRET = "sk-ant-abcdefghijklmnop1234567890"
ROOT = Path(__file__).parents[2]
WEATHER = {"name": "weather", "description": "of a city", "parameters": {"type": "object", "properties": {}}}
OPEN_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}


@pytest.fixture(autouse=True)
def _nothing_learned(monkeypatch):
    monkeypatch.setattr(adapter, "_learned", {})
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def serve():
    """Servers that live as long as the test."""
    servers = []

    async def start(script=(), **options):
        servers.append(await MessagesServer(script, **options).__aenter__())
        return servers[-1]

    yield start
    for server in servers:
        await server.__aexit__()


def model_of(server, **options):
    return AnthropicModel("test", base_url=server.url, **options)


def asking(text="What?", *, mode="worker", **options):
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": text})
    return Request(mode, options.pop("messages", messages), NodeFacts(text), **options)


async def collect(model, request):
    *pieces, reply = [piece async for piece in model.stream(request)]
    assert isinstance(reply, Reply)
    assert all(isinstance(piece, str) for piece in pieces)
    return pieces, reply


async def failure(model, request) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await collect(model, request)
    error = caught.value
    assert "\n" not in str(error), "one line"
    assert model.name in str(error), "it says what was attempted"
    assert "; " in str(error), "it says what to do next"
    return error


def calling(*cities):
    return Act(
        tool_calls=[
            {"id": f"toolu_{at}", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}
            for at, city in enumerate(cities)
        ]
    )


class TestReplies:
    @pytest.mark.parametrize("streaming", [False, True])
    async def test_a_call_gives_its_text_and_the_tokens_as_counted(self, serve, streaming):
        server = await serve()
        pieces, reply = await collect(model_of(server), asking("Hello", streaming=streaming))
        assert reply.content == "answer to: Hello"
        assert "".join(pieces) == (reply.content if streaming else "")
        assert (len(pieces) > 1) == streaming
        assert reply.usage == Usage(10, 5, cached_tokens=4, cost_usd=0.0), "what came from the cache is in the prompt"
        assert (reply.model, reply.finish_reason) == ("test", "stop")

    @pytest.mark.parametrize("streaming", [False, True])
    async def test_usage_that_the_server_does_not_tell_is_unknown(self, serve, streaming):
        server = await serve([Act(content="hi", usage=None)])
        assert (await collect(model_of(server), asking(streaming=streaming)))[1].usage is None

    @pytest.mark.parametrize("streaming", [False, True])
    async def test_parallel_tool_calls_come_with_their_arguments(self, serve, streaming):
        server = await serve([calling("Łódź", "Oslo")])
        pieces, reply = await collect(model_of(server), asking(tools=(WEATHER,), streaming=streaming))
        assert [(call.id, call.arguments) for call in reply.tool_calls] == [
            ("toolu_0", {"city": "Łódź"}),
            ("toolu_1", {"city": "Oslo"}),
        ]
        assert reply.finish_reason == "tool_calls"
        assert pieces == [], "arguments are no text of the answer"

    async def test_thinking_is_no_part_of_the_answer(self, serve):
        thought = {"type": "thinking", "thinking": "Hm.", "signature": "x"}
        body = {
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [thought, {"type": "text", "text": "5"}],
        }
        usage = {"input_tokens": 3, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 7}}
        server = await serve([Act(body={**body, "stop_reason": "end_turn", "usage": usage})])
        _, reply = await collect(model_of(server), asking())
        assert reply.content == "5"
        assert reply.usage.reasoning_tokens == 7

    async def test_streamed_thinking_is_not_shown(self, serve):
        events = [
            {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "5"}},
            {"type": "something_new", "index": 1},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
            {"type": "message_stop"},
        ]
        server = await serve([Act(chunks=[f"{json.dumps(each)}\nevent: {each['type']}" for each in events])])
        pieces, reply = await collect(model_of(server), asking(streaming=True))
        assert (pieces, reply.content, reply.usage.completion_tokens) == (["5"], "5", 4)


class TestOddReplies:
    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize(
        "act",
        [
            Act(content="", usage={"prompt_tokens": 9, "completion_tokens": 4}),
            Act(content="", finish_reason="content_filter", usage={"prompt_tokens": 9, "completion_tokens": 4}),
            Act(content="", finish_reason="length", usage={"prompt_tokens": 9, "completion_tokens": 4}),
        ],
    )
    async def test_what_gave_no_answer_is_paid_for_all_the_same(self, serve, act, streaming):
        server = await serve([act])
        error = await failure(model_of(server), asking(streaming=streaming))
        assert error.usage is not None
        assert error.usage.prompt_tokens == 9

    @pytest.mark.parametrize(
        ("given", "arguments"),
        [('{"city": "Oslo"}', {"city": "Oslo"}), (["Oslo"], '["Oslo"]'), ("Oslo", "Oslo"), (None, {}), ({}, {})],
    )
    async def test_no_tool_is_called_without_the_arguments_that_were_given(self, serve, given, arguments):
        server = await serve([self.message([{"type": "tool_use", "id": "a", "name": "weather", "input": given}])])
        _, reply = await collect(model_of(server), asking(tools=(WEATHER,)))
        assert reply.tool_calls[0].arguments == arguments

    @pytest.mark.parametrize("details", [[1], 5, "many", {"thinking_tokens": -1}])
    async def test_counts_that_are_none_do_not_cost_the_reply(self, serve, details):
        usage = {"input_tokens": -5, "output_tokens": 2, "output_tokens_details": details}
        server = await serve([self.message([{"type": "text", "text": "5"}], usage=usage)])
        _, reply = await collect(model_of(server), asking())
        assert (reply.content, reply.usage) == ("5", Usage(0, 2, cost_usd=0.0))

    @staticmethod
    def message(content, **facts):
        said = {"type": "message", "role": "assistant", "model": "m", "content": content, "stop_reason": "end_turn"}
        return Act(body={**said, **facts})


class TestRequests:
    async def test_a_conversation_with_tools_goes_out_in_turns(self, serve):
        server = await serve([Act(content="done")])
        messages = (
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": "call.1", "name": "weather", "arguments": {"city": "Oslo"}},
                    {"id": "b", "name": "weather", "arguments": "{broken"},
                ],
            },
            {"role": "tool", "content": "sunny", "tool_call_id": "call.1"},
            {"role": "tool", "content": "not JSON", "tool_call_id": "b"},
        )
        await collect(model_of(server), asking(messages=messages, tools=(WEATHER,)))
        (body,) = server.bodies
        assert body["system"] == "Be brief."
        assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
        assert body["messages"][1]["content"] == [
            {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}},
            {"type": "tool_use", "id": "b", "name": "weather", "input": {"invalid_json": "{broken"}},
        ]
        assert body["messages"][2]["content"] == [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"},
            {"type": "tool_result", "tool_use_id": "b", "content": "not JSON"},
        ]
        assert body["tools"] == [
            {"name": "weather", "description": "of a city", "input_schema": {"type": "object", "properties": {}}}
        ]

    async def test_only_what_is_given_is_sent_and_always_a_limit(self, serve):
        server = await serve()
        await collect(model_of(server), asking())
        await collect(model_of(server, temperature=0.5, max_output_tokens=99), asking(temperature=0))
        assert {*server.bodies[0]} == {"model", "messages", "system", "max_tokens", "stream"}
        assert server.bodies[0]["max_tokens"] == 8192
        assert (server.bodies[1]["max_tokens"], server.bodies[1]["temperature"]) == (99, 0)

    async def test_a_whole_run_plans_and_joins(self, serve):
        server = await serve()
        output = await AsyncRecursiveEngine(model_of(server)).solve("All\nsplit: first thing | second thing")
        assert output.content == "answer to: All"
        assert output.usage.calls == 4
        assert len(output.run.tree) == 3


def refusing(*wanted):
    """A server that refuses whatever of a body is named here, as Anthropic words it."""
    words = {
        "temperature": "temperature: this model does not support the parameter",
        "output_config": "output_config.format: structured outputs are not supported by this model",
        "tool_choice": "Thinking may not be enabled when tool_choice forces tool use.",
    }

    def script(seen):
        found = next((part for part in wanted if part in seen.body), None)
        return refusal(400, words[found], "invalid_request_error") if found else None

    return script


class TestLadder:
    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize(
        ("refused", "sent", "rung"),
        [
            ((), 1, "output_config"),
            (("output_config",), 2, "tool_choice"),
            (("output_config", "tool_choice"), 3, ""),
        ],
    )
    async def test_a_plan_comes_by_the_best_form_that_is_taken_and_that_is_remembered(
        self, serve, refused, sent, rung, streaming
    ):
        server = await serve(refusing(*refused))
        request = asking("Do\nsplit: one thing | another", mode="planner", schema=PLAN_SCHEMA, streaming=streaming)
        for _ in range(2):
            pieces, reply = await collect(model_of(server), request)
            assert isinstance(parse_plan(reply.content), Recurse)
            assert bool(pieces) == streaming
            assert "".join(pieces) == (reply.content if streaming else "")
            assert reply.tool_calls == ()
            assert reply.finish_reason == "stop"
        assert len(server.bodies) == sent + 1, "the second call starts where the first arrived"
        assert [part for part in ("output_config", "tool_choice") if part in server.bodies[-1]] == (
            [rung] if rung else []
        )
        assert ("JSON Schema" in server.bodies[-1]["system"]) == (not rung)

    async def test_a_schema_that_the_output_format_cannot_hold_goes_to_a_tool_at_once(self, serve):
        server = await serve([Act(content='{"n": 3}')])
        _, reply = await collect(model_of(server), asking(schema=OPEN_SCHEMA))
        assert json.loads(reply.content) == {"n": 3}
        assert server.bodies[0]["tool_choice"] == {"type": "tool", "name": "reply"}

    async def test_with_tools_of_its_own_a_model_is_not_forced(self, serve):
        server = await serve([Act(content='{"n": 3}')])
        await collect(model_of(server), asking(schema=OPEN_SCHEMA, tools=(WEATHER,)))
        assert "tool_choice" not in server.bodies[0]
        assert "JSON Schema" in server.bodies[0]["system"]

    async def test_a_users_tool_named_like_ours_is_called(self, serve):
        call = {"id": "t", "function": {"name": "reply", "arguments": "{}"}}
        server = await serve([Act(tool_calls=[call])])
        _, reply = await collect(model_of(server), asking(tools=({"name": "reply", "parameters": None},)))
        assert [each.name for each in reply.tool_calls] == ["reply"]

    async def test_a_refused_temperature_is_left_out_and_stays_out(self, serve):
        server = await serve(refusing("temperature"))
        for _ in range(2):
            await collect(model_of(server), asking(temperature=0.2))
        assert ["temperature" in body for body in server.bodies] == [True, False, False]

    async def test_a_lower_limit_of_output_tokens_is_heeded(self, serve):
        def script(seen):
            asked = seen.body["max_tokens"]
            words = f"max_tokens: {asked} > 4096, which is the maximum allowed number of output tokens for test"
            return refusal(400, words, "invalid_request_error") if asked > 4096 else None

        server = await serve(script)
        for _ in range(2):
            await collect(model_of(server), asking())
        assert [body["max_tokens"] for body in server.bodies] == [8192, 4096, 4096]

    async def test_a_model_that_must_give_back_its_thoughts_does_without(self, serve):
        words = "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`."
        server = await serve(
            lambda seen: None if "thinking" in seen.body else refusal(400, words, "invalid_request_error")
        )
        await collect(model_of(server), asking(tools=(WEATHER,)))
        assert server.bodies[-1]["thinking"] == {"type": "disabled"}

    async def test_a_server_that_repeats_its_refusal_is_not_asked_for_ever(self, serve):
        server = await serve(lambda seen: refusal(400, "temperature: no", "invalid_request_error"))
        await failure(model_of(server), asking(temperature=1))
        assert len(server.bodies) == 2


class TestErrors:
    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize(
        ("act", "words", "retryable", "fatal"),
        [
            (refusal(401, "invalid x-api-key", "authentication_error"), "check its key", False, True),
            (refusal(403, "no", "permission_error"), "access refused", False, True),
            (refusal(404, "model: test", "not_found_error"), "check the model's name", False, True),
            (refusal(400, "Your credit balance is too low", "invalid_request_error"), "add credit", False, True),
            (refusal(402, "pay", "billing_error"), "add credit", False, True),
            (refusal(400, "prompt is too long: 9 tokens > 8 maximum", "invalid_request_error"), "split", False, False),
            (refusal(413, "too big", "request_too_large"), "split", False, False),
            (refusal(400, "messages: at least one", "invalid_request_error"), "was refused", False, False),
            (refusal(429, "slow down", "rate_limit_error", headers={"retry-after": "7"}), "rate limited", True, False),
            (refusal(500, "oops", "api_error"), "the server failed", True, False),
            (refusal(529, "Overloaded", "overloaded_error"), "Overloaded", True, False),
            (Act(status=502, body="<html>Bad gateway</html>", content_type="text/html"), "server failed", True, False),
        ],
    )
    async def test_each_refusal_says_whether_trying_again_can_help(
        self, serve, act, words, retryable, fatal, streaming
    ):
        server = await serve([act])
        error = await failure(model_of(server), asking(streaming=streaming))
        assert words in str(error)
        assert (error.status, error.retryable, error.fatal) == (act.status, retryable, fatal)
        assert error.retry_after == (7 if act.status == 429 else None)
        assert len(server.bodies) == 1, "the SDK repeats nothing by itself"

    @pytest.mark.parametrize(
        ("kind", "status", "retryable"),
        [("overloaded_error", 529, True), ("api_error", 500, True), ("invalid_request_error", 400, False)],
    )
    async def test_an_error_in_the_middle_of_a_stream(self, serve, kind, status, retryable):
        event = {"type": "error", "error": {"type": kind, "message": "sorry"}}
        server = await serve([Act(chunks=[f"{json.dumps(event)}\nevent: error"])])
        error = await failure(model_of(server), asking(streaming=True))
        assert (error.status, error.retryable) == (status, retryable)
        assert "sorry" in str(error)

    @pytest.mark.parametrize(
        ("act", "streaming"),
        [
            (Act(body='{"content": [', content_type="application/json"), False),
            (Act(body="<html>hello</html>", content_type="text/html"), False),
            (Act(body={"type": "message", "content": None}), False),
            (Act(body={"type": "message", "content": []}), False),
            (Act(body={"error": "said with status 200"}), False),
            (Act(chunks=["{broken\nevent: message_start"]), True),
            (Act(chunks=[]), True),
            (Act(content="a long answer that is cut", broken="cut", after=5), True),
            (Act(content="a long answer that is cut", broken="reset", after=5), True),
            (Act(broken="reset", after=0), False),
            (Act(broken="cut"), False),
        ],
    )
    async def test_what_is_no_whole_answer_is_a_retryable_error(self, serve, act, streaming):
        server = await serve([act])
        assert (await failure(model_of(server), asking(streaming=streaming))).retryable

    @pytest.mark.parametrize(
        ("reason", "words"), [("length", "all output tokens"), ("content_filter", "refuses"), ("stop", "empty")]
    )
    async def test_no_answer_says_why(self, serve, reason, words):
        server = await serve([Act(content=" ", finish_reason=reason)])
        assert words in str(await failure(model_of(server), asking()))

    @pytest.mark.parametrize(
        ("act", "streaming"),
        [(Act(broken="hang", after=0), False), (Act(broken="hang", after=4), True), (Act(drip=0.05), True)],
    )
    async def test_the_deadline_holds_however_the_server_stalls(self, serve, act, streaming):
        server = await serve([act])
        error = await failure(model_of(server), asking(streaming=streaming, deadline=0.4))
        assert "0.4 s" in str(error)
        assert error.retryable

    async def test_a_server_that_is_not_running_is_said_at_once(self):
        error = await failure(AnthropicModel("m", base_url="http://127.0.0.1:1"), asking())
        assert "connection refused" in str(error)
        assert error.retryable


def key_of(seen):
    """The key that was sent: the SDK's versions use different headers."""
    return seen.headers.get("x-api-key") or seen.headers["authorization"].removeprefix("Bearer ")


class TestPace:
    async def test_a_stream_that_stops_in_the_middle_of_its_text_is_given_up(self, serve):
        server = await serve([Act(content="x" * 500, broken="hang", after=6)])
        error = await failure(model_of(server, stall_timeout=0.2), asking(streaming=True, deadline=30))
        assert "the stream stalled, nothing came for 0.2 s" in str(error)
        assert error.retryable

    async def test_silence_before_the_text_is_thinking(self, serve):
        server = await serve([Act(content="x" * 500, delay=0.5)])
        assert (await collect(model_of(server, stall_timeout=0.2), asking(streaming=True)))[1].content == "x" * 500

    @pytest.mark.parametrize("streaming", [False, True])
    async def test_announced_limits_are_kept_before_they_are_exceeded(self, serve, streaming):
        """600 a minute, of which one is left: ten a second come back."""
        said = {"requests-limit": "600", "requests-remaining": "1", "requests-reset": "2026-01-01T00:00:00Z"}
        headers = {f"anthropic-ratelimit-{name}": value for name, value in said.items()}
        server = await serve([Act(headers=headers)])
        model = model_of(server)
        await collect(model, asking("first"))
        await asyncio.gather(*(collect(model, asking(str(number), streaming=streaming)) for number in range(10)))
        times = [seen.at for seen in server.requests]
        assert times[-1] - times[0] > 0.9, "ten calls take the second in which ten come back"

    async def test_whoever_is_asked_to_wait_waits_for_all(self, serve):
        busy = refusal(429, "slow down", "rate_limit_error", headers={"retry-after": "0.5"})
        server = await serve([busy])
        model = model_of(server)
        assert (await failure(model, asking("first"))).retry_after == 0.5
        await collect(model, asking("second"))
        assert server.requests[1].at - server.requests[0].at > 0.49


class TestKeys:
    async def test_the_key_goes_where_it_is_meant_to_and_nowhere_else(self, serve, monkeypatch):
        server = await serve()
        monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
        monkeypatch.setenv("OTHER_KEY", "other-key-value")
        await collect(model_of(server), asking())
        await collect(model_of(server, api_key_env="OTHER_KEY"), asking())
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        await collect(AnthropicModel("m"), asking())
        assert [key_of(seen) for seen in server.requests] == ["none", "other-key-value", SECRET]

    async def test_a_missing_key_is_one_clear_line_and_ends_the_run(self):
        error = await failure(AnthropicModel("claude"), asking())
        assert "anthropic:claude needs ANTHROPIC_API_KEY" in str(error)
        assert error.fatal

    async def test_no_key_is_in_an_error_however_the_server_echoes_it(self, serve, monkeypatch):
        monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
        server = await serve([refusal(401, f"bad key {SECRET}", "authentication_error")])
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        error = await failure(AnthropicModel("m"), asking())
        assert SECRET not in str(error)
        assert "check the key in ANTHROPIC_API_KEY" in str(error)
        assert error.__cause__ is None

    async def test_without_the_sdk_the_error_names_the_extra(self, monkeypatch):
        monkeypatch.setattr(adapter, "find_spec", lambda name: None)
        monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
        error = await failure(AnthropicModel("m"), asking())
        assert f"needs the package anthropic; {install_command('anthropic')}" in str(error)
        assert error.fatal


class TestValue:
    def test_it_is_a_model_that_shows_no_secret(self):
        model = AnthropicModel("claude-haiku-4-5", base_url="http://ann:secret@127.0.0.1:9")
        assert isinstance(model, Model)
        assert model.name == "anthropic:claude-haiku-4-5"
        assert "secret" not in repr(model)
        assert model == AnthropicModel("claude-haiku-4-5", base_url="http://ann:secret@127.0.0.1:9")

    def test_what_cannot_work_is_refused_where_it_is_given(self):
        with pytest.raises(ConfigurationError, match="name a model"):
            AnthropicModel("")
        with pytest.raises(ConfigurationError, match="no URL"):
            AnthropicModel("m", base_url="127.0.0.1:80")

    def test_importing_the_adapter_imports_no_sdk(self):
        code = "import sys, rlm_notebook.models.anthropic; print('anthropic' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, cwd=ROOT)
        assert done.stdout.strip() == "False"


async def test_nothing_is_left_open_after_an_abandoned_stream(serve, recwarn):
    server = await serve([Act(content="x" * 500)])
    stream = model_of(server).stream(asking(streaming=True))
    await anext(stream)
    await stream.aclose()
    await asyncio.sleep(0.05)
    del stream
    gc.collect()
    assert not [
        str(each.message) for each in recwarn if "never" in str(each.message) or "unclosed" in str(each.message)
    ]


def test_a_process_ends_without_complaints(tmp_path):
    code = """
import asyncio
from tests.messages_server import MessagesServer
from tests.models.anthropic.test_model import asking, collect, model_of
with MessagesServer() as server:
    for streaming in (False, True):
        print(asyncio.run(collect(model_of(server), asking("Hi", streaming=streaming)))[1].content)
"""
    options = [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", code]
    done = subprocess.run(options, capture_output=True, text=True, timeout=HANG, cwd=ROOT)
    assert done.stdout.split("\n") == ["answer to: Hi"] * 2 + [""]
    assert "unclosed" not in done.stderr
    assert "Task was destroyed" not in done.stderr
