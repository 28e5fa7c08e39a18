"""Streams as servers really send them: refused, replaced by something else, finished and then broken."""

import asyncio
import json
import os
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine
from rlm_notebook.core.limits import Usage
from rlm_notebook.core.plan import PLAN_SCHEMA
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.models.provider import reply as provider_reply
from tests.fault_server import Act, FaultServer, refusal
from tests.models.openai.test_model import WEATHER, asking, collect, failure

UNVERIFIED = "Your organization must be verified to stream this model. Please go to the settings and verify it."


@pytest.fixture
async def serve():
    servers = []

    async def start(script=(), **options):
        servers.append(await FaultServer(script, **options).__aenter__())
        return servers[-1]

    yield start
    for server in servers:
        await server.__aexit__()


@pytest.fixture(params=["chat", "responses"])
def wire(request):
    return request.param


def model_of(server, wire="chat", name="test", **options):
    transport = os.environ.get("RLM_TEST_TRANSPORT")
    return OpenAIModel(name, base_url=server.url, wire=wire, transport=transport, **options)


def streams(server) -> list[bool]:
    return [seen.streaming for seen in server.requests]


def refusing(act: Act, *, only=lambda seen: True):
    """A server that refuses to stream, and answers otherwise."""
    return lambda seen: act if seen.streaming and only(seen) else Act(content="{}" if seen.form else "fine")


REFUSALS = [
    refusal(400, UNVERIFIED, param="stream", code="unsupported_value"),
    refusal(400, "Streaming is not supported by this model"),
    refusal(422, "stream: Input should be False, streaming is disabled on this deployment"),
    refusal(404, "This model does not support streaming"),
    refusal(405, "streaming responses are not allowed here"),
    refusal(501, "streamed completions are not implemented"),
    refusal(500, "this backend cannot stream"),
    Act(status=400, body={"detail": "stream must be false"}),
    Act(body={"error": {"message": "stream is not supported", "type": "invalid_request_error"}}),
    Act(body={"error": "streaming is not supported"}),
    Act(chunks=['{"error": {"message": "Streaming not supported for this model", "code": 400}}']),
]


class TestRefused:
    @pytest.mark.parametrize("act", REFUSALS)
    async def test_it_is_asked_again_without_and_that_is_remembered(self, serve, wire, act):
        server = await serve(refusing(act))
        model = model_of(server, wire)
        pieces, reply = await collect(model, asking(streaming=True))
        assert (pieces, reply.content) == (["fine"], "fine")
        await collect(model, asking(streaming=True))
        assert streams(server) == [True, False, False]

    async def test_it_is_remembered_for_that_model_at_that_server_alone(self, serve):
        here, there = await serve(refusing(REFUSALS[0])), await serve()
        await collect(model_of(here), asking(streaming=True))
        await collect(model_of(here, name="other"), asking(streaming=True))
        await collect(model_of(there), asking(streaming=True))
        assert streams(here) == [True, False, True, False]
        assert streams(there) == [True]

    async def test_what_is_refused_only_with_tools_is_streamed_without_them(self, serve, wire):
        said = refusal(500, "Cannot use tools with stream")
        server = await serve(refusing(said, only=lambda seen: "tools" in seen.body))
        model = model_of(server, wire)
        for tools in ((WEATHER,), (), (WEATHER,)):
            assert (await collect(model, asking(streaming=True, tools=tools)))[1].content == "fine"
        assert streams(server) == [True, False, True, False]

    async def test_what_is_refused_only_with_a_schema_keeps_the_schema(self, serve, wire):
        said = refusal(400, "response_format json_schema is not supported together with stream")
        server = await serve(refusing(said, only=lambda seen: bool(seen.form)))
        model = model_of(server, wire)
        for schema in (PLAN_SCHEMA, None, PLAN_SCHEMA):
            await collect(model, asking(streaming=True, schema=schema))
        assert streams(server) == [True, False, True, False]
        assert [seen.form.get("type") for seen in server.requests] == [
            "json_schema",
            "json_schema",
            None,
            "json_schema",
        ]

    @pytest.mark.parametrize(
        "act",
        [
            refusal(500, "upstream connect error or disconnect before headers"),
            refusal(503, "the upstream is overloaded"),
            refusal(429, "too many streaming requests are not allowed"),
            refusal(400, "messages must be a list"),
            refusal(401, "this key cannot stream"),
        ],
    )
    async def test_other_failures_are_not_taken_for_it(self, serve, wire, act):
        server = await serve(refusing(act))
        await failure(model_of(server, wire), asking(streaming=True))
        assert streams(server) == [True]

    async def test_a_whole_run_goes_on(self, serve, wire):
        server = await serve(lambda seen: REFUSALS[0] if seen.streaming else None)
        engine = AsyncRecursiveEngine(model_of(server, wire), max_depth=2, retry=None)
        assert (await engine.solve("both\nsplit: a | b")).metadata["steps"] == 3


def text(content, **facts):
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None, **facts}]}


FAILED = {
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": ""},
            "finish_reason": "error",
            "error": {"code": 502, "message": "the provider is down"},
        }
    ]
}


class TestSomethingElse:
    """A streaming request, and what comes is no stream."""

    @pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/plain"])
    async def test_a_whole_reply_is_read(self, serve, wire, content_type):
        whole = await body_of(serve, wire, content="all at once")
        server = await serve([Act(body=whole, content_type=content_type)])
        pieces, reply = await collect(model_of(server, wire), asking(streaming=True))
        assert (pieces, reply.content) == (["all at once"], "all at once")
        assert reply.usage == Usage(10, 5, cached_tokens=4, reasoning_tokens=2, cost_usd=0.0)
        assert streams(server) == [True], "and nothing is paid for again"

    async def test_calls_of_tools_are_read_there_too(self, serve, wire):
        call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
        server = await serve([Act(body=await body_of(serve, wire, tool_calls=[call]))])
        _, reply = await collect(model_of(server, wire), asking(streaming=True, tools=(WEATHER,)))
        assert [(call.id, call.arguments) for call in reply.tool_calls] == [("a", {"city": "Oslo"})]

    async def test_a_stream_in_place_of_a_whole_reply_is_read(self, serve):
        chunks = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in (text("as"), text("ked"), FINISH))
        server = await serve([Act(body=chunks + b"data: [DONE]\n\n", content_type="text/event-stream")])
        pieces, reply = await collect(model_of(server), asking())
        assert (pieces, reply.content) == ([], "asked")

    @pytest.mark.parametrize(
        ("act", "words"),
        [
            (Act(body={"error": {"message": "model 'm' is not loaded", "code": 503}}), "model 'm' is not loaded"),
            (Act(body={"error": "no such model"}), "no such model"),
            (Act(body={"detail": "the queue is full"}), "the queue is full"),
            (Act(chunks=['{"error": {"message": "out of memory", "code": 500}}']), "out of memory"),
            (Act(chunks=['{"message": "boom"}\nevent: error']), "boom"),
            (Act(chunks=["it broke\nevent: error"]), "it broke"),
            (Act(body=b'error: {"code": 500, "message": "no slot"}\n\n', content_type="text/event-stream"), "no slot"),
            (Act(body="<html><title>Sign in</title></html>", content_type="text/html"), "Sign in"),
            (Act(body="<!doctype html><p>502 Bad Gateway", content_type="text/event-stream"), "502 Bad Gateway"),
        ],
    )
    @pytest.mark.parametrize("streaming", [False, True])
    async def test_an_error_with_status_200_is_told_in_its_own_words(self, serve, wire, act, words, streaming):
        if act.chunks is not None and not streaming:
            pytest.skip("those are events")
        server = await serve([act])
        assert words in str(await failure(model_of(server, wire), asking(streaming=streaming)))

    @pytest.mark.parametrize("act", [Act(chunks=[text("4"), FAILED]), Act(body=FAILED)], ids=["streamed", "whole"])
    async def test_an_error_within_a_choice_is_told_in_its_own_words(self, serve, act):
        error = await failure(model_of(await serve([act])), asking(streaming=True))
        assert ("the provider is down" in str(error), error.retryable, error.status) == (True, True, 502)

    @pytest.mark.parametrize(("code", "retryable"), [(503, True), (429, True), (400, False), (None, True)])
    async def test_a_code_within_says_whether_to_try_again(self, serve, code, retryable):
        server = await serve([Act(body={"error": {"message": "no", "code": code}})])
        error = await failure(model_of(server), asking(streaming=True))
        assert (error.retryable, error.status) == (retryable, code)


async def body_of(serve, wire, **facts) -> dict[str, Any]:
    """The whole reply that a server gives."""
    from tests.fault_wires import Seen, whole

    return whole(
        Act(**facts), Seen(0, "POST", "/v1/responses" if wire == "responses" else "/v1/chat/completions", {}, {})
    )


FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
COMPLETED = {
    "type": "response.completed",
    "response": {"status": "completed", "output": [], "usage": {"input_tokens": 3, "output_tokens": 2}},
}
DELTA = {"type": "response.output_text.delta", "output_index": 0, "delta": "42"}


class TestFinished:
    """What happens to a connection after the reply is complete spoils nothing."""

    @pytest.mark.parametrize("broken", ["hang", "cut", "reset"])
    @pytest.mark.parametrize(
        ("wire", "chunks", "usage"),
        [
            ("chat", [text("42"), FINISH], None),
            ("chat", [text("42"), FINISH, USAGE], Usage(3, 2, cost_usd=0.0)),
            ("chat", [text("42", finish_reason="stop")], None),
            ("chat", [text("42"), USAGE], Usage(3, 2, cost_usd=0.0)),
            ("chat", [text("42"), "[DONE]"], None),
            ("responses", [DELTA, COMPLETED], Usage(3, 2, cost_usd=0.0)),
        ],
    )
    async def test_a_connection_that_breaks_or_lingers(self, serve, broken, wire, chunks, usage, monkeypatch):
        # What is waited for does not come: nobody has to wait so long for it.
        monkeypatch.setattr(provider_reply, "DOUBT_SECONDS", 0.5)
        monkeypatch.setattr(provider_reply, "COUNT_SECONDS", 0.5)
        server = await serve([Act(chunks=[*chunks, "never sent"], broken=broken, after=len(chunks))])
        pieces, reply = await collect(model_of(server, wire, stall_timeout=0.1), asking(streaming=True))
        assert (pieces, reply.content, reply.usage, reply.finish_reason) == (["42"], "42", usage, "stop")
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "junk",
        ["not json", '{"error": {"message": "the proxy timed out"}}', "<html>504</html>", {"odd": 1}, "[1, 2]", "7"],
    )
    @pytest.mark.parametrize(("wire", "chunks"), [("chat", [text("42"), FINISH]), ("responses", [DELTA, COMPLETED])])
    async def test_junk_that_follows(self, serve, wire, chunks, junk):
        server = await serve([Act(chunks=[*chunks, junk])])
        assert (await collect(model_of(server, wire), asking(streaming=True)))[1].content == "42"

    async def test_the_calls_own_deadline(self, serve):
        """The reply is complete, its usage does not come: the deadline must not end what was paid for."""
        server = await serve([Act(chunks=[text("42"), FINISH, USAGE], broken="hang", after=2)])
        _, reply = await collect(model_of(server), asking(streaming=True, deadline=1.0))
        assert (reply.content, reply.usage) == ("42", None)

    async def test_text_after_a_reason_to_finish_shows_that_it_was_none(self, serve):
        chunks = [text("4", finish_reason="stop"), text("2"), text("!", finish_reason="stop")]
        server = await serve(
            [Act(chunks=[*chunks, "[DONE]"]), Act(chunks=[*chunks[:2], FINISH], broken="cut", after=2)]
        )
        assert (await collect(model_of(server), asking(streaming=True)))[1].content == "42!"
        assert (await failure(model_of(server), asking(streaming=True))).retryable

    async def test_a_reason_and_a_count_with_each_piece_end_nothing(self, serve):
        """As some gateways stream; the pauses are longer than what a complete reply is granted."""
        chunks = [{**text(piece, finish_reason="stop"), "usage": USAGE["usage"]} for piece in ("4", "2")]
        first = {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
        body = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in (first, *chunks)) + b"data: [DONE]\n\n"
        server = await serve([Act(body=body, content_type="text/event-stream", drip=0.003)])
        _, reply = await collect(model_of(server), asking(streaming=True))
        assert (reply.content, reply.usage) == ("42", Usage(3, 2, cost_usd=0.0))

    async def test_a_count_so_far_ends_nothing(self, serve):
        """The pause that follows is longer than what a complete reply is granted."""
        chunks = [text("4"), USAGE, text("2"), FINISH, USAGE]
        body = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in chunks) + b"data: [DONE]\n\n"
        server = await serve([Act(body=body, content_type="text/event-stream", drip=0.004)])
        assert (await collect(model_of(server), asking(streaming=True)))[1].content == "42"

    @pytest.mark.parametrize("index", [0, 1, None])
    async def test_of_several_choices_one_is_read(self, serve, index):
        mine = [text(piece, index=index) for piece in ("4", "2")]
        other = text("7", index=5)
        both = {"choices": [other["choices"][0], text("!", index=index)["choices"][0]]}
        chunks = [mine[0], other, mine[1], {**other, "usage": USAGE["usage"]}, both]
        chunks.append(text("", index=index, finish_reason="stop"))
        server = await serve([Act(chunks=[*chunks, "[DONE]"])])
        pieces, reply = await collect(model_of(server), asking(streaming=True))
        assert (pieces, reply.content) == (["4", "2", "!"], "42!")

    @pytest.mark.parametrize("delta", [{}, None])
    @pytest.mark.parametrize("said", ["42", "42!"])
    async def test_a_message_that_repeats_the_text_adds_what_is_new(self, serve, delta, said):
        message = {"role": "assistant", "content": said}
        last = {"choices": [{"index": 0, "delta": delta, "message": message, "finish_reason": "stop"}]}
        server = await serve([Act(chunks=[text("4"), text("2"), last, "[DONE]"])])
        pieces, reply = await collect(model_of(server), asking(streaming=True))
        assert ("".join(pieces), reply.content) == (said, said)

    async def test_a_run_pays_once(self, serve):
        server = await serve(lambda seen: Act(chunks=[text("42"), FINISH, USAGE, "x"], broken="reset", after=3))
        output = await AsyncRecursiveEngine(model_of(server), max_depth=1).solve("t")
        assert (output.content, output.metadata["calls"], len(server.requests)) == ("42", 1, 1)


class TestReasons:
    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ("stop", "stop"),
            ("length", "length"),
            ("max_tokens", "length"),
            ("MAX_TOKENS", "length"),
            ("content_filter", "content_filter"),
            ("SAFETY", "content_filter"),
            ("eos_token", "stop"),
            ("tool_calls", "stop"),
            ("something_new", "something_new"),
        ],
    )
    async def test_how_a_reply_ended_has_one_name_each(self, serve, streaming, said, reason):
        server = await serve([Act(content="half an ans", finish_reason=said)])
        assert (await collect(model_of(server), asking(streaming=streaming)))[1].finish_reason == reason

    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize("said", ["stop", "tool_calls", "function_call", "tool_use"])
    async def test_a_reply_that_calls_tools_says_so(self, serve, streaming, said):
        call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        server = await serve([Act(tool_calls=[call], finish_reason=said)])
        _, reply = await collect(model_of(server), asking(streaming=streaming, tools=(WEATHER,)))
        assert (reply.finish_reason, len(reply.tool_calls)) == ("tool_calls", 1)

    async def test_a_call_in_the_form_of_old(self, serve):
        message = {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"c": 1}'}}
        deltas = [{"function_call": {"name": "weather", "arguments": '{"c"'}}, {"function_call": {"arguments": ": 1}"}}]
        chunks = [{"choices": [{"index": 0, "delta": each}]} for each in deltas]
        whole = {"choices": [{"message": message, "finish_reason": "function_call"}]}
        server = await serve([Act(body=whole), Act(chunks=[*chunks, FINISH, "[DONE]"])])
        for streaming in (False, True):
            _, reply = await collect(model_of(server), asking(streaming=streaming, tools=(WEATHER,)))
            (call,) = reply.tool_calls
            assert (call.name, call.arguments, reply.finish_reason) == ("weather", {"c": 1}, "tool_calls")

    async def test_a_reply_that_ended_in_an_error_is_one(self, serve):
        server = await serve([Act(content="half", finish_reason="error")])
        assert (await failure(model_of(server), asking(streaming=True))).retryable


class TestThoughts:
    @pytest.mark.parametrize(
        "told",
        [
            {"reasoning_content": "Hm."},
            {"reasoning": "Hm."},
            {"thinking": "Hm."},
            {"reasoning": {"text": "Hm."}},
            {"reasoning": "Hm.", "reasoning_content": "Hm."},
            {"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm."}]},
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
        ],
    )
    async def test_they_are_kept_apart_from_the_answer(self, serve, told):
        answer = [{"type": "text", "text": "5"}] if "content" in told else "5"
        message = {**told, "content": [*told["content"], *answer] if "content" in told else answer}
        whole = {"choices": [{"message": message, "finish_reason": "stop"}]}
        chunks = [{"choices": [{"index": 0, "delta": each}]} for each in (told, {"content": answer})]
        server = await serve([Act(body=whole), Act(chunks=[*chunks, FINISH, "[DONE]"])])
        for streaming in (False, True):
            pieces, reply = await collect(model_of(server), asking(streaming=streaming))
            assert (reply.content, reply.reasoning) == ("5", "Hm.")
            assert pieces == (["5"] if streaming else [])

    async def test_a_reply_of_thoughts_alone_is_given_for_the_engine_to_decide(self, serve):
        message = {"content": "", "reasoning_content": '{"a": 1}'}
        server = await serve([Act(body={"choices": [{"message": message, "finish_reason": "stop"}]})])
        _, reply = await collect(model_of(server), asking())
        assert (reply.content, reply.reasoning, reply.finish_reason) == ("", '{"a": 1}', "stop")

    async def test_of_responses(self, serve):
        item = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]}
        said = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "5"}]}
        whole = {"object": "response", "status": "completed", "output": [item, said]}
        deltas = [
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "H"},
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "m."},
            {"type": "response.output_text.delta", "output_index": 1, "delta": "5"},
            {"type": "response.completed", "response": whole},
        ]
        server = await serve([Act(body=whole), Act(chunks=deltas), Act(chunks=deltas[2:])])
        for streaming in (False, True, True):
            _, reply = await collect(model_of(server, "responses"), asking(streaming=streaming))
            assert (reply.content, reply.reasoning) == ("5", "Hm.")


class TestCallsOfResponses:
    async def test_servers_that_number_every_item_alike(self, serve):
        events = [{"type": "response.output_text.delta", "output_index": 0, "delta": "Wait."}]
        for name in ("a", "b"):
            item = {"type": "function_call", "id": f"fc_{name}", "call_id": name, "name": "weather", "arguments": ""}
            events.append({"type": "response.output_item.added", "output_index": 0, "item": item})
            for piece in ('{"n": ', f'"{name}"}}'):
                delta = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": piece}
                events.append({**delta, "item_id": f"fc_{name}"})
        server = await serve([Act(chunks=[*events, COMPLETED])])
        _, reply = await collect(model_of(server, "responses"), asking(streaming=True, tools=(WEATHER,)))
        assert [(call.id, call.arguments) for call in reply.tool_calls] == [("a", {"n": "a"}), ("b", {"n": "b"})]

    async def test_pieces_that_name_their_call_by_its_index_alone(self, serve):
        events = []
        for index, name in enumerate(("a", "b")):
            item = {"type": "function_call", "id": f"fc_{name}", "call_id": name, "name": "weather", "arguments": ""}
            events.append({"type": "response.output_item.added", "output_index": index, "item": item})
        for piece in ('{"n": ', "1}"):
            for index in (1, 0):
                delta = {"type": "response.function_call_arguments.delta", "output_index": index, "delta": piece}
                events.append(delta)
        server = await serve([Act(chunks=[*events, COMPLETED])])
        _, reply = await collect(model_of(server, "responses"), asking(streaming=True, tools=(WEATHER,)))
        assert [(call.id, call.arguments) for call in reply.tool_calls] == [("a", {"n": 1}), ("b", {"n": 1})]

    async def test_text_that_only_its_finished_item_holds(self, serve):
        said = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "42"}]}
        done = {"type": "response.output_item.done", "output_index": 0, "item": said}
        server = await serve([Act(chunks=[done, COMPLETED])])
        pieces, reply = await collect(model_of(server, "responses"), asking(streaming=True))
        assert (pieces, reply.content) == (["42"], "42")

    async def test_calls_that_only_the_last_event_holds(self, serve):
        item = {"type": "function_call", "id": "f", "call_id": "a", "name": "weather", "arguments": '{"n": 1}'}
        last = {"type": "response.completed", "response": {"status": "completed", "output": [item]}}
        server = await serve([Act(chunks=[{**DELTA, "delta": "Wait."}, last])])
        pieces, reply = await collect(model_of(server, "responses"), asking(streaming=True, tools=(WEATHER,)))
        assert (pieces, reply.content, reply.finish_reason) == (["Wait."], "Wait.", "tool_calls")
        assert [(call.id, call.arguments) for call in reply.tool_calls] == [("a", {"n": 1})]


class TestTexts:
    async def test_an_emoji_whose_halves_come_in_two_chunks_is_one_character(self, serve):
        chunks = [text("party "), text("\ud83c"), text("\udf89 time \ud83c"), text("and \0"), FINISH, "[DONE]"]
        server = await serve([Act(chunks=chunks)])
        pieces, reply = await collect(model_of(server), asking(streaming=True))
        assert "".join(pieces) == reply.content == "party 🎉 time \ufffdand \ufffd"

    async def test_halves_in_what_is_sent_do_not_fail_the_call(self, serve, wire):
        server = await serve()
        await collect(model_of(server, wire), asking("Summarise caf\udce9.txt and \ud83d"))
        assert server.requests[0].last_user_text == "Summarise caf\ufffd.txt and \ufffd"

    async def test_halves_in_an_error_can_be_shown(self, serve, wire):
        server = await serve([refusal(400, "bad byte \ud800")])
        assert "bad byte \ufffd" in str(await failure(model_of(server, wire), asking()))

    async def test_line_separators_in_the_data_end_no_line(self, serve):
        chunk = json.dumps(text("a\u2028b\x85c"), ensure_ascii=False)
        server = await serve([Act(chunks=[chunk, FINISH, "[DONE]"])])
        assert (await collect(model_of(server), asking(streaming=True)))[1].content == "a\u2028b\x85c"

    @pytest.mark.parametrize(
        ("before", "between", "after"),
        [
            (b": processing\n\n", b"\n", b""),
            (b"", b"\n", b""),
            (b"data: ", b"\ndata: ", b"\ndata: [DONE]\n"),
            (b"\xef\xbb\xbf\n\ndata: ", b"\n\ndata: ", b"\n\n"),
        ],
        ids=["comments, then plain lines", "plain lines", "no empty lines between", "odd beginning"],
    )
    async def test_streams_that_are_none_by_the_letter(self, serve, before, between, after):
        body = before + between.join(json.dumps(each).encode() for each in (text("4"), text("2"), FINISH)) + after
        server = await serve([Act(body=body, content_type="text/event-stream")])
        assert (await collect(model_of(server), asking(streaming=True)))[1].content == "42"

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    async def test_any_line_ends_comments_and_pieces_of_bytes(self, serve, end):
        lines = [": ping", "", f"data:{json.dumps(text('4'))}", "id: 7", "", f"data: {json.dumps(text('2'))}", ""]
        lines += [f"data: {json.dumps(FINISH)}", "", "data: [DONE]", "", ""]
        body = end.join(lines).encode()
        server = await serve([Act(body=body, content_type="text/event-stream", drip=0.0005)])
        assert (await collect(model_of(server), asking(streaming=True)))[1].content == "42"


class TestSchemas:
    async def test_a_refusal_of_one_schema_costs_no_other(self, serve, wire):
        city = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}}

        def script(seen):
            strange = seen.form.get("name") == "City"
            return refusal(400, "Invalid schema for response_format 'City'") if strange else Act(content="{}")

        server = await serve(script)
        model = model_of(server, wire)
        for schema in (city, PLAN_SCHEMA, city, PLAN_SCHEMA):
            await collect(model, asking(schema=schema))
        sent = [seen.form.get("type") for seen in server.requests]
        assert sent == ["json_schema", "json_object", "json_schema", "json_object", "json_schema"]

    async def test_a_schema_that_a_server_ignores_once_is_asked_for_again_of_others(self, serve, wire):
        server = await serve(lambda seen: Act(content="no JSON at all" if seen.index == 0 else "{}"))
        model = model_of(server, wire)
        other = {"title": "Other", "type": "object", "properties": {}}
        for schema in (other, PLAN_SCHEMA, other):
            await collect(model, asking(schema=schema))
        assert [seen.form["type"] for seen in server.requests] == ["json_schema", "json_schema", "json_object"]


async def test_broken_arguments_go_back_as_an_object_and_are_mended(serve, wire):
    """A server that refuses a conversation with arguments that are none, as several do."""
    called: list[str] = []

    def look(city: str) -> str:
        "Look a city up."
        called.append(city)
        return f"{city}: sunny"

    def script(seen):
        given = [
            call["function"]["arguments"]
            for message in seen.body.get("messages", ())
            for call in message.get("tool_calls", ())
        ] + [item["arguments"] for item in seen.body.get("input", ()) if item.get("type") == "function_call"]
        if any(not isinstance(json.loads(each), dict) for each in given):
            return refusal(400, "arguments must be a JSON object")
        if len(given) == 2:
            return Act(content="done")
        arguments = ['{"city": "Oslo"', '{"city": "Oslo"}'][len(given)]
        return Act(tool_calls=[{"id": f"c{len(given)}", "function": {"name": "look", "arguments": arguments}}])

    server = await serve(script)
    output = await AsyncRecursiveEngine(model_of(server, wire), tools=[look], max_depth=1, retry=None).solve("t")
    first, second = output.run.tree["0"].tool_calls
    assert (output.content, called) == ("done", ["Oslo"])
    assert (first.ok, second.ok) == (False, True)
    assert "Expecting" in first.content, "it is told what is wrong with them"


def test_nothing_is_left_open_by_streams_that_linger(serve):
    """The loop closes at once, whatever the server still has to say."""

    async def main():
        async with FaultServer([Act(chunks=[text("42"), FINISH, "x"], broken="hang", after=2)]) as server:
            return (await collect(model_of(server), asking(streaming=True)))[1].content

    assert asyncio.run(main()) == "42"
