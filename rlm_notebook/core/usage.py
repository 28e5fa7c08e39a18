"""What model calls have used: tokens, calls and dollars."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

__all__ = ["NOTHING", "ONE_CALL", "UNKNOWN_COST", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, calls and cost of model calls; `+` adds. `cost_usd` is `None` as soon as one price is unknown."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    calls: int = 0
    cost_usd: float | None = 0.0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def cache_hit_rate(self) -> float | None:
        """The share of prompt tokens that came from the provider's cache, from 0 to 1; `None` without prompt tokens."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None

    def __add__(self, other: Usage) -> Usage:
        if other is NOTHING:
            return self
        if self is NOTHING:
            return other
        if other is UNKNOWN_COST and self.cost_usd is None:
            return self
        cost = None if self.cost_usd is None or other.cost_usd is None else self.cost_usd + other.cost_usd
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.calls + other.calls,
            cost,
        )

    def minus(self, other: Usage) -> Usage:
        """The difference; `other` has to be a part of this."""
        if other is NOTHING:
            return self
        # Rounded: 0.3 - 0.1 would leave 0.19999999999999998 dollars in a checkpoint.
        cost = None if self.cost_usd is None or other.cost_usd is None else round(self.cost_usd - other.cost_usd, 12)
        return Usage(
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.cached_tokens - other.cached_tokens,
            self.reasoning_tokens - other.reasoning_tokens,
            self.calls - other.calls,
            cost,
        )

    @property
    def not_negative(self) -> Usage:
        """The same with 0 for each negative count: no call gives tokens back, whatever a server reports."""
        counts = (self.prompt_tokens, self.completion_tokens, self.cached_tokens, self.reasoning_tokens, self.calls)
        if min(counts) >= 0 and (self.cost_usd is None or self.cost_usd >= 0):
            return self
        cost = None if self.cost_usd is None else max(0.0, self.cost_usd)
        return Usage(*(max(0, count) for count in counts)).with_cost(cost)

    def without_calls(self) -> Usage:
        return replace(self, calls=0)

    def with_cost(self, cost_usd: float | None) -> Usage:
        return replace(self, cost_usd=cost_usd)

    def to_json(self) -> dict[str, Any]:
        """The token counts under the names of OpenAI's API, `total_tokens` included, with `calls` and `cost_usd`."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "calls": self.calls,
            "cost_usd": self.cost_usd,
        }

    def tokens_to_json(self) -> dict[str, int]:
        """The token counts alone."""
        return {name: value for name, value in self.to_json().items() if name.endswith("_tokens")}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Usage:
        return cls(**{field.name: data[field.name] for field in fields(cls) if field.name in data})


NOTHING = Usage()
#: Added to the usage of a call whose price is not known.
UNKNOWN_COST = Usage(cost_usd=None)
ONE_CALL = Usage(calls=1)
