"""Regular expressions that models and their code write, searched within a time limit.

The package `regex` keeps the limit. In a browser it comes with Pyodide's own distribution; where a page has only what
the package index has, `re` stands in, and a search ends when it ends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

__all__ = ["Expression", "compiled"]

MOST_CHARACTERS = 300
MOST_REPETITIONS = 10_000
_COUNTS = re.compile(r"\{(\d+)(?:,(\d*))?\}")


@dataclass(frozen=True)
class Expression:
    """A compiled expression of `regex`, or of `re`."""

    _compiled: Any

    @property
    def pattern(self) -> str:
        return str(self._compiled.pattern)

    def matches(self, text: str, seconds: float) -> Iterator[re.Match[str]]:
        """The matches in their order. Raises `TimeoutError` once `seconds` have passed, where `regex` is installed."""
        if isinstance(self._compiled, re.Pattern):
            return self._compiled.finditer(text)
        # Without the GIL, so that a long search does not stop the event loop.
        found: Iterator[re.Match[str]] = self._compiled.finditer(text, timeout=seconds, concurrent=True)
        return found


def compiled(pattern: str, *, ignore_case: bool = False) -> Expression:
    """Raises `ValueError` for what is no regular expression, or for one that takes very long to compile."""
    if len(pattern) > MOST_CHARACTERS:
        raise ValueError(f"the expression has {len(pattern)} characters; use at most {MOST_CHARACTERS}")
    # The time limit covers only the search, and nested repetition counts multiply.
    counts = [max(1, int(most or least)) for least, most in _COUNTS.findall(pattern)]
    if math.prod(counts) > MOST_REPETITIONS:
        raise ValueError(f"{pattern!r} counts up to {math.prod(counts):,}; use a simpler expression")
    engine: Any
    try:
        engine = import_module("regex")
    except ImportError:
        engine = re
    try:
        return Expression(engine.compile(pattern, engine.IGNORECASE if ignore_case else 0))
    except engine.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
