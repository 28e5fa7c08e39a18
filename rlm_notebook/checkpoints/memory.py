"""The journal of a run that is written to no file."""

from __future__ import annotations

from pathlib import Path

from ..core.events import Event
from ..core.records import Recorded

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """The journal of `checkpoint=None`: the run is in memory only. Pass the same object again to resume."""

    path: Path | None = None

    def __init__(self) -> None:
        self._recorded: Recorded | None = None
        self._opened = False

    def read(self) -> Recorded | None:
        return self._recorded

    def open(self) -> None:
        self._opened = True

    def append(self, event: Event) -> None:
        pass

    def compact(self, recorded: Recorded) -> None:
        if self._opened:
            self._recorded = recorded

    def close(self) -> None:
        self._opened = False
