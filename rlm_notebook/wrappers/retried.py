"""Patience: a failed call is repeated when repeating it can help."""

from __future__ import annotations

import copy
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.retry import RetryPolicy
from ..exceptions import ModelError
from ..ports import Capabilities, Model, Reply, Request

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

__all__ = ["OnRetry", "Retried"]

OnRetry = Callable[[ModelError, int, float], None]


@dataclass(frozen=True)
class Retried:
    """The same model, its retryable errors repeated as `policy` says; the last error is raised, with the count.

    A stream that broke starts again from the beginning. `on_retry(error, attempt, delay)` is called after each failed
    attempt (counted from 1) that another one follows, before the wait of `delay` seconds: whoever shows the stream
    discards there what it got so far. Put limits on concurrency inside, so that nothing is held during a wait.
    """

    model: Model
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    on_retry: OnRetry | None = None

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
        attempts: Any = None
        attempt: Any = None
        while True:
            try:
                pieces: Any = self.model.stream(request)
                async with aclosing(pieces):
                    async for piece in pieces:
                        yield piece
                return
            except ModelError as error:
                failure = error
            # tenacity hears of failures only: a call that succeeds needs none of it, and cancelling or closing this
            # generator is no failed attempt.
            if attempts is None:
                attempts = aiter(self._attempts())
                attempt = await anext(attempts)
            with attempt:
                raise self._counted(failure, attempt.retry_state.attempt_number)
            # Waits; or raises the failure, when no attempt is left or none would help.
            attempt = await anext(attempts)

    def _attempts(self) -> AsyncRetrying:
        import tenacity

        return tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.policy.attempts),
            retry=tenacity.retry_if_exception(self._may_help),
            wait=self._delay,
            before_sleep=self._tell,
            reraise=True,
        )

    def _may_help(self, error: BaseException) -> bool:
        if not isinstance(error, ModelError) or not error.retryable or error.fatal:
            return False
        return error.retry_after is None or error.retry_after <= self.policy.patience

    def _delay(self, state: RetryCallState) -> float:
        asked = _failure(state).retry_after
        return self.policy.delay(state.attempt_number, asked=asked, chance=random.random())

    def _tell(self, state: RetryCallState) -> None:
        if self.on_retry is not None and state.next_action is not None:
            self.on_retry(_failure(state), state.attempt_number, state.next_action.sleep)

    def _counted(self, error: ModelError, attempt: int) -> ModelError:
        """The error, saying after the last of several attempts how many there were."""
        if attempt == 1 or (attempt < self.policy.attempts and self._may_help(error)):
            return error
        # A copy: the model may raise the same object again.
        counted = copy.copy(error)
        counted.args = (f"{error} (tried {attempt} times)",)
        counted.__cause__, counted.__suppress_context__ = error.__cause__, True
        return counted.with_traceback(error.__traceback__)


def _failure(state: RetryCallState) -> ModelError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, ModelError)
    return error
