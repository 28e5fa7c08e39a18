"""Which run another one goes on as, because it was edited or tried again while somebody looked at it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..exceptions import ConfigurationError, RLMError

if TYPE_CHECKING:
    from .run import Run

__all__ = ["Succession"]

log = logging.getLogger("rlm_notebook")


class Succession:
    """Starts the run that comes after one, once it may, and tells those who follow."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self._start: Callable[[], Run] | None = None
        self._followers: tuple[Callable[[Run], None], ...] = ()

    def plan(self, start: Callable[[], Run]) -> None:
        """Raises `ConfigurationError` while another one is planned: it would never be started, and nobody told."""
        if self._start is not None:
            raise ConfigurationError(
                "this run is about to go on with another change; make this one when it has, which may take one call"
            )
        self._start = start

    def follow(self, told: Callable[[Run], None]) -> None:
        """Tell `told` the successor, as soon as it has been started."""
        self._followers = (*self._followers, told)

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
        for told in self._followers:
            told(self.run)
