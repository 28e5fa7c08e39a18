"""Any Python callable as a model: how it is called, and how what it returns becomes a `Reply`.

Users bring functions, coroutines, generators and objects of other libraries. What they return is accepted where it
can mean one thing only; anything else is refused by an error that shows what came and what was expected.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import json
import math
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..core.limits import Usage
from ..exceptions import ConfigurationError, ModelError, RLMError
from ..ports import Capabilities, Message, Part, Reply, Request, ToolCall
from .deadline import keeping, too_late, within
from .openai_errors import one_line
from .time_limit import TimeLimit

__all__ = ["CallableModel", "reply_from"]

EXPECTED = '{"content": "text", "metadata": {...}}, a str, or {"tool_calls": [{"name": ..., "arguments": {...}}]}'
RETRYABLE_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True)
class CallableModel:
    """A model out of any callable `(inputs, context) -> {"content": ..., "metadata": {...}}`.

    `inputs` are the messages with the system prompt; `context` holds mode, system_prompt, temperature, task, task_id,
    depth, breadcrumbs, goal, agent, tools, schema, parts and dependencies. Coroutines are awaited, async generators
    stream (text, then optionally one mapping with the whole), all else runs in daemon threads: at most
    `max_threads`, or one at a time with `thread_safe=False`. `metadata` may hold "model", "usage" (prompt_tokens,
    completion_tokens, ...) and "cost_usd"; without the last, the cost is unknown (`None`).

    Raises `ConfigurationError` for what cannot be called with two arguments; a call raises `ModelError`.
    """

    function: Callable[..., Any]
    name: str = field(default="", kw_only=True)
    thread_safe: bool = field(default=True, kw_only=True)
    max_threads: int = field(default=256, kw_only=True)
    _threads: _DaemonThreads = field(init=False, repr=False, compare=False)
    _schema: _OwnCopy = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_signature(self.function)
        object.__setattr__(self, "name", self.name or _name_of(self.function))
        object.__setattr__(self, "_schema", _OwnCopy())
        object.__setattr__(self, "_threads", _DaemonThreads(self.max_threads if self.thread_safe else 1))

    # What kind of function it is does not change; asking for each call would take longer than the rest of it.
    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @cached_property
    def _capabilities(self) -> Capabilities:
        return Capabilities(tools=True, stream=_is(inspect.isasyncgenfunction, self.function))

    @cached_property
    def _is_async(self) -> bool:
        return self.capabilities.stream or _is(inspect.iscoroutinefunction, self.function)

    @keeping
    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        # Most callables return the whole: one generator and no timer, since thousands of calls may be under way.
        limit = TimeLimit(request.deadline)
        try:
            with limit:
                result = self._called(request)
                # Sync functions may return awaitables too.
                while inspect.isawaitable(result):
                    result = await result
            whole = None if hasattr(result, "__aiter__") else reply_from(result, request, self.name)
        except RLMError:
            raise
        except Exception as error:
            if limit.expired:
                raise too_late(self.name, request.deadline or 0.0) from None
            raise _raised(error, self.name) from error
        if whole is not None:
            yield whole
            return
        left = None if request.deadline is None else limit.end - asyncio.get_running_loop().time()
        async with aclosing(within(left, self._pieces(result, request), name=self.name)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                yield piece

    async def _pieces(self, result: Any, request: Request) -> AsyncGenerator[str | Reply, None]:
        try:
            async with aclosing(_streamed(result, request, self.name)) as pieces:
                async for piece in pieces:
                    yield piece
        except RLMError:
            raise
        except Exception as error:
            raise _raised(error, self.name) from error

    def _called(self, request: Request) -> Any:
        """What the callable returns, or what gives it when it is awaited."""
        arguments = (_inputs(request), vars(_Context(request, self._schema.of(request.schema))))
        return self.function(*arguments) if self._is_async else self._threads.call(_finished, self.function, *arguments)


def _finished(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a blocking function returns; a generator is run to its end here, in its own turn."""
    result = function(*arguments)
    return _one_by_one(list(result)) if inspect.isgenerator(result) else result


async def _one_by_one(pieces: list[Any]) -> AsyncGenerator[Any, None]:
    for piece in pieces:
        yield piece


def _is(test: Callable[[Any], bool], function: Any) -> bool:
    """`test` of the function, of what a partial wraps, or of an object's `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    return test(function) or test(getattr(type(function), "__call__", None))  # noqa: B004


def _check_signature(function: Any) -> None:
    if not callable(function):
        raise ConfigurationError(f"CallableModel({function!r}): expected a callable (inputs, context)")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # builtins do not say
    try:
        signature.bind([], {})
    except TypeError:
        message = (
            f"CallableModel({_name_of(function)}): expected a callable (inputs, context), this one takes {signature}"
        )
        raise ConfigurationError(message) from None


def _name_of(function: Any) -> str:
    """A name that is the same in the next process: never an address."""
    own = getattr(function, "name", None)
    if isinstance(own, str) and own:
        return own
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _inputs(request: Request) -> list[dict[str, Any]]:
    # Copies: whatever the callable does to its arguments, the next attempt sees the same request.
    return [_message(message) for message in request.messages]


def _message(message: Message) -> dict[str, Any]:
    return vars(_Said(message["role"], message["content"])) if len(message) == 2 else _copied(message)


class _Said:
    """A message of a role and a text alone. Its `vars` are what a callable is given: such a dict shares its table of
    keys with all others of its kind, and takes half the memory of one that is written down."""

    def __init__(self, role: str, content: str) -> None:
        self.role = role
        self.content = content


def _copied(value: Any) -> Any:
    """A copy of a JSON value. It holds no cycles; `copy.deepcopy`, which looks out for them, takes three times as long
    and was the largest single cost of a node."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


class _OwnCopy:
    """A callable's copy of the wanted schema: one for all its calls, and a new one once a call has changed it."""

    __slots__ = ("_copy", "_given")

    def __init__(self) -> None:
        self._given: Any = None
        self._copy: Any = None

    def of(self, schema: dict[str, Any] | None) -> Any:
        # A copy for each call was a fifth of the memory of the nodes that are in a call.
        if self._given is not schema or self._copy != schema:
            self._given, self._copy = schema, _copied(schema)
        return self._copy


class _Context:
    """Its `vars` are what a callable is given, for the reason of `_Said`."""

    def __init__(self, request: Request, schema: Any) -> None:
        facts = request.facts
        self.mode = request.mode
        self.system_prompt = next((m["content"] for m in request.messages if m["role"] == "system"), "")
        self.temperature = request.temperature
        self.max_output_tokens = request.max_output_tokens
        self.tools = [_copied(tool) for tool in request.tools]
        self.schema = schema
        self.task = facts.task
        self.task_id = facts.task_id
        self.depth = facts.depth
        self.goal = facts.goal
        self.breadcrumbs = list(facts.breadcrumbs)
        self.agent = facts.agent
        self.parts = [_part(part) for part in facts.parts]
        self.dependencies = [_part(part) for part in facts.dependencies]


def _part(part: Part) -> dict[str, str]:
    return {"id": part.id, "task": part.task, "content": part.content}


async def _streamed(pieces: Any, request: Request, name: str) -> AsyncGenerator[str | Reply, None]:
    """Text is passed on; a mapping is the whole and must be the last thing that comes."""
    text: list[str] = []
    whole: Any = None
    try:
        async for piece in pieces:
            if whole is not None:
                raise _wrong(name, piece, "nothing after the mapping that holds the whole reply")
            if isinstance(piece, str):
                text.append(piece)
                yield piece
            else:
                whole = piece
    finally:
        if hasattr(pieces, "aclose"):
            await pieces.aclose()
    if isinstance(whole, Mapping) and whole.get("content") is None:
        whole = {**whole, "content": "".join(text)}
    yield reply_from("".join(text) if whole is None else whole, request, name)


def reply_from(result: Any, request: Request, name: str) -> Reply:
    """What a callable returned, as a `Reply`; raises `ModelError` if that is not clear."""
    if isinstance(result, Reply):
        return result
    given = _as_mapping(result)
    calls = _tool_calls(given.get("tool_calls") or (), request, name) if given is not None else ()
    content = given.get("content") if given is not None else None
    if given is None or not (isinstance(content, str) or (content is None and calls)):
        raise _wrong(name, result, EXPECTED)
    if not calls and not (content or "").strip():
        raise ModelError(f'{name} returned an empty reply; return the answer as text in "content"')
    metadata = _as_json(given.get("metadata"), name)
    return Reply(content or "", calls, _usage(metadata), str(metadata.get("model") or name), metadata=metadata)


def _as_mapping(result: Any) -> Mapping[str, Any] | None:
    if isinstance(result, Mapping):
        return result
    if isinstance(result, str):
        return {"content": result}
    if isinstance(getattr(result, "content", None), str):
        return {part: getattr(result, part, None) for part in ("content", "metadata", "tool_calls")}
    return None


def _wrong(name: str, came: Any, expected: str) -> ModelError:
    shown = repr(came)
    shown = shown if len(shown) <= 200 else shown[:197] + "..."
    return ModelError(f"{name} returned {shown} ({type(came).__name__}); expected {expected}")


def _tool_calls(given: Any, request: Request, name: str) -> tuple[ToolCall, ...]:
    if isinstance(given, Mapping | str) or not hasattr(given, "__iter__"):
        raise _wrong(name, given, 'for "tool_calls" a list of {"name": ..., "arguments": {...}}')
    # Numbered on from the calls that were answered before, so that ids are unique within a conversation.
    answered = sum(message["role"] == "tool" for message in request.messages)
    return tuple(_tool_call(call, f"call_{answered + at}", name) for at, call in enumerate(given))


def _tool_call(given: Any, default_id: str, name: str) -> ToolCall:
    if isinstance(given, ToolCall):
        return given
    inner = given.get("function", given) if isinstance(given, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise _wrong(name, given, 'for each of "tool_calls" {"name": ..., "arguments": {...}}')
    return ToolCall(str(given.get("id") or default_id), inner["name"], _arguments(inner.get("arguments"), name))


def _arguments(given: Any, name: str) -> dict[str, Any] | str:
    if given is None or given == "":
        return {}
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, str):
        raise _wrong(name, given, 'for "arguments" a dict or its JSON text')
    try:
        decoded = json.loads(given)
    except ValueError:
        return given
    return decoded if isinstance(decoded, dict) else given


def _as_json(metadata: Any, name: str) -> dict[str, Any]:
    """Metadata goes into checkpoints; what JSON has no form for is kept as text."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise _wrong(name, metadata, 'for "metadata" a dict')
    written = json.dumps({str(key): value for key, value in metadata.items()}, default=str)
    # Numbers that JSON does not know (NaN, Infinity) become text too: a file that holds them cannot be read again.
    as_json: dict[str, Any] = json.loads(written, parse_constant=str)
    return as_json


def _usage(metadata: Mapping[str, Any]) -> Usage | None:
    """What a function says that it used. A count that is none is nothing, and nobody is given anything back."""
    given = metadata.get("usage")
    cost = _amount(metadata.get("cost_usd"))
    if not isinstance(given, Mapping):
        return None if cost is None else Usage(cost_usd=cost)
    names = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    return Usage(**{name: int(_amount(given.get(name)) or 0) for name in names}, cost_usd=cost)


def _amount(value: Any) -> float | None:
    """The number, if it is one that can be counted with; `None` else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _raised(error: Exception, name: str) -> ModelError:
    status = getattr(error, "status_code", getattr(error, "status", None))
    status = status if isinstance(status, int) else None
    retryable, wait = getattr(error, "retryable", None), getattr(error, "retry_after", None)
    return ModelError(
        f"{name} raised {type(error).__name__}: {one_line(str(error))}",
        causes=[error],
        status=status,
        retry_after=float(wait) if isinstance(wait, int | float) else None,
        retryable=retryable if isinstance(retryable, bool) else status in RETRYABLE_STATUS,
    )


class _DaemonThreads:
    """Runs blocking functions in at most `limit` daemon threads, first come, first served.

    Daemon, because a thread cannot be stopped: neither a cancelled run nor the end of the process may wait for one.
    Not bound to an event loop, so that one model may be used from several.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._running = 0

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()
        call = functools.partial(contextvars.copy_context().run, function, *arguments)
        self._submit(functools.partial(_work, call, outcome, loop))
        return await outcome

    def _submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            self._jobs.append(job)
            if self._running >= self._limit:
                return
            self._running += 1
        threading.Thread(target=self._serve, name="rlm-model", daemon=True).start()

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if self._jobs:
                return self._jobs.popleft()
            self._running -= 1
            return None


def _work(call: Callable[[], Any], outcome: asyncio.Future[Any], loop: asyncio.AbstractEventLoop) -> None:
    if outcome.cancelled():
        return  # nobody waits any more: do not spend on it
    try:
        settle = functools.partial(_settle, outcome, call(), None)
    except BaseException as error:
        settle = functools.partial(_settle, outcome, None, error)
    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        return  # the loop is closed: the result came too late


def _settle(outcome: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if outcome.done():
        return
    if isinstance(error, StopIteration):
        error = RuntimeError("StopIteration")  # a future cannot hold one
    if error is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(result)
