"""What a run may use and what it has used: plain values, no policy."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from ..exceptions import ConfigurationError

__all__ = ["Budget", "Limits", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, calls and cost of some model calls; `+` adds. `cost_usd` is `None` as soon as one price is unknown."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    calls: int = 0
    cost_usd: float | None = 0.0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        cost = None if self.cost_usd is None or other.cost_usd is None else self.cost_usd + other.cost_usd
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.calls + other.calls,
            cost,
        )

    def to_json(self) -> dict[str, Any]:
        """The tokens as users know them from providers, `total_tokens` among them; calls and cost beside them."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "calls": self.calls,
            "cost_usd": self.cost_usd,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Usage:
        return cls(**{field.name: data[field.name] for field in fields(cls) if field.name in data})


@dataclass(frozen=True, slots=True)
class Budget:
    """What one run may spend, over all its resumes: dollars, tokens, seconds of active time, model calls.

    `None` means no limit. Raises `ConfigurationError` for a value that is negative, infinite or no number.
    """

    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    calls: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not _is_amount(value):
                raise ConfigurationError(
                    f"Budget({field.name}={value!r}): expected a finite number, not negative, or None for no limit"
                )

    def to_json(self) -> dict[str, Any]:
        """Only what is limited."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the tree: the root has depth 0, a step is one node."""

    max_depth: int = 5
    max_steps: int = 50
    max_concurrency: int = 16
    max_tool_rounds: int = 8

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{field.name}={value!r}: expected a whole number of at least 1")

    def to_json(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
