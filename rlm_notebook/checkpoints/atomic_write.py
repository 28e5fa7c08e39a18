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

__all__ = [
    "RETAINED",
    "archive",
    "archive_path",
    "archive_paths",
    "copy_damaged",
    "copy_whole",
    "temporary",
    "write_whole",
]


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
                # A model may write lone surrogates, which UTF-8 cannot hold: they become JSON escapes.
                encoded = piece.encode("utf-8", errors="backslashreplace")
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


#: How many copies are retained when another run replaces a finished one.
RETAINED = 3


def archive(path: Path, most: int = RETAINED) -> None:
    """Copies a run to `<name>.1.json`, after the numbers of the older copies were raised; the newest `most` stay."""
    older = archive_paths(path)
    for place in older[max(0, most - 1) :]:
        place.unlink(missing_ok=True)
    for place in reversed(older[: max(0, most - 1)]):
        number = int(place.stem.rpartition(".")[2])
        os.replace(place, archive_path(path, number + 1))
    first = archive_path(path, 1)
    # Copied to a temporary name first: a partial copy would be an earlier run that cannot be read.
    copy_whole(path, first)


def copy_whole(source: Path, target: Path) -> None:
    """Copies a file atomically: a reader sees the old target or the whole copy, also after a power loss."""
    shutil.copyfile(source, beside := temporary(target))
    with beside.open("rb+") as copy:
        os.fsync(copy.fileno())
    os.replace(beside, target)
    _sync_folder(target.parent)


def archive_path(path: Path, number: int) -> Path:
    """The path of a numbered copy; 1 is the newest."""
    return path.with_name(f"{path.stem}.{number}.json")


def archive_paths(path: Path) -> list[Path]:
    """The paths of the numbered copies of a file that follow each other from 1 on, newest first."""
    numbered = (archive_path(path, number) for number in itertools.count(1))
    return list(itertools.takewhile(os.path.lexists, numbered))


def copy_damaged(journal: Path) -> None:
    """Copies a journal with unreadable lines before it is overwritten, so that it can still be repaired."""
    stem = journal.name.removesuffix(".jsonl")
    names = (journal.with_name(f"{stem}.damaged-{number}.jsonl") for number in itertools.count(1))
    shutil.copyfile(journal, next(name for name in names if not os.path.lexists(name)))
