"""A tree as a data frame: one row a node."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..core.node import work_seconds
from ..core.tree import Tree
from ..exceptions import ConfigurationError

__all__ = ["frame_of", "pandas_for"]


def pandas_for(caller: str) -> Any:
    """The module pandas. Raises `ConfigurationError`, which names the caller, if it is not installed."""
    try:
        return import_module("pandas")
    except ImportError:
        raise ConfigurationError(f"{caller} needs pandas; install it with `pip install pandas`") from None


def frame_of(tree: Tree) -> Any:
    """A `pandas.DataFrame` with one row per node, depth first.

    `started` and `ended` are times in UTC; `seconds` is the node's working time, without waits for slots and sub-tasks;
    `cost_usd` is NaN where the price is unknown. Raises `ConfigurationError` if pandas is not installed.
    """
    pandas = pandas_for("to_frame()")
    rows = [[value(node) for value in _COLUMNS.values()] for node in tree.walk()]
    frame = pandas.DataFrame(rows, columns=list(_COLUMNS))
    for column in ("started", "ended"):
        frame[column] = pandas.to_datetime(frame[column], unit="s", utc=True)
    # Also where all values are missing: an unknown cost is NaN, and not an object that is None.
    return frame.astype({"cost_usd": "float64", "seconds": "float64"})


_COLUMNS: dict[str, Any] = {
    "id": lambda node: node.id,
    "parent": lambda node: node.parent,
    "depth": lambda node: node.depth,
    "task": lambda node: node.task,
    "agent": lambda node: node.agent,
    "model": lambda node: node.model,
    "state": lambda node: str(node.state),
    "mark": lambda node: node.mark,
    "decision": lambda node: node.decision,
    "depends_on": lambda node: list(node.depends_on),
    "attempts": lambda node: node.attempts,
    "tools": lambda node: len(node.tool_calls),
    "calls": lambda node: node.usage.calls,
    "prompt_tokens": lambda node: node.usage.prompt_tokens,
    "cached_tokens": lambda node: node.usage.cached_tokens,
    "completion_tokens": lambda node: node.usage.completion_tokens,
    "cost_usd": lambda node: node.usage.cost_usd,
    "started": lambda node: node.started,
    "ended": lambda node: node.ended,
    "seconds": work_seconds,
    "note": lambda node: node.remark,
    "error": lambda node: node.error,
    "result": lambda node: node.result,
}
