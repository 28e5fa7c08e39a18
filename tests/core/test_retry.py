"""Delays between attempts double up to a bound, are spread, and respect the provider's request."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook import ConfigurationError, RetryPolicy


def test_waits_double_up_to_the_maximum() -> None:
    policy = RetryPolicy(initial=1, maximum=5, jitter=False)

    assert [policy.delay(attempt) for attempt in (1, 2, 3, 4, 10_000)] == [1, 2, 4, 5, 5]


@given(st.integers(1, 100), st.floats(0, 1), st.floats(0, 60))
def test_with_jitter_a_delay_is_never_shorter_than_half_nor_than_the_provider_requests(
    n: int, chance: float, asked: float
) -> None:
    policy = RetryPolicy()
    whole = RetryPolicy(jitter=False).delay(n)

    assert whole / 2 <= policy.delay(n, chance=chance) <= whole
    assert asked <= policy.delay(n, asked=asked, chance=chance) <= asked + policy.initial


def test_what_never_answered_may_be_given_up_sooner() -> None:
    policy = RetryPolicy(attempts=6, at_first=2)

    assert [policy.attempts_of(answered=answered) for answered in (False, True)] == [2, 6]
    assert RetryPolicy(attempts=6).attempts_of(answered=False) == 6, "who says how often is not contradicted"
    assert RetryPolicy(attempts=1, at_first=4).attempts_of(answered=False) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": 1.5},
        {"attempts": True},
        {"at_first": 0},
        {"at_first": "2"},
        {"initial": -1},
        {"maximum": math.inf},
        {"patience": "1"},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RetryPolicy(**wrong)
