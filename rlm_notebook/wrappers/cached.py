"""Memory: a request that was answered before is not made again, and one that is under way is waited for."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from ..caches.memory import MemoryCache
from ..core.finish_reason import ended_early
from ..core.keys import digest
from ..core.limits import Usage
from ..core.secret_parameters import calls_with_secrets
from ..exceptions import ConfigurationError, ModelError
from ..ports import Cache, Capabilities, Model, Reply, Request

__all__ = ["Cached", "Flights", "MemoryCache", "cache_of", "is_confided", "is_whole", "remembered", "remembering"]

#: Replies that ended as they should; one that was cut off or filtered is asked for again.
_WHOLE = frozenset({"stop", "tool_calls"})


class _Abandoned(Exception):
    """Whoever made the request went away without an answer: somebody else has to make it."""


class Flights:
    """Requests that are being made now, by key; shared by all who share a cache, on whatever event loop they are."""

    def __init__(self) -> None:
        self._under_way: dict[str, Future[Reply]] = {}
        self._lock = threading.Lock()

    def join(self, key: str) -> tuple[Future[Reply], bool]:
        """The flight of this request, and whether the caller has to make it."""
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight, False
            flight = self._under_way[key] = Future()
            # Running, so that none of those who wait can cancel it for the others.
            flight.set_running_or_notify_cancel()
            return flight, True

    def land(self, key: str, flight: Future[Reply], outcome: Reply | Exception) -> None:
        with self._lock:
            del self._under_way[key]
        if isinstance(outcome, Reply):
            flight.set_result(outcome)
        else:
            flight.set_exception(outcome)


@dataclass(frozen=True, eq=False)
class Cached:
    """The same model, asked once for each request: an equal one gets the same reply, marked "cached", at no cost.

    Equal is what has the same model name and settings, mode, messages, tools, schema, temperature and maximum of
    tokens. Only whole replies are kept; errors, and replies that are empty or were cut off, are not. Equal requests at
    the same time are one call. `salt` keeps apart models that share a name.
    """

    model: Model
    cache: Cache = field(default_factory=MemoryCache)
    flights: Flights = field(default_factory=Flights, kw_only=True, repr=False)
    salt: str = field(default="", kw_only=True)

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def capabilities(self) -> Capabilities:
        return self.model.capabilities

    def key(self, request: Request) -> str:
        """The digest of all that can enter the reply."""
        settings = dict(self.capabilities.settings)
        return digest(
            [
                *([settings] if settings else []),
                [self.name, self.salt, request.mode, request.temperature, request.max_output_tokens],
                list(request.messages),
                list(request.tools),
                request.schema,
            ]
        )

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        key = self.key(request)
        while True:
            if (known := self.cache.get(key)) is not None:
                break
            flight, ours = self.flights.join(key)
            if ours:
                made: Any = self._made(request, key, flight)
                async with aclosing(made) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            try:
                known = await asyncio.wrap_future(flight)
            except _Abandoned:
                continue
            except ModelError as error:
                # A copy: whoever it befell writes into it which node that was.
                raise copy.copy(error) from error.__cause__
            break
        reply = remembered(known)
        if request.streaming and reply.content:
            yield reply.content
        yield reply

    async def _made(self, request: Request, key: str, flight: Future[Reply]) -> Any:
        outcome: Reply | Exception = _Abandoned()
        try:
            pieces: Any = self.model.stream(request)
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, Reply):
                        outcome = copy.deepcopy(piece)
                        if is_whole(outcome) and not is_confided(request, outcome):
                            self.cache.put(key, outcome)
                    yield piece
        except ModelError as error:
            outcome = error
            raise
        finally:
            self.flights.land(key, flight, outcome)


def is_whole(reply: Reply) -> bool:
    """Whether a reply ended as it should, and says something: no other is worth keeping."""
    whole = reply.finish_reason in _WHOLE and not ended_early(reply.finish_reason, reply.metadata)
    return whole and bool(reply.tool_calls or reply.content.strip())


def is_confided(request: Request, reply: Reply) -> bool:
    """Whether something secret was given to a tool in this conversation: nothing of it is kept from there on."""
    before = (call for message in request.messages for call in message.get("tool_calls", ()))
    called = [*(call["name"] for call in before), *(call.name for call in reply.tool_calls)]
    return calls_with_secrets(request.tools, called)


def remembered(reply: Reply) -> Reply:
    """A reply of its own, that cost nothing."""
    return replace(copy.deepcopy(reply), usage=Usage(), mark="cached")


def cache_of(given: Any) -> Cache | None:
    """The cache that an engine's `cache` asks for: `True` is one in memory, anything with `get` and `put` itself."""
    if given is None or given is False:
        return None
    if given is True:
        return MemoryCache()
    if not (callable(getattr(given, "get", None)) and callable(getattr(given, "put", None))):
        raise ConfigurationError(f"cache={given!r}: expected True, None or an object with get(key) and put(key, reply)")
    cache_given: Cache = given
    return cache_given


def remembering(cache: Cache | None, models: Iterable[tuple[str, Model]]) -> Callable[[Model, Model], Model]:
    """Wraps what asks a model, so that what is in the cache is not asked; `models` are all, by the names of agents.

    A spec names one model. Functions may share a name: all but the first are kept apart by who uses them.
    """
    if cache is None:
        return lambda model, asking: asking
    flights = Flights()
    first: dict[str, Model] = {}
    salts: dict[int, str] = {}
    for agent, model in models:
        known = first.setdefault(model.name, model)
        if known is not model and known != model and ":" not in model.name:
            salts.setdefault(id(model), agent)

    def remember(model: Model, asking: Model) -> Model:
        return Cached(asking, cache, flights=flights, salt=salts.get(id(model), ""))

    return remember
