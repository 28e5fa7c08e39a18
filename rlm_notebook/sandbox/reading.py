"""What a cell reads of a large value on the host, in limited amounts.

A short call may ask for a hundred million pieces. So the arguments are checked before the value is asked.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from typing import Any

from .crossing import MOST_CHARACTERS, plain
from .port import Readable

__all__ = ["MOST_MATCHES", "MOST_PIECES", "identifier", "read_from"]

#: The most matches that one search gives; a larger limit counts as this.
MOST_MATCHES = 10_000
#: The most pieces that `chunks` gives.
MOST_PIECES = 100_000


def read_from(readables: Mapping[str, Readable], name: object, method: object, args: tuple[Any, ...]) -> Any:
    """What `name.method(*args)` gives, as a plain value. Raises `ValueError` and `TypeError` for the cell."""
    readable = readables.get(name) if isinstance(name, str) else None
    if readable is None or method not in ("read", "search", "chunks"):
        raise ValueError(f"there is no {name}.{method}")
    if method == "read":
        start, end = (*args, None)[:2]
        _require_whole(f"{name}.read", *(place for place in (start, end) if place is not None))
        first, last, _ = slice(start, end).indices(readable.size)
        if last - first > MOST_CHARACTERS:
            raise ValueError(
                f"{name}.read: {last - first:,} characters; at most {MOST_CHARACTERS:,} at once, see {name}.chunks"
            )
        return plain(readable.read(first, max(first, last)))
    if method == "search":
        pattern, limit = (*args, MOST_MATCHES)[:2]
        if not isinstance(pattern, str):
            raise TypeError(f"{name}.search takes a regular expression, as text")
        _require_whole(f"{name}.search", limit)
        return plain(readable.search(pattern, max(0, min(limit, MOST_MATCHES))))
    (length,) = args
    _require_whole(f"{name}.chunks", length)
    if length < 1 or readable.size // length > MOST_PIECES:
        raise ValueError(f"{name}.chunks({length}): expected a length that gives at most {MOST_PIECES:,} pieces")
    return plain(readable.chunks(length))


def _require_whole(call: str, *numbers: object) -> None:
    for number in numbers:
        if type(number) is not int:
            raise TypeError(f"{call} takes whole numbers, not {type(number).__name__}")


def identifier(name: str) -> str:
    """The name under which a variable is found in a cell: itself if it is an identifier, else made into one."""
    made = name if name.isidentifier() else "_".join(re.findall(r"\w+", name)) or "variable"
    return f"_{made}" if not made.isidentifier() or keyword.iskeyword(made) else made
