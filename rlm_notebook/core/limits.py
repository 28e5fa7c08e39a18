"""What a run may use and what it has used: plain values, no policy."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import Any

from ..exceptions import ConfigurationError
from .usage import NOTHING, ONE_CALL, UNKNOWN_COST, Usage

__all__ = ["NOTHING", "ONE_CALL", "UNKNOWN_COST", "Budget", "Limits", "Usage"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What one run may spend, over all its resumes: dollars, tokens, seconds of active time, model calls.

    Each call reserves its estimated usage before it starts: the tokens of its prompt, and for the reply 1,000 or the
    request's maximum. A budget below one such reservation therefore allows no call. `None` means no limit. A budget in
    dollars needs prices: with a model whose price is unknown it is refused, unless `unknown_price="ignore"`.
    Raises `ConfigurationError` for a value that is negative, infinite or not a number.

        engine = RecursiveEngine("openai:gpt-5-mini", budget=Budget(usd=0.50, calls=200))
    """

    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    calls: int | None = None
    unknown_price: str = "refuse"

    def __post_init__(self) -> None:
        if self.unknown_price not in ("refuse", "ignore"):
            raise ConfigurationError(f"Budget(unknown_price={self.unknown_price!r}): expected 'refuse' or 'ignore'")
        for field in fields(self):
            if field.name == "unknown_price":
                continue
            value = getattr(self, field.name)
            # A Python int may be larger than any finite float.
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 <= value <= sys.float_info.max):
                raise ConfigurationError(
                    f"Budget({field.name}={value!r}): expected a finite number, not negative, or None for no limit"
                )
            if field.name in ("tokens", "calls") and value is not None and value != int(value):
                raise ConfigurationError(f"Budget({field.name}={value!r}): expected a whole number")

    @property
    def needs_estimates(self) -> bool:
        """Whether calls have to be estimated: tokens and dollars are reserved before they are known."""
        return self.usd is not None or self.tokens is not None

    def to_json(self) -> dict[str, Any]:
        """The limited amounts by name."""
        limits = ("usd", "tokens", "seconds", "calls")
        return {name: getattr(self, name) for name in limits if getattr(self, name) is not None}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the tree: the root has depth 0, a step is one node.

    Superseded nodes (started early, for a plan that then turned out invalid) are not steps: a streamed plan has the
    same room as one that arrives whole. After `max_steps` superseded nodes a run starts nothing early any more, which
    bounds what they cost.
    """

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
