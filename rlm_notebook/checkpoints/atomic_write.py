"""Files that are replaced as a whole, or kept under another name: all or nothing, also after a power loss."""

from __future__ import annotations

import itertools
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import safe_files
from .json_format import laid_out
from .safe_files import require_ordinary, too_large

__all__ = ["keep_numbered", "numbered", "set_aside", "temporary", "write_whole"]


def write_whole(path: Path, data: dict[str, Any]) -> None:
    """All or nothing: a reader sees the old file or the new one, also after a power loss."""
    encoded = _encodable(laid_out(data)).encode("utf-8") + b"\n"
    if len(encoded) > safe_files.LARGEST_FILE:
        raise too_large(path, safe_files.LARGEST_FILE)
    beside = temporary(path)
    require_ordinary([beside])
    try:
        with beside.open("wb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk before the journal that it replaces goes. Not every system syncs folders."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def temporary(path: Path) -> Path:
    """Where a file is written before it takes its place."""
    return path.with_name(path.name + ".tmp")


def _encodable(text: str) -> str:
    """Lone surrogates as JSON escapes: a model may write them, UTF-8 may not."""
    return "".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text) if not _clean(text) else text


def _clean(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def keep_numbered(path: Path) -> None:
    """Keep a finished run as `<name>.1.json`; the newest three stay."""
    first, second, third = numbered(path)
    for older, newer in ((third, second), (second, first)):
        if newer.exists():
            os.replace(newer, older)
    # All or nothing: half a copy would be an earlier run that nobody can read.
    shutil.copyfile(path, beside := temporary(first))
    with beside.open("rb+") as copy:
        os.fsync(copy.fileno())
    os.replace(beside, first)


def numbered(path: Path) -> list[Path]:
    """Where the newest three of the runs that others replaced are kept, the newest first."""
    return [path.with_name(f"{path.stem}.{number}.json") for number in (1, 2, 3)]


def set_aside(journal: Path) -> None:
    """Lines that could not be read are not overwritten: somebody may still mend them."""
    stem = journal.name.removesuffix(".jsonl")
    names = (journal.with_name(f"{stem}.damaged-{number}.jsonl") for number in itertools.count(1))
    shutil.copyfile(journal, next(name for name in names if not os.path.lexists(name)))
