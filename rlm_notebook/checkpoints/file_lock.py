"""The lock of a file that is being written: one writer at a time.

The operating system keeps it, and releases that of a process that was killed. A browser has no such locks, and a mark
left by a restarted kernel would lock its file for ever: there, a lock holds within the kernel, which is the only one.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

__all__ = ["Held", "WriterLock", "locked"]

HAS_FILE_LOCKS = sys.platform != "emscripten"
_held: set[Path] = set()


class Held(Exception):
    """Another writer holds the lock."""


def locked(path: Path, *, wait: float = 0) -> Callable[[], None]:
    """Locks with the file `path`, and returns what releases it.

    Raises `Held` if another writer still holds it after `wait` seconds, and `OSError` where nothing can be locked.
    """
    if not HAS_FILE_LOCKS:
        if path in _held:
            raise Held
        _held.add(path)
        return partial(_held.discard, path)
    import filelock

    lock = filelock.FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=wait, poll_interval=0.02)
    except filelock.Timeout:
        raise Held from None
    return lock.release


class WriterLock:
    """The lock of the one writer of a file: the file beside it with the suffix ".lock", at `path`."""

    def __init__(self, file: Path) -> None:
        self.path = file.with_name(file.name + ".lock")
        self._unlock: Callable[[], None] | None = None

    def take(self) -> bool:
        """Take the lock; false where another writer holds it. Raises `OSError` where nothing can be locked."""
        if self._unlock is not None:
            return True
        try:
            # The wait covers a look at whether anything is written, which holds the lock for a moment.
            self._unlock = locked(self.path, wait=0.1)
        except Held:
            if not self.path.exists():
                # The folder is not writable: the lock file could not be created, so no other writer holds it.
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
            return False
        # The process id is only for a second writer's error message. Windows locks the file's bytes too, so that they
        # cannot be written there.
        with suppress(OSError):
            self.path.write_text(str(os.getpid()), encoding="ascii")
        return True

    def release(self) -> None:
        """Give the lock back, if this writer has it."""
        if self._unlock is not None:
            # Removed while the lock is held: after the release, the file may be another writer's.
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
            self._unlock()
            self._unlock = None

    def holder(self, writer: str) -> str:
        """Who holds the lock, in words; `writer` is what writes such a file, a "run" say."""
        try:
            process = int(self.path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return f"another {writer}"
        return f"process {process}" if process != os.getpid() else f"another {writer} of this very session"
