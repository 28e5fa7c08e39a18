"""`--dry-run`: the root's plan and an estimate of the run, for one call of the planner."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ...core.events import Event, Planned, RunFinished
from ...core.plan import Execute, Plan, plan_from_json
from ...core.text import counted
from ...exceptions import ConfigurationError
from ...runtime.run_view import RunView

__all__ = ["planned", "summary"]

ROOT = "0"
#: Seconds that a plan which contains the answer may take to become the result.
_TO_FINISH = 1.0


async def planned(run: RunView) -> Plan:
    """The root's plan; no call starts after it. The run must have been started with `plan_only`.

    Raises the run's error if it fails before it has a plan.
    """
    has_plan, over = asyncio.Event(), asyncio.Event()

    def note(event: Event) -> None:
        if isinstance(event, Planned) and event.node == ROOT:
            # Here and not in the awaiting task, which runs later: no further call may start.
            run.pause()
            has_plan.set()
        elif isinstance(event, RunFinished):
            has_plan.set()
            over.set()

    stop = run.internals.watch(note)
    try:
        await has_plan.wait()
        root = run.tree.root
        if root is None or root.plan is None:
            await run
            raise ConfigurationError("the run ended without a plan; run the cell without --dry-run")
        plan = plan_from_json(root.plan)
        if isinstance(plan, Execute) and plan.answer:
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _TO_FINISH)
        return plan
    finally:
        stop()


def summary(run: RunView, plan: Plan) -> str:
    """The usage of the plan, the file it is saved in, and an estimate of the run."""
    recorded = run.internals.recorded.tree if run.internals.recorded is not None else None
    same_request = recorded is not None and recorded.request_key == run.internals.request_key
    if same_request and recorded is not None and recorded.status == "done" and not run.calls:
        return f"rlm dry run: the whole run is recorded in {run.checkpoint}; without --dry-run, no model is called"
    # The planner's answer is not the result where an output type is set, or another agent answers.
    executed = isinstance(plan, Execute) and run.status != "done"
    estimate = run.internals.estimate_of_plan(ROOT, Execute() if executed else plan)
    used = run.tree[ROOT].usage
    cost = "cost unknown" if used.cost_usd is None else f"${used.cost_usd:.4f}"
    usage = f"{counted(run.calls, 'call')}, {counted(used.total_tokens, 'token')}, {cost}"
    saved = f"saved in {run.checkpoint}: without --dry-run, the cell reuses it" if run.checkpoint else "not saved"
    return f"rlm dry run: the plan took {usage}; it is {saved}\n{estimate}"
