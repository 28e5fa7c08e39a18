"""Plain Python as a model: every kind of callable, every shape of result, and threads that nobody waits for."""

import asyncio
import contextvars
import functools
import inspect
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlm_notebook.core.limits import Usage
from rlm_notebook.exceptions import ConfigurationError, LimitError, ModelError
from rlm_notebook.models.callable import CallableModel, _settled
from rlm_notebook.ports import Model, NodeFacts, Part, Reply, Request, ToolCall
from rlm_notebook.types import Output
from tests.support.waiting import HANG

ROOT = Path(__file__).parents[2]
MESSAGES = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "What?"})


def asking(**options):
    facts = options.pop("facts", NodeFacts("What?"))
    return Request(options.pop("mode", "worker"), options.pop("messages", MESSAGES), facts, **options)


async def collect(function, request=None, **options):
    *pieces, reply = [piece async for piece in CallableModel(function, **options).stream(request or asking())]
    assert isinstance(reply, Reply)
    return pieces, reply


async def reply_to(function, request=None, **options):
    return (await collect(function, request, **options))[1]


async def everything(model):
    return [piece async for piece in model.stream(asking())]


def returning(value):
    def answer(inputs, context):
        return value

    return answer


def plain(inputs, context):
    return {"content": inputs[-1]["content"]}


async def coroutine(inputs, context):
    await asyncio.sleep(0)
    return plain(inputs, context)


class Caller:
    def __call__(self, inputs, context):
        return plain(inputs, context)


class AsyncCaller:
    async def __call__(self, inputs, context):
        return plain(inputs, context)

    async def method(self, inputs, context):
        return plain(inputs, context)


class Streamer:
    async def __call__(self, inputs, context):
        yield "Wh"
        yield "at?"


@pytest.mark.parametrize(
    "function",
    [
        plain,
        coroutine,
        Caller(),
        AsyncCaller(),
        AsyncCaller().method,
        Streamer(),
        functools.partial(lambda extra, inputs, context: plain(inputs, context), 1),
        functools.partial(AsyncCaller()),
        lambda inputs, context: coroutine(inputs, context),
        lambda *arguments: plain(*arguments),
        lambda inputs, context=None: plain(inputs, context),
    ],
)
async def test_any_kind_of_callable_answers(function):
    assert (await reply_to(function)).content == "What?"
    assert isinstance(CallableModel(function), Model)


class TestArguments:
    async def test_the_context_says_what_the_node_is(self):
        seen = []

        def spy(inputs, context):
            seen.append((inputs, context))
            return "ok"

        facts = NodeFacts(
            "a", "0.1", 1, "goal", ("goal",), "agent", (Part("0.1.0", "x", "X"),), (Part("0.0", "y", "Y"),)
        )
        tool = {"name": "t", "description": "", "parameters": {}}
        await reply_to(
            spy, asking(mode="planner", facts=facts, temperature=0.5, tools=(tool,), schema={"type": "object"})
        )
        inputs, context = seen[0]
        assert inputs == list(MESSAGES)
        assert (
            context.items()
            >= {
                "mode": "planner",
                "system_prompt": "Be brief.",
                "temperature": 0.5,
                "task": "a",
                "task_id": "0.1",
                "depth": 1,
                "breadcrumbs": ["goal"],
                "goal": "goal",
                "agent": "agent",
                "tools": [tool],
                "schema": {"type": "object"},
                "parts": [{"id": "0.1.0", "task": "x", "content": "X"}],
                "dependencies": [{"id": "0.0", "task": "y", "content": "Y"}],
            }.items()
        )

    async def test_what_a_callable_does_to_its_arguments_stays_there(self):
        def spoil(inputs, context):
            inputs[0]["content"] = "spoilt"
            inputs.clear()
            context["schema"].clear()
            context["tools"][0].clear()
            return "ok"

        request = asking(
            schema={"type": "object"}, tools=({"name": "t"},), messages=({"role": "user", "content": "a"},)
        )
        await reply_to(spoil, request)
        assert request == asking(
            schema={"type": "object"}, tools=({"name": "t"},), messages=({"role": "user", "content": "a"},)
        )

    async def test_the_callers_context_variables_are_seen_in_its_thread(self):
        variable = contextvars.ContextVar("variable", default="unset")
        variable.set("set")
        assert (await reply_to(lambda inputs, context: variable.get())).content == "set"


class TestShapes:
    @pytest.mark.parametrize(
        "value",
        [
            "text",
            {"content": "text"},
            {"content": "text", "metadata": None},
            Output("text"),
            SimpleNamespace(content="text"),
            Reply("text"),
        ],
    )
    async def test_what_can_only_mean_one_thing_is_accepted(self, value):
        assert (await reply_to(returning(value))).content == "text"

    @pytest.mark.parametrize(
        "value",
        [
            None,
            42,
            b"text",
            ["text"],
            {},
            {"text": "x"},
            {"content": None},
            {"content": 42},
            {"content": ["x"]},
            Output,
        ],
    )
    async def test_anything_else_is_refused_with_what_came_and_what_was_expected(self, value):
        with pytest.raises(ModelError, match=r"returning.*returned .*expected .*content") as caught:
            await reply_to(returning(value))
        assert repr(value)[:20] in str(caught.value)
        assert type(value).__name__ in str(caught.value)
        assert not caught.value.retryable

    @pytest.mark.parametrize("value", ["", "  \n", {"content": ""}])
    async def test_an_empty_reply_is_an_error(self, value):
        with pytest.raises(ModelError, match="empty reply"):
            await reply_to(returning(value))

    async def test_metadata_is_made_json(self):
        reply = await reply_to(returning({"content": "x", "metadata": {"when": Path("a"), 1: {"deep": {2}}}}))
        assert reply.metadata == {"when": "a", "1": {"deep": [2]}}

    async def test_metadata_of_the_wrong_kind(self):
        with pytest.raises(ModelError, match='"metadata" a dict'):
            await reply_to(returning({"content": "x", "metadata": [1]}))

    @pytest.mark.parametrize("odd", [-7, float("nan"), float("inf"), "many", [1], 10**400])
    async def test_what_cannot_be_counted_with_is_nothing_and_never_a_refund(self, odd):
        metadata = {"usage": {"prompt_tokens": odd, "completion_tokens": 2}, "cost_usd": odd}
        usage = (await reply_to(returning({"content": "x", "metadata": metadata}))).usage
        assert (usage.prompt_tokens, usage.completion_tokens) == (0, 2)
        assert usage.cost_usd in (None, 0.0)

    async def test_usage_model_and_cost_are_taken_from_the_metadata(self):
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "reasoning_tokens": None}
        reply = await reply_to(returning({"content": "x", "metadata": {"usage": usage, "model": "m", "cost_usd": 0.5}}))
        assert (reply.usage, reply.model) == (Usage(3, 2, cost_usd=0.5), "m")

    async def test_a_cost_that_nobody_told_is_unknown_not_zero(self):
        assert (await reply_to(returning("x"))).usage is None
        assert (await reply_to(returning({"content": "x", "metadata": {"usage": {}}}))).usage.cost_usd is None


class TestToolCalls:
    async def test_calls_need_no_content_and_no_ids(self):
        calls = [
            {"name": "add", "arguments": {"a": 1}},
            {"name": "add", "arguments": '{"a": 2}', "id": "own"},
            {"name": "now"},
            {"name": "bad", "arguments": "{"},
            {"id": "o", "type": "function", "function": {"name": "add", "arguments": '{"a": 3}'}},
            ToolCall("t", "add", {"a": 4}),
        ]
        reply = await reply_to(returning({"tool_calls": calls}))
        assert reply.tool_calls == (
            ToolCall("call_0", "add", {"a": 1}),
            ToolCall("own", "add", {"a": 2}),
            ToolCall("call_2", "now", {}),
            ToolCall("call_3", "bad", "{"),
            ToolCall("o", "add", {"a": 3}),
            ToolCall("t", "add", {"a": 4}),
        )

    async def test_ids_stay_unique_over_the_rounds_of_a_conversation(self):
        messages = (*MESSAGES, {"role": "tool", "content": "1", "tool_call_id": "call_0"})
        reply = await reply_to(returning({"tool_calls": [{"name": "add"}]}), asking(messages=messages))
        assert reply.tool_calls[0].id == "call_1"

    @pytest.mark.parametrize(
        "calls", ["add", {"name": "add"}, [{"arguments": {}}], ["add"], [{"name": "a", "arguments": 3}], 5]
    )
    async def test_wrong_calls_are_refused(self, calls):
        with pytest.raises(ModelError, match=r"expected for .*(tool_calls|arguments)"):
            await reply_to(returning({"content": "x", "tool_calls": calls}))


class TestStreams:
    async def test_text_is_passed_on_and_joined(self):
        pieces, reply = await collect(Streamer())
        assert (pieces, reply.content) == (["Wh", "at?"], "What?")
        assert CallableModel(Streamer()).capabilities.stream
        assert not CallableModel(plain).capabilities.stream

    async def test_a_mapping_at_the_end_is_the_whole(self):
        async def stream(inputs, context):
            yield "a"
            yield {"content": "ab", "metadata": {"model": "m"}}

        pieces, reply = await collect(stream)
        assert (pieces, reply.content, reply.model) == (["a"], "ab", "m")

    async def test_a_mapping_without_content_adds_metadata_to_the_text(self):
        async def stream(inputs, context):
            yield "a"
            yield {"metadata": {"model": "m"}}

        _, reply = await collect(stream)
        assert (reply.content, reply.model) == ("a", "m")

    async def test_text_after_the_whole_is_refused(self):
        async def stream(inputs, context):
            yield {"content": "a"}
            yield "b"

        with pytest.raises(ModelError, match="expected nothing after"):
            await collect(stream)

    async def test_leaving_early_closes_the_generator(self):
        closed = []

        async def stream(inputs, context):
            try:
                yield "a"
                yield "b"
            finally:
                closed.append(True)

        pieces = CallableModel(stream).stream(asking())
        await anext(pieces)
        await pieces.aclose()
        assert closed == [True]

    async def test_a_blocking_generator_is_run_in_one_turn(self):
        """Two streams of something that is not thread safe must not take turns piece by piece."""
        order = []

        def stream(inputs, context):
            for piece in "ab":
                order.append(piece)
                time.sleep(0.02)
                yield piece

        model = CallableModel(stream, thread_safe=False)
        both = await asyncio.gather(*(everything(model) for _ in range(2)))
        assert [pieces[-1].content for pieces in both] == ["ab", "ab"]
        assert order == ["a", "b", "a", "b"]


class TestErrors:
    @pytest.mark.parametrize("kind", ["sync", "async", "stream"])
    async def test_what_a_callable_raises_is_a_model_error_with_the_cause(self, kind):
        def sync(inputs, context):
            raise KeyError("x")

        async def coroutine(inputs, context):
            raise KeyError("x")

        async def stream(inputs, context):
            yield "a"
            raise KeyError("x")

        function = {"sync": sync, "async": coroutine, "stream": stream}[kind]
        with pytest.raises(ModelError, match=rf"{function.__name__} raised KeyError: 'x'") as caught:
            await collect(function)
        assert isinstance(caught.value.__cause__, KeyError)
        assert not caught.value.retryable

    @pytest.mark.parametrize(
        ("facts", "retryable"),
        [
            ({"retryable": True}, True),
            ({"status_code": 429}, True),
            ({"status": 503}, True),
            ({"status_code": 401}, False),
            ({"retryable": False, "status": 503}, False),
        ],
    )
    async def test_an_error_that_says_so_is_retryable(self, facts, retryable):
        class ProviderError(Exception):
            pass

        def fail(inputs, context):
            error = ProviderError("no")
            error.__dict__.update(facts)
            raise error

        with pytest.raises(ModelError) as caught:
            await reply_to(fail)
        assert caught.value.retryable is retryable

    async def test_a_key_in_an_error_is_masked_since_errors_are_kept(self):
        def fail(inputs, context):
            raise ValueError("bad key sk-proj-abcdefgh12345678\nsecond line")

        with pytest.raises(ModelError, match=r"bad key \*\*\* second line$"):
            await reply_to(fail)

    async def test_errors_of_this_package_pass_unchanged(self):
        error = LimitError("mine")

        def fail(inputs, context):
            raise error

        with pytest.raises(LimitError) as caught:
            await reply_to(fail)
        assert caught.value is error

    async def test_stop_iteration_does_not_hang_or_end_anything_silently(self):
        def fail(inputs, context):
            return next(iter(()))

        with pytest.raises(ModelError, match="StopIteration"):
            await asyncio.wait_for(reply_to(fail), HANG)

    @pytest.mark.parametrize("function", [lambda inputs, context: time.sleep(2), lambda i, c: asyncio.sleep(3600)])
    async def test_a_callable_that_takes_too_long(self, function):
        with pytest.raises(ModelError, match=r"within 0\.1 s") as caught:
            await reply_to(function, asking(deadline=0.1))
        assert caught.value.retryable

    async def test_its_own_timeout_error_is_not_taken_for_the_deadline(self):
        async def fail(inputs, context):
            raise TimeoutError("mine")

        with pytest.raises(ModelError, match="raised TimeoutError: mine"):
            await reply_to(fail, asking(deadline=5))

    @pytest.mark.parametrize("function", [42, None, lambda: "x", lambda one: "x", lambda a, b, c: "x"])
    def test_what_cannot_be_called_with_inputs_and_context_is_refused_at_once(self, function):
        with pytest.raises(ConfigurationError, match=r"expected a callable \(inputs, context\)"):
            CallableModel(function)


class TestNames:
    def test_a_name_never_holds_an_address(self):
        class Named:
            name = "mine"

            def __call__(self, inputs, context):
                return "x"

        here = __name__
        assert CallableModel(plain).name == f"{here}.plain"
        assert CallableModel(functools.partial(plain)).name == f"{here}.plain"
        assert CallableModel(Caller()).name == f"{here}.Caller"
        assert CallableModel(AsyncCaller().method).name == f"{here}.AsyncCaller.method"
        assert CallableModel(Named()).name == "mine"
        assert CallableModel(plain, name="given").name == "given"
        assert CallableModel(lambda inputs, context: "x").name.endswith("<lambda>")


class TestThreads:
    async def test_blocking_callables_run_side_by_side(self):
        together = threading.Barrier(3)

        def meet(inputs, context):
            together.wait(timeout=HANG)
            return "met"

        model = CallableModel(meet)
        replies = await asyncio.gather(*(anext(model.stream(asking())) for _ in range(3)))
        assert [reply.content for reply in replies] == ["met"] * 3

    @pytest.mark.parametrize(("options", "limit"), [({"thread_safe": False}, 1), ({"max_threads": 3}, 3)])
    async def test_no_more_run_at_once_than_allowed_and_all_get_their_turn(self, options, limit):
        running, peak, lock = 0, 0, threading.Lock()

        def count(inputs, context):
            nonlocal running, peak
            with lock:
                running += 1
                peak = max(peak, running)
            time.sleep(0.01)
            with lock:
                running -= 1
            return "done"

        model = CallableModel(count, **options)
        replies = await asyncio.gather(*(anext(model.stream(asking())) for _ in range(12)))
        assert len(replies) == 12
        assert peak == limit

    def test_one_model_serves_several_loops(self):
        model = CallableModel(plain, thread_safe=False)

        async def one():
            return (await anext(model.stream(asking()))).content

        assert [asyncio.run(one()) for _ in range(3)] == ["What?"] * 3

    async def test_a_cancelled_call_that_did_not_start_never_starts(self):
        begun, release, started = threading.Event(), threading.Event(), []

        def work(inputs, context):
            started.append(inputs[-1]["content"])
            begun.set()
            release.wait(HANG)
            return "x"

        def asked(text):
            return asking(messages=({"role": "user", "content": text},))

        model = CallableModel(work, thread_safe=False)
        first, second = (asyncio.create_task(reply_of(model, asked(text))) for text in ("first", "second"))
        await asyncio.to_thread(begun.wait, HANG)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        release.set()
        await first
        assert (await reply_of(model, asked("third"))).content == "x"
        assert started == ["first", "third"]

    def test_neither_the_loop_nor_the_process_waits_for_a_thread(self):
        code = """
            import asyncio, time
            from rlm_notebook.models.callable import CallableModel, _settled
            from rlm_notebook.ports import NodeFacts, Request

            def slow(inputs, context):
                time.sleep(0.5 if context["task"] == "late" else 3600)
                return "late"

            async def main():
                for task in ("late", "never"):
                    pieces = CallableModel(slow).stream(Request("worker", (), NodeFacts(task)))
                    waiting = asyncio.create_task(anext(pieces))
                    await asyncio.sleep(0.1)
                    waiting.cancel()

            asyncio.run(main())
            time.sleep(0.6)  # the late result finds its loop closed
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=HANG, cwd=ROOT
        )
        assert done.stderr == ""


async def test_an_awaitable_that_was_returned_is_closed_if_the_call_is_cancelled_before_it_begins() -> None:
    """Else Python would warn that it was never awaited."""

    async def answer() -> str:
        raise AssertionError("it was to be cancelled before it began")

    returned = answer()
    settling = asyncio.ensure_future(_settled(returned))
    await asyncio.sleep(0)
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling

    assert inspect.getcoroutinestate(returned) == inspect.CORO_CLOSED


async def reply_of(model, request):
    return await anext(model.stream(request))
