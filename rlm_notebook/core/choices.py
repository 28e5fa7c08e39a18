"""The words that options of engines and runs take, and the checks of given values."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from ..exceptions import ConfigurationError

__all__ = [
    "MODES",
    "STORES",
    "OnFailure",
    "OnLimit",
    "Quotes",
    "RunMode",
    "Store",
    "instance",
    "one_of",
    "whole_number",
]

T = TypeVar("T")
#: How recorded results are used: reuse them, ignore them, or use nothing else.
RunMode = Literal["resume", "fresh", "replay"]
OnLimit = Literal["execute", "raise"]
OnFailure = Literal["raise", "synthesize"]
Quotes = Literal["check", "require", "off"]
#: What a file holds of the texts of a run: all, plans and results, or hashes alone.
Store = Literal["full", "outputs", "hashes"]

MODES: tuple[RunMode, ...] = ("resume", "fresh", "replay")
#: From the most to the least.
STORES: tuple[Store, ...] = ("full", "outputs", "hashes")


def one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """The value. Raises `ConfigurationError` if it is not one of those allowed."""
    if value not in allowed:
        raise ConfigurationError(f"{name}={value!r}: expected one of {', '.join(map(repr, allowed))}")
    return value


def whole_number(name: str, value: Any, *, least: int = 1) -> int:
    """The value. Raises `ConfigurationError` if it is no whole number, or smaller than the least."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least {least}")
    return value


def instance(name: str, value: Any, kind: type[T], example: str) -> T | None:
    """The value, if it is of this type or `None`. Raises `ConfigurationError` with the example."""
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{name}={value!r:.60}: expected {example}, say, or None")
    return value
