"""Pace: so many requests and tokens a minute, whoever asks; slower after a provider said that it was too much.

The limiters of libraries belong to one event loop each, or have no rate that changes. Here every caller works out
for itself when it may start, so one limit holds over event loops and threads, and there is nothing to wake up.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from ..concurrency.deadline import answer_in_time
from ..exceptions import ConfigurationError, ModelError
from ..ports.model import Capabilities, Model, Reply, Request, report_call_started
from ..pricing import expected_tokens

__all__ = ["Limited"]

TOO_MANY = 429
#: How much of a minute's amount may go at once, before the rest is spread evenly.
BURST = 0.1
#: What one refusal leaves of the rate, what each reply after it adds, and the least that is left.
SLOWED = 0.5
RECOVERED = 0.02
SLOWEST = 1 / 64
#: Waits below this are waited out, and those below the other are none, in seconds.
SHORT = 0.1
INSTANT = 1e-6


class _Bucket:
    """An amount a minute, as a queue: each caller has a place in it, and the queue moves on at the rate.

    Never more than the amount within any minute: what may go at once is not given again within that minute.
    """

    def __init__(self, per_minute: float) -> None:
        self._burst = max(1.0, per_minute * BURST)
        #: Amount per second.
        self.rate = (per_minute - self._burst + 1) / 60
        #: How far the queue has moved, and how much of that is taken.
        self.moved = self._burst
        self._taken = 0.0

    def take(self, amount: float) -> float:
        """A place at the end of the queue; its turn has come when the queue has moved so far."""
        # What nobody wanted is not kept for later, beyond what may go at once.
        self._taken = max(self._taken, self.moved - self._burst)
        # More than may ever go at once goes when all is there.
        place = self._taken + min(amount, self._burst)
        self._taken += amount
        return place

    def give(self, amount: float) -> None:
        """Put back what was not used (or take, below zero, what was used beyond)."""
        self._taken -= amount

    def empty(self) -> None:
        """Nothing may go at once."""
        self._taken = max(self._taken, self.moved)


@dataclass(frozen=True, eq=False)
class Limited:
    """The same model, asked at most so often, and for at most so many tokens, per minute, by all who share this object.

    A tenth of a minute's amount may go at once, the rest is spread evenly. After a 429 the pace is halved, for all
    callers, and comes back slowly; what a provider asks to wait (`retry_after`) everybody waits. Tokens are estimated
    before a call and corrected by the usage that the reply tells. Raises `ConfigurationError` for limits that are no
    positive numbers. A time limit of the model inside begins when its turn has come.
    """

    model: Model
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=True, repr=False)
    sleep: Callable[[float], Awaitable[Any]] = field(default=asyncio.sleep, kw_only=True, repr=False)
    _pace: _Pace = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            limit = getattr(self, name)
            is_number = isinstance(limit, int | float) and not isinstance(limit, bool)
            if limit is not None and not (is_number and math.isfinite(limit) and limit > 0):
                raise ConfigurationError(f"Limited({name}={limit!r}): expected a number above 0, or None for no limit")
        limits = (self.requests_per_minute, self.tokens_per_minute)
        requests, tokens = (_Bucket(limit) if limit is not None else None for limit in limits)
        object.__setattr__(self, "_pace", _Pace(requests, tokens))

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.model.capabilities, waits_for_rate_limit=True, keeps_deadline=True)

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        tokens = expected_tokens(request)
        refusals = await self._turn(tokens)
        if not self.model.capabilities.waits_for_rate_limit:
            report_call_started()
        used: float = tokens
        # Here and not around this wrapper: the wait for the rate limit is no time of the call.
        pieces: Any = answer_in_time(self.model, request)
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, Reply):
                        # A provider that does not count leaves the estimate; an answer from a cache used nothing.
                        if piece.mark == "cached":
                            used = 0.0
                        elif piece.usage is not None and piece.usage.total_tokens:
                            used = piece.usage.total_tokens
                        self._pace.went_well(self.clock())
                    yield piece
        except ModelError as error:
            self._pace.refused(error, refusals, self.clock())
            raise
        finally:
            self._pace.give(0, tokens - used)

    async def _turn(self, tokens: float) -> int:
        """Wait until it is our turn; gives how many refusals there had been by then."""
        places = self._pace.take(tokens, self.clock())
        try:
            while (wait := self._pace.wait(places, self.clock())) > 0:
                # Half of it first: until then the pace may have become another one.
                await self.sleep(wait if wait < SHORT else wait / 2)
        except BaseException:
            self._pace.give(1, tokens)
            raise
        return self._pace.refusals


class _Pace:
    """What all callers of one model share."""

    def __init__(self, requests: _Bucket | None, tokens: _Bucket | None) -> None:
        self._requests = requests
        self._tokens = tokens
        self._buckets = [bucket for bucket in (requests, tokens) if bucket is not None]
        self._lock = threading.Lock()
        self._share = 1.0
        self._held_until = -math.inf
        self._at: float | None = None
        self.refusals = 0

    def take(self, tokens: float, now: float) -> list[float]:
        """Places in the queues."""
        with self._lock:
            self._move(now)
            return [bucket.take(1 if bucket is self._requests else tokens) for bucket in self._buckets]

    def wait(self, places: list[float], now: float) -> float:
        """Seconds until all of them are reached, as it looks now; 0 when it is their turn."""
        with self._lock:
            self._move(now)
            pairs = zip(self._buckets, places, strict=True)
            ahead = [(place - bucket.moved) / (bucket.rate * self._share) for bucket, place in pairs]
            longest = max([0.0, *(seconds for seconds in ahead if seconds > INSTANT)])
            return max(0.0, self._held_until - now) + longest

    def _move(self, now: float) -> None:
        since = now if self._at is None else max(self._at, self._held_until)
        for bucket in self._buckets:
            bucket.moved += max(0.0, now - since) * bucket.rate * self._share
        self._at = now if self._at is None else max(self._at, now)

    def give(self, requests: float, tokens: float) -> None:
        """Put back what was taken and is not used."""
        with self._lock:
            if self._requests is not None:
                self._requests.give(requests)
            if self._tokens is not None:
                self._tokens.give(tokens)

    def went_well(self, now: float) -> None:
        with self._lock:
            self._move(now)
            self._share = min(1.0, self._share + RECOVERED)

    def refused(self, error: ModelError, refusals: int, now: float) -> None:
        """Slower from here on, and not before the time that the provider asked for; `refusals` when the call began."""
        if error.status != TOO_MANY and not error.retry_after:
            return
        with self._lock:
            self._move(now)
            # Calls that were under way together are often refused together: that is one refusal.
            if refusals == self.refusals:
                self.refusals += 1
                if error.status == TOO_MANY:
                    self._share = max(SLOWEST, self._share * SLOWED)
            self._held_until = max(self._held_until, now + (error.retry_after or 0.0))
            for bucket in self._buckets:
                bucket.empty()
