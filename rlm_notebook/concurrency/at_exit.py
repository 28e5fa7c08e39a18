"""What is ended when the interpreter exits."""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Callable

__all__ = ["end_at_exit"]


@functools.cache
def end_at_exit(end: Callable[[], None]) -> None:
    """Calls `end` when this process exits, however often it is asked. A forked child, which owns nothing that `end`
    ends, does not call it."""
    pid = os.getpid()

    def end_own() -> None:
        if os.getpid() == pid:
            end()

    atexit.register(end_own)
