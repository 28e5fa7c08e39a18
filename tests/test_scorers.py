"""Scorers: what counts as right."""

from typing import Any

import pytest

from rlm_notebook import ConfigurationError, Output
from rlm_notebook.scorers import contains, exact, numeric, one_of, regex


@pytest.mark.parametrize(
    ("scorer", "gold", "answer", "score"),
    [
        (exact("gold"), "New York", " new  york\n", True),
        (exact("gold"), 20.0, "20", True),
        (exact("gold", ignore_case=False), "A", "a", False),
        (contains("gold"), "paris", "It is Paris.", True),
        (contains("gold"), ["tea", "milk"], "tea with milk", True),
        (contains("gold"), ["tea", "milk"], "tea", False),
        (regex(r"\d+ km"), None, "12 km", True),
        (regex(r"Answer: (\w+)", "gold"), "yes", "Answer: Yes", True),
        (regex(r"Answer: (\w+)", "gold"), "yes", "no", False),
        (numeric("gold", tolerance=0.05), 100, "It is 103.", True),
        (numeric("gold", tolerance=0.05), 100, "It is 106.", False),
        (numeric("gold"), "1,234.5", "first 3, then 1,234.5 dollars", True),
        (numeric("gold"), -2, "-2", True),
        (numeric("gold"), 5, "none", False),
        (numeric("gold", absolute=0.5), 0, "0.4", True),
        (one_of(["good", "bad"], "gold"), "good", "It is Good.", {"correct": True, "valid": True}),
        (one_of(["good", "bad"], "gold"), "good", "good or bad", {"correct": False, "valid": False}),
        (one_of(["good", "not good"], "gold"), "not good", "not good", {"correct": True, "valid": True}),
        (one_of(["1", "10"], "gold"), "10", "10", {"correct": True, "valid": True}),
    ],
)
def test_a_score(scorer: Any, gold: Any, answer: str, score: Any) -> None:
    assert scorer({"gold": gold}, Output(answer)) == score


def test_a_typed_answer_is_scored_by_its_value() -> None:
    assert numeric("gold")({"gold": 3}, Output('{"result": 3}', parsed=3))
    assert exact("gold")({"gold": "yes"}, Output('{"result": "yes"}', parsed="yes"))


def test_what_cannot_be_scored_is_said() -> None:
    with pytest.raises(ConfigurationError, match="exact reads the column 'gold'; there are: text"):
        exact("gold")({"text": "a"}, Output("a"))
    with pytest.raises(ConfigurationError, match="is no number"):
        numeric("gold")({"gold": "x"}, Output("1"))
    with pytest.raises(ConfigurationError, match="regex"):
        regex("(")
