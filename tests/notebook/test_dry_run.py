"""`--dry-run`: one call of the planner, a prediction, and a plan that the real run follows."""

# ruff: noqa: ASYNC240 - a test may block
from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import Agent, Run, ScriptedModel
from rlm_notebook.core.plan import Execute, Recurse
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Reply

SCRIPT = {"root": {"one": "1", "two": {"three": "3", "four": "4"}}}


@pytest.fixture
def model(shell: Any) -> ScriptedModel:
    shell.names["model"] = made = ScriptedModel(SCRIPT)
    return made


def tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_it_asks_the_planner_once_and_gives_the_plan(
    shell: Any, model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = await shell.value("%%rlm -m model -n trip --dry-run plan <<\nroot")
    assert isinstance(plan, Recurse)
    assert [part.task for part in plan.sub_tasks] == ["one", "two"]
    assert shell.names["plan"] is plan
    assert [request.mode for request in model.requests] == ["planner"]
    assert tasks() == set()
    printed = capsys.readouterr().out
    assert "the plan took 1 call" in printed
    assert "if no sub-task splits again  3 calls" in printed
    assert "assumed: " in printed
    assert "RECURSE: 2 sub-tasks\n  0. one\n  1. two" in printed


async def test_the_real_run_follows_the_plan(shell: Any, model: ScriptedModel) -> None:
    await shell.value("%%rlm -m model -n trip --dry-run\nroot")
    assert [(run.status, run.calls) for run in await shell.value("%rlm runs")] == [("paused", 1)]
    await shell.value("%%rlm -m model -n trip -q\nroot")
    await shell.value("%%rlm -m model -n trip --dry-run\nroot")
    assert [run.status for run in await shell.value("%rlm runs")] == ["done"], "a plan of what is recorded ends nothing"
    asked = [request.facts.task for request in model.requests if request.mode == "planner"]
    assert asked.count("root") == 1
    other = ScriptedModel(SCRIPT)
    shell.names["other"] = other
    await shell.value("%%rlm -m other --no-checkpoint -q\nroot")
    assert model.calls == other.calls


async def test_a_plan_to_execute_does_not_ask_for_the_answer(shell: Any) -> None:
    shell.names["model"] = model = ScriptedModel(
        lambda request: {"decision": "EXECUTE"} if request.mode == "planner" else "the answer"
    )
    plan = await shell.value("%%rlm -m model -n trip --dry-run\nroot")
    assert isinstance(plan, Execute)
    assert model.calls == 1
    assert str(await shell.value("%%rlm -m model -n trip -q\nroot")) == "the answer"
    assert model.calls == 2


async def test_an_answer_in_the_plan_is_kept(shell: Any, model: ScriptedModel) -> None:
    plan = await shell.value("%%rlm -m model -n leaf --dry-run\na leaf")
    assert isinstance(plan, Execute)
    assert plan.answer
    assert json.loads(Path("notebook.rlm/leaf.json").read_text())["status"] == "done"
    await shell.value("%%rlm -m model -n leaf -q\na leaf")
    assert model.calls == 1


async def test_an_answer_that_will_not_do_is_not_counted_on(
    shell: Any, model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a type is wanted, the worker is asked whatever the planner answered."""
    shell.names["numbers"] = list[int]
    await shell.value("%%rlm -m model --type numbers --dry-run\na leaf")
    assert model.calls == 1
    assert "1 call, about" in capsys.readouterr().out


async def test_a_streaming_planner_starts_nothing_early(shell: Any) -> None:
    shell.names["model"] = model = ScriptedModel(SCRIPT, stream=True, chunk=5, latency=0.05)
    await shell.value("%%rlm -m model -n trip --dry-run\nroot")
    await asyncio.sleep(0.2)
    assert model.calls == 1


async def test_over_a_finished_run_it_asks_nobody_and_changes_nothing(
    shell: Any, model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    await shell.value("%%rlm -m model -n trip -q\nroot")
    before, calls = Path("notebook.rlm/trip.json").read_bytes(), model.calls
    assert isinstance(await shell.value("%%rlm -m model -n trip --dry-run\nroot"), Recurse)
    assert model.calls == calls
    assert Path("notebook.rlm/trip.json").read_bytes() == before
    assert "the whole run is recorded" in capsys.readouterr().out


async def test_a_plan_that_fails_fails_the_cell(shell: Any) -> None:
    shell.names["never"] = ScriptedModel(lambda request: Reply("I would rather not"), name="never")
    error = await shell.failure("%%rlm -m never --dry-run\nroot")
    assert type(error).__name__ == "InvalidJSONError"
    shell.names["broken"] = ScriptedModel(faults=[Fault(error=KeyError("lost"), times=None)])
    assert "lost" in str(await shell.failure("%%rlm -m broken --dry-run\nroot"))
    assert tasks() == set()


async def test_it_can_be_interrupted(shell: Any) -> None:
    shell.names["slow"] = ScriptedModel(SCRIPT, latency=5)
    cell = asyncio.ensure_future(shell.run("%%rlm -m slow --dry-run\nroot"))
    await asyncio.sleep(0.3)
    cell.cancel()
    assert str((await cell).error_in_exec).startswith("Interrupted: ")
    assert tasks() == set()


async def test_without_a_split_by_limit_nobody_is_asked(shell: Any, model: ScriptedModel) -> None:
    assert isinstance(await shell.value("%%rlm -m model --max-depth 1 --dry-run\nroot"), Execute)
    assert model.calls == 0


async def test_the_price_of_a_model_is_used(shell: Any, model: ScriptedModel, capsys: Any) -> None:
    from rlm_notebook import AsyncRecursiveEngine

    shell.names["priced"] = AsyncRecursiveEngine(
        lambda inputs, context: model_reply(context), prices={"gold": (1.0, 10.0)}, default_model="gold"
    )
    await shell.value("%%rlm -m priced --dry-run\nroot")
    line = next(line for line in capsys.readouterr().out.splitlines() if "no sub-task splits" in line)
    assert "$0.01" in line
    assert isinstance(shell.names["_rlm"], Run)


def model_reply(context: dict[str, Any]) -> dict[str, Any]:
    plan = {"decision": "RECURSE", "sub_tasks": ["a", "b"]}
    return {"content": json.dumps(plan), "metadata": {"usage": {"prompt_tokens": 100, "completion_tokens": 20}}}


async def test_answers_of_other_agents_are_counted_beside_their_plans(shell: Any, capsys: Any) -> None:
    tasks = [{"description": "one", "assigned_agent": "writer"}, "two"]
    model = ScriptedModel(
        lambda request: (
            {"decision": "RECURSE", "sub_tasks": tasks}
            if request.mode == "planner" and request.facts.depth == 0
            else {"decision": "EXECUTE", "answer": "x"}
            if request.mode == "planner"
            else "x"
        )
    )
    shell.names.update(model=model, team={"planner": model, "writer": Agent("writer", model, instructions="Write.")})
    await shell.value("%%rlm -m model -a team -n told -q --dry-run\nroot")
    assert "if no sub-task splits again  4 calls" in capsys.readouterr().out
    before = model.calls
    await shell.value("%%rlm -m model -a team -n told -q\nroot")
    assert model.calls - before == 4
