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
    from tenacity import RetryCallState

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
        self._failure: ModelError

    async def after(self, failure: ModelError) -> None:
        """Wait until the call may be made again. Raises the failure when no attempt is left, or none would help."""
        # tenacity hears of failures only: a call that succeeds needs none of it.
        if self._attempts is None:
            import tenacity

            attempts = tenacity.AsyncRetrying(
                stop=lambda state: self._was_last(state.attempt_number),
                retry=tenacity.retry_if_exception(self._may_help),
                wait=self._delay,
                before_sleep=self._tell,
                reraise=True,
            )
            self._attempts = aiter(attempts)
            self._attempt = await anext(self._attempts)
        attempt = self._attempt.retry_state.attempt_number
        of_provider = failure.status is not None or failure.retryable
        # What was no provider's failure is not repeated, so there is nothing to count.
        if (attempt > 1 or of_provider) and (self._was_last(attempt) or not self._may_help(failure)):
            # A copy: the model may raise the same object again.
            counted = copy.copy(failure)
            counted.args = (f"{error_text(failure)} (tried {f'{attempt} times' if attempt > 1 else 'once'})",)
            counted.__cause__, counted.__suppress_context__ = failure.__cause__, True
            failure = counted.with_traceback(failure.__traceback__)
        self._failure = failure
        with self._attempt:
            raise failure
        self._attempt = await anext(self._attempts)

    def _was_last(self, attempt: int) -> bool:
        return attempt >= self._policy.attempts_of(answered=self._answered())

    def _may_help(self, error: BaseException) -> bool:
        if not isinstance(error, ModelError) or not error.retryable or error.fatal:
            return False
        return error.retry_after is None or error.retry_after <= self._policy.patience

    def _delay(self, state: RetryCallState) -> float:
        asked = self._failure.retry_after
        return self._policy.delay(state.attempt_number, asked=asked, chance=random.random())

    def _tell(self, state: RetryCallState) -> None:
        if self._on_retry is not None and state.next_action is not None:
            self._on_retry(self._failure, state.attempt_number, state.next_action.sleep)
