"""A tree as a table: one row a node, for those who calculate with runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..core.tree import Node, Tree
from ..exceptions import ConfigurationError

__all__ = ["frame_of"]


def frame_of(tree: Tree) -> Any:
    """A `pandas.DataFrame` with one row per node, depth first.

    `started` and `ended` are times in UTC; `seconds` is how long the node was worked on, waiting for its parts not
    counted; `cost_usd` is missing where a price is not known. Raises `ConfigurationError` without pandas.
    """
    try:
        pandas = import_module("pandas")
    except ImportError:
        raise ConfigurationError("to_frame() needs pandas; install it with `pip install pandas`") from None
    frame = pandas.DataFrame([_row(node) for node in tree.walk()], columns=list(_COLUMNS))
    for column in ("started", "ended"):
        frame[column] = pandas.to_datetime(frame[column], unit="s", utc=True)
    # "Not known" is not nought: missing values of all these columns are numbers that are none.
    return frame.astype({"cost_usd": "float64", "seconds": "float64"})


def _row(node: Node) -> list[Any]:
    return [column(node) for column in _COLUMNS.values()]


def _seconds(node: Node) -> float:
    return sum(phase.ended - phase.started for phase in node.phases if phase.ended is not None and phase.kind != "wait")


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
    "seconds": _seconds,
    "note": lambda node: node.remark,
    "error": lambda node: node.error,
    "result": lambda node: node.result,
}
