"""A journal that writes only some of a run's texts; it wraps another journal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol, cast

from ..core.choices import Store
from ..core.events import Event
from ..core.redaction import redacted_event, redacted_run
from ..core.tree import Recorded
from ..ports.run import Journal, VersionedJournal

__all__ = ["RedactedJournal"]


class FileJournal(Journal, VersionedJournal, Protocol):
    """A journal in a file, as a `JsonFile` is one."""

    def claim(self, recorded: Recorded) -> bool: ...


class RedactedJournal:
    """Writes to `journal` only the texts that `store` allows. Within one process, a run that resumes with this object
    still has all texts."""

    def __init__(self, journal: Journal, store: Store) -> None:
        # A journal with a path is in a file; no other is wrapped.
        self._journal = cast(FileJournal, journal)
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
        claimed = self._journal.claim(redacted_run(recorded, self._store))
        if claimed:
            self._known = recorded
        return claimed

    def versions(self) -> Sequence[Recorded]:
        """As `JsonFile.versions`: with the texts that the files hold."""
        return self._journal.versions()

    def version_after(self, executions: Collection[str]) -> str:
        """As `JsonFile.version_after`."""
        return self._journal.version_after(executions)

    def related(self) -> Sequence[Recorded]:
        """As `JsonFile.related`."""
        return self._journal.related()

    def supersede(self, recorded: Recorded, known: Collection[str]) -> None:
        """As `JsonFile.supersede`, redacted."""
        self._journal.supersede(redacted_run(recorded, self._store), known)
        self._known = recorded

    def restore(self, execution: str) -> None:
        """As `JsonFile.restore`."""
        self._journal.restore(execution)

    def open(self) -> None:
        self._journal.open()

    def append(self, event: Event) -> None:
        self._journal.append(redacted_event(event, self._store))

    def compact(self, recorded: Recorded) -> None:
        self._known = recorded
        self._journal.compact(redacted_run(recorded, self._store))

    def close(self) -> None:
        self._journal.close()
