"""The log of a run: the tree that its events fold to, the journal that records them, the observers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from ..concurrency.cancellation import is_failure
from ..core.events import Event, RunFinished
from ..core.recordable import recordable
from ..core.tree import Recorded, Tree
from ..exceptions import CheckpointError
from ..ports.run import Journal, Observer

__all__ = ["EventLog"]

log = logging.getLogger("rlm_notebook")


class EventLog:
    """`emit` is the sole writer: it applies an event to the tree, appends it to the journal, notifies the observers."""

    def __init__(self, journal: Journal, observers: Iterable[Observer]) -> None:
        self.tree = Tree()
        self.journal = journal
        #: Replaced, never mutated: an observer may be removed while the others are being notified.
        self._observers: tuple[Observer, ...] = tuple(filter(None, map(_of_this_run, observers)))
        self._opened = False
        #: Observers that have failed, by identity.
        self._failed: set[int] = set()

    def emit(self, event: Event) -> None:
        """Apply, append, notify. A failing journal fails the run; a failing observer never does."""
        event = recordable(event)
        self.tree.apply(event)
        try:
            if event.durable:
                self.journal.append(event)
        finally:
            # Also if the journal failed: observers see the tree as it is.
            if self._observers:
                self._notify(event)

    def _notify(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except BaseException as error:
                # It is called, not awaited: a cancellation that it raises is not one of this task.
                if not is_failure(error) and not isinstance(error, asyncio.CancelledError):
                    raise
                if id(observer) in self._failed:
                    # An observer that fails on every event does not fill the log.
                    log.debug("an observer failed on %s, again", type(event).__name__, exc_info=True)
                else:
                    self._failed.add(id(observer))
                    log.exception("an observer failed on %s; the run continues", type(event).__name__)

    def watch(self, observer: Observer) -> Callable[[], None]:
        """Call `observer` with every event from now on; call the result to stop."""
        self._observers = (*self._observers, observer)

        def stop() -> None:
            # By identity: two observers may be equal.
            self._observers = tuple(each for each in self._observers if each is not observer)

        return stop

    @property
    def watched(self) -> bool:
        """Whether there are observers, for which text is emitted while it streams."""
        return bool(self._observers)

    def open(self) -> None:
        """Open the journal before the first call, so that its result can be recorded. Raises `CheckpointError`."""
        if not self._opened:
            self.journal.open()
            self._opened = True

    def end(self, event: RunFinished, snapshot: Callable[[], Recorded]) -> None:
        """Append the last event, compact the journal to `snapshot()` and close it; then notify the observers.

        In this order, so that an observer that sees "done" can rely on the file. Raises `CheckpointError` if the file
        cannot be written; a run that was done has then failed.
        """
        recorded = recordable(event)
        assert isinstance(recorded, RunFinished)
        event = recorded
        self.tree.apply(event)
        try:
            self.journal.append(event)
            self.journal.compact(snapshot())
        except CheckpointError as problem:
            if event.status == "done":
                event = RunFinished(at=event.at, status="failed", error=f"CheckpointError: {problem}")
                self.tree.apply(event)
            raise
        finally:
            self.journal.close()
            self._notify(event)


def _of_this_run(observer: Observer) -> Observer | None:
    """The observer for one run: an observer with state has `for_run()`, because an engine may have several runs.

    `None` if that fails.
    """
    for_run: Callable[[], Observer] | None = getattr(observer, "for_run", None)
    if for_run is None:
        return observer
    try:
        return for_run()
    except Exception:
        log.exception("an observer failed before the first event; the run continues without it")
        return None
