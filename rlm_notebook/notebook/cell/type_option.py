"""`--type`: a Python type expression over names of the notebook and built-in types."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Literal, Optional, Union

from ...exceptions import ConfigurationError
from .variables import variable

__all__ = ["type_named"]

_BUILTIN = {each.__name__: each for each in (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)}
_KNOWN: dict[str, Any] = {**_BUILTIN, "Literal": Literal, "Optional": Optional, "Union": Union}


def type_named(expression: str, variables: Mapping[str, Any]) -> Any:
    """The type of the expression: `City`, `int`, `list[City]`, `dict[str, int]`, `City | None`, `models.City`.

    Nothing is called. Raises `ConfigurationError` for an unknown name or an invalid type.
    """
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body, variables)
    except (SyntaxError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        reason = str(error).partition("(<")[0].strip() or type(error).__name__
        raise ConfigurationError(
            f"--type {expression}: it cannot be read as a type ({reason}); write the name of one, or list[NAME], say"
        ) from None


def _value(node: ast.expr, variables: Mapping[str, Any]) -> Any:
    match node:
        case ast.Name(id=name):
            known = name not in variables and name in _KNOWN
            return _KNOWN[name] if known else variable(name, "--type", variables)
        case ast.Attribute(value=owner, attr=name):
            return getattr(_value(owner, variables), name)
        case ast.Subscript(value=owner, slice=part):
            return _value(owner, variables)[_value(part, variables)]
        case ast.Tuple(elts=parts):
            return tuple(_value(part, variables) for part in parts)
        case ast.List(elts=parts):
            return [_value(part, variables) for part in parts]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _value(left, variables) | _value(right, variables)
        case ast.Constant(value=constant):
            return constant
    raise SyntaxError(f"{ast.unparse(node)} is no name")
