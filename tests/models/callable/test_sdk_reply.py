"""What the SDKs of OpenAI and Anthropic give can be returned by a callable; what a callable is given, they take."""

import asyncio
import json
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, RecursiveEngine
from rlm_notebook.core.limits import Usage
from rlm_notebook.exceptions import ModelError
from rlm_notebook.models.anthropic import AnthropicModel, arguments_for
from rlm_notebook.models.callable import CallableModel
from rlm_notebook.ports import NodeFacts, Reply, Request, ToolCall
from tests.fault_server import Act, FaultServer
from tests.fault_wires import Seen, events, whole
from tests.messages_server import MessagesServer

TOOL = {"name": "look", "description": "", "parameters": {"type": "object", "properties": {}}}
CALLS = [
    {"id": name, "type": "function", "function": {"name": "look", "arguments": json.dumps({"city": name})}}
    for name in ("A", "B")
]
WANTED = (ToolCall("A", "look", {"city": "A"}), ToolCall("B", "look", {"city": "B"}))
CHAT = Seen(0, "POST", "/v1/chat/completions", {}, {"model": "m", "stream_options": {"include_usage": True}})
RESPONSES = Seen(0, "POST", "/v1/responses", {}, {"model": "m"})


async def reply_to(given: Any) -> tuple[list[str], Reply]:
    def answer(inputs: Any, context: Any) -> Any:
        return given

    request = Request("worker", ({"role": "user", "content": "?"},), NodeFacts("?"), tools=(TOOL,))
    *pieces, reply = [piece async for piece in CallableModel(answer).stream(request)]
    assert isinstance(reply, Reply)
    return [str(piece) for piece in pieces], reply


def completion(**facts: Any) -> Any:
    from openai.types.chat import ChatCompletion

    return ChatCompletion.model_validate(whole(Act(**facts), CHAT))


def response(**facts: Any) -> Any:
    from openai.types.responses import Response

    # As the SDK makes it of what a server says, which it does not validate.
    return Response.construct(**whole(Act(**facts), RESPONSES))


def message(**facts: Any) -> Any:
    anthropic_types = pytest.importorskip("anthropic.types")
    content: list[Any] = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    content += [{"type": "text", "text": facts["content"]}] if facts.get("content") else []
    content += [
        {"type": "tool_use", "id": call["id"], "name": "look", "input": json.loads(call["function"]["arguments"])}
        for call in facts.get("tool_calls", ())
    ]
    return anthropic_types.Message.model_validate(
        {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": content,
            "stop_reason": {"length": "max_tokens"}.get(facts.get("finish_reason", ""), "end_turn"),
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }
    )


every_sdk = pytest.mark.parametrize("made", [completion, response, message])


@every_sdk
async def test_a_reply_is_read_with_its_tokens(made: Any) -> None:
    _, reply = await reply_to(made(content="text"))
    assert (reply.content, reply.model, reply.finish_reason) == ("text", "m", "stop")
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.cost_usd) == (10, 5, None)


@every_sdk
async def test_calls_of_tools_are_read(made: Any) -> None:
    _, reply = await reply_to(made(content="Wait.", tool_calls=CALLS))
    assert (reply.content, reply.tool_calls, reply.finish_reason) == ("Wait.", WANTED, "tool_calls")


@every_sdk
async def test_a_reply_that_was_cut_off_says_so(made: Any) -> None:
    assert (await reply_to(made(content="half", finish_reason="length")))[1].finish_reason == "length"


@every_sdk
async def test_the_same_as_a_plain_mapping(made: Any) -> None:
    _, reply = await reply_to(made(content="text", tool_calls=CALLS).model_dump())
    assert (reply.content, reply.tool_calls) == ("text", WANTED)


async def test_parts_of_them_are_read() -> None:
    chat = completion(content="text", tool_calls=CALLS).choices[0].message
    for given in (
        chat,
        {"content": chat.content, "tool_calls": chat.tool_calls},
        {"content": message(content="text").content, "tool_calls": None},
        {"content": [{"type": "text", "text": "te"}, {"type": "text", "text": "xt"}]},
    ):
        _, reply = await reply_to(given)
        assert reply.content == "text"
        assert reply.tool_calls in ((), WANTED)
    assert (await reply_to(completion(content=None, tool_calls=CALLS).choices[0].message))[1].tool_calls == WANTED


async def test_a_refusal_is_told() -> None:
    for given in (completion(refusal="I cannot"), completion(refusal="I cannot").choices[0].message):
        with pytest.raises(ModelError, match="I cannot"):
            await reply_to(given)


def chunks_of(seen: Seen, **facts: Any) -> list[Any]:
    from openai.types.chat import ChatCompletionChunk

    told = [event for event in events(Act(**facts), seen) if isinstance(event, dict)]
    return [ChatCompletionChunk.model_validate(each) for each in told] if seen is CHAT else told


async def one_by_one(items: list[Any], error: Exception | None = None) -> Any:
    for item in items:
        yield item
    if error is not None:
        raise error


@pytest.mark.parametrize("seen", [CHAT, RESPONSES])
@pytest.mark.parametrize("made", [one_by_one, iter])
async def test_the_events_of_a_stream_are_read(seen: Seen, made: Any) -> None:
    pieces, reply = await reply_to(made(chunks_of(seen, content="a long text", tool_calls=CALLS)))
    assert "".join(pieces) == reply.content == "a long text"
    assert len(pieces) > 1
    assert reply.tool_calls == WANTED
    assert reply.usage is not None
    assert reply.usage.total_tokens == 15


async def test_a_stream_of_events_that_ends_early_is_an_error_unless_the_reply_was_complete() -> None:
    chunks = chunks_of(CHAT, content="a long text")
    _, reply = await reply_to(one_by_one(chunks[:-1], ConnectionError("reset")))
    assert reply.content == "a long text"
    for cut in (one_by_one(chunks[:2], ConnectionError("reset")), one_by_one(chunks[:1])):
        with pytest.raises(ModelError):
            await reply_to(cut)


async def test_of_anthropics_events() -> None:
    told = [
        {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "te"}},
        {"type": "text", "text": "te", "snapshot": "te"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "xt"}},
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    pieces, reply = await reply_to(one_by_one(told))
    assert (pieces, reply.content, reply.finish_reason) == (["te", "xt"], "text", "length")
    assert reply.usage == Usage(3, 4, cost_usd=None)


class TestStreamsThatFinished:
    async def test_what_a_generator_does_after_the_whole_spoils_nothing(self) -> None:
        async def raises() -> Any:
            yield "a"
            yield {"content": "ab"}
            raise ConnectionError("reset")

        async def hangs() -> Any:
            yield {"content": "ab"}
            await asyncio.Event().wait()

        def raises_at_once() -> Any:
            yield "a"
            yield {"content": "ab"}
            raise ConnectionError("reset")

        for made in (raises(), hangs(), raises_at_once()):
            assert (await reply_to(made))[1].content == "ab"

    async def test_before_the_whole_it_is_an_error_behind_what_came(self) -> None:
        def breaks() -> Any:
            yield "a"
            raise ConnectionError("reset")

        stream = CallableModel(lambda inputs, context: breaks()).stream(Request("worker", (), NodeFacts("?")))
        assert await anext(stream) == "a"
        with pytest.raises(ModelError, match="reset"):
            await anext(stream)


class TestShapes:
    async def test_finish_reasons_and_thoughts_of_mappings(self) -> None:
        for given in (
            {"content": "half", "metadata": {"finish_reason": "max_tokens"}, "reasoning": "Hm."},
            {"content": "half", "finish_reason": "MAX_TOKENS", "reasoning_content": "Hm."},
        ):
            _, reply = await reply_to(given)
            assert (reply.content, reply.finish_reason, reply.reasoning) == ("half", "length", "Hm.")

    @pytest.mark.parametrize("arguments", [{"city": "A"}, '{"city": "A"}', '"{\\"city\\": \\"A\\"}"'])
    @pytest.mark.parametrize("name", ["arguments", "args", "input"])
    async def test_arguments_by_the_names_that_libraries_give_them(self, name: str, arguments: Any) -> None:
        _, reply = await reply_to({"content": "", "tool_calls": [{"id": "A", "name": "look", name: arguments}]})
        assert reply.tool_calls == WANTED[:1]

    async def test_texts_of_any_kind_can_be_encoded(self) -> None:
        bad = "\ud83d\0"
        call = {"id": bad, "name": bad, "arguments": {bad: [bad, {"deep": bad}]}}
        mapping = {"content": bad, "reasoning": bad, "metadata": {"model": bad, "k": [bad]}, "tool_calls": [call]}
        given = Reply(bad, (ToolCall(bad, bad, {bad: bad}),), None, bad, metadata={"k": bad}, reasoning=bad)
        for made in (mapping, given):
            _, reply = await reply_to(made)
            repr(reply).encode()
            assert "\\ud83d" not in repr(reply)
            assert "\\x00" not in repr(reply)

    async def test_an_emoji_whose_halves_are_yielded_apart(self) -> None:
        pieces, reply = await reply_to(one_by_one(["a\ud83c", "\udf89", "b\ud83c"]))
        assert "".join(pieces) == reply.content == "a🎉b\ufffd"

    async def test_an_error_with_half_an_emoji_can_be_shown_and_so_can_its_cause(self) -> None:
        def fails(inputs: Any, context: Any) -> Any:
            raise ValueError("bad byte \ud800", 7)

        with pytest.raises(ModelError, match="bad byte \ufffd") as caught:
            await anext(CallableModel(fails).stream(Request("worker", (), NodeFacts("?"))))
        assert caught.value.__cause__ is not None
        assert str(caught.value.__cause__).encode()


def look(city: str) -> str:
    "Look a city up."
    return f"{city}: sunny"


class TestInputs:
    async def test_openais_sdk_takes_them_as_they_are(self) -> None:
        import openai

        act = Act(tool_calls=[*CALLS, {**CALLS[0], "id": "C", "function": {"name": "look", "arguments": '{"city": '}}])
        async with (
            FaultServer([act]) as server,
            openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client,
        ):

            async def model(inputs: Any, context: Any) -> Any:
                tools: Any = [{"type": "function", "function": each} for each in context["tools"]]
                return await client.chat.completions.create(model="m", messages=inputs, tools=tools)

            await AsyncRecursiveEngine(model, tools=[look], max_depth=1, retry=None).solve("t")
        *_, asked, first, second, third = server.requests[1].messages
        assert [call["type"] for call in asked["tool_calls"]] == ["function"] * 3
        assert [json.loads(call["function"]["arguments"]) for call in asked["tool_calls"]] == [
            {"city": "A"},
            {"city": "B"},
            {"invalid_json": '{"city": '},
        ]
        assert set(asked["tool_calls"][0]) == {"id", "type", "function"}, "a strict server takes nothing else"
        assert [each["tool_call_id"] for each in (first, second, third)] == ["A", "B", "C"]
        assert first["content"] == "A: sunny"

    def test_a_blocking_client_and_its_stream(self) -> None:
        import openai

        with (
            FaultServer([Act(tool_calls=CALLS)]) as server,
            openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client,
        ):

            def model(inputs: Any, context: Any) -> Any:
                return client.chat.completions.create(model="m", messages=inputs, stream=True)

            output = RecursiveEngine(model, tools=[look], max_depth=1, retry=None).solve("t")
        assert output.content.startswith("answer to")
        assert [use.content for use in output.run.tree["0"].tool_calls] == ["A: sunny", "B: sunny"]

    async def test_anthropics_sdk_takes_what_is_made_of_them(self) -> None:
        anthropic = pytest.importorskip("anthropic")
        async with (
            MessagesServer([Act(tool_calls=CALLS)]) as server,
            anthropic.AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0) as client,
        ):

            async def model(inputs: Any, context: Any) -> Any:
                made = arguments_for(inputs, context["tools"])
                return await client.messages.create(model="m", max_tokens=99, **made)

            output = await AsyncRecursiveEngine(model, tools=[look], max_depth=1, retry=None).solve("t")
            native = AsyncRecursiveEngine(
                AnthropicModel("m", base_url=server.url), tools=[look], max_depth=1, retry=None
            )
            await native.solve("t")
        assert [use.content for use in output.run.tree["0"].tool_calls] == ["A: sunny", "B: sunny"]
        user, used, told = server.bodies[1]["messages"]
        assert server.bodies[1]["system"] == server.bodies[2]["system"], "as the adapter itself says it"
        assert [block["type"] for block in used["content"]] == ["tool_use", "tool_use"]
        assert [block["tool_use_id"] for block in told["content"]] == ["A", "B"]
        assert user["role"] == told["role"] == "user"
