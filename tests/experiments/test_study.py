"""A comparison of arms: which there are, what is recorded, what the table and the comparisons say."""

from __future__ import annotations

import asyncio
import csv
import io
import math
from pathlib import Path
from random import Random
from typing import Any

import pandas
import pytest

import rlm_notebook as rlm
from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    ConfigurationError,
    ExecutionError,
    RecursiveEngine,
    ScriptedModel,
    Study,
)
from rlm_notebook.scorers import exact, judge, numeric

ROWS = pandas.DataFrame({"question": [f"number {number}" for number in range(30)], "gold": range(30)})
TASK = "Say {{question}}"


def model(name: str, accuracy: float, split: bool = False) -> ScriptedModel:
    """Right with this probability, drawn for each task once."""

    def say(request: Any) -> Any:
        task = request.facts.task
        if request.mode == "planner" and split and request.facts.depth == 0:
            return {
                "decision": "RECURSE",
                "sub_tasks": [{"description": f"{task} once"}, {"description": f"{task} twice"}],
            }
        number = (request.facts.goal or task).split()[-1]
        sure = accuracy + (0.3 if request.mode == "synthesizer" else 0.0)
        return number if Random(f"{name} {number}").random() < sure else "no idea"

    return ScriptedModel(say, name=name, price=(1.0, 2.0))


def studied(**options: Any) -> Study:
    given: dict[str, Any] = {
        "task": TASK,
        "score": exact("gold"),
        "grid": {"max_depth": [1, 3]},
        "engine": RecursiveEngine(model("tree", 0.5, split=True)),
        **options,
    }
    return rlm.study(ROWS, **given)


def test_a_study_compares_a_tree_with_one_call() -> None:
    study = studied()

    table = study.table()
    assert [row["arm"] for row in table.records] == ["max_depth=1", "max_depth=3"]
    assert table.records[1]["exact"] > table.records[0]["exact"]
    assert all(row["exact_low"] < row["exact"] < row["exact_high"] for row in table.records)
    assert "max_depth=3 against one call" in str(table)
    assert "times the cost" in str(table)
    assert "(baseline)" in str(table)
    found = study.compare("max_depth=1", "max_depth=3")
    assert found.metric == "exact"
    assert found.wins > found.losses
    assert found.n == 30
    assert "max_depth=3 is better" in found.sentence
    assert found.p == found.p_adjusted


def test_progress_is_shown_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    studied(progress=True, limit=3)

    assert "rlm: 6 of 6 rows done" in capsys.readouterr().err


def test_the_frame_is_long_and_of_the_same_kind() -> None:
    study = studied(seeds=2)

    frame = study.frame
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == 30 * 2 * 2
    assert set(frame.columns) >= {"row", "arm", "max_depth", "seed", "answer", "exact", "cost_usd", "calls", "state"}
    assert frame.groupby("arm")["calls"].sum()["max_depth=1"] == 60
    assert study.run(3, "max_depth=3").tree["0.1"].task == "Say number 3 twice"


def test_the_baseline_is_always_an_arm() -> None:
    study = studied(grid={"model": {"a": model("a", 0.4), "b": model("b", 0.8)}, "max_depth": [2]}, engine=None)

    assert [arm.label for arm in study.arms] == [
        "model=a, max_depth=2", "model=b, max_depth=2", "model=a, max_depth=1", "model=b, max_depth=1"
    ]  # fmt: skip
    assert [arm.baseline for arm in study.arms][:2] == ["model=a, max_depth=1", "model=b, max_depth=1"]
    both = study.compare("model=a", "model=b")
    assert both.n == 30
    assert both.difference is not None
    assert both.difference > 0
    with pytest.raises(ConfigurationError, match="names no arm; there are: model=a, max_depth=2"):
        study.compare("model=c", "model=b")


def test_a_list_of_named_arms_has_one_baseline() -> None:
    arms = [
        {"name": "tree", "max_depth": 3},
        {"name": "vote", "max_depth": 1, "best_of": 3},
        {"max_depth": 2, "temperature": 0.5},
    ]
    study = studied(grid=arms)

    assert [arm.label for arm in study.arms] == ["tree", "vote", "max_depth=2, temperature=0.5", "one call"]
    assert {arm.baseline for arm in study.arms} == {"one call"}
    assert study.compare("one call", "tree").n == 30
    assert "tree against one call" in str(study.table())
    assert "The arm one call answers in one call" in study.methods()
    assert "the most frequent of 3 answers to a row counts" in study.methods()

    given = studied(grid=[{"name": "plain", "max_depth": 1}, *arms])
    assert [arm.baseline for arm in given.arms] == ["plain"] * 4
    models = {"a": model("a", 0.4), "b": model("b", 0.8)}
    two = studied(grid=[{"name": name, "model": each, "max_depth": 2} for name, each in models.items()], engine=None)
    assert [arm.baseline for arm in two.arms] == ["one call, model=a", "one call, model=b"] * 2


@pytest.mark.parametrize(
    ("answers", "counts", "said"),
    [
        ("1|no 7|No  7.", "no 7", ""),
        ("1|2|3", "1", "in 1 of 1 runs no two of the 3 answers were equal"),
        ("1|broken|1", "1", ""),
        ("broken|broken|broken", None, ""),
    ],
)
def test_the_most_frequent_answer_counts(answers: str, counts: str | None, said: str, tmp_path: Path) -> None:
    left = iter(answers.split("|"))

    def say(inputs: Any, context: Any) -> Any:
        if (answer := next(left)) == "broken":
            raise ValueError("broken")
        return {"content": answer, "metadata": {}}

    def run() -> Study:
        engine = RecursiveEngine(say, retry=None)
        arms = [{"name": "vote", "max_depth": 1, "best_of": 3}]
        return studied(grid=arms, engine=engine, limit=1, concurrency=1, checkpoint=tmp_path / "vote")

    study = run()
    vote, plain = study.frame.astype(object).where(study.frame.notna(), None).to_dict("records")
    assert (vote["answer"], vote["calls"], vote["state"]) == (counts, 3, "done" if counts else "failed")
    assert (plain["answer"] or "broken", plain["calls"]) == (answers.split("|")[0], 1), "the first call is shared"
    assert study.calls == 3
    assert said in str(study.table())
    if counts:
        assert study.run(0, "vote").tree.root.result == counts
    if "broken" not in answers:
        assert run().calls == 0


def test_two_callables_of_one_name_are_two_arms() -> None:
    def make(answer: str) -> Any:
        return lambda inputs, context: {"content": answer, "metadata": {}}

    study = studied(grid={"model": [make("1"), make("2")], "max_depth": [1]}, engine=None)

    assert len({arm.label for arm in study.arms}) == 2
    assert set(study.frame["answer"]) == {"1", "2"}


def test_prompts_are_a_factor_too() -> None:
    study = studied(task=None, grid={"task": {"short": "Say {{question}}", "polite": "Please say {{question}}"}})

    assert {arm.label for arm in study.arms} == {
        "task=short, max_depth=5", "task=polite, max_depth=5", "task=short, max_depth=1", "task=polite, max_depth=1"
    }  # fmt: skip


def test_executed_again_nothing_is_called_and_no_digit_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = studied(checkpoint=tmp_path / "study", seeds=2)
    monkeypatch.setenv("RLM_MODE", "replay")

    again = studied(checkpoint=tmp_path / "study", seeds=2, engine=RecursiveEngine(model("tree", 0.0)))

    assert again.calls == 0
    assert str(again.table()) == str(first.table())
    assert str(again.compare("max_depth=1", "max_depth=3")) == str(first.compare("max_depth=1", "max_depth=3"))
    assert again.plot().svg == first.plot().svg
    assert again.methods() == first.methods()


def test_several_comparisons_are_adjusted() -> None:
    study = studied(score={"exact": exact("gold"), "close": numeric("gold", tolerance=0.1)})
    first = study.compare("max_depth=1", "max_depth=3", "exact")
    alone = first.p_adjusted
    study.compare("max_depth=1", "max_depth=3", "exact")
    assert first.p_adjusted == alone, "the same comparison is one"

    study.compare("max_depth=1", "max_depth=3", "close")

    assert alone is not None
    assert first.p_adjusted is not None
    assert first.p_adjusted >= alone
    assert "adjusted for 2 comparisons" in str(study.compare("max_depth=1", "max_depth=3", "close"))


def test_a_judge_is_recorded_and_not_part_of_an_arms_cost(tmp_path: Path) -> None:
    asked = []

    def say(request: Any) -> str:
        asked.append(request.facts.task)
        return "0.25"

    def run() -> Study:
        critic = judge(ScriptedModel(say, name="critic"), "Is it a number?")
        return studied(score={"exact": exact("gold"), "judge": critic}, checkpoint=tmp_path / "study")

    first = run()
    count = len(asked)
    second = run()

    assert count > 0
    assert len(asked) == count
    assert second.calls == 0
    assert set(first.frame["judge"]) == {0.25}
    assert "Is it a number?" in asked[0]
    assert first.frame["calls"].sum() == first.usage.calls - count


def test_an_interval_alone_shows_nothing() -> None:
    """Four rows that differ of 24: the interval excludes 0, and a coin does that once in eight times."""
    better = {3, 9, 12, 15}

    def say(request: Any) -> str:
        number = int(request.facts.task.split()[-1])
        known = number < 20 if request.facts.task.startswith("Please") else number < 20 and number not in better
        return str(number) if known else "?"

    study = studied(
        engine=RecursiveEngine(ScriptedModel(say), max_depth=1),
        grid={"task": {"short": TASK, "polite": f"Please {TASK}"}},
        limit=24,
    )
    found = study.compare("task=short", "task=polite")
    assert found.low is not None
    assert found.low > 0
    assert found.p == 0.125
    assert "the interval excludes 0, but the test does not" in found.sentence


def test_failed_rows_have_no_score_and_are_counted() -> None:
    def say(inputs: Any, context: Any) -> Any:
        if context["task"].endswith("7"):
            raise ValueError("seven")
        return {"content": context["task"].split()[-1], "metadata": {}}

    engine = RecursiveEngine(say, retry=None, max_depth=1)
    study = studied(engine=engine, grid={"temperature": [None, 0.5]})

    assert [row["failed"] for row in study.table().records] == [3, 3]
    found = study.compare("temperature=None", "temperature=0.5")
    assert (found.n, found.left_out) == (27, 3)
    assert "3 rows without a score of both are left out" in found.sentence
    assert "no difference seen in 27 rows" in found.sentence


@pytest.mark.parametrize("answer", ["none", None])
def test_degenerate_studies_give_sentences(answer: str | None) -> None:
    def say(inputs: Any, context: Any) -> Any:
        if answer is None:
            raise ValueError("broken")
        return {"content": answer, "metadata": {}}

    study = studied(engine=RecursiveEngine(say, retry=None), grid={"temperature": [None, 0.5]}, limit=2)

    assert "nan" not in str(study.table()).replace("finance", "")
    assert study.methods()
    if answer is not None:
        assert "no difference seen in 2 rows" in str(study.compare("temperature=None", "temperature=0.5"))
        assert "nan" not in study.plot().svg
    else:
        with pytest.raises(ConfigurationError, match="no row has a score"):
            study.compare("temperature=None", "temperature=0.5")


def test_what_is_given_out_can_be_used() -> None:
    study = studied()

    latex, table = study.to_latex(), list(csv.DictReader(io.StringIO(study.to_csv())))
    assert r"max\_depth=1 (baseline) & 30 & 0 &" in latex
    assert latex.count(r"\\") == 3
    assert len(table) == 60
    assert "compared 2 arms (max_depth=1; max_depth=3) on 30 rows" in study.methods()
    assert study.plot().svg.startswith("<svg")
    assert "<table" in study._repr_html_()
    assert not any(math.isnan(float(row["exact"])) for row in table)


def test_a_plot_is_saved_as_svg(tmp_path: Path) -> None:
    path = studied().plot().save(tmp_path / "study.svg")

    assert "currentColor" not in Path(path).read_text(encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"\.svg"):
        studied().plot().save(tmp_path / "study.png")


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (exact("golt"), r"score\['exact'\], row 0: the scorer exact reads the column 'golt'; did you mean 'gold'"),
        (numeric("question"), r"row 0: the scorer numeric\('question'\): 'none' is no number"),
        (lambda row, output: row["golt"] == str(output), r"reads the column 'golt', which the table does not have"),
        ({"own": lambda row, output: exact("golt")(row, output)}, "the scorer exact reads the column 'golt'"),
        (lambda row: True, r"is called with \(row, output\), and takes other arguments"),
        (asyncio.sleep, "is a coroutine function; give a plain function"),
    ],
)
def test_scorers_are_checked_before_the_first_call(score: Any, said: str) -> None:
    scripted = model("tree", 0.5)

    with pytest.raises(ConfigurationError, match=said):
        rlm.study(
            [{"question": "none", "gold": 1}],
            task=TASK,
            score=score,
            grid={"max_depth": [1]},
            engine=RecursiveEngine(scripted),
        )

    assert scripted.requests == []


def test_a_scorer_that_fails_says_what_became_of_the_answers(tmp_path: Path) -> None:
    def wrong(row: Any, output: Any) -> bool:
        raise ValueError("oh")

    with pytest.raises(ExecutionError, match=r"row 0 \(ValueError: oh\); the answers are in memory only.*name="):
        studied(score=wrong, limit=1)
    with pytest.raises(ExecutionError, match="the answers are recorded: correct it and run again"):
        studied(score=wrong, limit=1, checkpoint=tmp_path / "study")


def test_one_budget_for_all_arms() -> None:
    study = studied(budget=Budget(calls=20))

    assert study.usage.calls == 20
    assert study.status == "stopped"


async def test_a_study_is_awaited_and_can_be_cancelled() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(lambda request: "1", latency=0.001), max_depth=1)
    study = await studied(engine=engine)
    assert study.status == "done"

    slow = studied(engine=AsyncRecursiveEngine(ScriptedModel(lambda request: "1", latency=100), max_depth=1))
    await asyncio.sleep(0)
    await slow.cancel()
    assert slow.status == "cancelled"
    assert await slow is slow
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seeds": 0}, "seeds=0"),
        ({"grid": {"depth": [1]}}, "grid: depth: no option of an engine"),
        ({"grid": {"max_depth": 1}}, r"expected a list of levels"),
        ({"grid": {"max_depth": []}}, "has no level"),
        ({"grid": {"best_of": [0]}}, r"grid\['best_of'\]=\[0\]: expected whole numbers of at least 1"),
        ({"grid": []}, "give at least one arm"),
        ({"grid": ["tree"]}, "or a list of arms"),
        ({"grid": [{"name": "a"}, {"name": "a"}]}, "two arms are named 'a'"),
        ({"grid": [{"name": "a", "depth": 1}]}, "grid: depth: no option of an engine"),
        ({"grid": {"max_depth": [1]}, "engine": None}, "a study needs models"),
        ({"task": None}, "a study needs a task"),
        ({"score": {}}, "give a scorer"),
        ({"score": {"exact": "gold"}}, "expected a function"),
        ({"score": lambda row, output: "good"}, "gave 'good'; expected a number"),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        studied(**options)
