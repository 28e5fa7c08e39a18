"""Retries: a failed call is repeated when repeating it can help."""

from __future__ import annotations

import copy
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..concurrency.deadline import answer_in_time
from ..core.error_text import error_text
from ..core.limits import NOTHING, Usage
from ..core.retry import RetryPolicy
from ..exceptions import ModelError
from ..ports import Capabilities, Model, Reply, Request

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

__all__ = ["OnRetry", "Patience", "Retried"]

OnRetry = Callable[[ModelError, int, float], None]


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
        patience: Patience | None = None
        wasted = NOTHING
        while True:
            try:
                # Each attempt has the whole time.
                pieces: Any = answer_in_time(self.model, request)
                async with aclosing(pieces):
                    async for piece in pieces:
                        yield _with(wasted, piece) if wasted is not NOTHING else piece
                return
            except ModelError as error:
                wasted += error.usage or NOTHING
                failure = _after(wasted, error)
            # Here, outside: cancelling or closing this generator is no failed attempt.
            patience = patience or Patience(self.policy, self.on_retry)
            await patience.after(failure)


def _with(wasted: Usage, piece: str | Reply) -> str | Reply:
    if isinstance(piece, str) or piece.usage is None:
        return piece
    return replace(piece, usage=wasted + piece.usage)


def _after(wasted: Usage, error: ModelError) -> ModelError:
    """The error, with what all attempts used; a copy, for the model may raise the same object again."""
    if wasted is NOTHING or wasted is error.usage:
        return error
    last = copy.copy(error)
    last.usage, last.__cause__ = wasted, error.__cause__
    return last.with_traceback(error.__traceback__)


class Patience:
    """What follows the failures of one call: `after` each, a wait before the next attempt, or the failure itself.

    `answered` says whether the model is known to answer at all.
    """

    def __init__(
        self, policy: RetryPolicy, on_retry: OnRetry | None, answered: Callable[[], bool] = lambda: True
    ) -> None:
        self._policy = policy
        self._on_retry = on_retry
        self._answered = answered
        self._attempts: Any = None
        self._attempt: Any = None

    async def after(self, failure: ModelError) -> None:
        """Wait until the call may be made again. Raises the failure when no attempt is left, or none would help."""
        # tenacity hears of failures only: a call that succeeds needs none of it.
        if self._attempts is None:
            self._attempts = aiter(self._attempting())
            self._attempt = await anext(self._attempts)
        with self._attempt:
            raise self._counted(failure, self._attempt.retry_state.attempt_number)
        self._attempt = await anext(self._attempts)

    def _attempting(self) -> AsyncRetrying:
        import tenacity

        return tenacity.AsyncRetrying(
            stop=lambda state: self._was_last(state.attempt_number),
            retry=tenacity.retry_if_exception(self._may_help),
            wait=self._delay,
            before_sleep=self._tell,
            reraise=True,
        )

    def _was_last(self, attempt: int) -> bool:
        return attempt >= self._policy.attempts_of(answered=self._answered())

    def _may_help(self, error: BaseException) -> bool:
        if not isinstance(error, ModelError) or not error.retryable or error.fatal:
            return False
        return error.retry_after is None or error.retry_after <= self._policy.patience

    def _delay(self, state: RetryCallState) -> float:
        asked = _failure(state).retry_after
        return self._policy.delay(state.attempt_number, asked=asked, chance=random.random())

    def _tell(self, state: RetryCallState) -> None:
        if self._on_retry is not None and state.next_action is not None:
            self._on_retry(_failure(state), state.attempt_number, state.next_action.sleep)

    def _counted(self, error: ModelError, attempt: int) -> ModelError:
        """The error, saying after the last attempt how many there were; what was no provider's is not repeated."""
        of_provider = error.status is not None or error.retryable
        if (attempt == 1 and not of_provider) or (not self._was_last(attempt) and self._may_help(error)):
            return error
        # A copy: the model may raise the same object again.
        counted = copy.copy(error)
        counted.args = (f"{error_text(error)} (tried {f'{attempt} times' if attempt > 1 else 'once'})",)
        counted.__cause__, counted.__suppress_context__ = error.__cause__, True
        return counted.with_traceback(error.__traceback__)


def _failure(state: RetryCallState) -> ModelError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, ModelError)
    return error
