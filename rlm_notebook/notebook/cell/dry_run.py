"""`--dry-run`: the root's plan and what the run may take, for one call of the planner."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ...core.cost_estimate import Estimate, estimated
from ...core.events import Event, Planned, RunFinished
from ...core.limits import Usage
from ...core.plan import Execute, Recurse, plan_from_json
from ...exceptions import ConfigurationError
from ...pricing import CHARACTERS_PER_TOKEN
from ...runtime.run import Run

__all__ = ["account_of", "planned"]

ROOT = "0"
#: How long a plan that is an answer too may take to become the result, in seconds.
_TO_FINISH = 1.0


async def planned(run: Run) -> Execute | Recurse:
    """The root's plan; after it, no call is made. The run must have been started with `approve="root"`.

    Raises what the run fails with before it has a plan.
    """
    has_plan, over = asyncio.Event(), asyncio.Event()

    def note(event: Event) -> None:
        if isinstance(event, Planned) and event.node == ROOT:
            # At once, and not after the next step: no call starts any more.
            run.pause()
            has_plan.set()
        elif isinstance(event, RunFinished):
            has_plan.set()
            over.set()

    stop = run.internals.watch(note)
    try:
        await has_plan.wait()
        plan = await _plan(run)
        if isinstance(plan, Execute) and plan.answer:
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _TO_FINISH)
        return plan
    finally:
        stop()


async def _plan(run: Run) -> Execute | Recurse:
    root = run.tree.root
    if root is None or root.plan is None:
        await run
        raise ConfigurationError("the run ended without a plan; run the cell without --dry-run")
    return plan_from_json(root.plan)


def account_of(run: Run, plan: Execute | Recurse) -> str:
    """What the plan took, where it is kept, and what is to be expected."""
    if _is_answered(run):
        return f"rlm dry run: the whole run is recorded in {run.checkpoint}; without --dry-run, nobody is asked"
    used = run.tree[ROOT].usage
    cost = "cost unknown" if used.cost_usd is None else f"${used.cost_usd:.4f}"
    took = f"{run.calls} {'call' if run.calls == 1 else 'calls'}, {used.total_tokens:,} tokens, {cost}"
    kept = f"kept in {run.checkpoint}: without --dry-run, the cell follows it" if run.checkpoint else "not kept"
    return f"rlm dry run: the plan took {took}; it is {kept}\n{_expected(run, plan)}"


def _is_answered(run: Run) -> bool:
    known = run.internals.recorded.tree if run.internals.recorded is not None else None
    return (
        known is not None
        and known.status == "done"
        and known.request_key == run.internals.request_key
        and not run.calls
    )


def _expected(run: Run, plan: Execute | Recurse) -> Estimate:
    if isinstance(plan, Execute) and run.status != "done":
        # The planner's own answer was not enough: a type is wanted, or somebody else answers.
        plan = Execute()
    return estimated(
        plan,
        prompt_tokens=_prompt_tokens(run),
        max_depth=run.internals.limits.max_depth,
        max_steps=run.internals.limits.max_steps,
        price=lambda usage: _price(run, usage),
        separate=_separate(run, plan),
    )


def _separate(run: Run, plan: Execute | Recurse) -> int:
    """The parts for which the planner's own answer would not do: another agent answers, or references are read."""
    team = run.internals.configuration.team
    agents = [team.assigned(part.agent)[0] for part in plan.sub_tasks] if isinstance(plan, Recurse) else []
    return sum(bool(run.internals.job.memory) or not team.fuses_for(agent) for agent in agents)


def _prompt_tokens(run: Run) -> int:
    """Of the planner's prompt: measured, or else told from its length."""
    measured = run.tree[ROOT].plan_usage.prompt_tokens
    if measured:
        return measured
    return sum(len(message["content"]) for message in run.internals.describe_prompt(ROOT)) // CHARACTERS_PER_TOKEN + 1


def _price(run: Run, usage: Usage) -> float | None:
    """Nothing, where the plan cost nothing although tokens were used; else by the table, or as the model states it."""
    node = run.tree[ROOT]
    if node.plan_usage.cost_usd == 0 and node.plan_usage.calls:
        return 0.0
    prices, model = run.internals.configuration.prices, run.internals.configuration.team.default.resolved
    known = prices.cost(node.plan_model or str(run.internals.settings.get("model", "")), usage)
    return known if known is not None else prices.cost_of(model, usage)
