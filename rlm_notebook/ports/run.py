"""The protocols around a run: what observes its events, records it and displays it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    # For annotations only: the extension imports this module and must load fast.
    from ..core.events import Event
    from ..core.tree import Recorded

__all__ = ["Host", "Journal", "Observer", "VersionedJournal"]


class Observer(Protocol):
    """Called with every event, after the tree changed. An error that it raises is logged and never fails the run.

    If it has a method `for_run()`, an engine calls that when a run starts, and uses the observer that it returns.
    """

    def __call__(self, event: Event, /) -> None: ...


class Journal(Protocol):
    """Where a run is recorded. An error of `append` fails the run."""

    @property
    def path(self) -> Path | None: ...
    def read(self) -> Recorded | None:
        """What earlier executions recorded, or `None`."""
        ...

    def open(self) -> None:
        """Called before the first paid call: get ready to record its result, or raise `CheckpointError`.

        Events appended before are recorded from here on; a run that never opens its journal leaves no file.
        """
        ...

    def append(self, event: Event) -> None:
        """Record a durable event, before its result is used further. Raises `CheckpointError`."""
        ...

    def compact(self, recorded: Recorded) -> None:
        """The run has ended: record all of it in its final form. Raises `CheckpointError`."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class VersionedJournal(Protocol):
    """A journal that retains the versions of a run: what it held before a person changed the run in its tree."""

    def versions(self) -> Sequence[Recorded]:
        """The versions before the present one, newest first."""
        ...

    def version_after(self, executions: Collection[str]) -> str:
        """The execution id of the newest version that a change of one of these executions made, or ""."""
        ...

    def related(self) -> Sequence[Recorded]:
        """Runs of the same request in other journals, whose results may be reused here."""
        ...

    def supersede(self, recorded: Recorded, known: Collection[str]) -> None:
        """Record the next version; the present one, of one of the `known` executions, becomes one of `versions`.
        Raises `CheckpointError`."""
        ...

    def restore(self, execution: str) -> None:
        """Make the version of this execution the present one, and the present one a version. Raises
        `CheckpointError`."""
        ...


class Host(Protocol):
    """Where the package runs, and how a run is displayed there."""

    def display(self, run: Any) -> None:
        """Display a run that was started without a view."""
        ...

    @property
    def variables(self) -> Mapping[str, Any]:
        """The variables of the notebook, by which a front end may report its path; none in a script."""
        ...

    def checkpoint_path(self, name: str | None, request_key: str, task: str) -> Path | None:
        """The JSON file beside the notebook for this task; `None` where there is no notebook."""
        ...
