"""Content keys: digests of everything that a plan, a result or a whole request depends on.

A key covers what can enter a model request, and nothing else. So a recorded node is found by its content, not by its
place in the tree, and results stay reusable when this package changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

__all__ = ["as_json", "digest", "normalized", "plan_key", "request_key", "result_key"]


def digest(value: Any) -> str:
    """The digest of any JSON value, as 32 hexadecimal digits; the order of object keys does not matter."""
    return _digest_of(as_json(value))


def _digest_of(written: str) -> str:
    return blake2b(written.encode(), digest_size=16).hexdigest()


def as_json(value: Any) -> str:
    """The canonical text of a JSON value that digests are computed from."""
    return _ENCODER.encode(value)


#: One for all: `json.dumps` with options creates an encoder for each call.
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)


# The two keys of each node are concatenated from the same text that `as_json` gives: encoding nested values is slower,
# and the text that all nodes of an agent share is encoded once.


def plan_key(
    *, task: str, ancestors: tuple[str, ...], dependencies: Iterable[str], agent: str, surroundings: str
) -> str:
    """The key of a node's plan.

    `ancestors` are the tasks that the prompt shows, `dependencies` the results of the nodes it depends on, `agent` its
    identity as JSON, `surroundings` the digest of what all nodes of the run share.
    """
    above, known = _list_of(ancestors), ",".join(map(_quoted, dependencies))
    return _digest_of(f'["plan",{_quoted(task)},{above},[{known}],{agent},{_quoted(surroundings)}]')


# Cached because siblings have the same ancestors.
@lru_cache(maxsize=16)
def _list_of(texts: tuple[str, ...]) -> str:
    return f"[{','.join(map(_quoted, texts))}]"


def result_key(plan: str, decision: str, parts: Iterable[tuple[str, str]]) -> str:
    """The key of a node's result: the plan's key, the decision, and (task, content) of the sub-tasks in plan order."""
    joined = ",".join(f"[{_quoted(task)},{_quoted(content)}]" for task, content in parts)
    return _digest_of(f'["result",{_quoted(plan)},{_quoted(decision)},[{joined}]]')


def request_key(task: str, meaning: Mapping[str, Any]) -> str:
    """The key of a whole request: two executions with equal keys are the same cell. Model and display do not count."""
    return digest(["request", task, dict(meaning)])


_NOISE = re.compile(r"[\W_]+")


# Cached for the ancestors of the nodes that are being planned; a leaf's task is normalized only once.
@lru_cache(maxsize=256)
def normalized(task: str) -> str:
    """The task without case, white space and punctuation, to detect a sub-task equal to an ancestor. Digits count."""
    return _NOISE.sub("", task).casefold()
