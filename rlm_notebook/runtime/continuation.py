"""The runs that follow one: its successor, which it continues as, and the run that was started in its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from ..exceptions import ConfigurationError, RLMError
from .run_view import RunView

__all__ = ["Continuation"]

log = logging.getLogger("rlm_notebook")


class Ending(Protocol):
    """The control of a run, as far as a continuation uses it."""

    @property
    def ended(self) -> bool: ...
    def settle(self) -> None: ...


class Continuation:
    """Starts the successor of a run once the run has ended, and notifies its followers."""

    def __init__(self, control: Ending) -> None:
        #: The run that this one continued as.
        self.run: RunView | None = None
        #: The run that was started in the place of this one.
        self.in_place: RunView | None = None
        self._control = control
        self._start: Callable[[], RunView] | None = None
        self._followers: tuple[Callable[[RunView], None], ...] = ()
        self._refused: tuple[Callable[[RLMError], None], ...] = ()

    def follow(self, follower: Callable[[RunView], None]) -> None:
        """Call `follower` with the successor, as soon as it has been started."""
        self._followers = (*self._followers, follower)

    def on_refusal(self, observer: Callable[[RLMError], None]) -> None:
        """Call `observer` with the error of a successor that could not start."""
        self._refused = (*self._refused, observer)

    def continue_as(self, start: Callable[[], RunView]) -> None:
        """End the run without losing paid work, and continue as the run that `start` creates.

        No new call starts; calls in flight finish and are recorded. Awaiting the run gives its successor's result.
        After the run has ended, the successor is started in the next step of the running event loop. Raises
        `ConfigurationError` if no loop is running, and while another successor is about to start.
        """
        if not self._control.ended:
            self._plan(start)
            self._control.settle()
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "the run cannot continue: there is no running event loop; execute the cell again"
            ) from None
        self._plan(start)
        loop.call_soon(self.begin)

    def _plan(self, start: Callable[[], RunView]) -> None:
        if self._start is not None:
            raise ConfigurationError(
                "this run is about to continue with another change; repeat this one after that, which may take one call"
            )
        self._start = start

    def drop(self) -> None:
        """Start no successor: the run was cancelled."""
        self._start = None

    def begin(self) -> None:
        """Start the planned successor, if any. One that cannot start is logged, and there is no successor."""
        start, self._start = self._start, None
        if start is None:
            return
        try:
            self.run = start()
        except RLMError as error:
            log.error("the run could not continue: %s", error)
            for observer in self._refused:
                observer(error)
            return
        for follower in self._followers:
            follower(self.run)
