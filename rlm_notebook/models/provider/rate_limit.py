"""The rate limit of a provider's model, as headers and refusals report it, shared by all callers of a process.

A `RateLimit` belongs to an account's model, not to a run, a wrapper or an event loop: several runs of a notebook call
the model at once, and the provider counts them together.

How it works. A call takes a `Ticket`: its number, and a place in each of two lines, requests and tokens. A place is
the sum of all amounts taken so far, so the provider's bucket is one moving bound on each line: places up to `base +
rate * seconds` may start. A call waits until both lines have reached its places, the account is not held by a `Retry-
After`, and the window of calls in flight has room. Callers are not woken up: each computes its own wait from the
clock, so no queue can lose a caller, on whatever event loop or thread it lives.

Three sources change the bound. Headers of a reply (`learn`) set it: less than expected is believed at once, more only
in part, because the count in a header is as old as the reply. A `Retry-After` holds all calls. A refusal without
numbers halves the window, once for all calls that were in flight together; each success widens it by one.

What must never happen: a ticket that is not returned (`went_well` or `failed`, or by `turn` itself when it raises),
since its place in the window would be lost; an abandoned place that still counts (`leave`); a wait of more than
`PATIENCE` seconds that nobody is told of (`LongWait`). All state changes under one lock, and nothing is awaited under
it.
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
#: Seconds between two looks at a state that may have changed, and while only other calls can make room.
LOOK_AGAIN = 1.0
ROOM = 0.05
#: The share of an unexpected rise of the remaining amount that is believed at once.
BELIEVED = 0.1
#: A window of so many calls is no limit any more.
WIDE = 1024


@dataclass(frozen=True, slots=True)
class RateLimitHeaders:
    """One counter of a provider: its limit, the remaining amount, and the seconds until all of it is available."""

    limit: float
    remaining: float
    reset: float

    @property
    def rate(self) -> float:
        """The amount that becomes available a second: providers use buckets that fill steadily, mostly in a minute.

        Without a usable reset time, a minute is assumed.
        """
        used = self.limit - self.remaining
        return used / self.reset if used > 0 and self.reset > 0 else self.limit / 60

    @property
    def spare(self) -> float:
        """An unused margin, because requests overtake each other and a busy process sends them in bunches.

        The amount of a quarter of a second; for a daily limit that is next to nothing.
        """
        return min(self.limit / 10, max(1.0, self.rate / 4))

    @property
    def most(self) -> float:
        """The largest amount that may start at once."""
        return self.limit - self.spare


@dataclass(slots=True)
class Ticket:
    """One call's places in the lines of requests and of tokens, with their amounts, and when it was sent."""

    number: int
    places: tuple[tuple[float, float], ...]
    sent: float = math.nan


class _Allowance:
    """One line of places: those up to `_base` may start, and the bound moves at `_rate`."""

    def __init__(self) -> None:
        self._announced: RateLimitHeaders | None = None
        self._rate = 0.0
        self._base = 0.0
        self._at = 0.0
        #: The last place taken, the last place that started, and the last place in the provider's count.
        self._taken = 0.0
        self._gone = 0.0
        self._learned_at = 0.0
        #: Abandoned places after the provider's count, with their amounts.
        self._left: list[tuple[float, float]] = []

    @property
    def known(self) -> bool:
        return self._announced is not None

    def take(self, amount: float) -> tuple[float, float]:
        """The place at the end of the line, and its amount."""
        if self._announced is not None:
            # A call that is larger than the limit starts nevertheless.
            amount = min(amount, self._announced.most)
        self._taken += amount
        return self._taken, amount

    def wait(self, place: float, now: float) -> float:
        if self._announced is None:
            return 0.0
        # Unused allowance does not accumulate beyond `most`, whether no call wanted it or the process was too busy.
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
        """Take over a count that includes all calls up to this place; the headers of a later call are newer."""
        if place < self._learned_at or announced.limit <= 0:
            return
        base = place + announced.remaining - announced.spare
        if self._announced is not None and (more := base - self._allowed(sent)) > 0:
            # Less than expected is believed at once, more in part: a slow request was counted late, when the bucket
            # had filled.
            base -= more * (1 - BELIEVED)
        self._announced, self._rate, self._learned_at = announced, announced.rate, place
        self._base, self._at = base, sent
        self._left = [left for left in self._left if left[0] > place]

    def _allowed(self, now: float) -> float:
        return self._base + self._rate * (now - self._at)

    def _sent(self, place: float) -> float:
        """The place without the abandoned ones before it."""
        return place - sum(amount for left, amount in self._left if left < place)


class RateLimit:
    """The state that all callers of one model share. Safe over threads and event loops.

    Announced limits spread the calls in time. A `Retry-After` delays all of them. A refusal without numbers halves the
    number of calls in flight, which grows by one with each success.
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
        """Wait until a call may start. The caller returns the ticket with `went_well` or `failed`.

        Raises `LongWait` for a wait of more than two minutes.
        """
        with self._lock:
            self._number += 1
            amounts = zip(self._allowances.values(), (1, tokens), strict=True)
            ticket = Ticket(self._number, tuple(allowance.take(amount) for allowance, amount in amounts))
        try:
            while (wait := self._wait(ticket)) > 0:
                if wait > PATIENCE:
                    raise LongWait(wait)
                await sleep(min(wait, LOOK_AGAIN))
        except BaseException:
            with self._lock:
                for place, amount, allowance in self._lines(ticket):
                    allowance.leave(place, amount)
            raise
        return ticket

    def learn(self, ticket: Ticket, announced: Mapping[str, RateLimitHeaders]) -> None:
        """Take over the headers of the reply to this call."""
        with self._lock:
            for (place, _), (kind, allowance) in zip(ticket.places, self._allowances.items(), strict=True):
                if (headers := announced.get(kind)) is not None:
                    allowance.learn(headers, place, ticket.sent)

    def went_well(self, ticket: Ticket) -> None:
        with self._lock:
            self._at_once -= 1
            self._window = self._window + 1 if self._window < WIDE else math.inf

    def failed(self, ticket: Ticket, error: ModelError | None = None) -> None:
        """The call failed; `None` for an error that is not the provider's."""
        with self._lock:
            self._at_once -= 1
            # A wait of more than `PATIENCE` is not imposed on other calls: the provider refuses them itself.
            if error is not None and error.retry_after and error.retry_after <= PATIENCE:
                self._held_until = max(self._held_until, self.clock() + error.retry_after)
            if error is None or error.status != 429 or error.fatal:
                return
            # Calls in flight together are often refused together: that counts as one refusal. Where limits are known,
            # they say how much is too much.
            if ticket.number > self._halved_at and not any(each.known for each in self._allowances.values()):
                self._halved_at = self._number
                self._window = max(1, min(self._window, self._at_once + 1) // 2)

    def _wait(self, ticket: Ticket) -> float:
        """Seconds until this call may start, by the present state; 0 when it starts."""
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

    def _lines(self, ticket: Ticket) -> list[tuple[float, float, _Allowance]]:
        return [(*place, line) for place, line in zip(ticket.places, self._allowances.values(), strict=True)]


_rate_limits: dict[tuple[str, ...], RateLimit] = {}
_lock = threading.Lock()


def rate_limit_of(*account: str) -> RateLimit:
    """The rate limit of an account's model: address, key, model."""
    with _lock:
        return _rate_limits.setdefault(account, RateLimit())
