"""What views and progress bars read of the rows of an experiment while they run.

`RowRuns` is what they are given; they depend on no more of it than this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ..core.limits import Budget
from ..core.usage import Usage
from .row_record import RowRecord

__all__ = ["RowsShown"]


class RowsRecorded(Protocol):
    """The store of the rows."""

    @property
    def path(self) -> Path | None: ...
    def state(self, key: str) -> str | None: ...
    def record(self, key: str) -> RowRecord | None: ...


class RowsShown(Protocol):
    """Rows under way, or ended; rows are named by their keys."""

    @property
    def keys(self) -> Sequence[str]: ...
    @property
    def store(self) -> RowsRecorded: ...
    @property
    def budget(self) -> Budget: ...
    @property
    def reused(self) -> int: ...
    @property
    def done(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def spent(self) -> Usage: ...
    @property
    def started(self) -> float: ...
    @property
    def seconds(self) -> float: ...
    @property
    def stopped(self) -> str: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop | None: ...
    @property
    def log(self) -> Sequence[str]:
        """The keys of rows that have begun or ended, in this order."""
        ...

    def state(self, key: str) -> tuple[str, str | None]: ...
    def run_of(self, key: str) -> object | None:
        """The run of a row that is under way."""
        ...

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` whenever a row has ended, and at the end."""
        ...

    def request_cancel(self) -> None: ...
    def again(self) -> None: ...
