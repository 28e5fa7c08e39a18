"""The cost of calls: from the maintained `genai-prices` table, whose data ships with it (no network), or own prices.

An unknown price is `None`, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from .core.content import ANSWER_TOKENS, CHARACTERS_PER_TOKEN, content_characters
from .core.usage import Usage
from .exceptions import ConfigurationError
from .ports.model import Model, Request

__all__ = ["DEFAULT_OUTPUT_TOKENS", "Prices", "estimate", "expected_tokens", "priced_models"]

#: Tokens that are reserved for a reply where the request names no maximum.
DEFAULT_OUTPUT_TOKENS = 2 * ANSWER_TOKENS
_PER = 1_000_000
#: Tokens of an ordinary prompt; some models charge more a token for long ones.
_ORDINARY = 1_000


class Prices:
    """Prices by model name: `own` prices, as (input, output) in dollars per million tokens, come before the table.

    Raises `ConfigurationError` for prices that are not two finite, non-negative numbers.
    """

    def __init__(self, own: Mapping[str, tuple[float, float]] | None = None) -> None:
        if own is not None and not isinstance(own, Mapping):
            raise ConfigurationError(f'prices={own!r:.60}: expected a dict, such as {{"NAME": (in, out)}}, in dollars')
        self._own: dict[str, tuple[float, float]] = {}
        for name, price in (own or {}).items():
            try:
                tokens_in, tokens_out = (float(part) for part in price)
                if not (math.isfinite(tokens_in + tokens_out) and tokens_in >= 0 and tokens_out >= 0):
                    raise ValueError
            except (TypeError, ValueError, OverflowError):
                raise ConfigurationError(
                    f"prices[{name!r}]={price!r}: expected two numbers, dollars per million tokens in and out"
                ) from None
            self._own[name] = tokens_in, tokens_out

    def cost(self, model: str, usage: Usage) -> float | None:
        """The cost of a usage in dollars, or `None` if the price is unknown."""
        own = self._own.get(model, self._own.get(_short(model)))
        if own is not None:
            return (usage.prompt_tokens * own[0] + usage.completion_tokens * own[1]) / _PER
        return _from_table(model, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)

    def per_million(self, model: str | Model) -> tuple[float, float] | None:
        """Dollars per million tokens of input and of output, for prompts of ordinary length; `None` if unknown."""
        sizes = Usage(_ORDINARY, 0), Usage(0, _ORDINARY)
        costs = [self.cost(model, size) if isinstance(model, str) else self.cost_of(model, size) for size in sizes]
        if costs[0] is None or costs[1] is None:
            return None
        return costs[0] * _PER / _ORDINARY, costs[1] * _PER / _ORDINARY

    def known(self, model: Model) -> bool:
        """Whether the cost of this model's calls is known; a free model declares so itself."""
        return self.cost_of(model, Usage(1, 1)) is not None

    def cost_of(self, model: Model, usage: Usage) -> float | None:
        """The cost of a usage of this model in dollars, or `None`; the model may declare its price."""
        stated = model.capabilities.price
        if model.capabilities.free:
            return 0.0
        if stated is None or {model.name, _short(model.name)} & {*self._own}:
            return self.cost(model.name, usage)
        return Prices({model.name: stated}).cost(model.name, usage)

    def settled(self, model: Model, usage: Usage) -> Usage:
        """The usage with its cost, computed where the provider gave none."""
        cost = usage.cost_usd if usage.cost_usd is not None else self.cost_of(model, usage)
        return usage if cost == usage.cost_usd else usage.with_cost(cost)


def priced_models(provider: str) -> list[str]:
    """The names of a provider's models in the price table; none for a provider that is not in it."""
    from genai_prices.data_snapshot import get_snapshot

    known = (each for each in get_snapshot().providers if each.id == provider)
    return [model.id for each in known for model in each.models if not model.deprecated]


def _short(name: str) -> str:
    """The name of a function without its module; the name of a provider's model as it is."""
    return name if ":" in name else name.rpartition(".")[2]


def expected_tokens(request: Request) -> float:
    """The tokens that a call probably uses, read and written: what rate limits count before the usage is known."""
    characters = sum(content_characters(message["content"]) for message in request.messages)
    return characters / CHARACTERS_PER_TOKEN + (request.max_output_tokens or ANSWER_TOKENS)


def estimate(prices: Prices, model: Model, request: Request) -> Usage:
    """The estimated maximum usage of a call: reserved before it, and settled with the actual usage after it."""
    characters = sum(content_characters(message["content"]) for message in request.messages)
    tokens = Usage(characters // CHARACTERS_PER_TOKEN + 1, request.max_output_tokens or DEFAULT_OUTPUT_TOKENS)
    return tokens.with_cost(prices.cost_of(model, tokens))


@lru_cache(maxsize=1024)
def _from_table(model: str, tokens_in: int, tokens_out: int, cached: int) -> float | None:
    provider, _, name = model.partition(":")
    if not name:
        return None
    from genai_prices import Usage as TableUsage
    from genai_prices import calc_price

    used = TableUsage(input_tokens=tokens_in, output_tokens=tokens_out, cache_read_tokens=cached)
    try:
        return float(calc_price(used, model_ref=name, provider_id=provider).total_price)
    except (LookupError, ValueError):
        # No provider or model of the table, or counts that contradict each other (more cached tokens than tokens).
        return None
