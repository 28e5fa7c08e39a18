"""Parses the numbers of a command line: counts, seconds, dollars, temperatures. Errors state what was expected."""

from __future__ import annotations

import argparse
import math

__all__ = ["BUDGET_OPTIONS", "dollars", "seconds", "temperature", "whole_number"]


#: The option that sets each part of a budget.
BUDGET_OPTIONS = {"usd": "--budget", "tokens": "--max-tokens", "seconds": "--timeout", "calls": "--max-calls"}


def whole_number(text: str) -> int:
    """A count of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, not {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """A finite number above 0."""
    number = _finite(text)
    if number is None or number <= 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, not {text!r}")
    return number


dollars = seconds


def temperature(text: str) -> float:
    """A finite number of at least 0."""
    number = _finite(text)
    if number is None or number < 0:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, not {text!r}")
    return number


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
