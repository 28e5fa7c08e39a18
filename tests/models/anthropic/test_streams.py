"""Anthropic's streams as servers really send them: refused, replaced, finished and then broken, with thoughts."""

import json

import pytest

pytest.importorskip("anthropic")

from rlm_notebook.core.limits import Usage
from rlm_notebook.core.plan import PLAN_SCHEMA
from rlm_notebook.models.anthropic import AnthropicModel
from tests.fault_server import Act
from tests.messages_server import MessagesServer, refusal
from tests.models.openai.test_model import WEATHER, asking, collect, failure


@pytest.fixture
async def serve():
    servers = []

    async def start(script=(), **options):
        servers.append(await MessagesServer(script, **options).__aenter__())
        return servers[-1]

    yield start
    for server in servers:
        await server.__aexit__()


def model_of(server, name="test", **options):
    return AnthropicModel(name, base_url=server.url, **options)


def event(kind, **facts):
    return {"type": kind, **facts}


START = event("message_start", message={"model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}})
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
TEXT = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "42"})
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})
STOP = event("message_stop")


@pytest.mark.parametrize("broken", ["hang", "cut", "reset"])
@pytest.mark.parametrize("chunks", [[START, BLOCK, TEXT, END], [START, BLOCK, TEXT, END, STOP], [BLOCK, TEXT, END]])
async def test_a_reply_that_is_complete_is_never_thrown_away(serve, broken, chunks):
    server = await serve([Act(chunks=[*chunks, "never sent"], broken=broken, after=len(chunks))])
    pieces, reply = await collect(model_of(server, stall_timeout=0.1), asking(streaming=True))
    assert (pieces, reply.content, reply.finish_reason, len(server.requests)) == (["42"], "42", "stop", 1)
    assert reply.usage == Usage(3 if START in chunks else 0, 2, cost_usd=0.0)


@pytest.mark.parametrize("junk", ["not json", event("error", error={"type": "api_error", "message": "x"}), "<html>"])
async def test_junk_that_follows_spoils_nothing(serve, junk):
    server = await serve([Act(chunks=[START, BLOCK, TEXT, END, junk])])
    assert (await collect(model_of(server), asking(streaming=True)))[1].content == "42"


async def test_a_refused_stream_is_asked_for_without_and_that_is_remembered(serve):
    said = refusal(400, "streaming is not supported for this model", "invalid_request_error")
    server = await serve(lambda seen: said if seen.streaming else Act(content="fine"))
    for name in ("test", "test", "other"):
        pieces, reply = await collect(model_of(server, name), asking(streaming=True))
        assert (pieces, reply.content) == (["fine"], "fine")
    assert [seen.streaming for seen in server.requests] == [True, False, False, True, False]


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
async def test_a_whole_message_in_place_of_a_stream_is_read(serve, content_type):
    body = {"type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "5"}]}
    server = await serve([Act(body={**body, "stop_reason": "end_turn"}, content_type=content_type)])
    pieces, reply = await collect(model_of(server), asking(streaming=True))
    assert (pieces, reply.content) == (["5"], "5")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("act", "words"),
    [
        (Act(body={"type": "error", "error": {"type": "overloaded_error", "message": "come later"}}), "come later"),
        (Act(body="<html>Sign in</html>", content_type="text/html"), "Sign in"),
        (Act(body={"error": "no such model"}), "no such model"),
    ],
)
async def test_an_error_with_status_200_is_told_in_its_own_words(serve, act, words, streaming):
    server = await serve([act])
    assert words in str(await failure(model_of(server), asking(streaming=streaming)))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
    ],
)
async def test_how_a_reply_ended_has_one_name_each(serve, streaming, said, reason):
    body = {"type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "half"}]}
    end = event("message_delta", delta={"stop_reason": said}, usage={"output_tokens": 2})
    act = Act(chunks=[START, BLOCK, TEXT, end, STOP]) if streaming else Act(body={**body, "stop_reason": said})
    server = await serve([act])
    assert (await collect(model_of(server), asking(streaming=streaming)))[1].finish_reason == reason


async def test_thoughts_are_kept_apart_from_the_answer(serve):
    thinking = [
        event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
        event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm"}),
        event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "."}),
        event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s"}),
    ]
    content = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}]
    body = {"type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    text = [event("content_block_start", index=1, content_block={"type": "text", "text": "42"})]
    server = await serve(
        [
            Act(body={**body, "content": [*content, {"type": "text", "text": "42"}]}),
            Act(chunks=[START, *thinking, *text, END]),
            Act(chunks=[START, *thinking, END]),
        ]
    )
    for streaming, answer in ((False, "42"), (True, "42"), (True, "")):
        _, reply = await collect(model_of(server), asking(streaming=streaming))
        assert (reply.content, reply.reasoning) == (answer, "Hm.")


async def test_servers_that_number_every_block_alike(serve):
    calls = []
    for name in ("A", "B"):
        block = {"type": "tool_use", "id": name, "name": "weather", "input": {}}
        calls.append(event("content_block_start", index=0, content_block=block))
        for piece in ('{"city": ', f'"{name}"}}'):
            calls.append(
                event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": piece})
            )
    server = await serve([Act(chunks=[START, *calls, END])])
    _, reply = await collect(model_of(server), asking(streaming=True, tools=(WEATHER,)))
    assert [(call.id, call.arguments) for call in reply.tool_calls] == [("A", {"city": "A"}), ("B", {"city": "B"})]
    assert reply.finish_reason == "tool_calls"


@pytest.mark.parametrize("given", ['"{\\"city\\": \\"Oslo\\"}"', '{"city": "Oslo"}null'])
async def test_arguments_that_were_encoded_oddly(serve, given):
    block = {"type": "tool_use", "id": "a", "name": "weather", "input": given}
    body = {"type": "message", "role": "assistant", "model": "m", "content": [block], "stop_reason": "tool_use"}
    server = await serve([Act(body=body)])
    _, reply = await collect(model_of(server), asking(tools=(WEATHER,)))
    assert reply.tool_calls[0].arguments == {"city": "Oslo"}


async def test_a_refusal_of_one_schema_costs_no_other(serve):
    city = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"], "additionalProperties": False}

    def script(seen):
        if "output_config" in seen.body and '"x"' in json.dumps(seen.body["output_config"]):
            return refusal(400, "output_config: this schema is too strange", "invalid_request_error")
        return Act(content="{}")

    server = await serve(script)
    for schema in (city, PLAN_SCHEMA, city):
        await collect(model_of(server), asking(schema=schema))
    assert ["output_config" in body for body in server.bodies] == [True, False, True, False]


async def test_halves_of_an_emoji(serve):
    halves = [{**TEXT, "delta": {"type": "text_delta", "text": half}} for half in "\ud83c\udf89"]
    server = await serve([Act(chunks=[START, BLOCK, *halves, END])])
    told, reply = await collect(model_of(server), asking("caf\udce9 \ud83d", streaming=True))
    assert ("".join(told), reply.content) == ("🎉", "🎉")
    assert server.requests[0].last_user_text == "caf\ufffd \ufffd"
