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
from dataclasses import dataclass, field
from typing import Any

from ..exceptions import ConfigurationError, ModelError
from ..ports import Capabilities, Model, Reply, Request

__all__ = ["Limited"]

TOO_MANY = 429
#: How much of a minute's amount may go at once, before the rest is spread evenly.
BURST = 0.1
#: What one refusal leaves of the rate, what each reply after it adds, and the least that is left.
SLOWED = 0.5
RECOVERED = 0.02
SLOWEST = 1 / 64
CHARACTERS_PER_TOKEN = 4
OUTPUT_TOKENS = 500


class _Bucket:
    """An amount a minute. What is taken out comes back evenly; who finds too little is told when there is enough.

    Never more than the amount within any minute: what may go at once is not given again within that minute.
    """

    def __init__(self, per_minute: float) -> None:
        self._most = max(1.0, per_minute * BURST)
        self._rate = (per_minute - self._most + 1) / 60
        self._level = self._most
        self._at = -math.inf

    def take(self, amount: float, now: float, pace: float) -> float:
        """Take the amount at the earliest time when it is there, which is returned; in the order of the calls."""
        rate = self._rate * pace
        start = max(now, self._at)
        self._fill(start, rate)
        # More than ever is in the bucket goes when it is full.
        missing = min(amount, self._most) - self._level
        if missing > 0:
            start += missing / rate
            self._fill(start, rate)
        self._level -= amount
        return start

    def give(self, amount: float) -> None:
        """Put back what was not used (or take, below zero, what was used beyond)."""
        self._level = min(self._most, self._level + amount)

    def empty(self, until: float) -> None:
        """Forget what was promised; begin with nothing at that time."""
        self._level, self._at = 0.0, until

    def _fill(self, until: float, rate: float) -> None:
        gained = (until - self._at) * rate if self._at > -math.inf else 0.0
        self._level = min(self._most, self._level + gained)
        self._at = until


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
        requests = _bucket("requests_per_minute", self.requests_per_minute)
        tokens = _bucket("tokens_per_minute", self.tokens_per_minute)
        object.__setattr__(self, "_pace", _Pace(requests, tokens))

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def capabilities(self) -> Capabilities:
        return self.model.capabilities

    @property
    def free(self) -> bool:
        return bool(getattr(self.model, "free", False))

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        tokens = _estimate(request)
        promise = await self._turn(tokens)
        used: float = tokens
        pieces: Any = self.model.stream(request)
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, Reply):
                        used = _used(piece, tokens)
                        self._pace.went_well()
                    yield piece
        except ModelError as error:
            self._pace.refused(error, promise, self.clock())
            raise
        finally:
            self._pace.settle(tokens - used)

    async def _turn(self, tokens: float) -> int:
        """Wait for the time that was worked out; once more, if somebody was refused meanwhile."""
        while True:
            start, promise = self._pace.reserve(tokens, self.clock())
            try:
                while (wait := start - self.clock()) > 0:
                    await self.sleep(wait)
            except BaseException:
                self._pace.return_(tokens, promise)
                raise
            if self._pace.holds(promise):
                return promise


class _Pace:
    """What all callers of one model share; a promise holds until somebody is refused."""

    def __init__(self, requests: _Bucket | None, tokens: _Bucket | None) -> None:
        self._requests = requests
        self._tokens = tokens
        self._lock = threading.Lock()
        self._share = 1.0
        self._held_until = -math.inf
        self._refusals = 0

    def reserve(self, tokens: float, now: float) -> tuple[float, int]:
        with self._lock:
            start = max(now, self._held_until)
            if self._requests is not None:
                start = self._requests.take(1, start, self._share)
            if self._tokens is not None:
                start = self._tokens.take(tokens, start, self._share)
            return start, self._refusals

    def holds(self, promise: int) -> bool:
        return promise == self._refusals

    def return_(self, tokens: float, promise: int) -> None:
        """Whoever was promised a start does not want it any more."""
        with self._lock:
            if promise != self._refusals:
                return
            if self._requests is not None:
                self._requests.give(1)
            if self._tokens is not None:
                self._tokens.give(tokens)

    def settle(self, unused: float) -> None:
        with self._lock:
            if self._tokens is not None:
                self._tokens.give(unused)

    def went_well(self) -> None:
        with self._lock:
            self._share = min(1.0, self._share + RECOVERED)

    def refused(self, error: ModelError, promise: int, now: float) -> None:
        """Slower from here on, and after the time that the provider asked for; everybody works out a new start."""
        if error.status != TOO_MANY and not error.retry_after:
            return
        with self._lock:
            # Calls that were under way together are often refused together: that is said once.
            first = promise == self._refusals
            until = now + (error.retry_after or 0.0)
            if not first and until <= self._held_until:
                return
            if first and error.status == TOO_MANY:
                self._share = max(SLOWEST, self._share * SLOWED)
            self._held_until = max(self._held_until, until)
            self._refusals += 1
            for bucket in (self._requests, self._tokens):
                if bucket is not None:
                    bucket.empty(self._held_until)


def _bucket(name: str, per_minute: Any) -> _Bucket | None:
    if per_minute is None:
        return None
    is_number = isinstance(per_minute, int | float) and not isinstance(per_minute, bool)
    if not is_number or not math.isfinite(per_minute) or per_minute <= 0:
        raise ConfigurationError(f"Limited({name}={per_minute!r}): expected a number above 0, or None for no limit")
    return _Bucket(per_minute)


def _estimate(request: Request) -> float:
    characters = sum(len(message["content"]) for message in request.messages)
    return characters / CHARACTERS_PER_TOKEN + (request.max_output_tokens or OUTPUT_TOKENS)


def _used(reply: Reply, estimate: float) -> float:
    """A provider that does not count leaves the estimate; an answer from a cache used nothing."""
    if reply.mark == "cached":
        return 0.0
    return reply.usage.total_tokens if reply.usage is not None and reply.usage.total_tokens else estimate
