"""A journal that keeps less than all of a run's texts: it wraps any other one."""

from __future__ import annotations

from pathlib import Path

from ..core.events import Event
from ..core.records import Recorded
from ..core.redaction import Store, redacted_event, redacted_run
from ..ports import Journal

__all__ = ["Reduced"]


class Reduced:
    """`journal` with only as much of the texts as `store` says; who goes on with this object has all of them."""

    def __init__(self, journal: Journal, store: Store) -> None:
        self._journal = journal
        self._store: Store = store
        self._known: Recorded | None = None

    @property
    def path(self) -> Path | None:
        return self._journal.path

    def read(self) -> Recorded | None:
        """What the file holds; where that is what was kept here last, the whole of it."""
        found, known = self._journal.read(), self._known
        if found is None or known is None:
            return found
        same = (found.tree.execution, found.tree.status) == (known.tree.execution, known.tree.status)
        return known if same else found

    def claim(self, recorded: Recorded) -> bool:
        """As that of the file, which does not hold more than it may."""
        claimed: bool = self._journal.claim(redacted_run(recorded, self._store))  # type: ignore[attr-defined]
        if claimed:
            self._known = recorded
        return claimed

    def open(self) -> None:
        self._journal.open()

    def append(self, event: Event) -> None:
        self._journal.append(redacted_event(event, self._store))

    def compact(self, recorded: Recorded) -> None:
        self._known = recorded
        self._journal.compact(redacted_run(recorded, self._store))

    def close(self) -> None:
        self._journal.close()
