"""A call's turn at its provider, the same for all adapters: waited for, taken, and what came of it told to the pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from ...concurrency.deadline import Pieces
from ...exceptions import ModelError
from ...ports import Request, report_call_started
from .errors import Target, headers_of
from .rate_limit import Announced, LongWait, Pace, Ticket, pace_of

__all__ = ["Paced"]

CHARACTERS_PER_TOKEN = 4
OUTPUT_TOKENS = 500


@dataclass(frozen=True, slots=True)
class Paced:
    """The calls of one model; `announced` reads its provider's headers, `explained` its errors."""

    target: Target
    pace: Pace
    announced: Callable[[Mapping[str, str]], dict[str, Announced]]
    explained: Callable[[Exception, Target], ModelError]

    @classmethod
    def at(
        cls,
        url: str,
        model: str,
        target: Target,
        announced: Callable[[Mapping[str, str]], dict[str, Announced]],
        explained: Callable[[Exception, Target], ModelError],
    ) -> Paced:
        """With the pace that all callers of this account's model share."""
        return cls(target, pace_of(url, target.key, model), announced, explained)

    async def turn(self, request: Request) -> Ticket:
        """Wait until this request may be made; raises a `ModelError` where that would take minutes."""
        characters = sum(len(message["content"]) for message in request.messages)
        tokens = characters / CHARACTERS_PER_TOKEN + (request.max_output_tokens or OUTPUT_TOKENS)
        try:
            return await self.pace.turn(tokens)
        except LongWait as wait:
            said = f"the provider asked for patience, {wait.seconds:.0f} s more"
            advice = "try again then, or choose another model"
            raise self.target.error(said, advice, status=429, retryable=True, retry_after=wait.seconds) from None

    def begin(self, ticket: Ticket) -> Callable[[Mapping[str, str]], None]:
        """The request goes now; what is given back is told the headers of the reply."""
        ticket.sent = self.pace.clock()
        report_call_started()
        return lambda headers: self.pace.told(ticket, self.announced(headers))

    async def counted(self, pieces: Pieces, ticket: Ticket) -> Pieces:
        """The same pieces; the pace learns how the call went."""
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        except Exception as error:
            self.pace.told(ticket, self.announced(headers_of(error)))
            self.pace.failed(ticket, self.explained(error, self.target))
            raise
        except BaseException:
            # Cancelled, given up, or out of time: that says nothing about the provider.
            self.pace.failed(ticket)
            raise
        else:
            self.pace.went_well(ticket)
