"""Code of others beside the engine's: whatever it raises is a failure of that call, and of nothing else."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import anyio
import pytest
from pydantic import BeforeValidator

from rlm_notebook import AsyncRecursiveEngine, ExecutionError, ModelError, ScriptedModel, tool
from rlm_notebook.concurrency.cancellation import apart
from rlm_notebook.ports import Capabilities, Reply, Request, ToolCall
from rlm_notebook.wrappers.limited import Limited


class Sudden(BaseException):
    """As libraries define them to get past `except Exception`."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


ERRORS: list[Callable[[], BaseException]] = [
    lambda: asyncio.CancelledError("by scope 7f"),
    lambda: GeneratorExit("closed"),
    lambda: SystemExit(3),
    lambda: StopIteration("over"),
    lambda: StopAsyncIteration("over"),
    lambda: Sudden("past you"),
    lambda: BaseExceptionGroup("several", [asyncio.CancelledError(), ValueError("inner")]),
    Mute,
]
NAMES = ["cancelled", "generator", "exit", "stop", "async stop", "base", "group", "mute"]
erring = pytest.mark.parametrize("error", ERRORS, ids=NAMES)


def crew() -> ScriptedModel:
    """Splits "top" into "one" and "two"; "one" calls the tool that it has, and says what it was told."""

    def reply(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "RECURSE", "sub_tasks": ["one", "two"]}
        if request.mode == "synthesizer":
            return " + ".join(part.content for part in request.facts.parts)
        if request.facts.task != "one":
            return "two is done"
        told = [message["content"] for message in request.messages if message["role"] == "tool"]
        return told[0] if told else Reply("", (ToolCall("1", request.tools[0]["name"], {}),))

    return ScriptedModel(reply)


async def outcome_of(function: Any) -> str:
    """The answer of a run in which one of two sub-tasks calls the tool; a hang is an error."""
    run = AsyncRecursiveEngine(crew(), tools=[function], max_depth=2).start("top")
    output = await asyncio.wait_for(run, 60)
    assert run.status == "done"
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    return output.content


@erring
async def test_what_an_async_tool_raises_is_told_to_the_model_and_its_sibling_finishes(error: Any) -> None:
    async def work() -> str:
        "Work."
        raise error()

    told, _, other = (await outcome_of(work)).partition(" + ")
    assert told.startswith("work raised ")
    assert type(error()).__name__ in told or "Stop" in told
    assert other == "two is done"


@erring
async def test_so_is_what_a_blocking_tool_raises_in_its_thread(error: Any) -> None:
    def work() -> str:
        "Work."
        raise error()

    told, _, other = (await outcome_of(work)).partition(" + ")
    assert told.startswith("work raised ")
    assert type(error()).__name__ in told
    assert other == "two is done"


async def test_an_interrupt_raised_in_a_thread_was_not_the_users() -> None:
    def work() -> str:
        "Work."
        raise KeyboardInterrupt("mine")

    assert "KeyboardInterrupt: mine" in await outcome_of(work)


async def cancels_itself() -> str:
    "Cancel the task it runs in."
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    return "never"


async def awaits_what_was_cancelled() -> str:
    "Await a task that somebody else cancelled."
    task = asyncio.ensure_future(asyncio.sleep(60))
    task.cancel()
    return str(await task)


async def leaves_a_scope_open() -> str:
    "Enter a scope of cancellation, as a client whose server goes away, and never leave it."
    scope = anyio.CancelScope()
    scope.__enter__()
    scope.cancel()
    await anyio.sleep(60)
    return "never"


async def too_late_by_asyncio() -> str:
    "Set a limit of its own."
    async with asyncio.timeout(0.01):
        await asyncio.sleep(60)
    return "never"


async def too_late_by_anyio() -> str:
    "Set a limit of its own."
    with anyio.fail_after(0.01):
        await anyio.sleep(60)
    return "never"


async def gives_up_by_anyio() -> str:
    "Give up, and say so."
    with anyio.move_on_after(0.01):
        await anyio.sleep(60)
    return "work raised nothing"


async def fails_in_a_group() -> str:
    "Fail in a group of tasks."
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(60))
        group.create_task(_fails())
    return "never"


async def exits_in_a_group() -> str:
    "Exit in a group of tasks."
    async with anyio.create_task_group() as group:
        group.start_soon(_exits)
    return "never"


async def _fails() -> None:
    raise ValueError("inner")


async def _exits() -> None:
    raise Sudden("inner")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (cancels_itself, "CancelledError"),
        (awaits_what_was_cancelled, "CancelledError"),
        (leaves_a_scope_open, "CancelledError"),
        (too_late_by_asyncio, "TimeoutError"),
        (too_late_by_anyio, "TimeoutError"),
        (gives_up_by_anyio, "nothing"),
        (fails_in_a_group, "ValueError: inner"),
        (exits_in_a_group, "Sudden: inner"),
    ],
)
async def test_tools_that_cancel_cancel_themselves_alone(function: Any, said: str) -> None:
    told, _, other = (await outcome_of(function)).partition(" + ")
    assert " raised " in told
    assert said in told
    assert other == "two is done"


@pytest.mark.parametrize("error", [TypeError("no"), RuntimeError("no"), asyncio.CancelledError("no"), SystemExit("no")])
@pytest.mark.parametrize("requires_approval", [False, True])
async def test_a_validator_of_an_argument_that_fails_is_told_to_the_model(error: Any, requires_approval: bool) -> None:
    def check(value: Any) -> Any:
        raise error

    @tool(name="work", requires_approval=requires_approval)
    def work(at: Annotated[str, BeforeValidator(check)] = "here") -> str:
        """Work."""
        return "never"

    def reply(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        told = [message["content"] for message in request.messages if message["role"] == "tool"]
        return told[0] if told else Reply("", (ToolCall("1", "work", {"at": "there"}),))

    run = AsyncRecursiveEngine(ScriptedModel(reply), tools=[work]).start("t")
    assert f"{type(error).__name__}: no" in (await asyncio.wait_for(run, 60)).content


async def test_a_tool_that_is_told_to_stop_and_goes_on_does_not_keep_the_run_alive() -> None:
    begun = asyncio.Event()

    async def stubborn() -> str:
        "Do not stop."
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
        return "still here"

    run = AsyncRecursiveEngine(crew(), tools=[stubborn], max_depth=2).start("top")
    await asyncio.wait_for(begun.wait(), 60)
    await asyncio.wait_for(asyncio.ensure_future(_ended(run)), 60)
    assert run.status == "cancelled"
    assert run.tree["0.0"].state == "cancelled"


async def _ended(run: Any) -> None:
    await run.cancel()


async def test_a_tool_that_takes_too_long_is_cancelled_and_its_end_awaited() -> None:
    ended = []

    @tool(timeout=0.05)
    async def slow() -> str:
        """Be slow."""
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned")
        return "never"

    assert "slow did not finish (limit: 0.05 s)" in await outcome_of(slow)
    assert ended == ["cleaned"]


# -- models ----------------------------------------------------------------------------------------------------------


def blocking(error: Callable[[], BaseException]) -> Any:
    def model(inputs: Any, context: Any) -> Any:
        if context["task"] == "one" and context["mode"] == "worker":
            raise error()
        return _said(context)

    return model


def awaited(error: Callable[[], BaseException]) -> Any:
    async def model(inputs: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        if context["task"] == "one" and context["mode"] == "worker":
            raise error()
        return _said(context)

    return model


def streamed(error: Callable[[], BaseException]) -> Any:
    async def model(inputs: Any, context: Any) -> AsyncIterator[Any]:
        if context["task"] == "one" and context["mode"] == "worker":
            yield "some "
            raise error()
        yield _said(context)

    return model


class Written:
    """A model of a user's, which raises at once and not when it is asked for the first piece."""

    name = "written"
    capabilities = Capabilities()

    def __init__(self, error: Callable[[], BaseException]) -> None:
        self.error = error

    def stream(self, request: Request) -> AsyncIterator[Any]:
        if request.facts.task == "one" and request.mode == "worker":
            raise self.error()
        return self._pieces(request)

    async def _pieces(self, request: Request) -> AsyncIterator[Any]:
        parts = [part.content for part in request.facts.parts]
        yield Reply(_said({"mode": request.mode, "task": request.facts.task, "parts": parts})["content"])


def returning(error: Callable[[], BaseException]) -> Any:
    """A blocking callable whose result is awaited."""
    make = awaited(error)
    return lambda inputs, context: make(inputs, context)


def wrapped(error: Callable[[], BaseException]) -> Any:
    return Limited(Written(error), 60_000)


def _said(context: Any) -> Any:
    if context["mode"] == "planner":
        return {"content": '{"decision": "RECURSE", "sub_tasks": ["one", "two"]}'}
    if context["mode"] == "synthesizer":
        return {"content": "joined"}
    return {"content": f"{context['task']} is done"}


MODELS = [blocking, awaited, returning, streamed, Written, wrapped]


@erring
@pytest.mark.parametrize("make", MODELS)
async def test_what_a_model_raises_fails_that_node_and_its_sibling_finishes(make: Any, error: Any) -> None:
    run = AsyncRecursiveEngine(make(error), max_depth=2, retry=None).start("top")
    with pytest.raises(ExecutionError) as caught:
        await asyncio.wait_for(run, 60)

    assert isinstance(caught.value.causes[0], ModelError)
    assert run.status == "failed"
    assert [run.tree[node].state for node in ("0.0", "0.1")] == ["failed", "done"]
    assert await asyncio.wait_for(run.synthesize_anyway(), 60)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize(
    ("error", "said"), [(SystemExit(3), "SystemExit: 3"), (GeneratorExit("x"), "GeneratorExit: x")]
)
async def test_and_the_error_says_what_it_was(make: Any, error: BaseException, said: str) -> None:
    run = AsyncRecursiveEngine(make(lambda: error), max_depth=2, retry=None).start("top")
    with pytest.raises(ExecutionError, match=said):
        await run


@pytest.mark.parametrize("cancels", [cancels_itself, leaves_a_scope_open, awaits_what_was_cancelled])
@pytest.mark.parametrize("is_async", [True, False])
async def test_a_callable_that_cancels_cancels_itself_alone(cancels: Any, is_async: bool) -> None:
    async def model(inputs: Any, context: Any) -> Any:
        if context["task"] == "one" and context["mode"] == "worker":
            return {"content": await cancels()}
        return _said(context)

    given = model if is_async else lambda inputs, context: model(inputs, context)
    run = AsyncRecursiveEngine(given, max_depth=2, retry=None, on_failure="synthesize").start("top")
    output = await asyncio.wait_for(run, 60)
    assert output.content == "joined"
    assert [node.state for node in run.tree] == ["done", "failed", "done"]
    assert "cancelled its own call" in (run.tree["0.0"].error or "")


async def test_a_model_that_keeps_its_cancellation_to_itself_is_asked_nothing_more() -> None:
    begun, calls = asyncio.Event(), 0

    async def model(inputs: Any, context: Any) -> Any:
        nonlocal calls
        calls += 1
        if context["mode"] == "planner":
            return {"content": '{"decision": "RECURSE", "sub_tasks": ["one"]}'}
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ConnectionError("interrupted") from None

    run = AsyncRecursiveEngine(model, max_depth=2).start("top")
    await asyncio.wait_for(begun.wait(), 60)
    await asyncio.wait_for(asyncio.ensure_future(_ended(run)), 60)

    assert run.status == "cancelled"
    assert calls == 2


async def test_a_reply_that_is_there_survives_a_stream_that_cannot_be_closed() -> None:
    class Closing(Written):
        def stream(self, request: Request) -> Any:
            return _Unclosable()

    class _Unclosable:
        def __init__(self) -> None:
            self.pieces = [Reply("the whole answer")]

        def __aiter__(self) -> "_Unclosable":
            return self

        async def __anext__(self) -> Any:
            if not self.pieces:
                raise StopAsyncIteration
            return self.pieces.pop()

        async def aclose(self) -> None:
            raise OSError("the socket is gone")

    output = await AsyncRecursiveEngine(Closing(ValueError), max_depth=1, call_timeout=None).solve("t")
    assert output.content == "the whole answer"


# -- observers -------------------------------------------------------------------------------------------------------


@erring
async def test_an_observer_that_fails_is_logged_and_fails_no_run(error: Any, caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    def watches(event: Any) -> None:
        seen.append(event)
        raise error()

    with caplog.at_level(logging.ERROR):
        output = await AsyncRecursiveEngine("offline", observers=[watches], max_depth=1).solve("What is 2 + 2?")

    assert output.run.status == "done"
    assert len(seen) > 1
    assert "an observer failed on RunStarted" in caplog.text


async def test_an_observer_that_cannot_be_made_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    class PerRun:
        def __call__(self, event: Any) -> None: ...

        def for_run(self) -> Any:
            raise OSError("no file")

    output = await AsyncRecursiveEngine("offline", observers=[PerRun()], max_depth=1).solve("What is 2 + 2?")
    assert output.run.status == "done"
    assert "continues without it" in caplog.text


# -- what is meant for the engine passes -----------------------------------------------------------------------------


async def test_an_interrupt_in_the_main_thread_is_the_users() -> None:
    assert threading.current_thread() is threading.main_thread()

    seen: list[Any] = []

    def watches(event: Any) -> None:
        seen.append(event)
        if len(seen) == 1:
            # The run's own task must not stop the test's loop later.
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        AsyncRecursiveEngine("offline", observers=[watches]).start("t").internals.log.emit(_any_event())


def _any_event() -> Any:
    from rlm_notebook.core.events import RunStarted

    return RunStarted(at=0.0, run_id="r", task="t", request_key="k", settings={})


async def test_who_is_cancelled_while_a_call_goes_on_waits_for_its_end() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    task = asyncio.create_task(apart(work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
