"""Replaces and archives files atomically: after a power loss, the old file or the new one is complete."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..exceptions import CheckpointError
from . import safe_files
from .json_format import json_pieces
from .safe_files import require_regular, too_large

__all__ = ["archive", "archive_paths", "copy_damaged", "temporary", "write_whole"]


def write_whole(path: Path, data: Mapping[str, Any]) -> None:
    """Writes `data` as JSON, iterators in it as lists; a reader sees the old file or the new one, also after a power
    loss.

    Raises `OSError`, and `CheckpointError` for a document that is too large to be read again.
    """
    beside = temporary(path)
    require_regular([beside])
    try:
        with beside.open("wb") as file:
            written = 0
            # Piece by piece: the whole text would take a multiple of the tree's memory.
            for piece in json_pieces(data):
                encoded = _encoded(piece)
                written += len(encoded)
                if written > safe_files.LARGEST_FILE:
                    raise too_large(path, safe_files.LARGEST_FILE)
                file.write(encoded)
            file.write(b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _sync_folder(path.parent)
    except (OSError, CheckpointError):
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # A model may write lone surrogates, which UTF-8 cannot hold: they become JSON escapes.
        escaped = (f"\\u{ord(c):04x}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
        return "".join(escaped).encode("utf-8")


def _sync_folder(folder: Path) -> None:
    """Puts the new name on the disk, before the caller removes the journal. Not every system can sync folders."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def temporary(path: Path) -> Path:
    """The path at which a file is written before it is renamed to `path`."""
    return path.with_name(path.name + ".tmp")


def archive(path: Path) -> None:
    """Copies a finished run to `<name>.1.json`; the newest three copies are retained."""
    first, second, third = archive_paths(path)
    for older, newer in ((third, second), (second, first)):
        if newer.exists():
            os.replace(newer, older)
    # Copied to a temporary name first: a partial copy would be an earlier run that cannot be read.
    shutil.copyfile(path, beside := temporary(first))
    with beside.open("rb+") as copy:
        os.fsync(copy.fileno())
    os.replace(beside, first)


def archive_paths(path: Path) -> list[Path]:
    """The paths of the three archived runs of a file, newest first."""
    return [path.with_name(f"{path.stem}.{number}.json") for number in (1, 2, 3)]


def copy_damaged(journal: Path) -> None:
    """Copies a journal with unreadable lines before it is overwritten, so that it can still be repaired."""
    stem = journal.name.removesuffix(".jsonl")
    names = (journal.with_name(f"{stem}.damaged-{number}.jsonl") for number in itertools.count(1))
    shutil.copyfile(journal, next(name for name in names if not os.path.lexists(name)))
