"""What makes `%%rlm` a native `await`, and how a cell's text becomes a task.

IPython never awaits what a cell magic returns. After its own transformation a `%%rlm` cell is a call of
`run_cell_magic('rlm', ...)`; turning that into an awaited call makes the cell run on the kernel's own loop, with
nothing patched.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
import sys
from collections.abc import Mapping
from enum import Enum
from typing import Any

from ...exceptions import ConfigurationError
from ...types import Output

__all__ = ["ASYNC_MAGIC", "await_rlm", "interpolated", "left_literal", "readers_own"]

ASYNC_MAGIC = "_rlm_async"
_PLAIN = "get_ipython().run_cell_magic('rlm',"
_EMPTY_BODY = ", '')"
_AWAITED = f"await get_ipython().run_cell_magic('{ASYNC_MAGIC}',"


def await_rlm(lines: list[str]) -> list[str]:
    """The post-transformer: an awaited call in place of IPython's plain one; all other cells are left alone."""
    if not (lines and lines[0].startswith(_PLAIN) and _is_one_call("".join(lines))):
        return lines
    arguments = _with_body(lines[0][len(_PLAIN) :])
    return [(_PLAIN if _inside_a_cell() else _AWAITED) + arguments, *lines[1:]]


def _is_one_call(code: str) -> bool:
    """As IPython writes it: what is written by hand may go on behind the call, and is no cell of ours then."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError):
        return False
    return len(body) == 1 and isinstance(body[0], ast.Expr) and _calls_magic(body[0].value)


def _calls_magic(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "run_cell_magic"


def _inside_a_cell() -> bool:
    """A cell is being run by another one (`%%capture`, `get_ipython().run_cell(...)`), which cannot await it."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "run_code" and frame.f_globals.get("__name__") == "IPython.core.interactiveshell":
            return True
    return False


def _with_body(arguments: str) -> str:
    """IPython refuses an empty body in words of its own, before the magic can say what is missing."""
    if arguments.rstrip().endswith(_EMPTY_BODY):
        return arguments.rstrip().removesuffix(_EMPTY_BODY) + ", '\\n')\n"
    return arguments


_REFERENCE = re.compile(r"(\\?)\{\{([^\W\d]\w*)\}\}")


def interpolated(text: str, variables: Mapping[str, Any]) -> str:
    """`text` with each `{{name}}` replaced by the whole of that variable; `\\{{name}}` is a literal `{{name}}`.

    Text and numbers are pasted as they are, a table is CSV, arrays, lists, dicts and models are JSON. Only plain names
    are replaced: JSON, templates and code with braces stay as they are. Raises `ConfigurationError` for a name that is
    no variable, naming the closest one, and for a value that is too long or has no text which holds all of it.
    """

    def value(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        if match[2] not in variables:
            raise ConfigurationError(_unknown(match[2], variables))
        return _pasted(match[2], variables[match[2]])

    return _REFERENCE.sub(value, text)


#: The most that is pasted of anything but a text, in characters: a task is repeated in every prompt. Tables are better
#: read by reference, where a model searches them.
MOST_PASTED = 50_000
MOST_OF_A_TABLE = 5_000


def _pasted(name: str, value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return str(value)
    # Here and not above: it needs pydantic, and `%load_ext` is to be quick.
    from ...values import NoText, table_text

    try:
        table = table_text(value)
        text = _whole(value) if table is None else table
    except NoText as problem:
        raise ConfigurationError(
            f"{{{{{name}}}}} cannot be pasted: it is, or holds, {problem}; {_way_out(name)}"
        ) from None
    most = MOST_PASTED if table is None else MOST_OF_A_TABLE
    if len(text) > most:
        kind = f"a {type(value).__name__}" if table is None else "a table"
        raise ConfigurationError(
            f"{{{{{name}}}}} has {len(text):,} characters, and of {kind} at most {most:,} are pasted into a task; "
            f"{_way_out(name)}"
        )
    return text


def _whole(value: Any) -> str:
    from ...values import NoText, json_text

    if value is None or isinstance(value, int | float | complex | Output):
        try:
            return str(value)
        except ValueError as error:  # Python writes no integer of more than 4,300 digits
            raise NoText(f"a number that cannot be written ({error})") from None
    text = json_text(value, spoken=True)
    if isinstance(value, bytes | bytearray):
        return str(json.loads(text))
    # Dates, paths, decimals and numbers of NumPy read as they are written, without quotation marks.
    return text if text[0] in "[{" else str(value)


def _way_out(name: str) -> str:
    return f"offer it by reference with -c {name} and speak of {name} in the task, or paste a text that you make of it"


_SPACED = re.compile(r"(?<!\\)\{\{(?:[ \t]+([^\W\d]\w*)[ \t]*|([^\W\d]\w*)[ \t]+)\}\}")


def left_literal(text: str, variables: Mapping[str, Any]) -> list[str]:
    """The variables that `text` names in braces with spaces: no references, but perhaps meant as such."""
    found = (match[1] or match[2] for match in _SPACED.finditer(text))
    return [name for name in dict.fromkeys(found) if name in variables]


def readers_own(variables: Mapping[str, Any]) -> list[str]:
    """The names that somebody may have meant: not those that IPython puts into every notebook."""
    return [name for name in variables if not name.startswith("_") and name not in _OF_IPYTHON]


_OF_IPYTHON = frozenset({"In", "Out", "get_ipython", "exit", "quit", "open"})


def _unknown(name: str, variables: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, readers_own(variables), n=1)
    hint = f"did you mean {{{{{close[0]}}}}}?" if close else "define it in a cell above"
    literal = "a literal {{ is written \\{{, and --raw leaves all as it is"
    return f"{{{{{name}}}}} names no variable of this notebook; {hint} ({literal})"
