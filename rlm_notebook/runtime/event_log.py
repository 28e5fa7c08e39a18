"""What happened in a run: the tree that its events fold to, the journal that keeps them, and those who watch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from ..concurrency.cancellation import is_failure
from ..core.events import Event, RunFinished
from ..core.recordable import recordable
from ..core.records import Recorded
from ..core.tree import Tree
from ..exceptions import CheckpointError
from ..ports import Journal, Observer

__all__ = ["EventLog"]

log = logging.getLogger("rlm_notebook")


class EventLog:
    """`emit` is the sole writer: an event is applied to the tree, appended to the journal, told to the observers."""

    def __init__(self, journal: Journal, observers: Iterable[Observer]) -> None:
        self.tree = Tree()
        self.journal = journal
        #: Replaced, never changed: whoever stops watching while it is told of an event disturbs nobody.
        self._observers: tuple[Observer, ...] = tuple(filter(None, map(_of_this_run, observers)))
        self._opened = False
        #: Observers that have failed, by identity.
        self._failed: set[int] = set()

    def emit(self, event: Event) -> None:
        """Apply, keep, tell. A journal that fails fails the run; an observer never does."""
        event = recordable(event)
        self.tree.apply(event)
        try:
            if event.durable:
                self.journal.append(event)
        finally:
            # What was applied is told even if it could not be kept: who watches sees the tree as it is.
            if self._observers:
                self._tell(event)

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except BaseException as error:
                # It is called, not awaited: whatever cancellation it raises is none of this task's.
                if not is_failure(error) and not isinstance(error, asyncio.CancelledError):
                    raise
                self._note_failure(observer, event)

    def _note_failure(self, observer: Observer, event: Event) -> None:
        """Whole for the first time; one that fails on every event is not to drown all else."""
        if id(observer) in self._failed:
            log.debug("an observer failed on %s, again", type(event).__name__, exc_info=True)
            return
        self._failed.add(id(observer))
        log.exception("an observer failed on %s; the run goes on", type(event).__name__)

    def watch(self, observer: Observer) -> Callable[[], None]:
        """Tell `observer` every event from now on; call the result to stop."""
        self._observers = (*self._observers, observer)

        def stop() -> None:
            # By identity: an observer may be of any type, and equal to another one.
            self._observers = tuple(each for each in self._observers if each is not observer)

        return stop

    @property
    def watched(self) -> bool:
        """Somebody would see text while it streams."""
        return bool(self._observers)

    def open(self) -> None:
        """Before the first call: what is paid for must have a place to be kept."""
        if not self._opened:
            self.journal.open()
            self._opened = True

    def end(self, event: RunFinished, kept: Callable[[], Recorded]) -> None:
        """Write the last event, put `kept()` in the journal's place, and close it; then tell the observers.

        Kept first, announced second: who sees "done" can rely on the file. Raises `CheckpointError` where it cannot be
        kept; a run that was done has failed then.
        """
        recorded = recordable(event)
        assert isinstance(recorded, RunFinished)
        event = recorded
        self.tree.apply(event)
        try:
            self.journal.append(event)
            self.journal.compact(kept())
        except CheckpointError as problem:
            if event.status == "done":
                event = RunFinished(at=event.at, status="failed", error=f"CheckpointError: {problem}")
                self.tree.apply(event)
            raise
        finally:
            self.journal.close()
            self._tell(event)


def _of_this_run(observer: Observer) -> Observer | None:
    """Observers that keep something about a run have one for each: an engine may have several runs at once.

    `None` for one that fails at that.
    """
    for_run: Callable[[], Observer] | None = getattr(observer, "for_run", None)
    if for_run is None:
        return observer
    try:
        return for_run()
    except Exception:
        log.exception("an observer failed before the first event; the run goes on without it")
        return None
