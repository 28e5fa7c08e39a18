"""Plans of any length: read beside the loop, and never built where no run could begin them."""

import asyncio
import json
import threading
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

import rlm_notebook.core.plan
import rlm_notebook.core.plan_stream
import rlm_notebook.solver.planning
from rlm_notebook import AsyncRecursiveEngine, MaxStepsError, PlanError, load_run
from rlm_notebook.core.plan import UnusablePlan, parse_plan
from rlm_notebook.core.plan_stream import TooManyTasks, parse_long_plan
from tests.support.amounts import few_or_many

PART = '{"description": "part", "assigned_agent": null, "depends_on": [], "effort": null}'


def split(count: int, part: str = '"part"') -> str:
    return '{"decision": "RECURSE", "sub_tasks": [' + ", ".join([part] * count) + "]}"


class Planner:
    """Writes these plans one after the other, and notes what it was asked."""

    def __init__(self, *plans: str, stream: bool = False) -> None:
        self.plans = list(plans)
        self.asked: list[Any] = []

    async def __call__(self, inputs: Any, context: Any) -> Any:
        if context["mode"] != "planner":
            return {"content": f"{context['mode']} is done"}
        self.asked.append(inputs)
        return {"content": self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sub-tasks each plan had that was built, and in which thread."""
    found: list[int] = []
    whole = rlm_notebook.core.plan.plan_from_json

    def counted(data: Any) -> Any:
        found.append(len(data.get("sub_tasks") or ()))
        return whole(data)

    monkeypatch.setattr(rlm_notebook.core.plan, "plan_from_json", counted)
    return found


@pytest.mark.parametrize("part", ['"part"', PART, '{"task": "x", "depends_on": [0]}'])
def test_a_million_sub_tasks_are_counted_and_not_built(part: str, built: list[int]) -> None:
    first = '"first"'
    text = split(20_000, part).replace("[", f"[{first}, ", 1)
    with pytest.raises(TooManyTasks):
        parse_long_plan(text, 10_000, 100_000_000)
    assert built == []


@pytest.mark.parametrize("text", [split(3), split(3, PART), '{"decision": "EXECUTE", "answer": "4"}', "no plan", "{"])
def test_others_are_read_as_ever(text: str) -> None:
    def read(function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except UnusablePlan as problem:
            return type(problem), str(problem)

    assert read(parse_long_plan, text, 10, 1_000) == read(parse_plan, text)


def test_what_is_too_long_is_refused_unread() -> None:
    with pytest.raises(UnusablePlan, match="it has 1,001 characters, and at most 1,000 are read"):
        parse_long_plan("x" * 1_001, 10, 1_000)


async def test_a_split_beyond_all_limits_is_executed(tmp_path: Any, built: list[int]) -> None:
    planner = Planner(split(1_000_000))
    output = await asyncio.wait_for(AsyncRecursiveEngine(planner).solve("t", checkpoint=tmp_path / "run.json"), 60)

    assert output.content == "worker is done"
    assert output.metadata["limited"] is True
    assert output.run.tree["0"].limited == "max_steps"
    assert len(planner.asked) == 1
    assert built == []
    assert (tmp_path / "run.json").stat().st_size < 20_000
    assert load_run(tmp_path / "run.json").output.content == "worker is done"
    assert (await AsyncRecursiveEngine(planner).solve("t", checkpoint=tmp_path / "run.json")).metadata["calls"] == 0


async def test_or_ends_the_run_where_that_is_wanted() -> None:
    with pytest.raises(MaxStepsError, match="wants more than 10,000 sub-tasks"):
        await AsyncRecursiveEngine(Planner(split(1_000_000)), on_limit="raise").solve("t")


@few_or_many(1_000, 12_000)
async def test_what_max_steps_allows_is_built_however_long(amount: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rlm_notebook.solver.planning, "MOST_TASKS", 100)
    monkeypatch.setattr(rlm_notebook.solver.planning, "MOST_CHARACTERS", 20_000)
    planner = Planner(split(amount, PART))
    output = await asyncio.wait_for(AsyncRecursiveEngine(planner, max_depth=2, max_steps=amount + 1).solve("t"), 100)
    assert output.metadata["steps"] == amount + 1


async def test_a_long_plan_is_read_in_a_thread_and_a_short_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []
    parse = parse_plan

    def noted(text: str) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return parse(text)

    for module in (rlm_notebook.solver.planning, rlm_notebook.core.plan_stream):
        monkeypatch.setattr(module, "parse_plan", noted)
    broken = '{"decision": "RECURSE", "thoughts": "' + "x" * 60_000
    planner = Planner(broken, '{"decision": "EXECUTE"}')
    assert (await AsyncRecursiveEngine(planner).solve("t")).content == "worker is done"
    assert threads == [False, True]


async def test_a_broken_plan_of_ten_megabytes_is_not_sent_back_whole() -> None:
    broken = '{"decision": "RECURSE", "thoughts": "' + "x" * 10_000_000
    planner = Planner(broken)
    with pytest.raises(PlanError, match="characters, and at most") as caught:
        await asyncio.wait_for(AsyncRecursiveEngine(planner).solve("t"), 60)

    assert len(planner.asked) == 3
    assert len(json.dumps(planner.asked[-1])) < 200_000
    assert "characters left out" in planner.asked[-1][2]["content"]
    assert planner.asked[-1][2]["content"].startswith(broken[:100])
    assert len(str(caught.value)) < 2_000


async def test_the_loop_goes_on_while_a_long_plan_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is not read before the loop has gone on: on the loop, it would wait for itself."""
    went_on = threading.Event()
    parse = parse_long_plan

    def waits(*arguments: Any) -> Any:
        assert went_on.wait(60)
        return parse(*arguments)

    monkeypatch.setattr(rlm_notebook.solver.planning, "parse_long_plan", waits)
    run = AsyncRecursiveEngine(Planner(split(3, PART) + " " * 60_000), max_depth=2).start("t")
    while len(run.tree) == 0:  # noqa: ASYNC110 - the run tells nobody that it begins
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0.001)
    went_on.set()
    assert (await asyncio.wait_for(run, 60)).metadata["steps"] == 4


async def test_a_long_typed_answer_is_read_in_a_thread() -> None:
    threads: list[bool] = []

    def noted(value: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return value

    async def model(inputs: Any, context: Any) -> Any:
        return {"content": json.dumps({"result": ["x" * 10] * count})}

    for count in (3, 10_000):
        engine = AsyncRecursiveEngine(model, max_depth=1)
        output = await engine.solve("t", output_type=Annotated[list[str], AfterValidator(noted)])
        assert len(output.parsed) == count
    assert set(threads[:2]) == {True}
    assert set(threads[2:]) == {False}
