"""How often a failed model call is repeated, and after which delays: plain values, without a clock or randomness."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from ..exceptions import ConfigurationError

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` attempts; the delays between them start at `initial` seconds and double up to `maximum`.

    With `jitter` each delay is drawn from its upper half, so that siblings do not retry at the same moment. A delay
    that the provider requests (`Retry-After`) is used instead, unless it is longer than `patience` seconds: then the
    call fails at once. `RetryPolicy(attempts=1)` never retries. `at_first` limits the attempts for a model that has not
    answered in this run yet: most likely its address is wrong or its server is not running, and waiting does not help.
    Raises `ConfigurationError` for negative or infinite seconds and for counts below 1.
    """

    attempts: int = 10
    initial: float = 0.5
    maximum: float = 8.0
    jitter: bool = True
    patience: float = 120.0
    at_first: int | None = None

    def __post_init__(self) -> None:
        for name in ("attempts", "at_first"):
            value = getattr(self, name)
            is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if not is_count and not (name == "at_first" and value is None):
                raise ConfigurationError(f"RetryPolicy({name}={value!r}): expected a whole number of at least 1")
        for name in ("initial", "maximum", "patience"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and math.isfinite(value) and value >= 0):
                raise ConfigurationError(f"RetryPolicy({name}={value!r}): expected seconds, not negative")

    def attempts_of(self, *, answered: bool) -> int:
        """How many attempts a call has; `answered`: its model has answered in this run before."""
        return self.attempts if answered or self.at_first is None else min(self.at_first, self.attempts)

    def delay(self, attempt: int, *, asked: float | None = None, chance: float = 1.0) -> float:
        """Seconds to wait after the failed `attempt` (from 1); `asked` by the provider, `chance` from 0 to 1."""
        # Bounded, because 2.0 ** 1024 overflows.
        backoff = min(self.maximum, self.initial * 2.0 ** min(attempt - 1, 60))
        drawn = backoff * (1 + chance) / 2 if self.jitter else backoff
        if asked is None:
            return drawn
        # All waiting calls got the same delay from the provider: jitter is added on top, never subtracted.
        return asked + (self.initial * chance if self.jitter else 0.0)

    def to_json(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
