"""Estimates the calls, tokens and dollars of a run from its root's plan, before anything else is spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .content import ANSWER_TOKENS
from .plan import Plan, Program, Recurse
from .text import counted
from .usage import Usage

__all__ = ["Estimate", "Shape", "estimated"]


@dataclass(frozen=True, slots=True)
class Shape:
    """How many nodes split, and how many answer; `largest` is the largest number of sub-tasks of one node.

    `planned`: how many answering nodes need a planning call of their own, because the planner cannot answer for their
    agent.
    """

    splitting: int
    answering: int
    largest: int
    planned: int = 0

    def usage(self, prompt_tokens: int) -> Usage:
        """One call per answer, two per split (plan and synthesis), without the root's plan, which is already made."""
        calls = self.answering + self.planned + 2 * self.splitting - 1
        joined = self.splitting * self.largest * ANSWER_TOKENS
        return Usage(calls * prompt_tokens + joined, calls * ANSWER_TOKENS, calls=calls)


@dataclass(frozen=True, slots=True)
class Estimate:
    """From `least` (no sub-task splits again) to `most` (all split as the root did, as far as the limits allow).

    Costs are `None` where the price is not known. `str()` is the text that a dry run shows. `by_code`: code solves the
    task, and decides how many calls it makes: only `least` is known. `may_code`: so may the sub-tasks be solved.
    """

    least: Usage
    most: Usage
    prompt_tokens: int
    max_depth: int
    max_steps: int
    separate: int = 0
    by_code: bool = False
    may_code: bool = False

    def __str__(self) -> str:
        if self.by_code:
            return (
                f"  unknown: the code decides. At least {_in_words(self.least)}; each further cell and each sub-query "
                f"is a call more (max_steps {self.max_steps}). --max-calls or --budget limit them"
            )
        if not self.most.calls:
            return "  no further call: the planner has answered the task itself"
        lines = [f"  if no sub-task splits again  {_in_words(self.least)}"]
        if self.most != self.least:
            limits = f"max_depth {self.max_depth}, max_steps {self.max_steps}"
            lines.append(f"  if all split as this does    {_in_words(self.most)} ({limits})")
        per_answer = "one call per answer" + (", two where the planner cannot answer itself" if self.separate else "")
        lines.append(
            f"  assumed: prompts of {self.prompt_tokens:,} tokens, as the planner's was; answers of {ANSWER_TOKENS}; "
            f"{per_answer}, two per split; no tools, no repairs, nothing recorded"
            + ("; a sub-task that is solved by code decides itself, and may take more" if self.may_code else "")
        )
        return "\n".join(lines)


def estimated(
    plan: Plan,
    *,
    prompt_tokens: int,
    max_depth: int,
    max_steps: int,
    price: Callable[[Usage], float | None],
    separate: int = 0,
    may_code: bool = False,
) -> Estimate:
    """The estimate of what follows the root's plan; `prompt_tokens` is the length of its prompt, `price` gives dollars.

    `separate`: how many of the root's sub-tasks have an agent that the planner cannot answer for. `may_code`: a planner
    may decide that a sub-task is solved by code.
    """

    def priced(shape: Shape) -> Usage:
        usage = shape.usage(prompt_tokens)
        return usage.with_cost(price(usage))

    # At the last level nothing is planned.
    twice = separate if max_depth > 2 else 0
    if isinstance(plan, Recurse):
        count = len(plan.sub_tasks)
        flat, deep = Shape(1, count, count, twice), _deepest(count, max_depth, max_steps)
        # Where no room is left to split, the flat run with agents of its own may be the larger one.
        least, most = priced(flat), priced(max(flat, deep, key=lambda shape: shape.usage(0).calls))
    elif isinstance(plan, Program):
        # Its code decides: from one cell without a sub-query to as many sub-queries as there are steps, or more cells.
        least, most = priced(Shape(1, 0, 0)), priced(Shape(1, max_steps - 1, max_steps - 1))
    else:
        # The root alone: its plan is made; its answer is, too, where the planner gave one.
        least = most = Usage(cost_usd=0.0) if plan.answer else priced(Shape(1, 0, 0))
    by_code, may_code = isinstance(plan, Program), may_code and isinstance(plan, Recurse)
    return Estimate(least, most, prompt_tokens, max_depth, max_steps, twice, by_code, may_code)


def _deepest(parts: int, max_depth: int, max_steps: int) -> Shape:
    """Every node splits into `parts` sub-tasks, level by level, until a limit stops the next split."""
    splitting, answering, nodes = 1, parts, 1 + parts
    level = parts
    for _ in range(max_depth - 2):
        # A split that does not fit as a whole is executed instead.
        fits = min(level, max(0, max_steps - nodes) // parts)
        splitting, answering, nodes = splitting + fits, answering - fits + fits * parts, nodes + fits * parts
        level = fits * parts
    return Shape(splitting, answering, parts)


def _in_words(usage: Usage) -> str:
    cost = "cost unknown: the model has no known price" if usage.cost_usd is None else f"about ${usage.cost_usd:.4f}"
    return f"{counted(usage.calls, 'call')}, about {counted(usage.total_tokens, 'token')}, {cost}"
