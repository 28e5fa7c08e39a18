"""A task over the rows of a table: what runs, what is reused, what failures, budgets and control do to the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

import pandas
import pytest
from pydantic import BaseModel

from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    BudgetExceededError,
    CheckpointError,
    ConfigurationError,
    ExecutionError,
    ModelError,
    RecursiveEngine,
    ReplayError,
    RetryPolicy,
    ScriptedModel,
)
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import until

TASK = "Classify: {{text}}"


def rows(*texts: str) -> list[dict[str, Any]]:
    return [{"id": number, "text": text} for number, text in enumerate(texts)]


def scripted(**options: Any) -> ScriptedModel:
    return ScriptedModel(lambda request: f"class of {request.facts.task}", **options)


class Flaky:
    """Fails for the texts in `broken`, as long as they are there."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.asked: list[str] = []

    async def __call__(self, inputs: Any, context: Any) -> dict[str, Any]:
        text = context["task"].removeprefix("Classify: ")
        self.asked.append(text)
        if text in self.broken:
            raise ValueError(f"no idea what {text} is")
        return {"content": text.upper(), "metadata": {}}


def engine_of(model: Any, **options: Any) -> RecursiveEngine:
    return RecursiveEngine(model, **{"max_depth": 1, "retry": None, **options})


# -- what is reused ----------------------------------------------------------------------------------------------------


def test_sorting_appending_and_unused_columns_cost_nothing(tmp_path: Path) -> None:
    model = Flaky()
    path = tmp_path / "labels.rlmx.jsonl"
    first = engine_of(model).map(TASK, rows("a", "b", "c"), checkpoint=path)
    content = path.read_bytes()

    again = engine_of(model).map(TASK, rows("a", "b", "c"), checkpoint=path)
    other = [{"text": "c", "new": 1}, {"text": "a", "new": 2}, {"text": "b", "new": 3}]
    turned = engine_of(model).map(TASK, other, checkpoint=path)

    assert model.asked == ["a", "b", "c"]
    assert path.read_bytes() == content
    assert first.frame["answer"] == again.frame["answer"] == ["A", "B", "C"]
    assert turned.frame["answer"] == ["C", "A", "B"]
    assert (turned.summary.reused, turned.summary.calls, turned.summary.done) == (3, 0, 3)

    more = engine_of(model).map(TASK, rows("a", "x", "c", "d"), checkpoint=path)

    assert model.asked[3:] == ["x", "d"]
    assert more.frame["answer"] == ["A", "X", "C", "D"]


def test_equal_rows_run_once_and_are_counted_once() -> None:
    model = Flaky()

    labels = engine_of(model).map(TASK, rows("a", "b", "a", "a"))

    assert sorted(model.asked) == ["a", "b"]
    assert labels.frame["answer"] == ["A", "B", "A", "A"]
    assert labels.frame["_calls"] == [1, 1, 0, 0]
    assert (labels.summary.equal, labels.summary.calls) == (2, 2)


def test_another_model_type_or_depth_is_another_row(tmp_path: Path) -> None:
    path = tmp_path / "labels.rlmx.jsonl"
    one, other = scripted(name="one"), scripted(name="other")
    RecursiveEngine(one, max_depth=1).map(TASK, rows("a"), checkpoint=path)
    RecursiveEngine(other, max_depth=1).map(TASK, rows("a"), checkpoint=path)
    RecursiveEngine(other, max_depth=2).map(TASK, rows("a"), checkpoint=path)
    RecursiveEngine(other, max_depth=1).map(TASK, rows("a"), checkpoint=path, output_type=str)
    calls = len(one.requests), len(other.requests)

    RecursiveEngine(one, max_depth=1, max_concurrency=2).map(TASK, rows("a"), checkpoint=path)
    RecursiveEngine(other, max_depth=1, budget=Budget(calls=5)).map(TASK, rows("a"), checkpoint=path)

    assert calls == (len(one.requests), len(other.requests)) == (1, 3)


def test_a_name_is_a_file_beside_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    labels = engine_of(Flaky()).map(TASK, rows("a"), name="labels")

    assert labels.checkpoint == str(tmp_path / "notebook.rlm" / "labels.rlmx.jsonl")
    assert [path.name for path in (tmp_path / "notebook.rlm").iterdir()] == ["labels.rlmx.jsonl"]


def test_a_named_file_is_found_where_the_notebook_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine_of(Flaky()).map(TASK, rows("a"), checkpoint=tmp_path / "one.rlm" / "labels.rlmx.jsonl")
    model = Flaky()

    assert engine_of(model).map(TASK, rows("a"), name="labels").frame["answer"] == ["A"]
    assert model.asked == []
    engine_of(Flaky()).map(TASK, rows("a"), checkpoint=tmp_path / "two.rlm" / "labels.rlmx.jsonl")
    with pytest.raises(CheckpointError, match=r"several files could be .*one\.rlm/labels\.rlmx\.jsonl, two\.rlm"):
        engine_of(model).map(TASK, rows("a"), name="labels")


def test_a_replay_calls_no_model_and_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "labels.rlmx.jsonl"
    engine_of(Flaky("b")).map(TASK, rows("a", "b"), checkpoint=path)
    monkeypatch.setenv("RLM_MODE", "replay")
    model = Flaky()

    labels = engine_of(model).map(TASK, rows("b", "a"), checkpoint=path)
    with pytest.raises(ReplayError, match="1 of 2 rows are not recorded in"):
        engine_of(model).map(TASK, rows("a", "new"), checkpoint=path)

    assert labels.frame["answer"] == [None, "A"]
    assert labels.frame["_state"] == ["failed", "done"]
    assert model.asked == []


def test_fresh_runs_everything_again(tmp_path: Path) -> None:
    path, model = tmp_path / "labels.rlmx.jsonl", Flaky()
    engine_of(model).map(TASK, rows("a", "b"), checkpoint=path)

    labels = engine_of(model).map(TASK, rows("a", "b"), checkpoint=path, mode="fresh")

    assert sorted(model.asked) == ["a", "a", "b", "b"]
    assert (labels.summary.done, labels.summary.reused, labels.summary.calls) == (2, 0, 2)


# -- what comes out ----------------------------------------------------------------------------------------------------


def test_the_tree_of_a_row_can_be_opened(tmp_path: Path) -> None:
    model = ScriptedModel({"Plan (.*)": {"Flights": "at 9", "Hotel": "downtown"}})
    path = tmp_path / "trips.rlmx.jsonl"

    for trips in (
        RecursiveEngine(model).map("Plan {{row}}", ["Rome", "Oslo"], checkpoint=path),
        RecursiveEngine(model).map("Plan {{row}}", ["Rome", "Oslo"]),
    ):
        run = trips.run(1)
        assert [node.task for node in run.tree.walk()] == ["Plan Oslo", "Flights", "Hotel"]
        assert run.status == "done"
        assert run.usage.calls == trips.frame["_calls"][1] > 3
        assert str(run.output) == trips.frame["answer"][1] == "Plan Oslo: at 9; downtown"
        assert run.internals.settings["limits"]["max_depth"] == 5
        assert "Hotel" in run.to_html()
        with pytest.raises(
            ConfigurationError, match="the number of a row, 0 to 1: its position, as in the column _row"
        ):
            trips.run(2)


def test_outputs_alone_hold_no_tree(tmp_path: Path) -> None:
    path = tmp_path / "labels.rlmx.jsonl"

    labels = engine_of(Flaky()).map(TASK, rows("a"), checkpoint=path, store="outputs")

    assert labels.frame["answer"] == ["A"]
    assert b"Classify" not in path.read_bytes()
    with pytest.raises(CheckpointError, match='store="full"'):
        labels.run(0)


class Label(BaseModel):
    text: Literal["good", "bad"]
    sure: float


def test_the_fields_of_a_type_are_columns() -> None:
    model = ScriptedModel(lambda request: '{"text": "good", "sure": 0.5}' if "a" in request.facts.task[9:] else "?")
    data = pandas.DataFrame({"text": ["a", "b"]})

    labels = engine_of(model).map(TASK, data, output_type=Label)

    assert labels.frame["_text"].to_list()[0] == "good"
    assert labels.frame["sure"].dtype == "float64"
    assert labels.frame["_state"].to_list() == ["done", "failed"]
    assert labels.answers() == [Label(text="good", sure=0.5), None]


def test_values_of_a_plain_type_are_the_answer() -> None:
    model = ScriptedModel(lambda request: str(len(request.facts.task)))

    labels = engine_of(model).map("{{row}}", ["four", "seven!!"], output_type=int)

    assert labels.frame["answer"] == [4, 7]


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_bad_row_is_a_state_and_an_error_and_can_be_retried(tmp_path: Path) -> None:
    model = Flaky("b", "d")
    labels = engine_of(model).map(TASK, rows("a", "b", "c", "d"), checkpoint=tmp_path / "labels")
    before = labels.frame
    model.broken.discard("b")
    model.asked.clear()

    assert labels.retry_failed() is labels

    assert before["_state"] == ["done", "failed", "done", "failed"]
    assert "no idea what b is" in before["_error"][1]
    assert before["_error"][0] is None
    assert sorted(model.asked) == ["b", "d"]
    assert labels.frame["_state"] == ["done", "done", "done", "failed"]
    assert (labels.summary.done, labels.summary.failed, labels.summary.reused) == (3, 1, 2)
    assert labels.run(3).status == "failed"


def test_what_the_offline_model_cannot_do_is_marked(tmp_path: Path) -> None:
    rows = [{"text": "Translate to French: good morning"}, {"text": "What is 2 + 3?"}]

    def run() -> Any:
        return RecursiveEngine("offline").map("{{text}}", rows, checkpoint=tmp_path / "rows")

    for labels in (run(), run()):
        refusal, answer = labels.frame
        assert (refusal["_state"], answer["_state"], answer["_error"]) == ("done", "done", None)
        assert refusal["_error"] == "this needs a language model, which offline is not; choose one"
        assert "needs a language model" in refusal["answer"]
        assert (labels.summary.done, labels.summary.refused) == (2, 1)
        assert "in 1 of the answers the model says that it cannot do this" in str(labels)


def test_raise_ends_at_the_first_failure_and_keeps_what_finished(tmp_path: Path) -> None:
    model = Flaky("b")
    engine = engine_of(model)

    with pytest.raises(ExecutionError, match="no idea what b is"):
        engine.map(TASK, rows("a", "b", "c"), checkpoint=tmp_path / "labels", errors="raise", concurrency=1)

    model.broken.clear()
    engine.map(TASK, rows("a", "b", "c"), checkpoint=tmp_path / "labels", errors="raise", concurrency=1)
    assert model.asked == ["a", "b", "b", "c"]


def test_what_every_row_would_meet_is_raised_at_once() -> None:
    asked = []

    async def refused(inputs: Any, context: Any) -> Any:
        asked.append(1)
        raise ModelError("the key is wrong", status=401, fatal=True)

    with pytest.raises(ModelError, match="the key is wrong"):
        engine_of(refused).map(TASK, rows(*"abcdefgh"), concurrency=1)

    assert len(asked) == 1


def test_an_exhausted_quota_keeps_what_was_done() -> None:
    async def some(inputs: Any, context: Any) -> Any:
        if context["task"].endswith("c"):
            raise ModelError("the quota is spent", status=429, fatal=True)
        return {"content": "ok", "metadata": {}}

    labels = engine_of(some).map(TASK, rows(*"abcde"), concurrency=1)

    assert labels.status == "stopped"
    assert labels.frame["_state"] == ["done", "done", "failed", "pending", "pending"]
    assert all("quota" in error for error in labels.frame["_error"][2:])


def test_an_empty_task_is_a_failed_row() -> None:
    labels = engine_of(Flaky()).map("{{text}}", [{"text": None}, {"text": "a"}])

    assert labels.frame["_state"] == ["failed", "done"]
    assert "the task is empty" in labels.frame["_error"][0]


# -- one budget --------------------------------------------------------------------------------------------------------


def test_one_budget_for_all_rows_and_a_larger_one_continues(tmp_path: Path) -> None:
    model = Flaky()
    path = tmp_path / "labels"
    labels = engine_of(model).map(TASK, rows(*"abcdef"), checkpoint=path, budget=Budget(calls=4))

    assert len(model.asked) == 4
    assert sorted(labels.frame["_state"]) == ["done"] * 4 + ["pending"] * 2
    assert str(labels.summary).startswith("4 of 6 rows done, 2 not run, 4 calls")
    assert labels.status == "stopped"
    assert "the budget of 4 calls is spent" in labels.summary.note
    assert "the budget of 4 calls is spent" in str(labels.frame["_error"])

    more = engine_of(model).map(TASK, rows(*"abcdef"), checkpoint=path, budget=Budget(calls=5))
    assert len(model.asked) == 5, "the budget is over all executions"
    more.retry_failed(budget=Budget(calls=6))
    assert len(model.asked) == 6
    assert more.frame["_state"] == ["done"] * 6


def test_the_budget_of_the_engine_is_for_each_row() -> None:
    model = ScriptedModel({"Plan (.*)": ["x", "y"]})
    engine = RecursiveEngine(model, budget=Budget(calls=2))

    labels = engine.map("{{row}}", ["Plan a", "b", "c"], budget=Budget(calls=100))

    assert labels.frame["_state"] == ["failed", "done", "done"]
    assert labels.status == "done"


@pytest.mark.parametrize("budget", [Budget(tokens=1_300), Budget(usd=0.0013)])
def test_tokens_and_dollars_are_reserved_over_all_rows(budget: Budget) -> None:
    model = scripted(price=(1.0, 1.0))
    labels = engine_of(model).map(TASK, rows(*map(str, range(40))), budget=budget)

    assert 0 < labels.usage.total_tokens <= 1_300
    assert labels.status == "stopped"
    assert 0 < len(model.requests) < 40


def test_dollars_need_prices() -> None:
    with pytest.raises(ConfigurationError, match=r"a budget of 5 dollars, but the price of .* is not known"):
        engine_of(Flaky()).map(TASK, rows("a"), budget=Budget(usd=5))
    assert engine_of(Flaky()).map(TASK, rows("a"), budget=Budget(usd=5, unknown_price="ignore")).summary.done == 1


def test_progress_is_shown_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    engine_of(Flaky()).map(TASK, rows("a"), checkpoint=False)
    assert capsys.readouterr().err == ""

    engine_of(Flaky("b")).map(TASK, rows("a", "b"), checkpoint=False, progress=True)

    assert capsys.readouterr().err.startswith("rlm: 1 of 2 rows done, 1 failed, 2 calls")


def test_what_is_not_recorded_is_said_where_it_may_cost(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    engine_of(scripted()).map(TASK, rows("a"))
    engine_of(scripted(price=(1.0, 1.0))).map(TASK, rows("a"), checkpoint=tmp_path / "labels")
    assert capsys.readouterr().err == ""

    engine_of(scripted(price=(1.0, 1.0))).map(TASK, rows("a", "b"))

    said = capsys.readouterr().err
    assert said.startswith("rlm: the answers of 2 rows are kept in memory only, and executed again they are paid for")
    assert 'name="labels" records them' in said


@pytest.mark.parametrize("budget", [Budget(calls=10), Budget(tokens=6_000)])
def test_a_budget_finishes_whole_rows_in_their_order(budget: Budget, tmp_path: Path) -> None:
    model = ScriptedModel({"Plan (.*)": ["x", "y"]}, latency=0.001)
    texts = [f"Plan {number}" for number in range(20)]

    labels = RecursiveEngine(model).map("{{row}}", texts, budget=budget, checkpoint=tmp_path / "labels")
    done = labels.summary.done

    assert done >= 2
    assert labels.frame["_state"] == ["done"] * done + ["pending"] * (20 - done)
    assert labels.frame["_calls"] == [4] * done + [0] * (20 - done), "nothing is paid for rows that are not finished"
    if budget.calls:
        assert "10 calls does not suffice for the next row (8 used, and it may take 4)" in labels.summary.note
        labels.retry_failed(budget=Budget(calls=20))
        assert labels.summary.done == 5


def test_raise_with_a_spent_budget_raises() -> None:
    with pytest.raises(BudgetExceededError, match="the budget of 1 call is spent"):
        engine_of(Flaky()).map(TASK, rows("a", "b"), budget=Budget(calls=1), errors="raise")


@in_virtual_time
async def test_seconds_are_of_the_whole() -> None:
    engine = AsyncRecursiveEngine(scripted(latency=1.0), max_depth=1)

    labels = await engine.map(TASK, rows(*map(str, range(50))), budget=Budget(seconds=3.5), concurrency=2)

    assert labels.summary.done == 6
    assert labels.status == "stopped"
    assert "3.5 seconds" in labels.summary.note


# -- concurrency, control ----------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_slow_row_holds_back_no_other() -> None:
    async def model(inputs: Any, context: Any) -> Any:
        await asyncio.sleep(100 if context["task"].endswith("slow") else 1)
        return {"content": "ok", "metadata": {}}

    engine = AsyncRecursiveEngine(model, max_depth=1)
    labels = engine.map(TASK, rows("slow", *map(str, range(60))), concurrency=4)
    await asyncio.sleep(30)

    assert labels.summary.done == 60
    assert labels.status == "running"
    assert labels.frame["_state"][0] == "pending"
    await labels
    assert labels.status == "done"


@in_virtual_time
async def test_at_most_so_many_rows_are_under_way() -> None:
    model = scripted(latency=1.0)

    await AsyncRecursiveEngine(model, max_depth=1, max_concurrency=64).map("{{row}}", list("abcdefgh"), concurrency=3)

    assert model.peak == 3


@in_virtual_time
async def test_cancel_keeps_what_finished_and_leaves_no_task(tmp_path: Path) -> None:
    engine = AsyncRecursiveEngine(scripted(latency=1.0), max_depth=1)
    labels = engine.map(TASK, rows(*map(str, range(20))), concurrency=2, checkpoint=tmp_path / "labels")
    await asyncio.sleep(3.5)

    await labels.cancel()

    assert len(asyncio.all_tasks()) == 1
    assert labels.status == "cancelled"
    assert labels.frame["_state"][:6] == ["done"] * 6
    assert set(labels.frame["_state"][6:]) == {"cancelled"}
    assert await labels is labels
    await labels.retry_failed()
    assert labels.summary.done == 20
    assert labels.summary.reused == 6


@in_virtual_time
async def test_cancelling_the_caller_cancels_the_rows() -> None:
    engine = AsyncRecursiveEngine(scripted(latency=1.0), max_depth=1)
    labels = engine.map(TASK, rows(*map(str, range(20))), concurrency=2)

    async def caller() -> None:
        await labels

    task = asyncio.create_task(caller())
    await asyncio.sleep(1.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(asyncio.all_tasks()) == 1
    assert labels.summary.done == 2


@in_virtual_time
async def test_pause_starts_no_call_until_resume() -> None:
    model = scripted(latency=1.0)
    labels = AsyncRecursiveEngine(model, max_depth=1).map(TASK, rows(*map(str, range(9))), concurrency=3)
    await asyncio.sleep(0.5)
    labels.pause()
    await asyncio.sleep(10)

    assert labels.status == "paused"
    assert len(model.requests) == 3
    assert labels.summary.done == 3
    labels.resume()
    assert (await labels).summary.done == 9


async def test_rows_may_be_read_while_they_run() -> None:
    event = asyncio.Event()

    async def model(inputs: Any, context: Any) -> Any:
        if context["task"].endswith("b"):
            await event.wait()
        return {"content": "ok", "metadata": {}}

    labels = AsyncRecursiveEngine(model, max_depth=1).map(TASK, rows("a", "b"))
    await until(lambda: labels.summary.done == 1)

    assert labels.frame["answer"] == ["ok", None]
    with pytest.raises(ConfigurationError, match="row 1 has no run: it is pending"):
        labels.run(1)
    with pytest.raises(ConfigurationError, match="the experiment is running"):
        labels.retry_failed()
    event.set()
    await labels


async def test_the_synchronous_engine_maps_inside_a_running_loop() -> None:
    labels = engine_of(Flaky("b")).map(TASK, rows("a", "b"))

    assert labels.frame["answer"] == ["A", None]
    assert labels.retry_failed().summary.failed == 1


def test_map_without_a_loop_names_the_other_engine() -> None:
    with pytest.raises(ConfigurationError, match=r"RecursiveEngine\(...\): its solve\(...\), map"):
        AsyncRecursiveEngine(Flaky()).map(TASK, rows("a"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"concurrency": 0}, "concurrency=0: expected a whole number of at least 1"),
        ({"errors": "ignore"}, "errors='ignore'"),
        ({"budget": 5}, r"Budget\(usd=5\)"),
        ({"limit": -1}, "limit=-1"),
        ({"pilot": 1}, "pilot=1"),
        ({"name": "x", "checkpoint": "y"}, "give one of them"),
        ({"checkpoint": 5}, "checkpoint=5"),
        (
            {"executor": object()},
            r"executor=.*dask\.distributed\.Client",
        ),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        engine_of(Flaky()).map(TASK, rows("a"), **options)


def test_limit_takes_the_first_rows() -> None:
    model = Flaky()

    assert engine_of(model).map(TASK, rows(*"abcdef"), limit=2).frame["text"] == ["a", "b"]
    assert sorted(model.asked) == ["a", "b"]


def test_a_retry_policy_works_row_by_row() -> None:
    class Once(Flaky):
        async def __call__(self, inputs: Any, context: Any) -> Any:
            try:
                return await super().__call__(inputs, context)
            except ValueError:
                self.broken.clear()
                raise ModelError("busy", retryable=True) from None

    model = Once("b")
    engine = RecursiveEngine(model, max_depth=1, retry=RetryPolicy(attempts=2, initial=0.001))

    assert engine.map(TASK, rows("a", "b")).frame["_state"] == ["done", "done"]
