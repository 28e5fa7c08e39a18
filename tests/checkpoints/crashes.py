"""A disk on which everything can end at any change: for tests that stop a run between any two of them, in one process.

From its end on nothing is changed any more, as if the process had been killed; or there is no room left, and the
process goes on. What a model or a tool does after a kill has not happened.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from rlm_notebook.checkpoints import atomic_write

Fault = Literal["killed", "torn", "full"]


class Disk:
    """Counts the changes of files: writes, syncs, renames, removals; ends at number `at` of them."""

    def __init__(self) -> None:
        self.changes = 0
        self.at: int | None = None
        self.fault: Fault = "killed"
        self._real: dict[str, Any] = {}

    @property
    def dead(self) -> bool:
        """The process was killed: nothing that it does from here on has happened."""
        return self.at is not None and self.changes >= self.at and self.fault != "full"

    def start(self, at: int | None, fault: Fault = "killed") -> None:
        self.changes, self.at, self.fault = 0, at, fault

    def change(self, kind: str, data: bytes = b"", write: Any = None) -> None:
        """One more change, or an error in its place; of a write that is torn, half is done."""
        self.changes += 1
        if self.at is None or self.changes < self.at:
            return
        if self.fault == "torn" and self.changes == self.at and write is not None:
            write(data[: len(data) // 2])
        if self.fault != "full":
            raise OSError(errno.EIO, "the process is dead")
        if kind == "write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextmanager
    def mounted(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
        """While this holds, what the package writes goes to this disk."""
        with monkeypatch.context() as patch:
            for name in ("fsync", "replace", "unlink"):
                patch.setattr(os, name, self._counted(name, getattr(os, name)))
            patch.setattr(atomic_write.shutil, "copyfile", self._counted("write", shutil.copyfile))
            patch.setattr(Path, "open", self._opened(Path.open))
            yield self

    def _counted(self, kind: str, real: Any) -> Any:
        def done(*args: Any, **kwargs: Any) -> Any:
            self.change(kind)
            return real(*args, **kwargs)

        return done

    def _opened(self, real: Any) -> Any:
        def opened(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if mode != "wb":
                return real(path, mode, *args, **kwargs)
            self.change("open")
            return _File(self, real(path, mode, buffering=0))

        return opened


class _File:
    """A file for writing, each write of which is a change at once."""

    def __init__(self, disk: Disk, real: Any) -> None:
        self._disk, self._real = disk, real

    def write(self, data: bytes) -> None:
        self._disk.change("write", data, self._real.write)
        self._real.write(data)

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        number: int = self._real.fileno()
        return number

    def close(self) -> None:
        self._real.close()

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
