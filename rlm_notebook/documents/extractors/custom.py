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
        passages = []
        for item in pairs:
            pair = ("", item) if isinstance(item, str) else tuple(item) if isinstance(item, Iterable) else ()
            if len(pair) != 2 or not all(isinstance(each, str) for each in pair):
                raise Unreadable(f"extract has to give [(anchor, text), ...]; it gave {item!r:.60}")
            passages.append((" ".join(pair[0].split()), pair[1]))
        return of_passages(passages)

    return Extractor("document", version, read_path=read)
