"""Files that a function of the user's reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...host.credentials import without_keys
from ...tools.code_version import code_version
from ..extraction import Extraction, Extractor, Unreadable, of_passages

__all__ = ["extractor"]


def extractor(function: Any) -> Extractor:
    """The extractor that calls the function with the path of the file."""
    version = getattr(function, "version", None)
    version = version if isinstance(version, str) and version else code_version(function).digest

    def read(path: Path) -> Extraction:
        try:
            found = function(path)
            pairs = [found] if isinstance(found, str) else list(found)
        except Exception as error:  # code of the user may raise anything
            raise Unreadable(f"extract raised {type(error).__name__}: {without_keys(str(error))}") from error
        return of_passages(map(_pair, pairs))

    return Extractor("document", version, read_path=read)


def _pair(item: Any) -> tuple[str, str]:
    if isinstance(item, str):
        return "", item
    if isinstance(item, Iterable):
        anchor_and_text = tuple(item)
        if len(anchor_and_text) == 2 and all(isinstance(each, str) for each in anchor_and_text):
            return " ".join(anchor_and_text[0].split()), anchor_and_text[1]
    raise Unreadable(f"extract has to give [(anchor, text), ...]; it gave {item!r:.60}")
