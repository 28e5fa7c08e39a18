"""Coalescing: of equal requests at the same time one is made, and its outcome is the outcome of all.

A request is in flight from `join` until `settle`. The first caller with a key makes the request and settles it in any
case. Each later one, a duplicate, awaits the outcome, on whatever event loop or thread it is; a duplicate that is
cancelled never cancels the request of the others. A first caller that ends without an outcome (it was cancelled, or
its failure concerns nobody else) settles with `Abandoned`: each duplicate then tries again, and one of them is the
first.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Abandoned", "InFlight", "InFlightRequests"]

T = TypeVar("T")


class Abandoned(Exception):
    """The first caller went away without an outcome."""


@dataclass(slots=True, eq=False)
class InFlight(Generic[T]):
    """A request that is being made, for `owner`; `outcome` is there once a duplicate awaits it."""

    key: Hashable
    owner: object
    outcome: Future[T] | None = None


class InFlightRequests(Generic[T]):
    """The requests that are being made now, by key. May be used from several event loops and threads."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, InFlight[T]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._by_key)

    def join(self, key: Hashable, owner: object) -> tuple[InFlight[T], bool]:
        """The request in flight with this key, and whether the caller is the first and has to make it."""
        with self._lock:
            request = self._by_key.get(key)
            if request is None:
                request = self._by_key[key] = InFlight(key, owner)
                return request, True
            if request.outcome is None:
                request.outcome = Future()
                # Running, so that no duplicate can cancel it for the others.
                request.outcome.set_running_or_notify_cancel()
            return request, False

    def settle(self, request: InFlight[T], outcome: T | Exception) -> None:
        """End a request, for all who await it. Only the first call has an effect."""
        with self._lock:
            if self._by_key.get(request.key) is not request:
                return
            del self._by_key[request.key]
        if request.outcome is None:
            return
        if isinstance(outcome, Exception):
            request.outcome.set_exception(outcome)
        else:
            request.outcome.set_result(outcome)
