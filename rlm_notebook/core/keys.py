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
from json.encoder import encode_basestring_ascii as _written
from typing import Any

__all__ = ["as_json", "digest", "normalized", "plan_key", "request_key", "result_key"]


def digest(value: Any) -> str:
    """32 hexadecimal digits of any JSON value; the order of object keys does not matter."""
    return _digest_of(as_json(value))


def _digest_of(written: str) -> str:
    return blake2b(written.encode(), digest_size=16).hexdigest()


def as_json(value: Any) -> str:
    """The one text of a JSON value that digests are made of."""
    return _ENCODER.encode(value)


#: Made once: `json.dumps` with options makes a new one for each value.
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)


# The two keys that each node has are put together by hand, of the same text that `as_json` gives: an encoder of nested
# values is made anew for each, and what all nodes of an agent share is written once.


def plan_key(
    *, task: str, ancestors: tuple[str, ...], dependencies: Iterable[str], agent: str, surroundings: str
) -> str:
    """`ancestors` as the prompt shows them, `agent` as JSON, `surroundings` the digest of what all nodes share."""
    above, known = _list_of(ancestors), ",".join(map(_written, dependencies))
    return _digest_of(f'["plan",{_written(task)},{above},[{known}],{agent},{_written(surroundings)}]')


# Siblings have the same ancestors.
@lru_cache(maxsize=16)
def _list_of(texts: tuple[str, ...]) -> str:
    return f"[{','.join(map(_written, texts))}]"


def result_key(plan: str, decision: str, parts: Iterable[tuple[str, str]]) -> str:
    """From the plan's key, what was decided, and (task, content) of the parts in the plan's order."""
    joined = ",".join(f"[{_written(task)},{_written(content)}]" for task, content in parts)
    return _digest_of(f'["result",{_written(plan)},{_written(decision)},[{joined}]]')


def request_key(task: str, meaning: Mapping[str, Any]) -> str:
    """What makes two executions the same cell; the model is not part of it, nor how anything is shown."""
    return digest(["request", task, dict(meaning)])


_NOISE = re.compile(r"[\W_]+")


# As many as the ancestors of the nodes that are being planned: of a leaf it is asked once.
@lru_cache(maxsize=256)
def normalized(task: str) -> str:
    """A task without case, white space and punctuation: equal means "says the same again". Digits count."""
    return _NOISE.sub("", task).casefold()
