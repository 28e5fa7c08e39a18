"""Finds and opens the files of a source: regular files below a folder, and nothing that a link leads to.

The folder may be a stranger's: a link in it could point to any file of this machine. So links below the folder are left
out, and each part of a path is opened without following one, because a folder may be replaced by a link while it is
read. A pipe or a device would block for ever: only regular files are opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from .extraction import Unreadable

__all__ = ["Contents", "FileAt", "Found", "contents_of", "digest_of", "walk"]

_PIECE = 1 << 20
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_BY_FOLDER = os.open in os.supports_dir_fd and bool(_NO_LINK)
MOST_ENTRIES = 100_000
#: Left out of folders: what tools keep there, and what nobody wrote.
_LEFT_OUT = frozenset(("__pycache__", "node_modules"))


class Contents(NamedTuple):
    """What is read to identify a file: its size in bytes, its beginning, and the digest of all of it."""

    size: int
    head: bytes
    digest: str


class Found(NamedTuple):
    """A file or a link below a folder, by its relative path with forward slashes."""

    path: str
    is_link: bool


@dataclass(frozen=True)
class FileAt:
    """A file: a path that the user gave, or a `relative` path below a folder that the user gave."""

    root: Path
    relative: str = ""

    @property
    def path(self) -> Path:
        return self.root / self.relative if self.relative else self.root


def digest_of(file: FileAt, most_bytes: int) -> Contents:
    """Identify a file. Raises `Unreadable`, also for one with more than `most_bytes`."""
    hashed, head, size = blake2b(digest_size=16), b"", 0
    for piece in _pieces(file, most_bytes):
        head = head or piece[:8192]
        size += len(piece)
        hashed.update(piece)
    return Contents(size, head, hashed.hexdigest())


def contents_of(file: FileAt, digest: str, most_bytes: int) -> bytes:
    """The bytes of a file that has been identified. Raises `Unreadable` if it has changed since."""
    content = b"".join(_pieces(file, most_bytes))
    if blake2b(content, digest_size=16).hexdigest() != digest:
        raise Unreadable("it has changed since the run began; run the cell again")
    return content


def _pieces(file: FileAt, most_bytes: int) -> Iterator[bytes]:
    try:
        opened = _opened(file)
        with os.fdopen(opened, "rb") as stream:
            status = os.fstat(opened)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("it is no ordinary file; give a file or a folder")
            if status.st_size > most_bytes:
                raise _too_large(status.st_size, most_bytes)
            read = 0
            while piece := stream.read(_PIECE):
                read += len(piece)
                if read > most_bytes:
                    raise _too_large(read, most_bytes)
                yield piece
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror or error}") from None


def _opened(file: FileAt) -> int:
    """A descriptor of the file. Below a folder, no part of the path may be a link."""
    flags = os.O_RDONLY | _NO_WAIT | _BINARY
    if not file.relative:
        return os.open(file.root, flags)
    *folders, name = file.relative.split("/")
    if not _BY_FOLDER:
        inside = file.path
        if not inside.resolve().is_relative_to(file.root.resolve()) or inside.is_symlink():
            raise Unreadable("it is a link, and what it leads to may be anywhere")
        return os.open(inside, flags)
    place = os.open(file.root, os.O_RDONLY)
    try:
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK, dir_fd=place)
            os.close(place)
            place = below
        return os.open(name, flags | _NO_LINK, dir_fd=place)
    finally:
        os.close(place)


def _too_large(size: int, most: int) -> Unreadable:
    given, allowed = (f"{count / 1e6:,.0f} MB" if count >= 10_000_000 else f"{count:,} bytes" for count in (size, most))
    return Unreadable(
        f"it has {given}; at most {allowed} of a file are read: give a part of it, or Source(..., max_bytes={size:_})"
    )


def walk(root: Path, depth: int | None = None) -> Iterator[Found]:
    """The files and the links below a folder, in the order of their paths; hidden ones are left out.

    `depth`: how many levels of folders are looked into, all by default.

    Raises `Unreadable` for a folder that cannot be listed, and for one with too many entries.
    """
    waiting, seen = [""], 0
    found: list[Found] = []
    while waiting:
        below = waiting.pop()
        try:
            entries = list(os.scandir(root / below if below else root))
        except OSError as error:
            if below:
                continue
            raise Unreadable(f"it cannot be listed: {error.strerror or error}") from None
        seen += len(entries)
        if seen > MOST_ENTRIES:
            raise Unreadable(f"it holds more than {MOST_ENTRIES:,} files; give a folder or a glob with fewer")
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _LEFT_OUT:
                continue
            path = f"{below}/{entry.name}" if below else entry.name
            with suppress(OSError):
                if entry.is_symlink() or getattr(entry, "is_junction", bool)():
                    found.append(Found(path, True))
                elif entry.is_dir(follow_symlinks=False):
                    waiting += [path] if depth is None or path.count("/") + 1 < depth else []
                elif entry.is_file(follow_symlinks=False):
                    found.append(Found(path, False))
    yield from sorted(found)
