"""Anthropic's message batches: many requests at once, answered within a day for half the price."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ...ports.model import Reply, Request
from ..provider.batch import asked, field_of, item_error, moment
from ..provider.errors import Endpoint
from ..provider.http_clients import ClientSettings
from .errors import model_error
from .reply import MessageWritten

__all__ = ["AnthropicBatches"]

T = TypeVar("T")
#: Seconds by which the provider's clock may be behind.
CLOCK_SECONDS = 60.0
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}


@dataclass(frozen=True)
class AnthropicBatches:
    """The batches of one model; `made` is the body of a call."""

    endpoint: Endpoint
    settings: ClientSettings
    made: Callable[[Request], dict[str, Any]]

    @property
    def url(self) -> str:
        return self.endpoint.url

    def body(self, request: Request) -> dict[str, Any]:
        return {name: value for name, value in self.made(request).items() if name != "stream"}

    async def create(self, key: str, bodies: Mapping[str, dict[str, Any]]) -> str:
        requests = [{"custom_id": each, "params": body} for each, body in bodies.items()]
        batch = await self._asked(lambda client: client.messages.batches.create(requests=requests))
        return str(field_of(batch, "id"))

    async def find(self, key: str, after: float, count: int) -> str | None:
        # A batch has no name: it is known by its age and its size, and its results by the ids of the requests.
        page = await self._asked(lambda client: client.messages.batches.list(limit=100))
        for batch in page.data:
            counts = field_of(batch, "request_counts")
            states = ("processing", "succeeded", "errored", "canceled", "expired")
            size = sum(field_of(counts, state) or 0 for state in states)
            if size == count and moment(field_of(batch, "created_at")) >= after - CLOCK_SECONDS:
                return str(field_of(batch, "id"))
        return None

    async def ended(self, batch: str) -> bool:
        state = await self._asked(lambda client: client.messages.batches.retrieve(batch))
        return bool(field_of(state, "processing_status") == "ended")

    async def results(self, batch: str) -> AsyncIterator[tuple[str, Any]]:
        stream = await self._asked(lambda client: client.messages.batches.results(batch))
        try:
            async for each in stream:
                result = field_of(each, "result")
                yield str(field_of(each, "custom_id")), result.to_dict() if hasattr(result, "to_dict") else result
        except Exception as error:
            raise model_error(error, self.endpoint) from None

    def reply(self, request: Request, result: Any) -> Reply:
        kind = result.get("type")
        if kind != "succeeded":
            error = result.get("error") or f"the request is {kind}"
            inner = error.get("error", error) if isinstance(error, Mapping) else {}
            named = inner.get("type") if isinstance(inner, Mapping) else None
            raise item_error(_STATUS.get(str(named), 500), error, self.endpoint)
        written = MessageWritten.of(self.made(request), self.endpoint)
        written.add_whole(result.get("message"))
        return written.reply()

    async def _asked(self, ask: Callable[[Any], Awaitable[T]]) -> T:
        return await asked(self.settings, ask, lambda error: model_error(error, self.endpoint))
