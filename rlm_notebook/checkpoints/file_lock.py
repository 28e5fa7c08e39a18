"""The lock of a file that is being written: one writer at a time.

The operating system keeps it, and releases that of a process that was killed. A browser has no such locks, and a mark
left by a restarted kernel would lock its file for ever: there, a lock holds within the kernel, which is the only one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

__all__ = ["Held", "locked"]

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
