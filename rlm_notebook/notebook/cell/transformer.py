"""Turns a `%%rlm` cell into an awaited call, and its text into a task.

IPython does not await the value of a cell magic. Its input transformation turns a `%%rlm` cell into a call of
`run_cell_magic('rlm', ...)`. A post-transformer rewrites that to an awaited call, so that the cell runs on the kernel's
own event loop and nothing is patched.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Mapping
from enum import Enum
from typing import Any

from IPython.core.getipython import get_ipython

from ...exceptions import ConfigurationError
from ...types import Output

__all__ = ["ASYNC_MAGIC", "await_rlm", "interpolated", "user_names", "without_comments"]

ASYNC_MAGIC = "_rlm_async"
_PLAIN = "get_ipython().run_cell_magic('rlm',"
_EMPTY_BODY = ", '')"
_AWAITED = f"await get_ipython().run_cell_magic('{ASYNC_MAGIC}',"


def await_rlm(lines: list[str]) -> list[str]:
    """The post-transformer: replaces IPython's call by an awaited one; all other cells are unchanged.

    Where a cell cannot be awaited, the call stays the blocking one.
    """
    if not (lines and lines[0].startswith(_PLAIN) and _is_one_call("".join(lines))):
        return lines
    arguments = lines[0][len(_PLAIN) :]
    if arguments.rstrip().endswith(_EMPTY_BODY):
        # IPython refuses an empty body before the magic can report it with its own message.
        arguments = arguments.rstrip().removesuffix(_EMPTY_BODY) + ", '\\n')\n"
    shell = get_ipython()
    # After `%autoawait False` or `%autoawait trio`, the shell does not await cells on asyncio.
    awaits = shell is None or (shell.autoawait and shell.loop_runner is shell.loop_runner_map["asyncio"][0])
    return [(_AWAITED if awaits and not _inside_a_cell() else _PLAIN) + arguments, *lines[1:]]


_COMMENTS = re.compile(r"(?:[ \t]*(?:#.*)?\n)+(?=%%rlm(?:[ \t\n]|$))")


def without_comments(lines: list[str]) -> list[str]:
    """The cleanup transformer: drops comments and blank lines above `%%rlm`, which has to begin its cell."""
    if (
        not lines
        or not lines[0].lstrip().startswith(("#", "\n"))
        or not any(line.startswith("%%rlm") for line in lines)
    ):
        return lines
    cell = "".join(lines)
    above = _COMMENTS.match(cell)
    return cell[above.end() :].splitlines(keepends=True) if above else lines


def _is_one_call(code: str) -> bool:
    """Whether the cell is only the call that IPython generates; a user's own code may continue after such a call."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError):
        return False
    match body:
        case [ast.Expr(value=ast.Call(func=ast.Attribute(attr="run_cell_magic")))]:
            return True
    return False


def _inside_a_cell() -> bool:
    """Whether another cell runs this one (`%%capture`, `get_ipython().run_cell(...)`); it cannot await it."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "run_code" and frame.f_globals.get("__name__") == "IPython.core.interactiveshell":
            return True
    return False


#: Two braces around anything that holds none: a name, perhaps an expression, or something that is not ours.
_IN_BRACES = re.compile(r"(\\?)\{\{([^{}\n]*)\}\}")
_NAME = re.compile(r"[^\W\d]\w*")


def interpolated(text: str, variables: Mapping[str, Any]) -> str:
    """`text` with each `{{name}}` or `{{ name }}` replaced by the value of that variable; `\\{{name}}` is a literal
    `{{name}}`.

    Text and numbers are inserted unchanged, a table as CSV; arrays, lists, dicts and models as JSON. JSON, templates
    and code with braces stay unchanged. Raises `ConfigurationError` for an unknown name, with the closest one, for an
    expression with a variable of the notebook, and for a value that is too long or has no complete text form.
    """

    def value(match: re.Match[str]) -> str:
        escaped, within = match[1], match[2].strip()
        if _NAME.fullmatch(within) is None:
            found = _variable_in(within, variables)
            if found and not escaped:
                raise ConfigurationError(_NO_EXPRESSION.format(match[0], found, within))
            return match[0][1:] if found else match[0]
        if escaped:
            return match[0][1:]
        if within not in variables:
            import difflib

            close = difflib.get_close_matches(within, user_names(variables), n=1)
            hint = f"did you mean {{{{{close[0]}}}}}?" if close else "define it in a cell above"
            raise ConfigurationError(f"{match[0]} names no variable of this notebook; {hint} {_LITERALLY}")
        return _pasted(within, variables[within])

    return _IN_BRACES.sub(value, text)


_LITERALLY = "(a literal {{ is written \\{{, and --raw leaves all as it is)"
_NO_EXPRESSION = (
    "{0} is an expression with the variable {1}, and only names are inserted: write value = {2} in a cell above, and "
    "{{{{value}}}} here " + _LITERALLY.replace("{", "{{")
)


def _variable_in(code: str, variables: Mapping[str, Any]) -> str:
    """The first variable of the user in a Python expression; "" where there is none, or no expression."""
    try:
        tree = ast.parse(code, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    own = set(user_names(variables))
    names = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return next((name for name in names if name in own), "")


#: The most characters that are inserted for a value that is not a text: a task is repeated in every prompt. A table is
#: better offered by reference, so that a model searches it.
MOST_PASTED = 50_000
MOST_OF_A_TABLE = 5_000


def _pasted(name: str, value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return str(value)
    # Imported here: it loads pydantic, which would slow `%load_ext` down.
    from ...values import NoText, table_text

    instead = f"offer it by reference with -c {name} and name {name} in the task, or paste a text that you make of it"
    try:
        table = table_text(value)
        text = _whole(value) if table is None else table
    except NoText as problem:
        raise ConfigurationError(
            f"{{{{{name}}}}} cannot be pasted: it is, or holds, {problem}; make a text, a list or a dict of it, and "
            "insert that, or offer it with -c"
        ) from None
    most = MOST_PASTED if table is None else MOST_OF_A_TABLE
    if len(text) > most:
        kind = f"a {type(value).__name__}" if table is None else "a table"
        raise ConfigurationError(
            f"{{{{{name}}}}} has {len(text):,} characters, and of {kind} at most {most:,} are pasted into a task; "
            f"{instead}"
        )
    return text


def _whole(value: Any) -> str:
    from ...values import NoText, json_text

    if value is None or isinstance(value, int | float | complex | Output):
        try:
            return str(value)
        except ValueError as error:  # Python converts no integer of more than 4,300 digits
            raise NoText(f"a number that cannot be written ({error})") from None
    text = json_text(value, spoken=True)
    if isinstance(value, bytes | bytearray):
        return str(json.loads(text))
    # Dates, paths, decimals and NumPy numbers are inserted without quotation marks.
    return text if text[0] in "[{" else str(value)


def user_names(variables: Mapping[str, Any]) -> list[str]:
    """The names that the user defined, for suggestions; IPython defines others in every notebook."""
    return [name for name in variables if not name.startswith("_") and name not in _OF_IPYTHON]


_OF_IPYTHON = frozenset({"In", "Out", "get_ipython", "exit", "quit", "open"})
