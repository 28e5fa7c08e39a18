"""Replies kept in this process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from ..exceptions import ConfigurationError
from ..ports.model import Reply

__all__ = ["MemoryCache"]


class MemoryCache:
    """Replies of this process by key; beyond `max_entries` the one that was longest not asked for goes.

    `hits` and `misses` count what was asked for and was there, or was not. May be used from several threads. Raises
    `ConfigurationError` for a `max_entries` below 1.
    """

    def __init__(self, max_entries: int = 10_000) -> None:
        if isinstance(max_entries, bool) or not isinstance(max_entries, int) or max_entries < 1:
            raise ConfigurationError(f"MemoryCache(max_entries={max_entries!r}): expected a whole number of at least 1")
        self.hits = self.misses = 0
        self._most = max_entries
        self._replies: OrderedDict[str, Reply] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process begins with an empty one.
        return type(self), (self._most,)

    def __len__(self) -> int:
        return len(self._replies)

    def get(self, key: str) -> Reply | None:
        with self._lock:
            if key not in self._replies:
                self.misses += 1
                return None
            self.hits += 1
            self._replies.move_to_end(key)
            return self._replies[key]

    def put(self, key: str, reply: Reply) -> None:
        with self._lock:
            self._replies[key] = reply
            self._replies.move_to_end(key)
            if len(self._replies) > self._most:
                self._replies.popitem(last=False)
