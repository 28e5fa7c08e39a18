"""Usage adds up exactly; limits and budgets that make no sense are refused where they are written."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.core.limits import Budget, Limits, Usage
from rlm_notebook.exceptions import ConfigurationError

counts = st.integers(0, 10**12)
#: Sixty-fourths of a dollar: sums of them are exact in floating point, so laws can be stated with "==".
dollars = st.none() | st.integers(0, 10**6).map(lambda n: n / 64)
usages = st.builds(Usage, counts, counts, counts, counts, counts, dollars)


@given(usages, usages, usages)
def test_usage_adds_in_any_order(a: Usage, b: Usage, c: Usage) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Usage() == a


@given(usages, usages)
def test_a_sum_has_all_tokens_and_calls(a: Usage, b: Usage) -> None:
    both = a + b

    assert both.total_tokens == a.total_tokens + b.total_tokens
    assert both.calls == a.calls + b.calls


@given(usages, usages)
def test_one_unknown_price_makes_the_sum_unknown_and_never_zero(a: Usage, b: Usage) -> None:
    assert ((a + b).cost_usd is None) == (a.cost_usd is None or b.cost_usd is None)


@given(usages)
def test_usage_survives_json(usage: Usage) -> None:
    data = usage.to_json()

    assert Usage.from_json(data) == usage
    assert data["total_tokens"] == usage.prompt_tokens + usage.completion_tokens


@pytest.mark.parametrize("value", [-1, -0.01, math.nan, math.inf, True, "1", [1]])
@pytest.mark.parametrize("name", ["usd", "tokens", "seconds", "calls"])
def test_a_budget_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"Budget\({name}="):
        Budget(**{name: value})


@pytest.mark.parametrize("name", ["tokens", "calls"])
def test_what_is_counted_is_limited_by_a_whole_number(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Budget\({name}=1.5\): expected a whole number"):
        Budget(**{name: 1.5})
    assert Budget(**{name: 2_000}).to_json() == {name: 2_000}


def test_a_budget_records_only_what_is_limited() -> None:
    assert Budget().to_json() == {}
    assert Budget(usd=0, calls=3).to_json() == {"usd": 0, "calls": 3}


@pytest.mark.parametrize("value", [0, -1, 1.5, "5", None, True])
@pytest.mark.parametrize("name", ["max_depth", "max_steps", "max_concurrency", "max_tool_rounds"])
def test_a_limit_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}=.*at least 1"):
        Limits(**{name: value})
