"""Memory: a request that was answered before is not made again; a duplicate in flight awaits the first reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from ..caches.memory import MemoryCache
from ..caches.shared_replies import SharedReplies, cache_key
from ..concurrency.in_flight import Abandoned
from ..exceptions import ConfigurationError, ModelError
from ..ports.model import Cache, Capabilities, Model, Reply, Request

__all__ = ["Cached", "cache_of"]


@dataclass(frozen=True, eq=False)
class Cached:
    """The same model, called once for each request: an equal one gets the same reply, marked "cached", at no cost.

    Equal is what has the same model name and settings, mode, messages, tools, schema, temperature and maximum of
    tokens. Only whole replies are kept; errors, and replies that are empty or were cut off, are not. Equal requests at
    the same time are one call. `salt` keeps apart models that share a name.
    """

    model: Model
    cache: Cache = field(default_factory=MemoryCache)
    salt: str = field(default="", kw_only=True)
    _replies: SharedReplies = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_replies", SharedReplies(self.cache))

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def capabilities(self) -> Capabilities:
        return self.model.capabilities

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        # Every caller is an owner of its own: what it does not make itself is "cached".
        found = await self._replies.find(cache_key(self.model, request, self.salt), object())
        if isinstance(found, Reply):
            if request.streaming and found.content:
                yield found.content
            yield found
            return
        outcome: Reply | Exception = Abandoned()
        try:
            pieces: Any = self.model.stream(request)
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, Reply):
                        outcome = piece
                        self._replies.settle(found, request, piece)
                    yield piece
        except ModelError as error:
            outcome = error
            raise
        finally:
            self._replies.settle(found, request, outcome)


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
