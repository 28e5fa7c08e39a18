"""Which runs follow one: started in its place when it has ended, or as what it continues as while somebody watches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..exceptions import ConfigurationError, RLMError
from .control import Control
from .run_view import RunView

__all__ = ["Continuation"]

log = logging.getLogger("rlm_notebook")


class Continuation:
    """Starts the run that comes after one, once it may, and tells those who follow."""

    def __init__(self, control: Control) -> None:
        #: The run that this one continued as.
        self.run: RunView | None = None
        #: The run that was started in the place of this one.
        self.in_place: RunView | None = None
        self._control = control
        self._start: Callable[[], RunView] | None = None
        self._followers: tuple[Callable[[RunView], None], ...] = ()

    def follow(self, follower: Callable[[RunView], None]) -> None:
        """Call `follower` with the successor, as soon as it has been started."""
        self._followers = (*self._followers, follower)

    def continue_as(self, start: Callable[[], RunView]) -> None:
        """End, losing nothing that was paid for, and continue as the run that `start` makes.

        No new call starts, those under way finish and are kept. Whoever awaits the run gets what its successor gives.
        Of a run that has ended, the successor is started in the next step of the running event loop; raises
        `ConfigurationError` where none is running, and while the run is about to continue as another one already.
        """
        if not self._control.ended:
            self._plan(start)
            self._control.settle()
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError("there is no running event loop to go on in; execute the cell again") from None
        self._plan(start)
        loop.call_soon(self.begin)

    def _plan(self, start: Callable[[], RunView]) -> None:
        if self._start is not None:
            # It would never be started, and nobody told.
            raise ConfigurationError(
                "this run is about to go on with another change; make this one when it has, which may take one call"
            )
        self._start = start

    def drop(self) -> None:
        """Nothing follows: the run was cancelled."""
        self._start = None

    def begin(self) -> None:
        """Start what is planned, if anything is; what cannot be started is logged, and nobody follows."""
        start, self._start = self._start, None
        if start is None:
            return
        try:
            self.run = start()
        except RLMError as error:
            log.error("the run could not go on: %s", error)
            return
        for follower in self._followers:
            follower(self.run)
