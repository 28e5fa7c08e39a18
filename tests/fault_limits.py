"""A server's limit of requests: a bucket that fills steadily, announced in headers as OpenAI does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from tests.fault_wires import Act


@dataclass
class ServerLimit:
    """At most `burst` at once and `per_second` on average; what is more gets a 429 and the time to wait."""

    REFUSAL: ClassVar[dict[str, Any]] = {"error": {"message": "Rate limit reached", "code": "rate_limited"}}

    per_second: float
    burst: int
    retry_after: bool = True
    refusals: int = field(default=0, init=False)
    _level: float = field(init=False)
    _at: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._level = self.burst

    def refused(self, now: float) -> Act | None:
        """The refusal of a request that arrives now, or `None` if it may pass."""
        since = 0.0 if self._at is None else now - self._at
        self._level, self._at = min(self.burst, self._level + since * self.per_second), now
        if self._level >= 1:
            self._level -= 1
            return None
        self.refusals += 1
        wait = {"Retry-After": f"{(1 - self._level) / self.per_second:.3f}"} if self.retry_after else {}
        return Act(status=429, body=self.REFUSAL, headers=wait)

    def headers(self) -> dict[str, str]:
        missing = self.burst - int(self._level)
        return {
            "x-ratelimit-limit-requests": f"{self.burst}",
            "x-ratelimit-remaining-requests": f"{int(self._level)}",
            "x-ratelimit-reset-requests": f"{missing / self.per_second * 1000:.0f}ms",
        }
