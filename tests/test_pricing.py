"""Prices and the budget: what is spent never goes beyond, and what is not known is never called nothing."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    BudgetExceededError,
    ConfigurationError,
    ModelError,
    RetryPolicy,
    ScriptedModel,
)
from rlm_notebook.core.limits import Usage
from rlm_notebook.ports import FREE, Capabilities, Reply, Request
from rlm_notebook.pricing import Prices


class Paid:
    """A model with a price: every call uses 100 tokens in and 50 out; `tells` them or not."""

    capabilities = Capabilities()

    def __init__(self, parts: int = 0, *, name: str = "paid", tells: bool = True) -> None:
        self.name = name
        self.parts = parts
        self.tells = tells
        self.asked: list[str] = []
        self.prompts: list[str] = []

    async def stream(self, request: Request) -> Any:
        self.asked.append(request.facts.task)
        self.prompts.append(request.messages[-1]["content"])
        await asyncio.sleep(0.001)
        usage = Usage(100, 50, cost_usd=None) if self.tells else None
        if request.mode == "planner":
            tasks = [f"part {n}" for n in range(self.parts)]
            yield Reply(json.dumps({"decision": "RECURSE", "sub_tasks": tasks}), usage=usage)
        else:
            yield Reply(f"<{request.facts.task}>", usage=usage)


#: Dollars per million tokens: one call of `Paid` costs a cent.
PRICES = {"paid": (50.0, 100.0)}


def engine(model: Paid, **options: Any) -> AsyncRecursiveEngine:
    settings = {"max_steps": 101, "max_depth": 2, "max_concurrency": 100, **options}
    return AsyncRecursiveEngine(model, **settings)


# -- prices --------------------------------------------------------------------------------------------------------


def test_known_models_have_a_price_and_others_none() -> None:
    usage = Usage(1_000_000, 1_000_000)

    assert (Prices().cost("openai:gpt-4o-mini", usage) or 0) > 0.1
    assert Prices().cost("openai:no-such-model", usage) is None
    assert Prices().cost("my function", usage) is None
    assert Prices({"my function": (1, 2)}).cost("my function", usage) == 3
    assert Prices({"openai:gpt-4o-mini": (1, 2)}).cost("openai:gpt-4o-mini", usage) == 3


def test_counts_that_contradict_each_other_have_no_price_and_break_nothing() -> None:
    assert Prices().cost("openai:gpt-4o-mini", Usage(1, 1, cached_tokens=10)) is None


@pytest.mark.parametrize(
    "price", [3, "ab", (1,), (1, 2, 3), (-1, 1), (float("nan"), 1), (1, float("inf")), (1, 10**400), None]
)
def test_a_price_that_is_none_is_refused(price: Any) -> None:
    with pytest.raises(ConfigurationError, match="two numbers"):
        AsyncRecursiveEngine(Paid(), prices={"paid": price})


async def test_a_cost_that_is_not_known_is_none_and_never_zero() -> None:
    unpriced = await engine(Paid(2)).solve("t")
    assert unpriced.metadata["cost_usd"] is unpriced.usage.cost_usd is None
    silent = await engine(Paid(2, tells=False), prices=PRICES).solve("t")
    assert silent.metadata["cost_usd"] is None, "with a price, but without tokens"
    priced = await engine(Paid(2), prices=PRICES).solve("t")
    assert priced.metadata["cost_usd"] == pytest.approx(0.04)
    free = await AsyncRecursiveEngine(ScriptedModel({"t": ["a"]})).solve("t")
    assert free.metadata["cost_usd"] == 0


async def test_what_costs_nothing_costs_nothing_even_if_it_does_not_count() -> None:
    class Local(Paid):
        capabilities = Capabilities(price=FREE)

    output = await engine(Local(2, tells=False), budget=Budget(usd=0)).solve("t")

    assert output.metadata["cost_usd"] == 0


def test_dollars_without_a_price_are_refused_before_any_call() -> None:
    model = Paid()
    with pytest.raises(ConfigurationError, match=r"price of paid is not known.*prices=.*unknown_price=\"ignore\""):
        engine(model, budget=Budget(usd=1))
    with pytest.raises(ConfigurationError, match="price of other"):
        AsyncRecursiveEngine(
            ScriptedModel(), {"planner": ScriptedModel(), "w": Paid(name="other")}, budget=Budget(usd=1)
        )
    engine(model, budget=Budget(usd=1, unknown_price="ignore"))


async def test_where_unknown_prices_are_ignored_the_known_ones_still_count() -> None:
    """One call of an unknown price must not make the spent dollars forgotten."""
    paid, unknown = Paid(), Paid(name="unknown")
    plan = {
        "decision": "RECURSE",
        "sub_tasks": [{"task": f"p{n}", "agent": "unknown" if n % 2 else "paid"} for n in range(40)],
    }
    planner = ScriptedModel(lambda r: plan if r.mode == "planner" else None, name="offline-planner")
    with pytest.raises(BudgetExceededError):
        await AsyncRecursiveEngine(
            planner,
            {"planner": planner, "paid": paid, "unknown": unknown},
            prices=PRICES,
            budget=Budget(usd=0.12, unknown_price="ignore"),
            max_depth=2,
            max_concurrency=1,
        ).solve("t")

    assert 0 < len(paid.asked) <= 12


# -- budgets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "least"),
    [(Budget(calls=40), 40), (Budget(tokens=40 * 150), 30), (Budget(usd=0.40), 25)],
    ids=["calls", "tokens", "dollars"],
)
async def test_of_a_hundred_parallel_calls_only_those_within_the_budget_are_made(
    budget: Budget, least: int, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    model = Paid(100)
    with pytest.raises(BudgetExceededError, match="budget of") as error:
        await engine(model, budget=budget, prices=PRICES).solve("t", checkpoint=path)
    run = error.value.run

    assert least <= len(model.asked) <= 40
    assert run.usage.calls == len(model.asked)
    finished = [node for node in run.tree if node.state == "done"]
    assert len(finished) == len(model.asked) - 1, "all that was paid for is there"
    assert run.partial().content.count("<part") == len(finished)
    assert run.partial().metadata["partial"] is True
    assert not [node for node in run.tree if not node.state.final]

    answer = await run.synthesize_anyway()
    assert answer.content == "<t>"
    assert model.prompts[-1].count("(missing: ") == 100 - len(finished), "the gaps are stated"
    paid_before = len(model.asked)
    larger = Budget(calls=400, tokens=400_000, usd=40)
    output = await engine(model, budget=larger, prices=PRICES).solve("t", checkpoint=path)
    assert output.run.status == "done"
    assert len(model.asked) - paid_before == 100 - len(finished) + 1, "the rest, and the synthesis"
    assert len(set(model.asked)) == 101


async def test_a_budget_is_for_the_whole_run_over_all_its_resumes(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    model = Paid(20)
    for _ in range(3):
        with pytest.raises(BudgetExceededError):
            await engine(model, budget=Budget(calls=10)).solve("t", checkpoint=path)

    assert len(model.asked) == 10


async def test_a_model_that_does_not_count_is_held_to_the_budget_by_estimates() -> None:
    model = Paid(100, tells=False)
    with pytest.raises(BudgetExceededError):
        await engine(model, budget=Budget(tokens=20_000)).solve("t")

    assert 5 <= len(model.asked) <= 20


async def test_failed_attempts_are_calls_too() -> None:
    class Failing(Paid):
        async def stream(self, request: Request) -> Any:
            self.asked.append(request.facts.task)
            raise ModelError("busy", retryable=True)
            yield

    model = Failing()
    with pytest.raises(BudgetExceededError):
        await engine(model, budget=Budget(calls=3), retry=RetryPolicy(attempts=9, initial=0), max_depth=1).solve("t")

    assert len(model.asked) == 3


async def test_when_the_budget_is_spent_calls_under_way_finish_and_no_more_begin() -> None:
    class Slow(Paid):
        done = 0

        async def stream(self, request: Request) -> Any:
            async for piece in super().stream(request):
                await asyncio.sleep(0.02)
                yield piece
            self.done += 1

    model = Slow(30)
    with pytest.raises(BudgetExceededError):
        await engine(model, budget=Budget(calls=10)).solve("t")

    assert model.done == len(model.asked) == 10


def test_a_function_of_the_notebook_is_priced_by_its_own_name() -> None:
    usage = Usage(1_000_000, 1_000_000)

    assert Prices({"mine": (1, 2)}).cost("__main__.mine", usage) == 3
    assert Prices({"__main__.mine": (1, 2)}).cost("__main__.mine", usage) == 3
    assert Prices({"1": (1, 2)}).cost("openai:gpt-4.1", usage) != 3
