"""Finds the line of the user's own code that an error came from: a cell or a file."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from typing import Any

from ...exceptions import RLMError

__all__ = ["place_of"]

_PACKAGE = str(Path(__file__).parents[2])
_INSTALLED = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def place_of(error: BaseException, shell: Any = None) -> str:
    """ "cell In[3], line 2" or "file.py, line 7" for an error raised by the user's code, else ""."""
    for cause in _causes(error):
        if isinstance(cause, RLMError):
            continue
        for frame, line in reversed(list(walk_tb(cause.__traceback__))):
            path = frame.f_code.co_filename
            # Neither of this package nor installed; `<frozen ...>` and `<string>` are of neither, and not the user's.
            if path.startswith("<ipython-input") or not path.startswith(("<", _PACKAGE, *_INSTALLED)):
                naming = getattr(getattr(shell, "compile", None), "format_code_name", None)
                known = naming(path) if naming is not None else None
                name = f"cell {known[1]}" if known else "a cell" if path.startswith("<") else path
                return f"{name}, line {line}"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, nearest first."""
    waiting, seen = [error], set()
    while waiting:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        behind = (*getattr(found, "causes", ()), found.__cause__, found.__context__)
        waiting.extend(each for each in behind if isinstance(each, BaseException))
