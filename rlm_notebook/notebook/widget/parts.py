"""Parts of the widget that a browser requests when it needs them: modules beside the bundle, compressed."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

__all__ = ["PARTS", "part"]

_FOLDER = Path(__file__).parents[2] / "static" / "parts"
PARTS = ("compare", "dialogs", "formulas", "quotes")


@cache
def part(name: str) -> bytes | None:
    """The text of a part as gzip; `None` if there is none of that name."""
    if name not in PARTS:
        return None
    return gzip.compress((_FOLDER / f"{name}.js").read_bytes(), compresslevel=6, mtime=0)
