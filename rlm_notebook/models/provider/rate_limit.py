"""The rate limit of a provider's model, as headers and refusals report it, shared by all callers of a process.

A `RateLimit` belongs to an account's model, not to a run, a wrapper or an event loop: several runs of a notebook call
the model at once, and the provider counts them together. Callers are not woken up: each computes when it may start.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...exceptions import ModelError

__all__ = ["HeaderCallback", "LongWait", "RateLimit", "RateLimitHeaders", "Ticket", "rate_limit_of"]


class LongWait(Exception):
    """A wait that is too long to be made silently."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


#: What reads the headers of a reply.
HeaderCallback = Callable[[Mapping[str, str]], None]

#: Seconds: the longest wait for a turn; beyond it the call fails with the time to wait.
PATIENCE = 120.0
#: Seconds between two looks at a pace that may have changed meanwhile, and where only other calls can make room.
LOOK_AGAIN = 1.0
ROOM = 0.05
#: How much of an unexpected rise of what is left is believed at once.
BELIEVED = 0.1
#: A window that has grown to so many calls at once is none any more.
WIDE = 1024


@dataclass(frozen=True, slots=True)
class RateLimitHeaders:
    """What a provider says of one thing that it counts: its limit, what is left, seconds until all is back."""

    limit: float
    remaining: float
    reset: float

    @property
    def rate(self) -> float:
        """Amount a second that comes back: providers count in buckets that fill steadily, most often within a minute.

        Where the whole limit is back in no time, a minute is the best guess.
        """
        used = self.limit - self.remaining
        return used / self.reset if used > 0 and self.reset > 0 else self.limit / 60

    @property
    def spare(self) -> float:
        """What is better left: requests overtake each other on their way, and a busy process sends them in bunches.

        As much as comes back in a quarter of a second; of what is counted by the day that is next to nothing.
        """
        return min(self.limit / 10, max(1.0, self.rate / 4))

    @property
    def most(self) -> float:
        """What may go at once."""
        return self.limit - self.spare


@dataclass(slots=True)
class Ticket:
    """One call's places in the lines of requests and of tokens, with their amounts; and when it is sent."""

    number: int
    places: tuple[tuple[float, float], ...]
    sent: float = math.nan


class _Allowance:
    """What may be taken, as a line of places: those up to `_base` may go, and the line moves on at `_rate`."""

    def __init__(self) -> None:
        self._announced: RateLimitHeaders | None = None
        self._rate = 0.0
        self._base = 0.0
        self._at = 0.0
        #: How far the line is taken, how far it has gone, and up to where the provider had counted.
        self._taken = 0.0
        self._gone = 0.0
        self._learned_at = 0.0
        #: Places that were left without going, since the provider's count, with their amounts.
        self._left: list[tuple[float, float]] = []

    @property
    def known(self) -> bool:
        return self._announced is not None

    def take(self, amount: float) -> tuple[float, float]:
        """The place at the end of the line, and how much it is."""
        if self._announced is not None:
            # A call that is larger than the limit goes all the same.
            amount = min(amount, self._announced.most)
        self._taken += amount
        return self._taken, amount

    def wait(self, place: float, now: float) -> float:
        if self._announced is None:
            return 0.0
        # What was not used is not kept for later, beyond what may go at once; be it that nobody wanted it, or that this
        # process was too busy.
        unused = self._allowed(now) - self._sent(self._gone)
        self._base -= max(0.0, unused - self._announced.most)
        missing = self._sent(place) - self._allowed(now)
        return missing / self._rate if missing > 1e-6 else 0.0

    def go(self, place: float) -> None:
        self._gone = max(self._gone, place)

    def leave(self, place: float, amount: float) -> None:
        if self._announced is not None:
            self._left.append((place, amount))

    def learn(self, announced: RateLimitHeaders, place: float, sent: float) -> None:
        """The provider had counted all up to this place when it said so; what a later call was told is newer."""
        if place < self._learned_at or announced.limit <= 0:
            return
        base = place + announced.remaining - announced.spare
        if self._announced is not None and (more := base - self._allowed(sent)) > 0:
            # Less than we thought is believed at once; more, bit by bit: a request that was long on its way was counted
            # late, and the bucket had filled meanwhile.
            base -= more * (1 - BELIEVED)
        self._announced, self._rate, self._learned_at = announced, announced.rate, place
        self._base, self._at = base, sent
        self._left = [left for left in self._left if left[0] > place]

    def _allowed(self, now: float) -> float:
        return self._base + self._rate * (now - self._at)

    def _sent(self, place: float) -> float:
        """The place, as if those that were left before it had never been taken."""
        return place - sum(amount for left, amount in self._left if left < place)


class RateLimit:
    """What all callers of one model share. Safe over threads and event loops.

    Where the provider announces limits, calls are spread so that they are kept. Where it asks to wait, everybody waits.
    Where it only refuses, the number of calls at once is halved, and grows by one with each that succeeds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._allowances = {"requests": _Allowance(), "tokens": _Allowance()}
        self._held_until = -math.inf
        self._number = 0
        self._at_once = 0
        self._window = math.inf
        self._halved_at = 0

    async def turn(self, tokens: float, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> Ticket:
        """Wait until one may go; whoever got a ticket gives it back, with `went_well` or `failed`.

        Raises `LongWait` where that would take longer than two minutes.
        """
        ticket = self._take(tokens)
        try:
            while (wait := self._wait(ticket)) > 0:
                if wait > PATIENCE:
                    raise LongWait(wait)
                await sleep(min(wait, LOOK_AGAIN))
        except BaseException:
            self._leave(ticket)
            raise
        return ticket

    def learn(self, ticket: Ticket, announced: Mapping[str, RateLimitHeaders]) -> None:
        """What the headers of the reply to this call say."""
        with self._lock:
            for (place, _), (kind, allowance) in zip(ticket.places, self._allowances.items(), strict=True):
                if (said := announced.get(kind)) is not None:
                    allowance.learn(said, place, ticket.sent)

    def went_well(self, ticket: Ticket) -> None:
        with self._lock:
            self._at_once -= 1
            self._window = self._window + 1 if self._window < WIDE else math.inf

    def failed(self, ticket: Ticket, error: ModelError | None = None) -> None:
        """The call is over; `None` where that was not the provider's doing."""
        with self._lock:
            self._at_once -= 1
            if error is not None and (error.status == 429 or error.retry_after):
                self._refused(ticket, error)

    def _refused(self, ticket: Ticket, error: ModelError) -> None:
        # A wait that nobody is willing to make is not imposed on others: they are refused themselves.
        if error.retry_after is not None and error.retry_after <= PATIENCE:
            self._held_until = max(self._held_until, self.clock() + error.retry_after)
        if error.status != 429 or error.fatal or any(each.known for each in self._allowances.values()):
            return
        # Calls that were under way together are often refused together: that is one refusal.
        if ticket.number > self._halved_at:
            self._halved_at = self._number
            self._window = max(1, min(self._window, self._at_once + 1) // 2)

    def _take(self, tokens: float) -> Ticket:
        with self._lock:
            self._number += 1
            amounts = zip(self._allowances.values(), (1, tokens), strict=True)
            return Ticket(self._number, tuple(allowance.take(amount) for allowance, amount in amounts))

    def _wait(self, ticket: Ticket) -> float:
        """Seconds until this call may go, as it looks now; 0 when it goes."""
        with self._lock:
            now = self.clock()
            waits = [allowance.wait(place, now) for place, _, allowance in self._lines(ticket)]
            wait = max(self._held_until - now, *waits)
            if wait > 0 or self._at_once >= self._window:
                return max(wait, ROOM)
            for place, _, allowance in self._lines(ticket):
                allowance.go(place)
            self._at_once += 1
            ticket.sent = now
            return 0.0

    def _leave(self, ticket: Ticket) -> None:
        with self._lock:
            for place, amount, allowance in self._lines(ticket):
                allowance.leave(place, amount)

    def _lines(self, ticket: Ticket) -> list[tuple[float, float, _Allowance]]:
        return [(*place, line) for place, line in zip(ticket.places, self._allowances.values(), strict=True)]


_rate_limits: dict[tuple[str, ...], RateLimit] = {}
_lock = threading.Lock()


def rate_limit_of(*account: str) -> RateLimit:
    """The pace of an account's model: address, key, model."""
    with _lock:
        return _rate_limits.setdefault(account, RateLimit())
