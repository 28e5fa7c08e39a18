"""What can be taken to another process: `pickle` has a form for it, and can read that again."""

from __future__ import annotations

import pickle
from typing import Any

__all__ = ["is_portable", "portable_type"]

_PLAIN = (str, int, float, bool, bytes, type(None))


def is_portable(value: Any) -> bool:
    """Whether `pickle` can write the value, and read what it wrote.

    Errors of other libraries often fail at the second, which breaks whoever receives them: a whole pool of processes.
    """
    if type(value) in _PLAIN:
        return True
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:
        return False
    return True


def portable_type(kind: type, ground: type) -> type:
    """The class, or the first of its bases that another process can import; at last the `ground` of them."""
    return next((each for each in kind.__mro__ if issubclass(each, ground) and is_portable(each)), ground)
