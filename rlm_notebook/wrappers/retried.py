"""Retries: a failed call is repeated when repeating it can help."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from ..concurrency.deadline import answer_in_time
from ..concurrency.retrying import OnRetry, RetryDriver
from ..core.retry import RetryPolicy
from ..core.usage import NOTHING
from ..exceptions import ModelError
from ..ports.model import Capabilities, Model, Reply, Request

__all__ = ["Retried"]


@dataclass(frozen=True)
class Retried:
    """The same model, its retryable errors repeated as `policy` says; the last error is raised, with the count.

    A stream that broke starts again from the beginning. `on_retry(error, attempt, delay)` is called after each failed
    attempt (counted from 1) that another one follows, before the wait of `delay` seconds: whoever shows the stream
    discards there what it got so far. Put limits on concurrency inside, so that nothing is held during a wait. What
    failed attempts used, where the provider told it, is part of the reply's usage, and of the last error's.
    """

    model: Model
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    on_retry: OnRetry | None = None

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.model.capabilities, keeps_deadline=True)

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        retries: RetryDriver | None = None
        wasted = NOTHING
        while True:
            try:
                # Each attempt has the whole time.
                pieces: Any = answer_in_time(self.model, request)
                async with aclosing(pieces):
                    async for piece in pieces:
                        if wasted is not NOTHING and isinstance(piece, Reply) and piece.usage is not None:
                            yield replace(piece, usage=wasted + piece.usage)
                        else:
                            yield piece
                return
            except ModelError as error:
                wasted += error.usage or NOTHING
                failure = error
                if wasted is not NOTHING and wasted is not error.usage:
                    # A copy has what all attempts used, for the model may raise the same object again.
                    failure = copy.copy(error).with_traceback(error.__traceback__)
                    failure.usage, failure.__cause__ = wasted, error.__cause__
            # Here, outside: cancelling or closing this generator is no failed attempt.
            retries = retries or RetryDriver(self.policy, self.on_retry)
            await retries.after(failure)
