"""How often and how patiently a failed model call is repeated: plain values, no clock and no chance of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from ..exceptions import ConfigurationError

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` calls; the waits between them start at `initial` seconds and double up to `maximum`.

    With `jitter` each wait is drawn from its upper half, so that siblings do not come back together. A provider that
    asks for a certain wait gets it, unless it is longer than `patience` seconds: then the call fails at once.
    `RetryPolicy(attempts=1)` never repeats. With `at_first`, a model that has answered nothing yet in this run is asked
    only so often: most likely the address is wrong, or the server not started, and waiting helps nobody.
    Raises `ConfigurationError` for values that make no sense.
    """

    attempts: int = 10
    initial: float = 0.5
    maximum: float = 8.0
    jitter: bool = True
    patience: float = 120.0
    at_first: int | None = None

    def __post_init__(self) -> None:
        for name in ("attempts", "at_first"):
            if not _is_count(value := getattr(self, name)) and not (name == "at_first" and value is None):
                raise ConfigurationError(f"RetryPolicy({name}={value!r}): expected a whole number of at least 1")
        for name in ("initial", "maximum", "patience"):
            if not _is_seconds(value := getattr(self, name)):
                raise ConfigurationError(f"RetryPolicy({name}={value!r}): expected seconds, not negative")

    def attempts_of(self, *, answered: bool) -> int:
        """How often a call may be made, whether or not its model has `answered` anything before."""
        return self.attempts if answered or self.at_first is None else min(self.at_first, self.attempts)

    def delay(self, attempt: int, *, asked: float | None = None, chance: float = 1.0) -> float:
        """Seconds to wait after the failed `attempt` (from 1); `asked` by the provider, `chance` from 0 to 1."""
        # Doubling stops long before a float overflows: nobody waits 2**60 times the first delay.
        backoff = min(self.maximum, self.initial * 2.0 ** min(attempt - 1, 60))
        drawn = backoff * (1 + chance) / 2 if self.jitter else backoff
        if asked is None:
            return drawn
        # Everyone was asked to wait the same time: the jitter comes on top, never below what was asked.
        return asked + (self.initial * chance if self.jitter else 0.0)

    def to_json(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
