"""Any Python callable as a model: users bring functions, coroutines, generators and objects of other libraries."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any
from weakref import WeakValueDictionary

from ...concurrency.cancellation import apart
from ...concurrency.deadline import Deadline, Pieces, too_late, within
from ...concurrency.threads import DaemonThreads, OneThread, calling_thread
from ...concurrency.time_limit import TimeLimit
from ...core.error_text import described
from ...core.text import well_formed_value
from ...exceptions import ConfigurationError, ModelError, RLMError
from ...ports.model import Capabilities, Reply, Request
from ..provider.errors import one_line
from ..provider.exchange import StreamTimeout, steadily
from .reply import reply_from
from .request import Context, OwnCopy, inputs_of
from .stream import Told

__all__ = ["CallableModel"]

RETRYABLE_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True)
class CallableModel:
    """A model out of any callable `(inputs, context) -> {"content": ..., "metadata": {...}}`.

    `inputs` are the messages with the system prompt; `context` holds mode, system_prompt, temperature, task, task_id,
    depth, breadcrumbs, goal, agent, tools, schema, parts and dependencies; temperature and max_output_tokens only where
    they were asked for. Coroutines are awaited, async generators stream (text, then optionally one mapping with the
    whole), all else runs in daemon threads: at most `max_threads`, or one at a time with `thread_safe=False` (said
    here, or an attribute of the callable), and then in the thread that waits for the run, where one does
    (`RecursiveEngine.solve`). An object that has a method `stream(inputs, context)`, too, streams by it.
    `metadata` may hold "model", "usage" (prompt_tokens, completion_tokens, ...), "finish_reason" and "cost_usd";
    without the last, the cost is unknown (`None`). `inputs` can be given to OpenAI's SDK as they are, and what an SDK
    gives back (a reply, or a stream of events) can be returned as it is. `images=True` (or such an attribute of the
    callable) says that it takes images: the content of a message may be a list of OpenAI's parts, "text", "image_url".

    Raises `ConfigurationError` for what cannot be called with two arguments; a call raises `ModelError`.
    """

    function: Callable[..., Any]
    name: str = field(default="", kw_only=True)
    thread_safe: bool = field(default=True, kw_only=True)
    max_threads: int = field(default=256, kw_only=True)
    images: bool = field(default=False, kw_only=True)
    _threads: DaemonThreads = field(init=False, repr=False, compare=False)
    _schema: OwnCopy = field(init=False, repr=False, compare=False)
    _safe: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        function = self.function
        if not callable(function):
            raise ConfigurationError(f"CallableModel({function!r}): expected a callable (inputs, context)")
        if _takes_two(function) is False:
            taken = inspect.signature(function)
            raise ConfigurationError(
                f"CallableModel({_name_of(function)}): expected a callable (inputs, context), this one takes {taken}"
            )
        object.__setattr__(self, "name", self.name or _name_of(function))
        object.__setattr__(self, "_schema", OwnCopy())
        safe = self.thread_safe and getattr(function, "thread_safe", True) is not False
        if safe:
            threads = DaemonThreads(self.max_threads)
        else:
            which = id(getattr(function, "__self__", None)), id(getattr(function, "__func__", function))
            threads = _SERIAL.setdefault(which, OneThread())
        object.__setattr__(self, "_threads", threads)
        object.__setattr__(self, "_safe", safe)

    # What kind of function it is does not change; asking for each call would take longer than the rest of it.
    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @cached_property
    def _capabilities(self) -> Capabilities:
        streams = _is(inspect.isasyncgenfunction, self.function) or self._streaming is not None
        images = self.images or getattr(self.function, "images", False) is True
        return Capabilities(tools=True, stream=streams, images=images, keeps_deadline=True)

    @cached_property
    def _streaming(self) -> Callable[..., Any] | None:
        """The method `stream` of an object that can be called, too: the same, in pieces."""
        method = None if isinstance(self.function, type) else getattr(self.function, "stream", None)
        return method if callable(method) and _takes_two(method) is not False else None

    @cached_property
    def _is_coroutine_function(self) -> bool:
        return _is(inspect.iscoroutinefunction, self.function)

    @cached_property
    def _is_async(self) -> bool:
        return _is_async(self.function)

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        # Most callables return the whole: one generator and no timer, since thousands of calls may be under way.
        limit = TimeLimit(request.deadline)
        try:
            with limit:
                result = await self._called(request)
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
        made = partial(self._made, result, request)
        async with aclosing(within(left, made, name=self.name)) as pieces:
            async for piece in pieces:
                yield piece

    async def _made(self, result: Any, request: Request, deadline: Deadline) -> Pieces:
        return self._pieces(result, request, deadline)

    async def _pieces(self, result: Any, request: Request, deadline: Deadline) -> Pieces:
        try:
            async with aclosing(_streamed(result, request, self.name, deadline)) as pieces:
                async for piece in pieces:
                    yield piece
        except RLMError:
            raise
        except Exception as error:
            raise _raised(error, self.name) from error

    async def _called(self, request: Request) -> Any:
        """What the callable returns in the end: the whole, or what gives pieces."""
        arguments = (inputs_of(request), vars(Context(request, self._schema.of(request.schema))))
        function, is_async = self.function, self._is_async
        # Tools are called in what `__call__` returns; pieces of text have no place for that.
        if request.streaming and not request.tools and self._streaming is not None:
            function, is_async = self._streaming, _is_async(self._streaming)
        elif self._is_coroutine_function:
            value, error = await apart(partial(function, *arguments))
            if error is not None:
                raise error
            return value if isinstance(value, dict | str) else await _settled(value)
        if is_async:
            return await _settled(function(*arguments))
        caller = calling_thread.get()
        if caller is not None and (caller.for_all or not self._safe):
            return await _settled(await caller.call(self._threads.alone, _finished, function, *arguments))
        return await _settled(await self._threads.call(_finished, function, *arguments))


#: One at a time is meant of the callable, whatever the number of agents that it stands behind.
_SERIAL: WeakValueDictionary[tuple[int, int], OneThread] = WeakValueDictionary()


async def _settled(result: Any) -> Any:
    """The result; of an awaitable, as blocking functions may return it too, what it gives."""
    if isinstance(result, dict | str) or not inspect.isawaitable(result):
        return result
    try:
        # In a task of its own: it may cancel that, or leave a scope of cancellation open in it.
        value, error = await apart(lambda: result)
        if error is not None:
            raise error
        return await _settled(value)
    finally:
        # A coroutine that never began, because the call was cancelled, is closed without a warning.
        if inspect.iscoroutine(result):
            result.close()


def _finished(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a blocking function returns; a generator is run to its end here, in its own turn."""
    result = function(*arguments)
    if not isinstance(result, Iterator):
        return result
    pieces: list[Any] = []
    try:
        pieces.extend(result)
    except Exception as error:
        # What came before is not lost by that: it may have been the whole.
        return _one_by_one(pieces, error)
    return _one_by_one(pieces)


async def _one_by_one(pieces: list[Any], error: Exception | None = None) -> AsyncGenerator[Any, None]:
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


def _is(test: Callable[[Any], bool], function: Any) -> bool:
    """`test` of the function, of what a partial wraps, or of an object's `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    return test(function) or test(getattr(type(function), "__call__", None))  # noqa: B004


def _is_async(function: Any) -> bool:
    return _is(inspect.iscoroutinefunction, function) or _is(inspect.isasyncgenfunction, function)


def _takes_two(function: Any) -> bool | None:
    """Whether it can be called with inputs and a context; `None` for builtins, which do not say."""
    try:
        inspect.signature(function).bind([], {})
    except TypeError:
        return False
    except ValueError:
        return None
    return True


def _name_of(function: Any) -> str:
    """A name that is the same in the next process: never an address."""
    own = getattr(function, "name", None)
    if isinstance(own, str) and own:
        return own
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


async def _streamed(pieces: Any, request: Request, name: str, deadline: Deadline) -> AsyncGenerator[str | Reply, None]:
    """Text is passed on, and that in the events of an SDK; a mapping is the whole and must be the last that comes."""
    told = Told(request, name)
    try:
        coming, timeout = aiter(pieces), StreamTimeout(None, deadline)
        async with aclosing(steadily(coming, told, timeout, told.caller)) as steady:
            async for piece in steady:
                if text := told.add(piece):
                    yield text
    finally:
        with suppress(Exception) if told.finished else nullcontext():
            # Generators are closed by `aclose`, the streams of SDKs by `close`.
            close = getattr(pieces, "aclose", None) or getattr(pieces, "close", None)
            closing = close() if close is not None else None
            if inspect.isawaitable(closing):
                await closing
    if rest := told.rest():
        yield rest
    yield told.reply()


def _raised(error: Exception, name: str) -> ModelError:
    status = getattr(error, "status_code", getattr(error, "status", None))
    status = status if isinstance(status, int) else None
    retryable, wait = getattr(error, "retryable", None), getattr(error, "retry_after", None)
    # The error is shown as the cause of ours, with its own text.
    error.args = tuple(well_formed_value(argument) for argument in error.args)
    return ModelError(
        f"{name} raised {one_line(described(error))}",
        causes=[error],
        status=status,
        retry_after=float(wait) if isinstance(wait, int | float) else None,
        retryable=retryable if isinstance(retryable, bool) else status in RETRYABLE_STATUS,
    )
