"""Arithmetic expressions, evaluated by `simpleeval` within bounds, never by Python's `eval`."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from typing import Any

__all__ = ["calculate"]

_LEAD = re.compile(
    r"\s*(?:please\s+)?(?P<lead>calculate|compute|evaluate|solve|work out|what(?:'s| is| are)|how much (?:is|are))\s+"
    r"(?:the (?:value|result) of\s+)?(?P<rest>.+?)\s*[=?.!]*\s*$",
    re.IGNORECASE | re.DOTALL,
)
_COMMANDS = frozenset({"calculate", "compute", "evaluate", "work out", "solve"})
_NUMBERS_ONLY = re.compile(r"[\d\s.,+\-*/%^()×÷−e]+")
_LONGEST = 200
_MOST_DIGITS = 300


def calculate(instruction: str) -> str | None:
    """The value of the expression in an instruction, or why it is refused; `None` if it contains no expression."""
    match = _LEAD.match(instruction)
    expression = _expression(match["rest"] if match else instruction.strip().rstrip("=?. "))
    commanded = match is not None and match["lead"].lower() in _COMMANDS
    # "Calculate open('x').read()": code is refused with a reason, instead of being left to the rules for prose.
    is_code = re.search(r"__|\w\(|\w\.\w+\(|\d\s*\*\*", expression) is not None and len(expression.split()) <= 12
    named = re.sub(r"\b(?:sqrt|abs|round|min|max|mean|sum|product|log|exp|pi)\b", "", expression)
    has_operation = re.search(r"\d\s*(?:[-+*/%]|\*\*)\s*[\d(.]|\)\s*[-+*/%]|\b[a-z]+\(", expression) is not None
    is_sum = has_operation and _NUMBERS_ONLY.fullmatch(named or "1") is not None
    if not is_sum and not (commanded and is_code):
        return None
    if len(expression) > _LONGEST:
        return f"I did not calculate this: an expression of {len(expression)} characters; at most {_LONGEST} are read."
    return _value(expression)


_WORDED: tuple[tuple[str, str], ...] = (
    (r"(\d),(?=\d{3}\b)", r"\1"),
    (r"(\d+(?:\.\d+)?)\s*(?:%|percent|per cent) of\s+", r"\1/100*"),
    (r"\bthe square root of\s+(\d+(?:\.\d+)?)|\bsquare root of\s+(\d+(?:\.\d+)?)", r"sqrt(\1\2)"),
    (r"\bsquared\b", "**2"),
    (r"\bcubed\b", "**3"),
    (r"\bto the power of\b|\^", "**"),
    (r"\bplus\b", "+"),
    (r"\bminus\b|−", "-"),
    (r"\btimes\b|\bmultiplied by\b|×", "*"),
    (r"\bdivided by\b|\bover\b|÷", "/"),
)
_LISTED = re.compile(
    r"\s*(?:the\s+)?(sum|total|product|average|mean|minimum|maximum)\s+of\s+([-\d.,\s]+(?:(?:and\s+)[-\d.]+)?)\s*$",
    re.I,
)
_LISTED_NAMES = {"total": "sum", "average": "mean", "minimum": "min", "maximum": "max"}


def _expression(text: str) -> str:
    """The expression for arithmetic in words: "15% of 80", "the average of 1, 2 and 6", "7 times 8"."""
    text = text.strip().strip("`").strip()
    listed = _LISTED.match(text)
    if listed:
        numbers = re.findall(r"-?\d+(?:\.\d+)?", listed[2])
        name = listed[1].lower()
        return f"{_LISTED_NAMES.get(name, name)}({', '.join(numbers)})"
    for pattern, replacement in _WORDED:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return text.strip()


def _value(expression: str) -> str:
    import simpleeval

    evaluator = simpleeval.SimpleEval(functions=_FUNCTIONS, names={"pi": math.pi, "e": math.e})
    # Only arithmetic; powers are bounded, because 9**9**9 would not end.
    allowed = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.USub, ast.UAdd)
    evaluator.operators = {
        **{operator: evaluator.operators[operator] for operator in allowed if operator in evaluator.operators},
        ast.Pow: _power,
    }
    shown = f"`{expression.replace('`', '')}`"
    try:
        return f"{shown} = {_shown(evaluator.eval(expression))}"
    except ZeroDivisionError:
        return f"{shown} has no value: it divides by zero."
    except (simpleeval.InvalidExpression, ArithmeticError, ValueError, TypeError, SyntaxError, RecursionError) as error:
        return (
            f"I did not calculate {shown}: {_reason(error)} Only numbers, + - * / % **, brackets and {_NAMES} are read."
        )


def _reason(error: Exception) -> str:
    kind = type(error).__name__
    if kind == "FunctionNotDefined":
        return "it calls a function that is not arithmetic."
    if kind == "FeatureNotAvailable":
        return "it reaches into an object, which is not arithmetic."
    if kind in {"NumberTooHigh", "OverflowError"} or "digit" in str(error):
        return "the numbers become too large."
    return "it is no valid expression."


def _power(base: float, exponent: float) -> Any:
    if abs(base) > 1 and abs(exponent) * math.log10(abs(base)) > _MOST_DIGITS:
        raise OverflowError(f"more than {_MOST_DIGITS} digits")
    return base**exponent


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "exp": math.exp,
    "log": math.log,
    "max": max,
    "mean": lambda *numbers: sum(numbers) / len(numbers),
    "min": min,
    "product": lambda *numbers: math.prod(numbers),
    "round": round,
    "sqrt": math.sqrt,
    "sum": lambda *numbers: sum(numbers),
}
_NAMES = ", ".join(_FUNCTIONS)


def _shown(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    if isinstance(value, int):
        if abs(value) >= 10**_MOST_DIGITS:
            raise OverflowError(f"more than {_MOST_DIGITS} digits")
        return f"{value:,}"
    return f"{int(value):,}" if value.is_integer() and abs(value) < 1e15 else f"{value:,.10g}"
