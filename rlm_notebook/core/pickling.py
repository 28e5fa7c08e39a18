"""Which values can be sent to another process: `pickle` can write them, and read them back."""

from __future__ import annotations

import pickle
from typing import Any

__all__ = ["is_portable", "portable_type"]

_PLAIN = (str, int, float, bool, bytes, type(None))


def is_portable(value: Any) -> bool:
    """Whether `pickle` can write the value and read it back.

    Errors of other libraries often fail at the second step, in the receiving process, and break a whole process pool.
    """
    if type(value) in _PLAIN:
        return True
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:
        return False
    return True


def portable_type(kind: type, ground: type) -> type:
    """The class, or the first of its bases that another process can import; `ground` if there is none."""
    return next((each for each in kind.__mro__ if issubclass(each, ground) and is_portable(each)), ground)
