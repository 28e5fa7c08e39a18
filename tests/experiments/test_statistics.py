"""Intervals and tests: against scipy and closed forms, their coverage by simulation, and degenerate data in words."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from scipy import stats

from rlm_notebook.experiments import statistics
from rlm_notebook.experiments.statistics import difference, holm, mean_interval
from tests.support.amounts import few_or_many


def single(values: Any) -> list[list[float]]:
    return [[float(value)] for value in values]


def test_a_proportion_has_the_interval_of_wilson() -> None:
    found = mean_interval(single([1] * 17 + [0] * 8))
    expected = stats.binomtest(17, 25).proportion_ci(method="wilson")

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.value, found.rows) == (0.68, 25)


def test_the_interval_of_a_difference_is_the_bootstrap_of_scipy_or_wider() -> None:
    generator = numpy.random.default_rng(3)
    one, other = generator.random(200), generator.random(200) + 0.1

    found = difference(single(one), single(other))

    interval = stats.bootstrap((other - one,), numpy.mean, method="BCa", rng=4).confidence_interval
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.01)
    assert found.value == pytest.approx((other - one).mean())
    assert found.p == pytest.approx(stats.ttest_1samp(other - one, 0).pvalue, abs=0.02)


def test_binary_pairs_have_the_exact_test_of_mcnemar() -> None:
    one, other = [1] * 20 + [0] * 12 + [1] * 3, [1] * 20 + [1] * 12 + [0] * 3

    found = difference(single(one), single(other))

    assert found.test == "McNemar's exact test"
    assert found.p == pytest.approx(stats.binomtest(3, 15, 0.5).pvalue)
    assert (found.wins, found.ties, found.losses) == (12, 20, 3)


def test_few_differences_have_the_exact_permutation_test() -> None:
    gaps = numpy.array([0.3, -0.1, 0.25, 0.4, 0.2, 0.15])

    found = difference(single(numpy.zeros(6)), single(gaps))

    expected = stats.permutation_test((gaps,), numpy.mean, permutation_type="samples", n_resamples=numpy.inf)
    assert found.p == pytest.approx(expected.pvalue)


def test_seeds_are_repeats_and_not_rows() -> None:
    values = [1, 0, 1, 1, 0, 1, 1, 0, 1, 1]
    once, thrice = mean_interval(single(values)), mean_interval([[float(value)] * 3 for value in values])

    assert thrice.low is not None
    assert once.low is not None
    assert thrice.low <= once.low + 0.01, "repeats that always agree tell no more than one"
    assert thrice.values == 30


def test_equal_data_give_equal_digits() -> None:
    values = [[float(number % 7)] for number in range(40)]

    assert mean_interval(values) == mean_interval(values)
    assert difference(values, values[::-1]) == difference(values, values[::-1])


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ([], [], "no row has a score of both"),
        ([[], [1.0]], [[1.0], []], "no row has a score of both"),
        ([[1.0]], [[0.0]], "one row gives no interval"),
        ([[1.0]] * 20, [[1.0]] * 20, "no difference seen in 20 rows"),
        ([[0.1, 0.2, 0.3]] * 5, [[0.3, 0.2, 0.1]] * 5, "no difference seen in 5 rows"),
        ([[0.0]] * 9, [[1.0]] * 9, "the difference is the same in all 9 rows"),
        ([[0.0]] * 9, [[0.0]] * 8 + [[1.0]], ""),
        ([[0.0]] * 2, [[0.0], [1.0]], ""),
    ],
)
def test_degenerate_differences_give_words_and_never_nan(one: Any, other: Any, said: str) -> None:
    found = difference(one, other)

    assert said in found.note
    numbers = [found.value, found.low, found.high, found.p]
    assert not any(number is not None and math.isnan(number) for number in numbers)
    assert (found.low is None) == bool(said)


@pytest.mark.parametrize(
    "values", [[], [[]], [[1.0]], [[0.5]], [[0.5]] * 5, [[0.0]] * 5, [[1.0, 1.0]] * 4, [[0.2], [0.3]]]
)
def test_degenerate_means_give_words_and_never_nan(values: Any) -> None:
    found = mean_interval(values)

    assert "nan" not in str(found)
    assert found.note or found.low is not None


@few_or_many(1, 1_000)
def test_intervals_cover_what_they_promise(
    amount: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of different difficulty, arms that share it, one seed and three: intervals of scores and differences."""
    # Fewer than in use, for a simulation of tens of thousands of intervals.
    monkeypatch.setattr(statistics, "RESAMPLES", 999)
    generator = numpy.random.default_rng(1)
    lines, worst = [], [1.0, 0.0]
    for one, other, spread in ((0.0, 0.85, 1.0), (0.4, 0.4, 2.0), (1.4, 2.2, 1.0)):
        difficulty = generator.normal(0, spread, 400_000)
        truth = [(1 / (1 + numpy.exp(-(skill + difficulty)))).mean() for skill in (one, other)]
        for rows in (20, 50, 200):
            for seeds in (1, 3):
                hits = numpy.zeros(3)
                for _ in range(amount):
                    hard = generator.normal(0, spread, (rows, 1))
                    chances = [1 / (1 + numpy.exp(-(skill + hard))) for skill in (one, other)]
                    scores = [(generator.random((rows, seeds)) < chance).astype(float).tolist() for chance in chances]
                    mean, gap = mean_interval(scores[0]), difference(scores[0], scores[1])
                    assert mean.low is not None
                    assert mean.high is not None
                    hits[0] += mean.low <= truth[0] <= mean.high
                    if gap.low is not None and gap.high is not None:
                        hits[1:] += gap.low <= truth[1] - truth[0] <= gap.high, 1
                shares = hits[0] / amount, hits[1] / max(1, hits[2])
                lines.append(f"n={rows:3} seeds={seeds}  score {shares[0]:.3f}  difference {shares[1]:.3f}")
                worst = [min(worst[0], *shares), max(worst[1], *shares)]
    if amount > 10:
        with capsys.disabled():
            print("\n" + "\n".join(lines))
        assert worst[0] > 0.92, "93 to 97 %, and the error of a simulation of 1,000"
        assert worst[1] < 0.98
