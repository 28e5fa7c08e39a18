"""The journal of a run that is written to no file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ..core.changes import changes_of, version_before
from ..core.events import Event
from ..core.tree import Recorded
from ..exceptions import CheckpointError

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """The journal of `checkpoint=None`: the run is in memory only. Pass the same object again to resume."""

    path: Path | None = None

    def __init__(self) -> None:
        self._recorded: Recorded | None = None
        self._opened = False
        self._versions: list[Recorded] = []

    def read(self) -> Recorded | None:
        return self._recorded

    def open(self) -> None:
        self._opened = True

    def append(self, event: Event) -> None:
        pass

    def compact(self, recorded: Recorded) -> None:
        if self._opened:
            self._recorded = recorded

    def versions(self) -> list[Recorded]:
        """The versions before the present one, newest first."""
        return list(self._versions)

    def version_after(self, executions: Collection[str]) -> str:
        """As `JsonFile.version_after`."""
        trees = (each.tree for each in self._versions)
        return next((tree.execution for tree in trees if version_before(changes_of(tree)) in executions), "")

    def related(self) -> list[Recorded]:
        return []

    def supersede(self, recorded: Recorded, known: Collection[str]) -> None:
        """As `JsonFile.supersede`."""
        if self._recorded is not None:
            self._versions.insert(0, self._recorded)
        self._recorded = recorded

    def restore(self, execution: str) -> None:
        """As `JsonFile.restore`."""
        wanted = next((each for each in self._versions if each.tree.execution == execution), None)
        if wanted is None:
            raise CheckpointError("cannot restore that version: it is no longer in memory")
        self._versions.remove(wanted)
        if self._recorded is not None:
            self._versions.insert(0, self._recorded)
        self._recorded = wanted

    def close(self) -> None:
        self._opened = False
