"""Deadlines of model calls, the same for every adapter: a call that takes longer ends with a `ModelError`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from ..exceptions import ModelError
from ..ports.model import Model, Reply, Request

__all__ = [
    "COUNT_SECONDS",
    "DOUBT_SECONDS",
    "END_SECONDS",
    "Deadline",
    "Pieces",
    "answer_in_time",
    "too_late",
    "within",
]

#: How long a complete reply is held back, in seconds: for the end of the stream, for its token count, and if it may be
#: incomplete.
END_SECONDS = 0.25
COUNT_SECONDS = 2.0
DOUBT_SECONDS = 10.0

Pieces = AsyncGenerator[str | Reply, None]


class Deadline:
    """The end of a call, by the loop's clock; set when the call begins."""

    end: float | None = None

    @property
    def left(self) -> float:
        return math.inf if self.end is None else self.end - asyncio.get_running_loop().time()


async def within(
    seconds: float | None, pieces: Pieces | Callable[[Deadline], Awaitable[Pieces]], *, name: str
) -> Pieces:
    """The same pieces; raises a retryable `ModelError` once `seconds` have passed since the first was requested.

    `pieces` may also be what gives them when it is their turn: the wait for it is no time of the call.
    """
    deadline = Deadline()
    if callable(pieces):
        pieces = await pieces(deadline)
    end = deadline.end = None if seconds is None else asyncio.get_running_loop().time() + seconds
    async with aclosing(pieces):
        while True:
            # Each wait has its own timer: one around the loop would also cancel the consumer of the pieces.
            timer = asyncio.timeout_at(end)
            try:
                async with timer:
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not timer.expired():
                    raise
                raise too_late(name, seconds or 0.0) from None
            yield piece


def answer_in_time(model: Model, request: Request) -> Any:
    """The pieces of a model's answer, limited to the request's deadline also where the model does not keep it."""
    pieces: Any = model.stream(request)
    if request.deadline is None or model.capabilities.keeps_deadline:
        return pieces
    return within(request.deadline, pieces, name=model.name)


def too_late(name: str, seconds: float) -> ModelError:
    message = f"{name}: no complete reply within {seconds:g} s; allow more time, or choose a faster model"
    return ModelError(message, retryable=True)
