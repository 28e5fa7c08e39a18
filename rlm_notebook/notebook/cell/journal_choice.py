"""The journal of a cell: a named file, the file beside the notebook, or memory."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ...checkpoints.json_file import JsonFile
from ...checkpoints.memory import MemoryJournal
from ...core.events import Event
from ...core.tree import Recorded
from ...exceptions import CheckpointError
from ...host.console import say

__all__ = ["FileOrMemory", "named_file"]


def named_file(path: str, cell_id: str) -> JsonFile:
    """The file of `--checkpoint`. If it cannot be written, the run fails before its first call."""
    return JsonFile(Path(path).expanduser().absolute(), cell_id=cell_id)


class FileOrMemory:
    """The file in the default place. If it cannot be written, a warning is printed before the first call, and the run
    is kept in memory."""

    def __init__(self, file: JsonFile) -> None:
        self._file = file
        #: Instead of the file, once that could not be written.
        self._memory: MemoryJournal | None = None

    @property
    def _journal(self) -> JsonFile | MemoryJournal:
        return self._memory if self._memory is not None else self._file

    @property
    def path(self) -> Path | None:
        return self._journal.path

    def read(self) -> Recorded | None:
        return self._journal.read()

    def open(self) -> None:
        place = self._file.path
        try:
            self._journal.open()
        except CheckpointError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            self._memory = MemoryJournal()
            self._memory.open()
            why = error.__cause__.strerror or error.__cause__
            say(f"rlm: warning: cannot write {place} ({why}): this run is kept in memory only")

    def append(self, event: Event) -> None:
        self._journal.append(event)

    def compact(self, recorded: Recorded) -> None:
        self._journal.compact(recorded)

    def versions(self) -> list[Recorded]:
        return self._journal.versions()

    def version_after(self, executions: Collection[str]) -> str:
        return self._journal.version_after(executions)

    def related(self) -> list[Recorded]:
        return self._journal.related()

    def supersede(self, recorded: Recorded, known: Collection[str]) -> None:
        self._journal.supersede(recorded, known)

    def restore(self, execution: str) -> None:
        self._journal.restore(execution)

    def close(self) -> None:
        self._journal.close()
