"""A call within its provider's rate limit, the same for all adapters: it waits, starts, and reports its outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from ...concurrency.deadline import Pieces
from ...exceptions import ModelError
from ...ports.model import Request, report_call_started
from ...pricing import expected_tokens
from .errors import Endpoint, headers_of
from .rate_limit import LongWait, RateLimit, RateLimitHeaders, Ticket, rate_limit_of

__all__ = ["RateLimitedCall"]


@dataclass(frozen=True, slots=True)
class RateLimitedCall:
    """The calls of one model; `read_headers` reads its provider's rate limit headers, `explained` its errors."""

    endpoint: Endpoint
    rate_limit: RateLimit
    read_headers: Callable[[Mapping[str, str]], dict[str, RateLimitHeaders]]
    explained: Callable[[Exception, Endpoint], ModelError]

    @classmethod
    def at(
        cls,
        url: str,
        model: str,
        endpoint: Endpoint,
        read_headers: Callable[[Mapping[str, str]], dict[str, RateLimitHeaders]],
        explained: Callable[[Exception, Endpoint], ModelError],
    ) -> RateLimitedCall:
        """With the rate limit that all callers of this account's model share."""
        return cls(endpoint, rate_limit_of(url, endpoint.key, model), read_headers, explained)

    async def turn(self, request: Request) -> Ticket:
        """Wait until this request may be made; raises a `ModelError` where that would take minutes."""
        try:
            return await self.rate_limit.turn(expected_tokens(request))
        except LongWait as wait:
            said = f"the provider asked for patience, {wait.seconds:.0f} s more"
            advice = "try again then, or choose another model"
            raise self.endpoint.error(said, advice, status=429, retryable=True, retry_after=wait.seconds) from None

    def begin(self, ticket: Ticket) -> Callable[[Mapping[str, str]], None]:
        """The request starts now; the result takes the headers of its reply."""
        ticket.sent = self.rate_limit.clock()
        report_call_started()
        return lambda headers: self.rate_limit.learn(ticket, self.read_headers(headers))

    async def counted(self, pieces: Pieces, ticket: Ticket) -> Pieces:
        """The same pieces; the rate limit learns how the call went."""
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        except Exception as error:
            self.rate_limit.learn(ticket, self.read_headers(headers_of(error)))
            self.rate_limit.failed(ticket, self.explained(error, self.endpoint))
            raise
        except BaseException:
            # Cancelled, given up, or out of time: that says nothing about the provider.
            self.rate_limit.failed(ticket)
            raise
        else:
            self.rate_limit.went_well(ticket)
