"""A journal that writes only some of a run's texts; it wraps another journal."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ..core.events import Event
from ..core.records import Recorded
from ..core.redaction import Store, redacted_event, redacted_run
from ..ports.run import Journal

__all__ = ["RedactedJournal"]


class RedactedJournal:
    """Writes to `journal` only the texts that `store` allows. Within one process, a run that resumes with this object
    still has all texts."""

    def __init__(self, journal: Journal, store: Store) -> None:
        self._journal = journal
        self._store: Store = store
        self._known: Recorded | None = None

    @property
    def path(self) -> Path | None:
        return self._journal.path

    def read(self) -> Recorded | None:
        """The recorded run; with all texts if the file still holds what this object wrote last."""
        found, known = self._journal.read(), self._known
        if found is None or known is None:
            return found
        same = (found.tree.execution, found.tree.status) == (known.tree.execution, known.tree.status)
        return known if same else found

    def claim(self, recorded: Recorded) -> bool:
        """As `JsonFile.claim`, redacted."""
        claimed: bool = self._journal.claim(redacted_run(recorded, self._store))  # type: ignore[attr-defined]
        if claimed:
            self._known = recorded
        return claimed

    def versions(self) -> list[Recorded]:
        """As `JsonFile.versions`: with the texts that the files hold."""
        found: list[Recorded] = self._journal.versions()  # type: ignore[attr-defined]
        return found

    def related(self) -> list[Recorded]:
        """As `JsonFile.related`."""
        found: list[Recorded] = self._journal.related()  # type: ignore[attr-defined]
        return found

    def supersede(self, recorded: Recorded, known: Collection[str]) -> None:
        """As `JsonFile.supersede`, redacted."""
        self._journal.supersede(redacted_run(recorded, self._store), known)  # type: ignore[attr-defined]
        self._known = recorded

    def restore(self, execution: str) -> None:
        """As `JsonFile.restore`."""
        self._journal.restore(execution)  # type: ignore[attr-defined]

    def open(self) -> None:
        self._journal.open()

    def append(self, event: Event) -> None:
        self._journal.append(redacted_event(event, self._store))

    def compact(self, recorded: Recorded) -> None:
        self._known = recorded
        self._journal.compact(redacted_run(recorded, self._store))

    def close(self) -> None:
        self._journal.close()
