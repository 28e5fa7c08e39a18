"""Where in its reader's own code an error came from: the cell or file, and the line."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from ...exceptions import RLMError

__all__ = ["place_of"]

_PACKAGE = str(Path(__file__).parents[2])
_NOT_MINE = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def place_of(error: BaseException, shell: Any = None) -> str:
    """ "cell In[3], line 2" or "file.py, line 7" for an error that code of the reader's raised, else ""."""
    for cause in _causes(error):
        if isinstance(cause, RLMError):
            continue
        for path, line in reversed(list(_lines(cause.__traceback__))):
            if _is_mine(path):
                return f"{_named(path, shell)}, line {line}"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, nearest first."""
    waiting, seen = [error], set()
    while waiting:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        behind = (*getattr(found, "causes", ()), found.__cause__, found.__context__)
        waiting.extend(each for each in behind if isinstance(each, BaseException))


def _lines(traceback: TracebackType | None) -> Iterator[tuple[str, int]]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next


def _is_mine(path: str) -> bool:
    """Neither of this package nor of what is installed; `<frozen ...>` and `<string>` are nobody's."""
    if path.startswith("<"):
        return path.startswith("<ipython-input")
    return not path.startswith((_PACKAGE, *_NOT_MINE))


def _named(path: str, shell: Any) -> str:
    naming = getattr(getattr(shell, "compile", None), "format_code_name", None)
    known = naming(path) if naming is not None else None
    return f"cell {known[1]}" if known else "a cell" if path.startswith("<") else path
