"""The line of `--time`: duration and usage of a run."""

from __future__ import annotations

from ...core.text import counted, duration
from ...runtime.run_view import RunView
from ...views.outline import tokens

__all__ = ["summary"]


def summary(run: RunView, seconds: float) -> str:
    """One line: `seconds` of wall-clock time, time at work, calls, tokens, cost and critical path."""
    usage = run.usage
    cost = "cost unknown" if usage.cost_usd is None else f"${usage.cost_usd:.4f}"
    path = " → ".join(node.id for node in run.tree.critical_path())
    facts = [
        f"{duration(seconds)} by the clock",
        f"{duration(run.internals.active_seconds)} at work over all executions",
        f"{counted(run.calls, 'call')} now, {usage.calls} in all",
        tokens(usage),
        cost,
        f"critical path {path}" if path else "",
    ]
    return f"rlm: {' · '.join(fact for fact in facts if fact)}"
