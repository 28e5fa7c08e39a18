"""What following a plan, or answering tool calls, will probably cost: shown before a person allows it."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Protocol

from ..agent import Agent
from ..core.content import ANSWER_TOKENS, CHARACTERS_PER_TOKEN, content_characters
from ..core.cost_estimate import Estimate, estimated
from ..core.limits import Limits
from ..core.plan import Plan, Recurse
from ..core.tree import Tree
from ..core.usage import Usage
from ..ports.model import Message
from ..pricing import Prices
from ..sandbox.options import CodeSandbox

__all__ = ["estimate_of_calls", "estimate_of_plan"]


class Team(Protocol):
    """The agents of an engine, as far as an estimate asks for them."""

    @property
    def default(self) -> Agent: ...
    def assigned(self, name: str | None) -> tuple[str, str]: ...
    def agent_answers_inline(self, name: str) -> bool: ...


class Configuration(Protocol):
    """What an estimate reads of the configuration of an engine."""

    @property
    def team(self) -> Team: ...
    @property
    def prices(self) -> Prices: ...
    @property
    def code(self) -> CodeSandbox | None: ...


class Job(Protocol):
    """What an estimate reads of the request of a run."""

    @property
    def memory(self) -> Sized: ...


class PlannedRun(Protocol):
    """What an estimate reads of a run."""

    @property
    def tree(self) -> Tree: ...
    @property
    def job(self) -> Job: ...
    @property
    def configuration(self) -> Configuration: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    def describe_prompt(self, node_id: str) -> tuple[Message, ...]: ...


def estimate_of_plan(run: PlannedRun, node_id: str, plan: Plan) -> Estimate:
    """The calls below a node, and its synthesis, if the plan is carried out."""
    # Sub-tasks that take a call beside their planner's: another agent answers them, or they read references.
    team = run.configuration.team
    agents = [team.assigned(task.agent)[0] for task in plan.sub_tasks] if isinstance(plan, Recurse) else []
    separate = sum(bool(run.job.memory) or not team.agent_answers_inline(agent) for agent in agents)
    return estimated(
        plan,
        prompt_tokens=_prompt_tokens(run, node_id, run.tree[node_id].plan_usage.prompt_tokens),
        max_depth=run.limits.max_depth - run.tree[node_id].depth,
        max_steps=run.limits.max_steps - (len(run.tree) - 1),
        price=lambda usage: _price(run, node_id, usage),
        separate=separate,
        may_code=run.configuration.code is not None,
    )


def estimate_of_calls(run: PlannedRun, node_id: str) -> Estimate:
    """The model call that reads the results of a node's tool calls; what the tools themselves cost is not known."""
    rounds = run.tree[node_id].rounds
    prompt_tokens = _prompt_tokens(run, node_id, rounds[-1].usage.prompt_tokens if rounds else 0)
    usage = Usage(prompt_tokens, ANSWER_TOKENS, calls=1)
    usage = usage.with_cost(_price(run, node_id, usage))
    return Estimate(usage, usage, prompt_tokens, run.limits.max_depth, run.limits.max_steps)


def _prompt_tokens(run: PlannedRun, node_id: str, reported: int) -> int:
    """The tokens of the node's prompt: as reported by the model, else estimated from its length."""
    if reported:
        return reported
    return (
        sum(content_characters(message["content"]) for message in run.describe_prompt(node_id)) // CHARACTERS_PER_TOKEN
        + 1
    )


def _price(run: PlannedRun, node_id: str, usage: Usage) -> float | None:
    """The price in dollars: 0 if the node's calls were free; else by the price table or the model's own price."""
    node = run.tree[node_id]
    if node.usage.cost_usd == 0 and node.usage.calls:
        return 0.0
    prices, model = run.configuration.prices, run.configuration.team.default.resolved
    known = prices.cost(node.plan_model or str(run.settings.get("model", "")), usage)
    return known if known is not None else prices.cost_of(model, usage)
