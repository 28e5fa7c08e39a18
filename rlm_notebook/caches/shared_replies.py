"""One path to a reply: from the cache, from an equal request in flight, or from the model.

`Cached` and the engine both take it, so that requests are coalesced once and a reply is kept by one set of rules.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Hashable, Iterable
from dataclasses import replace

from ..concurrency.in_flight import Abandoned, InFlight, InFlightRequests
from ..core.finish_reason import ended_early
from ..core.keys import digest
from ..core.secret_parameters import calls_with_secrets
from ..core.usage import Usage
from ..exceptions import ExecutionError
from ..ports.model import Cache, Model, Reply, Request

__all__ = ["SharedReplies", "as_cached", "cache_key", "is_whole"]

#: Replies that ended as they should; one that was cut off or filtered is not kept.
_WHOLE = frozenset({"stop", "tool_calls"})


class SharedReplies:
    """The replies to equal requests: those in `cache`, if there is one, and those of requests in flight.

    `models` are all models of an engine, by the names of their agents. A spec names one model; functions may share a
    name, and all but the first are kept apart by the agents that use them.
    """

    def __init__(self, cache: Cache | None = None, models: Iterable[tuple[str, Model]] = ()) -> None:
        self.cache = cache
        self._in_flight: InFlightRequests[Reply] = InFlightRequests()
        self._salts: dict[int, str] = {}
        first: dict[str, Model] = {}
        for agent, model in models:
            known = first.setdefault(model.name, model)
            if known is not model and known != model and ":" not in model.name:
                self._salts.setdefault(id(model), agent)

    @property
    def in_flight(self) -> int:
        """How many requests are being made now."""
        return len(self._in_flight)

    def key(self, model: Model, request: Request) -> str:
        """The key of a request in the cache."""
        return cache_key(model, request, self._salts.get(id(model), ""))

    async def find(self, key: Hashable, owner: object) -> Reply | InFlight[Reply]:
        """The reply, or the request that the caller now has to make and to `settle`.

        A reply from the cache, or from a request of another owner, is marked "cached" and costs nothing; one from a
        request of the same owner is given as it is. Raises the `ExecutionError` of the request that was awaited.
        """
        while True:
            if self.cache is not None and isinstance(key, str) and (known := self.cache.get(key)) is not None:
                return as_cached(known)
            request, first = self._in_flight.join(key, owner)
            if first or request.outcome is None:
                return request
            try:
                reply = await asyncio.wrap_future(request.outcome)
            except Abandoned:
                continue
            except ExecutionError as error:
                # A copy: each caller writes its own node into it.
                raise copy.copy(error) from error.__cause__
            return reply if request.owner is owner else as_cached(reply)

    def settle(self, made: InFlight[Reply], request: Request, outcome: Reply | BaseException) -> None:
        """End a request in flight: duplicates get the reply or the `ExecutionError`; after anything else one of them
        makes the request again. A whole reply is kept in the cache."""
        if not isinstance(outcome, Reply):
            self._in_flight.settle(made, outcome if isinstance(outcome, ExecutionError) else Abandoned())
            return
        if self.cache is not None:
            outcome = copy.deepcopy(outcome)
        try:
            if self.cache is not None and isinstance(made.key, str) and is_whole(outcome):
                # Of a conversation in which a tool was given a secret, nothing is kept from there on.
                before = (call for message in request.messages for call in message.get("tool_calls", ()))
                called = [*(call["name"] for call in before), *(call.name for call in outcome.tool_calls)]
                if not calls_with_secrets(request.tools, called):
                    self.cache.put(made.key, outcome)
        finally:
            self._in_flight.settle(made, outcome)


def cache_key(model: Model, request: Request, salt: str = "") -> str:
    """The digest of all that can enter the reply; `salt` keeps apart models that share a name."""
    settings = dict(model.capabilities.settings)
    return digest(
        [
            *([settings] if settings else []),
            [model.name, salt, request.mode, request.temperature, request.max_output_tokens],
            list(request.messages),
            list(request.tools),
            request.schema,
        ]
    )


def is_whole(reply: Reply) -> bool:
    """Whether a reply ended as it should and is not empty: no other is kept."""
    whole = reply.finish_reason in _WHOLE and not ended_early(reply.finish_reason, reply.metadata)
    return whole and bool(reply.tool_calls or reply.content.strip())


def as_cached(reply: Reply) -> Reply:
    """A copy of the reply that cost nothing."""
    return replace(copy.deepcopy(reply), usage=Usage(), mark="cached")
