"""What a run may take, told from its root's plan before anything else is spent: calls, tokens, dollars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .limits import Usage
from .plan import Execute, Recurse

__all__ = ["ANSWER_TOKENS", "Estimate", "Shape", "estimated"]

#: What an answer is taken to be long, in tokens; models differ, and so do tasks.
ANSWER_TOKENS = 500


@dataclass(frozen=True, slots=True)
class Shape:
    """How many nodes split, and how many answer; `largest` is the most parts that any has.

    `planned`: how many of those that answer are planned by a call of its own, because the planner cannot answer for
    their agent.
    """

    splitting: int
    answering: int
    largest: int
    planned: int = 0

    def usage(self, prompt_tokens: int) -> Usage:
        """One call per answer, two per split (the plan, the joining), the root's plan not counted any more."""
        calls = self.answering + self.planned + 2 * self.splitting - 1
        joined = self.splitting * self.largest * ANSWER_TOKENS
        return Usage(calls * prompt_tokens + joined, calls * ANSWER_TOKENS, calls=calls)


@dataclass(frozen=True, slots=True)
class Estimate:
    """`least`: no part splits again. `most`: all split as the root did, as far as the limits let them.

    Costs are `None` where the price is not known.
    """

    least: Usage
    most: Usage
    prompt_tokens: int
    max_depth: int
    max_steps: int
    separate: int = 0

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if not self.most.calls:
            yield "  nothing more is asked: the planner has answered the task itself"
            return
        yield f"  if no part splits again    {_in_words(self.least)}"
        if self.most != self.least:
            limits = f"max_depth {self.max_depth}, max_steps {self.max_steps}"
            yield f"  if all split as this does  {_in_words(self.most)} ({limits})"
        per_answer = "one call per answer" + (", two where the planner cannot answer itself" if self.separate else "")
        yield (
            f"  assumed: prompts of {self.prompt_tokens:,} tokens, as the planner's was; answers of {ANSWER_TOKENS}; "
            f"{per_answer}, two per split; no tools, no repairs, nothing recorded"
        )


def estimated(
    plan: Execute | Recurse,
    *,
    prompt_tokens: int,
    max_depth: int,
    max_steps: int,
    price: Callable[[Usage], float | None],
    separate: int = 0,
) -> Estimate:
    """What comes after the root's plan; `prompt_tokens` is what its prompt had, `price` gives dollars.

    `separate`: for how many of the root's parts the planner's own answer would not do.
    """
    # At the last level nothing is planned.
    twice = separate if max_depth > 2 else 0
    shapes = _shapes(plan, max_depth, max_steps, twice)
    least, most = (_priced(shape, prompt_tokens, price) for shape in shapes)
    return Estimate(least, most, prompt_tokens, max_depth, max_steps, twice)


def _shapes(
    plan: Execute | Recurse, max_depth: int, max_steps: int, separate: int
) -> tuple[Shape | None, Shape | None]:
    if isinstance(plan, Execute):
        # The planner's own answer is used where it gave one.
        return (None, None) if plan.answer else (_ANSWER, _ANSWER)
    parts = len(plan.sub_tasks)
    least, most = Shape(1, parts, parts, separate), _deepest(parts, max_depth, max_steps)
    # Where no room is left to split, the flat run with agents of its own may be the larger one.
    return least, max(least, most, key=lambda shape: shape.usage(0).calls)


#: The root alone: its plan is made, its answer is not.
_ANSWER = Shape(1, 0, 0)


def _deepest(parts: int, max_depth: int, max_steps: int) -> Shape:
    """Every node splits into so many parts, level by level, until a limit stops the next one."""
    splitting, answering, nodes = 1, parts, 1 + parts
    level = parts
    for _ in range(max_depth - 2):
        # A split that does not fit as a whole is executed instead.
        fits = min(level, max(0, max_steps - nodes) // parts)
        splitting, answering, nodes = splitting + fits, answering - fits + fits * parts, nodes + fits * parts
        level = fits * parts
    return Shape(splitting, answering, parts)


def _priced(shape: Shape | None, prompt_tokens: int, price: Callable[[Usage], float | None]) -> Usage:
    usage = shape.usage(prompt_tokens) if shape is not None else Usage()
    return usage.with_cost(price(usage) if usage.calls else 0.0)


def _in_words(usage: Usage) -> str:
    cost = "cost unknown: the model has no known price" if usage.cost_usd is None else f"about ${usage.cost_usd:.4f}"
    return f"{usage.calls} {'call' if usage.calls == 1 else 'calls'}, about {usage.total_tokens:,} tokens, {cost}"
