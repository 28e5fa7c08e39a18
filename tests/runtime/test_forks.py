"""Edited runs: results that do not depend on the edit are reused, others are replaced, and the old run is unchanged."""

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook import (
    AsyncRecursiveEngine,
    CheckpointError,
    ConfigurationError,
    ExecutionError,
    ModelError,
    Run,
    ScriptedModel,
    load_run,
)
from rlm_notebook.models.scripted import Fault
from rlm_notebook.runtime.forks import plan_given

TRIP = {"trip": {"flights": "at 9", "hotel": "downtown", "food": {"lunch": "soup", "dinner": "stew"}}}
ANSWER = "trip: at 9; downtown; food: soup; stew"


class Calls:
    """An engine, and the new requests to its model since the last look: (mode, task) of each."""

    def __init__(self, script: Any = TRIP, faults: list[Fault] | None = None, **options: Any) -> None:
        self.model = ScriptedModel(script, faults=faults or [])
        self.engine = AsyncRecursiveEngine(self.model, retry=None, **options)
        self._seen = 0

    async def run(self, **options: Any) -> Run:
        run = self.engine.start("trip", **options)
        with contextlib.suppress(ExecutionError):
            await run
        self.new()
        return run

    def new(self) -> list[tuple[str, str]]:
        made = [(request.mode, request.facts.task) for request in self.model.requests[self._seen :]]
        self._seen = len(self.model.requests)
        return sorted(made)


def node_of(run: Any, task: str) -> str:
    return next(node.id for node in run.tree.walk() if node.task == task)


async def test_another_task_of_a_leaf_runs_that_leaf_and_the_syntheses_above_it() -> None:
    calls = Calls()
    old = await calls.run()
    output = await (new := old.edit(node_of(old, "lunch"), task="brunch"))

    assert output.content == "trip: at 9; downtown; food: answer to: brunch; stew"
    assert calls.new() == [("planner", "brunch"), ("synthesizer", "food"), ("synthesizer", "trip")]
    assert new.tree.parent == {"run_id": old.run_id, "node": "0.2.0"}
    assert new.run_id != old.run_id
    assert (str(old.output), old.tree["0.2.0"].task) == (ANSWER, "lunch"), "the old run stays"


async def test_another_result_runs_the_syntheses_above_it_alone() -> None:
    calls = Calls()
    old = await calls.run()
    output = await (new := old.edit(node_of(old, "dinner"), result="pizza"))

    assert output.content == "trip: at 9; downtown; food: soup; pizza"
    assert calls.new() == [("synthesizer", "food"), ("synthesizer", "trip")]
    assert (new.calls, new.usage.calls) == (2, 2), "a fork starts at zero"
    assert new.tree["0.2.1"].metadata == {"edited": {"was": "stew"}}
    assert [change.new.id for change in old.diff(new).changed] == ["0", "0.2", "0.2.1"]


async def test_another_result_of_a_node_with_parts_leaves_its_parts_alone() -> None:
    calls = Calls()
    old = await calls.run()
    output = await (new := old.edit(node_of(old, "food"), result="a buffet"))

    assert output.content == "trip: at 9; downtown; a buffet"
    assert calls.new() == [("synthesizer", "trip")]
    assert [node.task for node in new.tree.walk()] == [node.task for node in old.tree.walk()]


async def test_an_equal_result_makes_no_call() -> None:
    calls = Calls()
    old = await calls.run()
    output = await (new := old.edit(node_of(old, "food"), result="food: soup; stew"))

    assert (output.content, calls.new()) == (ANSWER, [])
    assert not old.diff(new)


async def test_a_result_that_comes_out_as_before_ends_what_has_to_be_done() -> None:
    """The nearest synthesis is repeated with an equal result, and nothing above it is requested."""
    calls = Calls({"trip": {"food": {"lunch": "soup", "=": "a meal"}, "=": "a trip"}})
    old = await calls.run()
    await old.edit(node_of(old, "lunch"), result="stew")

    assert calls.new() == [("synthesizer", "food")]


async def test_another_result_of_the_root_is_the_answer() -> None:
    calls = Calls()
    old = await calls.run()
    output = await old.edit("0", result="stay at home")

    assert (output.content, calls.new()) == ("stay at home", [])


async def test_another_plan_runs_its_new_parts_alone() -> None:
    calls = Calls()
    old = await calls.run()
    parts = [{"task": task} for task in ("flights", "museum", "hotel", "food")]
    output = await old.edit("0", plan={"decision": "RECURSE", "sub_tasks": parts})

    assert output.content == "trip: at 9; answer to: museum; downtown; food: soup; stew"
    assert calls.new() == [("planner", "museum"), ("synthesizer", "trip")]


async def test_the_same_plan_makes_no_call() -> None:
    calls = Calls()
    old = await calls.run()
    plan = old.tree["0"].plan
    assert plan is not None
    await old.edit("0", plan=plan)

    assert calls.new() == []


async def test_a_leaf_can_be_split_and_a_split_be_answered() -> None:
    calls = Calls()
    old = await calls.run()
    split = await old.edit(node_of(old, "hotel"), plan={"decision": "RECURSE", "sub_tasks": ["room", "breakfast"]})
    assert calls.new() == [("planner", "breakfast"), ("planner", "room"), ("synthesizer", "hotel")]
    assert len(split.run.tree) == 8
    whole = await old.edit(node_of(old, "food"), plan={"decision": "EXECUTE"})

    assert calls.new() == [("synthesizer", "trip"), ("worker", "food")]
    assert len(whole.run.tree) == 4


async def test_another_task_of_the_root_is_another_request() -> None:
    calls = Calls()
    old = await calls.run()
    new = old.edit("0", task="journey")

    assert (await new).content == "answer to: journey"
    assert new.internals.request_key == calls.engine.request_key("journey")


async def test_nodes_that_depend_on_an_edited_node_run_again() -> None:
    def script(request: Any) -> Any:
        if request.mode == "planner" and request.facts.task == "trip":
            tasks = [{"task": "date"}, {"task": "flight", "depends_on": [0]}, {"task": "pets"}]
            return {"decision": "RECURSE", "sub_tasks": tasks}
        return None

    calls = Calls(script)
    old = await calls.run()
    await old.edit(node_of(old, "date"), result="in May")

    assert calls.new() == [("planner", "flight"), ("synthesizer", "trip")]


async def test_of_two_equal_nodes_the_one_that_is_named_is_edited() -> None:
    def script(request: Any) -> Any:
        split = request.mode == "planner" and request.facts.task == "trip"
        return {"decision": "RECURSE", "sub_tasks": ["vote", "vote"]} if split else None

    old = await Calls(script).run()
    other = "answer to: vote"
    assert (await old.edit("0.0", result="yes")).content == f"trip: yes; {other}"
    both = old.edit("0.1", result="yes")
    assert (await both).content == f"trip: {other}; yes"
    assert (await both.edit("0.0", result="no")).content == "trip: no; yes"


def leaves(script: Any, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(script, dict):
        return [above]
    return [leaf for task, below in script.items() for leaf in leaves(below, (*above, task))]


def changed(script: Any, leaf: tuple[str, ...], answer: str) -> Any:
    return {**script, leaf[0]: changed(script[leaf[0]], leaf[1:], answer)} if leaf else answer


PARTS = st.recursive(
    st.sampled_from(["yes", "no"]),
    lambda below: st.dictionaries(st.sampled_from("abcd"), below, min_size=1, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abcd"), PARTS, min_size=1, max_size=3), st.data())
def test_an_edited_run_ends_as_a_run_would_that_had_this_result_itself(parts: Any, data: st.DataObject) -> None:
    script = {"trip": distinct(parts)}
    leaf = data.draw(st.sampled_from(leaves(script)))
    answer = data.draw(st.sampled_from(["yes", "no", "perhaps"]))

    async def outputs() -> tuple[str, str, int]:
        calls = Calls(script)
        fork = (old := await calls.run()).edit(node_of(old, leaf[-1]), result=answer)
        itself = await Calls(changed(script, leaf, answer)).run()
        return str(await fork), str(itself.output), len(calls.new())

    forked, itself, made = asyncio.run(outputs())

    assert forked == itself
    assert made <= len(leaf) - 1, "no more than the syntheses above it"


def distinct(script: Any, above: str = "") -> Any:
    """The same tree in which no two tasks are equal."""
    if not isinstance(script, dict):
        return script
    return {f"{above}{task}": distinct(below, f"{above}{task}") for task, below in script.items()}


# -- what failed -------------------------------------------------------------------------------------------------


def broken(pattern: str) -> list[Fault]:
    return [Fault(pattern, error=ModelError("no room"), times=1)]


async def test_what_failed_is_tried_again_and_nothing_else() -> None:
    calls = Calls(faults=broken("^dinner$"))
    old = await calls.run()
    assert old.status == "failed"
    output = await old.retry()

    assert output.content == ANSWER
    assert calls.new() == [("planner", "dinner"), ("synthesizer", "food"), ("synthesizer", "trip")]
    assert old.status == "failed"


async def test_one_node_can_be_done_again_although_it_was_done() -> None:
    calls = Calls()
    old = await calls.run()
    output = await old.retry(node_of(old, "hotel"))

    assert output.content == ANSWER
    assert calls.new() == [("planner", "hotel")], "it came out the same: nothing above it is asked"


async def test_a_result_can_be_given_for_what_failed() -> None:
    calls = Calls(faults=broken("^dinner$"))
    old = await calls.run()
    output = await old.edit(node_of(old, "dinner"), result="pizza")

    assert output.content == "trip: at 9; downtown; food: soup; pizza"
    assert calls.new() == [("synthesizer", "food"), ("synthesizer", "trip")]


async def test_a_result_given_above_what_failed_is_taken_without_it() -> None:
    calls = Calls(faults=broken("^dinner$"))
    old = await calls.run()
    output = await old.edit(node_of(old, "food"), result="a buffet")

    assert output.content == "trip: at 9; downtown; a buffet"
    assert calls.new() == [("synthesizer", "trip")]


async def test_a_result_given_where_a_gap_was_stated_is_taken_as_it_is() -> None:
    calls = Calls(faults=broken("^dinner$"), on_failure="synthesize")
    old = await calls.run()
    assert "missing" in str(old.output)
    output = await old.edit(node_of(old, "food"), result="a buffet")

    assert output.content == "trip: at 9; downtown; a buffet"
    assert calls.new() == [("synthesizer", "trip")]


async def test_a_plan_can_be_given_to_a_node_that_came_to_none() -> None:
    faults = [Fault("^food$", reply="no plan", mode="planner", times=3)]
    calls = Calls(faults=faults)
    old = await calls.run()
    assert old.status == "failed"
    output = await old.edit(node_of(old, "food"), plan={"decision": "RECURSE", "sub_tasks": ["lunch", "dinner"]})

    assert output.content == ANSWER
    assert ("planner", "food") not in calls.new()


async def test_a_cancelled_run_can_be_gone_on_with() -> None:
    waits = True

    async def hotel(request: Any) -> str:
        await asyncio.sleep(60 if waits else 0)
        return "downtown"

    calls = Calls({"trip": {"flights": "at 9", "hotel": hotel}}, max_concurrency=1)
    run = calls.engine.start("trip")
    async for event in run.events():
        if type(event).__name__ == "Finished":
            break
    await run.cancel()
    calls.new()
    waits = False
    output = await run.retry()

    assert output.content == "trip: at 9; downtown"
    assert ("planner", "flights") not in calls.new()


# -- where it is kept --------------------------------------------------------------------------------------------


async def test_an_edit_of_a_run_in_a_file_is_recorded_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    calls = Calls()
    old = await calls.run(checkpoint=path)
    before = path.read_bytes()
    first, second = old.edit("0.0", result="at 10"), old.edit("0", result="home")
    await first
    await second
    third = first.edit("0.1", result="abroad")
    await third

    assert path.read_bytes() == before
    names = ["run-edit.json", "run-edit-2.json", "run-edit-3.json"]
    assert [run.checkpoint for run in (first, second, third)] == [str(tmp_path / name) for name in names]
    assert sorted(os.listdir(tmp_path)) == sorted(["run.json", *names])
    assert load_run(names_first := tmp_path / "run-edit.json").tree.parent == {"run_id": old.run_id, "node": "0.0"}
    assert str(load_run(names_first).output) == "trip: at 10; downtown; food: soup; stew"
    assert str(third.output) == "trip: at 10; abroad; food: soup; stew"


async def test_an_edit_that_was_resumed_is_still_the_edit(tmp_path: Path) -> None:
    old = await Calls().run(checkpoint=tmp_path / "run.json")
    await (new := old.edit("0.0", result="at 10"))
    calls = Calls()
    again = await calls.run(checkpoint=tmp_path / "run-edit.json")

    assert (str(again.output), again.calls) == ("trip: at 10; downtown; food: soup; stew", 0)
    assert (again.run_id, again.tree.parent) == (new.run_id, new.tree.parent)


async def test_an_edit_that_was_killed_loses_nothing_of_what_it_began_with(tmp_path: Path) -> None:
    old = await Calls().run(checkpoint=tmp_path / "run.json")
    new = old.edit("0.0", result="at 10")
    # What is there before its first step.
    left = (tmp_path / "run-edit.json").read_bytes()
    await new
    (tmp_path / "left.json").write_bytes(left)
    resuming = Calls()
    run = resuming.engine.start("trip", checkpoint=tmp_path / "left.json")

    assert str(await run) == "trip: at 10; downtown; food: soup; stew"
    assert resuming.new() == [("synthesizer", "trip")]
    assert run.tree.parent == {"run_id": old.run_id, "node": "0.0"}


async def test_the_same_edit_twice_at_once_is_an_error(tmp_path: Path) -> None:
    old = await Calls().run(checkpoint=tmp_path / "run.json")
    slow = ScriptedModel(TRIP, latency=30.0)
    engine = AsyncRecursiveEngine(slow)
    first = engine.edit(tmp_path / "run.json", "0.0", task="a train")
    while not slow.requests:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    with pytest.raises(CheckpointError, match=r"this very edit is being made already: .*run-edit\.json; wait for that"):
        await engine.edit(tmp_path / "run.json", "0.0", task="a train")
    await first.cancel()
    assert old.ended


async def test_results_of_an_edit_survive_a_run_that_replaces_it(tmp_path: Path) -> None:
    await Calls().run(checkpoint=tmp_path / "run.json")
    half = AsyncRecursiveEngine(ScriptedModel(TRIP, faults=[Fault("trip", ModelError("down"), times=None)]), retry=None)
    with pytest.raises(ModelError):
        await half.edit(tmp_path / "run.json", "0.0", task="a train")
    edit = tmp_path / "run-edit.json"
    before = edit.read_bytes()
    assert any(node.task == "a train" and node.result for node in load_run(edit).tree)

    calls = Calls()
    await calls.engine.edit(tmp_path / "run.json", "0.0", task="a train")
    assert calls.new() == [("synthesizer", "trip")], "going on loses nothing, and needs no copy"
    assert sorted(os.listdir(tmp_path)) == ["run-edit.json", "run.json"]

    edit.write_bytes(before)
    await AsyncRecursiveEngine(ScriptedModel()).solve("something else", checkpoint=edit)
    assert (tmp_path / "run-edit.1.json").read_bytes() == before


async def test_an_edit_in_memory_can_be_edited_again() -> None:
    calls = Calls()
    first = (await calls.run()).edit("0.0", result="at 10")
    await first
    calls.new()
    output = await (second := first.edit("0.1", result="abroad"))

    assert output.content == "trip: at 10; abroad; food: soup; stew"
    assert calls.new() == [("synthesizer", "trip")]
    assert (second.checkpoint, second.tree.parent) == (None, {"run_id": first.run_id, "node": "0.1"})


async def test_without_a_writable_place_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls()
    old = await calls.run(checkpoint=tmp_path / "run.json")

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rlm_notebook.checkpoints.json_file.os.replace", full)
    with pytest.raises(CheckpointError, match="No space left"):
        old.edit("0.0", task="trains")
    assert calls.new() == []
    assert not {"run-edit.json", "run-edit.json.lock", "run-edit.json.tmp"} & set(os.listdir(tmp_path))


# -- what cannot be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "options", "problem"),
    [
        ("0.9", {"task": "x"}, "there is no node '0.9'"),
        ("0", {}, "nothing was given"),
        ("0", {"task": "x", "result": "y"}, "task and result was given"),
        ("0", {"task": " "}, "is no text or empty"),
        ("0", {"result": 3}, "is no text or empty"),
        ("0", {"plan": {"decision": "PERHAPS"}}, "not a plan"),
        ("0.2.0", {"plan": {"decision": "RECURSE", "sub_tasks": ["x"]}}, "raise max_depth"),
    ],
)
async def test_an_edit_that_cannot_be_made_is_refused(node: str, options: Any, problem: str) -> None:
    calls = Calls(max_depth=3)
    old = await calls.run()
    with pytest.raises(ConfigurationError, match=problem) as refused:
        old.edit(node, **options)
    assert "\n" not in str(refused.value)
    assert calls.new() == []


async def test_while_a_run_is_under_way_it_is_refused() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP, latency=0.05)).start("trip")
    await asyncio.sleep(0.01)
    for attempt in (lambda: run.edit("0", result="x"), run.retry, lambda: run.retry("0")):
        with pytest.raises(ConfigurationError, match="running; wait until it has ended"):
            attempt()
    await run.cancel()


async def test_where_nothing_failed_there_is_nothing_to_try_again() -> None:
    old = await Calls().run()
    with pytest.raises(ConfigurationError, match="nothing failed"):
        old.retry()
    with pytest.raises(ConfigurationError, match="no node '7'"):
        old.retry("7")


async def test_a_node_whose_dependency_failed_cannot_be_given_a_result() -> None:
    def script(request: Any) -> Any:
        split = request.mode == "planner" and request.facts.task == "trip"
        tasks = [{"task": "date"}, {"task": "flight", "depends_on": [0]}]
        return {"decision": "RECURSE", "sub_tasks": tasks} if split else None

    old = await Calls(script, faults=broken("^date$")).run()
    assert isinstance(old.error, ExecutionError)
    with pytest.raises(ConfigurationError, match=r"node 0\.1 depends on 0\.0, which is not done"):
        old.edit("0.1", result="at 9")


async def test_the_cell_of_a_run_does_not_find_an_edit_of_it(tmp_path: Path) -> None:
    from rlm_notebook.checkpoints.location import Cell, checkpoint_for

    folder = tmp_path / "trips.rlm"
    calls = Calls()
    old = await calls.run(checkpoint=folder / "run.json")
    await old.edit("0.0", result="at 10")
    cell = Cell(name=None, cell_id="", request_key=old.internals.request_key, task="trip")

    assert checkpoint_for(cell, tmp_path / "trips.ipynb", tmp_path) == folder / "run.json"
    assert json.loads((folder / "run-edit.json").read_bytes())["request_key"] == old.internals.request_key


@pytest.mark.parametrize("plan", ["split it", 5, ["one"]])
def test_a_value_that_is_no_plan_is_refused_with_an_example(plan: Any) -> None:
    with pytest.raises(ConfigurationError, match="give a Plan, or a dict such as"):
        plan_given(plan)
