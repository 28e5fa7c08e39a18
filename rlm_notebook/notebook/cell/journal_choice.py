"""The journal of a cell: a named file, the file beside the notebook, or memory."""

from __future__ import annotations

from pathlib import Path

from ...checkpoints.json_file import JsonFile
from ...core.events import Event
from ...core.records import Recorded
from ...exceptions import CheckpointError

__all__ = ["FileOrMemory", "named_file"]


def named_file(path: str, cell_id: str) -> JsonFile:
    """The file of `--checkpoint`. If it cannot be written, the run fails before its first call."""
    return JsonFile(Path(path).expanduser().absolute(), cell_id=cell_id)


class FileOrMemory:
    """The file in the default place. If it cannot be written, a warning is printed before the first call, and the run
    is kept in memory."""

    def __init__(self, file: JsonFile) -> None:
        self._file = file
        self._in_memory = False

    @property
    def path(self) -> Path | None:
        return None if self._in_memory else self._file.path

    def read(self) -> Recorded | None:
        return self._file.read()

    def open(self) -> None:
        place = self._file.path
        try:
            self._file.open()
        except CheckpointError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            self._in_memory = True
            why = error.__cause__.strerror or error.__cause__
            print(f"rlm: warning: cannot write {place} ({why}): this run is kept in memory only")

    def append(self, event: Event) -> None:
        if not self._in_memory:
            self._file.append(event)

    def compact(self, recorded: Recorded) -> None:
        if not self._in_memory:
            self._file.compact(recorded)

    def close(self) -> None:
        self._file.close()
