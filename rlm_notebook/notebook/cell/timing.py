"""What a run took, in one line."""

from __future__ import annotations

from ...core.text import duration
from ...runtime.run_view import RunView
from ...views.outline import tokens

__all__ = ["took"]


def took(run: RunView, seconds: float) -> str:
    """For `--time`: `seconds` by the clock, and what of that was work, on which path, for how much."""
    usage = run.usage
    cost = "cost unknown" if usage.cost_usd is None else f"${usage.cost_usd:.4f}"
    path = " → ".join(node.id for node in run.tree.critical_path())
    facts = [
        f"{duration(seconds)} by the clock",
        f"{duration(run.internals.active_seconds)} at work over all executions",
        f"{run.calls} calls now, {usage.calls} in all",
        tokens(usage),
        cost,
        f"critical path {path}" if path else "",
    ]
    return f"rlm: {' · '.join(fact for fact in facts if fact)}"
