"""What follows the failures of one call: a wait before the next attempt, or the failure itself."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.error_text import error_text
from ..core.retry import RetryPolicy
from ..exceptions import ModelError

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

__all__ = ["OnRetry", "RetryDriver"]

OnRetry = Callable[[ModelError, int, float], None]


class RetryDriver:
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
