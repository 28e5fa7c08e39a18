"""Content keys: what a plan, a result and a whole request depend on.

A key hashes what can enter the request, and nothing that cannot: so a node is found again by what it is, not by where
it stands, and a new version of this package does not make worthless what was paid for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

__all__ = ["digest", "normalized", "plan_key", "request_key", "result_key"]


def digest(value: Any) -> str:
    """32 hexadecimal digits of any JSON value; the order of object keys does not matter."""
    return blake2b(_ENCODER.encode(value).encode(), digest_size=16).hexdigest()


#: Made once: `json.dumps` with options makes a new one for each value.
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)


def plan_key(
    *, task: str, ancestors: Iterable[str], dependencies: Iterable[str], agent: Mapping[str, Any], surroundings: str
) -> str:
    """`ancestors` as the prompt shows them, `surroundings` the digest of what all nodes of the run share."""
    return digest(["plan", task, list(ancestors), list(dependencies), dict(agent), surroundings])


def result_key(plan: str, decision: str, parts: Iterable[tuple[str, str]]) -> str:
    """From the plan's key, what was decided, and (task, content) of the parts in the plan's order."""
    return digest(["result", plan, decision, list(parts)])


def request_key(task: str, meaning: Mapping[str, Any]) -> str:
    """What makes two executions the same cell; the model is not part of it, nor how anything is shown."""
    return digest(["request", task, dict(meaning)])


_NOISE = re.compile(r"[\W_]+")


# As many as the ancestors of the nodes that are being planned: of a leaf it is asked once.
@lru_cache(maxsize=256)
def normalized(task: str) -> str:
    """A task without case, white space and punctuation: equal means "says the same again". Digits count."""
    return _NOISE.sub("", task).casefold()
