"""The pilot: what it says of the rest holds nine times of ten, and it stops before a budget would be broken."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from rlm_notebook import Budget, RecursiveEngine, ScriptedModel, Usage
from rlm_notebook.core.limits import NOTHING
from rlm_notebook.experiments.forecast import Estimate, Forecast, total_of_rest
from rlm_notebook.ports import Reply, Request
from tests.support.amounts import few_or_many

DISTRIBUTIONS: dict[str, Callable[[Random], float]] = {
    "equal": lambda random: 1.0,
    "normal": lambda random: max(0.1, random.gauss(1, 0.2)),
    "uniform": lambda random: random.uniform(0.5, 1.5),
    "two groups": lambda random: random.choice((1, 5)) * random.uniform(0.8, 1.2),
    "exponential": lambda random: random.expovariate(1) + 0.01,
    "log-normal 1": lambda random: random.lognormvariate(0, 1),
    "log-normal 1.5": lambda random: random.lognormvariate(0, 1.5),
    "log-normal 2": lambda random: random.lognormvariate(0, 2),
    "Pareto 3": lambda random: random.paretovariate(3),
    "Pareto 2": lambda random: random.paretovariate(2),
    "Pareto 1.5": lambda random: random.paretovariate(1.5),
}


@few_or_many(1, 40, 100)
def test_the_real_total_lies_in_the_interval(amount: int, capsys: pytest.CaptureFixture[str]) -> None:
    random, inside = Random(11), dict.fromkeys(DISTRIBUTIONS, 0)
    for name, draw in DISTRIBUTIONS.items():
        for number in range(amount):
            values = [draw(random) for _ in range((100, 1_000, 5_000)[number % 3])]
            forecast = total_of_rest(values[:20], [1.0] * 20, [1.0] * (len(values) - 20))
            inside[name] += forecast.low - 1e-6 <= sum(values[20:]) <= forecast.high + 1e-6
    if amount > 10:
        with capsys.disabled():
            print(f"\nof {amount} tables each: {inside}")
        assert all(count >= 0.9 * amount for count in inside.values())
    assert sum(inside.values()) >= 0.9 * amount * len(DISTRIBUTIONS)


def test_sizes_that_explain_the_cost_make_the_interval_narrow() -> None:
    random = Random(2)
    sizes = [random.lognormvariate(5, 2) for _ in range(1_000)]
    costs = [size * random.uniform(0.9, 1.1) for size in sizes]

    blind = total_of_rest(costs[:20], [1.0] * 20, [1.0] * 980)
    seeing = total_of_rest(costs[:20], sizes[:20], sizes[20:])

    assert seeing.low <= sum(costs[20:]) <= seeing.high
    assert seeing.high - seeing.low < 0.2 * (blind.high - blind.low)


def test_equal_pilots_give_equal_forecasts() -> None:
    values = [Random(5).lognormvariate(0, 1) for _ in range(20)]

    assert total_of_rest(values, [1.0] * 20, [1.0] * 50) == total_of_rest(values, [1.0] * 20, [1.0] * 50)


@pytest.mark.parametrize("values", [[], [0.0, 0.0, 0.0], [3.0], [0.0, 0.0, 5.0]])
def test_degenerate_pilots_give_numbers(values: list[float]) -> None:
    found = total_of_rest(values, [1.0] * len(values), [1.0] * 10)

    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("values", [[0.5, 0.00001], [2.1, 0.0008], [1e-300, 1e300], [5e-324, 1.0, 1.0]])
def test_a_few_rows_far_apart_leave_room_for_what_such_rows_can_use(values: list[float]) -> None:
    found = total_of_rest(values, [1.0] * len(values), [1.0] * 10)

    assert 0 <= found.low <= found.value <= found.high <= 10 * 100 * max(values) * 1.0001


def priced(request: Request) -> Reply:
    """A model whose answers have very different lengths, always the same for the same task."""
    tokens = round(100 * Random(f"{request.facts.task}!").lognormvariate(0, 1))
    return Reply("ok", usage=Usage(100, tokens, cost_usd=None), model="scripted")


def mapped(budget: Budget | None, pilot: int | None = 20) -> Any:
    model = ScriptedModel(priced, price=(1.0, 10.0))
    engine = RecursiveEngine(model, max_depth=1)
    return engine.map("Say {{row}}", [f"{number}" for number in range(300)], budget=budget, pilot=pilot), model


def test_a_pilot_says_what_the_rest_costs_and_goes_on() -> None:
    labels, model = mapped(Budget(usd=100))

    forecast = labels.forecast
    assert forecast.rows == 280
    assert labels.summary.done == 300
    first = sorted(labels.internals.keys)[:20]
    real = sum(labels.internals.store.usage(key).cost_usd or 0 for key in labels.internals.keys if key not in first)
    assert forecast.cost_usd.low <= real <= forecast.cost_usd.high
    assert (forecast.calls.value, len(model.requests)) == (280, 300)
    assert "the other 280 rows will probably use" in str(forecast)


def test_a_pilot_stops_before_the_budget_would_be_broken() -> None:
    labels, model = mapped(Budget(usd=0.1))

    assert len(model.requests) == 20
    assert labels.status == "stopped"
    assert "may exceed the budget of 0.1 usd" in labels.summary.note
    assert labels.summary.pending == 280
    assert labels.frame["_state"].count("done") == 20
    assert labels.run(labels.frame["_state"].index("done")).status == "done"


def test_the_rows_of_the_pilot_are_not_the_first_ones() -> None:
    labels, _ = mapped(Budget(usd=0.1))

    done = [row for row, state in enumerate(labels.frame["_state"]) if state == "done"]
    assert max(done) > 100
    assert done != sorted(range(300))[:20]


def test_a_table_smaller_than_its_pilot_just_runs() -> None:
    labels, _ = mapped(None, pilot=1_000)

    assert labels.summary.done == 300
    assert labels.forecast is None


def test_exceeds_looks_at_each_limit() -> None:
    some = Estimate(5, 4, 9)
    forecast = Forecast(10, None, some, some, some)

    assert forecast.exceeds(Budget(usd=1), NOTHING, 0) == ""
    assert "tokens" in forecast.exceeds(Budget(tokens=8), NOTHING, 0)
    assert "seconds" in forecast.exceeds(Budget(seconds=10), NOTHING, 2)
    assert forecast.exceeds(Budget(calls=9), NOTHING, 0) == ""
