"""From a run to its `Output`: the answer, its usage, its sub-results."""

from __future__ import annotations

from typing import Any

from ..core.node import THOUGHTS
from ..core.quotes import QUOTES, quotes_to_json
from ..core.tree import NodeState
from ..exceptions import ExecutionError
from ..output_type import OutputType, TypeMismatch
from ..types import Output
from ..views.answer import cut_off_answers
from ..views.quotes import traced_quotes
from .run_view import RunView

__all__ = ["output_of"]


def output_of(run: RunView, content: str, output_type: OutputType | None) -> Output:
    """A run's answer. Raises `ExecutionError` if a recorded one does not fit the output type."""
    root, spent = run.tree["0"], run.usage
    try:
        parsed = output_type.parse(content) if output_type is not None else None
    except TypeMismatch as problem:
        raise ExecutionError(
            f"node 0: the recorded answer does not fit the output type any more: {problem}; "
            'run with mode="fresh" to replace it',
            node="0",
        ) from problem
    # The results that the root synthesised, in the plan's order, in the form of outputs.
    sub_results = [
        {
            "content": node.result,
            "metadata": {
                "task": node.task,
                "task_id": node.id,
                "depth": node.depth,
                "model": node.model,
                "usage": node.usage.tokens_to_json(),
                "cost_usd": node.usage.cost_usd,
            },
        }
        for node in run.tree.children(root.id)
        if node.result is not None and node.state is NodeState.DONE
    ]
    metadata: dict[str, Any] = {
        **root.metadata,
        "depth": max(node.depth for node in run.tree),
        "steps": sum(node.state is not NodeState.SUPERSEDED for node in run.tree),
        "task_id": root.id,
        "breadcrumbs": list(run.internals.breadcrumbs),
        "model": root.model,
        "duration": run.internals.active_seconds,
        "usage": spent.tokens_to_json(),
        "cache_hit_rate": spent.cache_hit_rate,
        "cost_usd": spent.cost_usd,
        "calls": run.calls,
        "limited": any(node.limited for node in run.tree),
        "run_id": run.run_id,
        "checkpoint": run.checkpoint,
        "changed": list(run.changed),
        "sub_results": sub_results,
        **({QUOTES: quotes_to_json(quotes)} if (quotes := traced_quotes(run.tree, root.id)) else {}),
        **({THOUGHTS: root.reasoning} if root.reasoning else {}),
        **({"notes": notes} if (notes := list(cut_off_answers(run.tree))) else {}),
    }
    return Output(content, metadata, parsed=parsed, usage=spent, run=run)
