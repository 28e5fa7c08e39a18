"""What a second execution does: what it tells again, what it asks anew, and what it says about that."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    CheckpointError,
    ConfigurationError,
    ExecutionError,
    ModelError,
    RecursiveEngine,
    ReplayError,
    Run,
    ScriptedModel,
    load_run,
)
from rlm_notebook.checkpoints.json_file import JsonFile, load_recorded
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Reply, Request, ToolCall
from tests.support.waiting import HANG

TRIP = {"trip": {"flights": "at 9", "hotel": "downtown", "food": {"lunch": "soup", "dinner": "stew"}}}
ANSWER = "trip: at 9; downtown; food: soup; stew"


def asked(model: ScriptedModel) -> list[tuple[str, str]]:
    made = sorted((request.mode, request.facts.task) for request in model.requests)
    model.requests.clear()
    return made


# -- a run that is done --------------------------------------------------------------------------------------------


class Gaps:
    """A run that was joined over a part that failed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = ScriptedModel(TRIP, faults=[Fault("hotel", error=ModelError("full"), times=1)])
        self.options: dict[str, Any] = {"retry": None, "on_failure": "synthesize"}

    async def run(self, **options: Any) -> Run:
        engine = AsyncRecursiveEngine(self.model, **{**self.options, **options})
        run: Run = (await engine.solve("trip", checkpoint=self.path)).run
        return run


async def test_an_unchanged_run_with_gaps_is_told_again_as_it_is(tmp_path: Path) -> None:
    gaps = Gaps(tmp_path / "run.json")
    first = await gaps.run()
    assert "(missing: " in str(first.output)
    before = gaps.path.read_bytes()
    asked(gaps.model)
    again = await gaps.run()

    assert (asked(gaps.model), again.internals.reused, str(again.output)) == ([], True, str(first.output))
    assert [(n.id, n.state, n.error) for n in again.tree] == [(n.id, n.state, n.error) for n in first.tree]
    assert gaps.path.read_bytes() == before
    assert str(await again.retry()) == ANSWER, "trying again is asked for"


async def test_gaps_that_are_not_wanted_any_more_are_filled(tmp_path: Path) -> None:
    gaps = Gaps(tmp_path / "run.json")
    await gaps.run()
    asked(gaps.model)
    assert str((await gaps.run(on_failure="raise")).output) == ANSWER
    assert asked(gaps.model) == [("planner", "hotel"), ("synthesizer", "trip")]


async def test_an_answer_from_what_there_was_is_completed_by_the_next_execution(tmp_path: Path) -> None:
    model = ScriptedModel(TRIP, faults=[Fault("hotel", error=ModelError("full"), times=1)])
    engine = AsyncRecursiveEngine(model, retry=None)
    run = engine.start("trip", checkpoint=tmp_path / "run.json")
    with pytest.raises(ExecutionError):
        await run
    assert "(missing: " in str(await run.synthesize_anyway())
    assert str(await engine.solve("trip", checkpoint=tmp_path / "run.json")) == ANSWER


@pytest.mark.parametrize(
    ("first", "second", "planned_anew"),
    [
        ({"max_depth": 2}, {"max_depth": 2}, 0),
        ({"max_depth": 2}, {"max_depth": 5}, 5),
        ({"max_depth": 5}, {"max_depth": 6}, 0),
        ({"max_steps": 4}, {"max_steps": 50}, 2),
    ],
    ids=["the same", "deeper", "room that was not needed", "more steps"],
)
async def test_what_a_limit_made_is_made_anew_when_the_limit_is_raised(
    first: Any, second: Any, planned_anew: int, tmp_path: Path
) -> None:
    model = ScriptedModel(TRIP)
    await AsyncRecursiveEngine(model, **first).solve("trip", checkpoint=tmp_path / "run.json")
    asked(model)
    await AsyncRecursiveEngine(model, **second).solve("trip", checkpoint=tmp_path / "run.json")
    assert sum(mode == "planner" for mode, _ in asked(model)) == planned_anew


async def test_another_model_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    await AsyncRecursiveEngine(ScriptedModel(TRIP)).solve("trip", checkpoint=path)
    other = ScriptedModel(TRIP, name="another")
    await AsyncRecursiveEngine(other).solve("trip", checkpoint=path)
    assert len(asked(other)) > 0


# -- keep_plan -----------------------------------------------------------------------------------------------------


async def test_a_changed_task_is_solved_along_the_recorded_plan(tmp_path: Path) -> None:
    path, model = tmp_path / "run.json", ScriptedModel(TRIP)
    engine = AsyncRecursiveEngine(model)
    await engine.solve("trip", checkpoint=path)
    asked(model)
    output = await engine.solve("a trip", checkpoint=path, keep_plan=True)

    assert output.content == "a trip: at 9; downtown; food: soup; stew"
    assert asked(model) == [
        *(("synthesizer", task) for task in ("a trip", "food")),
        *(("worker", task) for task in ("dinner", "flights", "hotel", "lunch")),
    ], "nothing is planned, and answers that were given to the old task are not taken"
    assert path.with_name("run.1.json").exists(), "the old run is kept"
    assert (await engine.solve("a trip", checkpoint=path)).metadata["calls"] == 0, "from now on it is its plan"


async def test_without_a_recorded_plan_the_planner_is_asked(tmp_path: Path) -> None:
    model = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(model).solve("trip", checkpoint=tmp_path / "run.json", keep_plan=True)
    assert output.content == ANSWER


async def test_a_kept_plan_obeys_the_limits_of_now(tmp_path: Path) -> None:
    model = ScriptedModel(TRIP)
    await AsyncRecursiveEngine(model).solve("trip", checkpoint=tmp_path / "run.json")
    lower = AsyncRecursiveEngine(model, max_steps=2)
    output = await lower.solve("a trip", checkpoint=tmp_path / "run.json", keep_plan=True)
    assert (len(output.run.tree), output.metadata["limited"]) == (1, True)


async def test_a_plan_is_kept_over_parts_that_were_put_aside() -> None:
    """Places count among what was followed."""
    journal = MemoryJournal()

    def script(request: Request) -> Any:
        if request.mode != "planner" or request.facts.depth:
            return None
        if len(request.messages) == 2:
            return Reply('{"decision": "RECURSE", "sub_tasks": ["early", {"nonsense": 1}]}')
        return {"decision": "RECURSE", "sub_tasks": ["one", "two"]}

    model = ScriptedModel(script, stream=True, chunk=8)
    run = (await AsyncRecursiveEngine(model).solve("t", checkpoint=journal)).run
    assert [node.state for node in run.tree.children("0")] == ["superseded", "done", "done"]
    asked(model)
    await AsyncRecursiveEngine(model).solve("t!", checkpoint=journal, keep_plan=True)
    assert asked(model) == [("synthesizer", "t!"), ("worker", "one"), ("worker", "two")]


async def test_keeping_a_plan_and_ignoring_it_contradict_each_other() -> None:
    with pytest.raises(ConfigurationError, match=r'mode="fresh" ignores .* keep_plan=True needs'):
        AsyncRecursiveEngine(ScriptedModel()).start("t", mode="fresh", keep_plan=True)


# -- what is said of it --------------------------------------------------------------------------------------------


def reading(name: str) -> Any:
    def reply(request: Request) -> Any:
        if request.mode == "planner":
            parts = ["one", "two"] if request.facts.depth == 0 else []
            return {"decision": "RECURSE" if parts else "EXECUTE", "sub_tasks": parts}
        if request.mode == "worker" and request.facts.task == "one":
            told = [m["content"] for m in request.messages if m["role"] == "tool"]
            return told[0] if told else Reply("", (ToolCall("1", "read_reference", {"name": name}),))
        return None

    return reply


@pytest.mark.parametrize("keeping", ["memory", "file"])
async def test_a_run_says_which_variable_changed_and_makes_anew_what_read_it(keeping: str, tmp_path: Path) -> None:
    journal: Any = MemoryJournal() if keeping == "memory" else tmp_path / "run.json"
    model = ScriptedModel(reading("report"))
    engine = AsyncRecursiveEngine(model)
    variables = {"report": "old", "notes": "same", "unread": "x"}
    first = await engine.solve("t", checkpoint=journal, variables=variables)
    assert (first.run.changed, first.run.notes, first.metadata["changed"]) == ((), [], [])
    asked(model)

    again = await engine.solve("t", checkpoint=journal, variables={**variables, "report": "new"})
    assert asked(model) == [("synthesizer", "t"), ("worker", "one"), ("worker", "one")]
    assert again.run.changed == ("report",)
    assert again.run.notes == ["changed since it was recorded: report"]
    assert again.metadata["changed"] == ["report"]

    unread = await engine.solve("t", checkpoint=journal, variables={**variables, "report": "new", "unread": "y"})
    assert (asked(model), unread.run.changed) == ([], ("unread",))
    if keeping == "memory":
        return
    now = {**variables, "report": "new", "unread": "y"}
    output = await engine.solve("t", checkpoint=journal, variables=now, mode="replay")
    assert (output.content, output.run.notes) == (unread.content, []), "it is recorded as it is now"
    with pytest.raises(ReplayError, match=r"node 0 is not what was recorded in .*: the variable unread changed; run"):
        await engine.solve("t", checkpoint=journal, variables={**now, "unread": "z"}, mode="replay")


async def test_a_file_of_before_says_which_of_the_variables_that_were_read_changed(tmp_path: Path) -> None:
    path, engine = tmp_path / "run.json", AsyncRecursiveEngine(ScriptedModel(reading("report")))
    await engine.solve("t", checkpoint=path, variables={"report": "old"})
    data = json.loads(path.read_text())
    del data["engine"]["variables"]
    path.write_text(json.dumps(data))
    run = (await engine.solve("t", checkpoint=path, variables={"report": "new"})).run
    assert run.changed == ("report",)


async def test_other_prompts_are_noted_and_change_nothing(tmp_path: Path) -> None:
    path, model = tmp_path / "run.json", ScriptedModel(TRIP)
    await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)
    data = json.loads(path.read_text())
    data["engine"]["prompts_version"] = 0
    path.write_text(json.dumps(data))
    asked(model)
    run = (await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)).run
    assert asked(model) == []
    assert run.notes[0].startswith("recorded with prompts of version 0, now ")


# -- killed --------------------------------------------------------------------------------------------------------

SCRIPT = """
import asyncio, os, signal, sys
from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.checkpoints.json_file import JsonFile
done = 0
def kill(event):
    global done
    done += type(event).__name__ == "Finished"
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)
model = ScriptedModel({"trip": {"flights": "anew", "hotel": "anew", "food": "anew"}})
engine = AsyncRecursiveEngine(model, observers=[kill], max_concurrency=1)
asyncio.run(engine.solve(sys.argv[3], checkpoint=JsonFile(sys.argv[1], cell_id="cell-7"), mode=sys.argv[2]))
"""


def killed(path: Path, mode: str, task: str) -> None:
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    arguments = [sys.executable, "-c", SCRIPT, str(path), mode, task]
    ended = subprocess.run(arguments, env=environment, timeout=HANG, check=False)
    assert ended.returncode == -signal.SIGKILL


posix = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")


@posix
async def test_a_fresh_run_that_was_killed_goes_on_without_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    old = await AsyncRecursiveEngine(ScriptedModel(TRIP)).solve("trip", checkpoint=path)
    killed(path, "fresh", "trip")
    model = ScriptedModel({"trip": {"flights": "anew", "hotel": "anew", "food": "anew"}})
    output = await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)

    assert output.content == "trip: anew; anew; anew"
    assert 0 < len(asked(model)) < old.metadata["calls"]
    assert output.usage.calls == 5, "what the old run took is not of this one"
    assert load_run(tmp_path / "run.1.json").partial().content == ANSWER


@posix
async def test_what_another_task_took_is_not_of_this_one_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    await AsyncRecursiveEngine(ScriptedModel(TRIP)).solve("another task", checkpoint=path)
    killed(path, "resume", "trip")
    script = {"trip": {"flights": "anew", "hotel": "anew", "food": "anew"}}
    output = await AsyncRecursiveEngine(ScriptedModel(script)).solve("trip", checkpoint=path)
    assert output.usage.calls == 5


@posix
def test_a_journal_that_a_kill_left_says_which_cell_it_is_of(tmp_path: Path) -> None:
    killed(tmp_path / "run.json", "resume", "trip")
    recorded = load_recorded(tmp_path / "run.json")
    assert recorded is not None
    assert recorded.cell_id == "cell-7"


# -- scripts -------------------------------------------------------------------------------------------------------


def test_a_script_can_edit_a_run_that_it_made_and_one_that_it_finds(tmp_path: Path) -> None:
    path, model = tmp_path / "run.json", ScriptedModel(TRIP)
    engine = RecursiveEngine(model)
    output = engine.solve("trip", checkpoint=path)
    before = path.read_bytes()
    asked(model)
    for run, meal in ((output.run, "pizza"), (load_run(path), "rice"), (path, "beans"), (str(path), "fish")):
        edited = engine.edit(run, "0.2.1", result=meal)
        assert edited.content == f"trip: at 9; downtown; food: soup; {meal}"
        assert asked(model) == [("synthesizer", "food"), ("synthesizer", "trip")]
        assert edited.run.tree.parent == {"run_id": output.run.run_id, "node": "0.2.1"}
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        *(f"run-edit{number}.json" for number in ("-2", "-3", "-4", "")),
        "run.json",
    ]
    with pytest.raises(ConfigurationError, match=r"RecursiveEngine\(...\): .* edit\(run, ...\)"):
        output.run.edit("0", result="x")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("mode", ["", "replay"])
def test_the_same_edit_of_the_same_run_is_told_again(mode: str, tmp_path: Path, monkeypatch: Any) -> None:
    """As when a notebook is executed a second time."""
    path, model = tmp_path / "run.json", ScriptedModel(TRIP)
    engine = RecursiveEngine(model)
    engine.edit(engine.solve("trip", checkpoint=path).run, "0.2.1", result="pizza")
    before = files(tmp_path)
    asked(model)
    monkeypatch.setenv("RLM_MODE", mode)
    again = engine.edit(engine.solve("trip", checkpoint=path).run, "0.2.1", result="pizza")

    assert again.content == "trip: at 9; downtown; food: soup; pizza"
    assert (asked(model), again.run.internals.reused, files(tmp_path)) == ([], True, before)


def test_an_edit_that_is_not_recorded_is_not_replayed(tmp_path: Path, monkeypatch: Any) -> None:
    path, engine = tmp_path / "run.json", RecursiveEngine(ScriptedModel(TRIP))
    engine.solve("trip", checkpoint=path)
    before = files(tmp_path)
    monkeypatch.setenv("RLM_MODE", "replay")
    with pytest.raises(ReplayError, match=r"this change of node 0.2.1 is not recorded beside .*; run once without"):
        engine.edit(path, "0.2.1", result="pizza")
    assert files(tmp_path) == before


def test_trying_again_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    model = ScriptedModel(TRIP, faults=[Fault("hotel", error=ModelError("full"), times=2)])
    engine = RecursiveEngine(model, retry=None)
    for attempt in (lambda: engine.solve("trip", checkpoint=path), lambda: engine.retry_run(path)):
        with pytest.raises(ExecutionError):
            attempt()
    asked(model)
    assert engine.retry_run(path).content == ANSWER
    assert asked(model) == [("planner", "hotel"), ("synthesizer", "trip")]
    assert engine.retry_run(path).content == ANSWER
    assert asked(model) == [], "it has been tried again, and there it is"
    assert sorted(files(tmp_path)) == ["run-edit.json", "run.json"]


def test_a_script_can_try_again_what_failed(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    model = ScriptedModel(TRIP, faults=[Fault("hotel", error=ModelError("full"), times=1)])
    engine = RecursiveEngine(model, retry=None)
    with pytest.raises(ExecutionError):
        engine.solve("trip", checkpoint=path)
    asked(model)
    assert engine.retry_run(path).content == ANSWER
    assert asked(model) == [("planner", "hotel"), ("synthesizer", "trip")]


def test_a_node_that_came_to_no_plan_can_be_answered_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    model = ScriptedModel(TRIP, faults=[Fault("hotel", error=ModelError("full"), times=None)])
    engine = RecursiveEngine(model, retry=None)
    with pytest.raises(ExecutionError):
        engine.solve("trip", checkpoint=path)
    assert engine.edit(path, "0.1", result="a tent").content == "trip: at 9; a tent; food: soup; stew"


async def test_what_a_file_does_not_hold_is_given_again(tmp_path: Path) -> None:
    path, model = tmp_path / "run.json", ScriptedModel(reading("report"))
    engine = AsyncRecursiveEngine(model)
    await engine.solve("t", checkpoint=path, variables={"report": "text"})
    asked(model)
    await engine.edit(path, "0.1", result="by hand", variables={"report": "text"})
    assert asked(model) == [("synthesizer", "t")]


async def test_a_run_that_cannot_be_found_cannot_be_edited(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no run in"):
        AsyncRecursiveEngine(ScriptedModel()).edit(tmp_path / "none.json", "0", result="x")


# -- a place that cannot be written --------------------------------------------------------------------------------


async def test_a_call_that_was_not_made_because_nothing_can_be_kept_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model = ScriptedModel(TRIP)
    run = AsyncRecursiveEngine(model).start("trip", checkpoint=JsonFile(tmp_path / "file" / "run.json"))
    with pytest.raises(CheckpointError, match="cannot write"):
        await run
    assert (model.calls, run.calls, run.usage.calls) == (0, 0, 0)
    assert run.tree.usage.calls == 0


async def test_going_back_to_an_earlier_task_costs_nothing_and_loses_nothing(tmp_path: Path) -> None:
    calls: list[str] = []

    def llm(inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
        calls.append(context["task"])
        return {"content": f"answer {len(calls)}"}

    engine = AsyncRecursiveEngine(llm, max_depth=1)
    answers = [str(await engine.solve(task, checkpoint=tmp_path / "a.json")) for task in ("one", "two", "one", "two")]
    assert answers == ["answer 1", "answer 2", "answer 1", "answer 2"]
    assert calls == ["one", "two"]
    assert str(await engine.solve("one", checkpoint=tmp_path / "a.json", mode="fresh")) == "answer 3"
    assert str(await engine.solve("one", checkpoint=tmp_path / "a.json")) == "answer 3"
