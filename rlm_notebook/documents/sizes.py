"""Sizes as prompts show them: rounded up to a power of ten, so that plans stay valid when a value grows a little."""

from __future__ import annotations

__all__ = ["SMALL", "size_of_files", "size_of_text"]


def size_of_text(text: str) -> str:
    """ "up to 10,000 characters, up to 100 lines"."""
    characters, lines = _bound(len(text), 1_000), _bound(text.count("\n") + 1, 100)
    return f"up to {characters:,} characters, up to {lines:,} lines"


def size_of_files(size: int, count: int = 1) -> str:
    """ "up to 10 MB", or "up to 100 files, up to 10 MB"; `size` is in bytes."""
    bound = _bound(size, 1_000)
    unit, name = next((unit, name) for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")) if bound >= unit)
    written = f"up to {bound // unit:,} {name}"
    return f"up to {_bound(count, 10):,} files, {written}" if count != 1 else written


def _bound(count: int, bound: int) -> int:
    while bound < count:
        bound *= 10
    return bound


#: The smallest size of a text.
SMALL = size_of_text("")
