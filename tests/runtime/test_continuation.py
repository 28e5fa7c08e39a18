"""A run that is edited or tried again while it is under way: nothing paid for is lost, who waits gets the answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ConfigurationError, ExecutionError, NodeState, Run, ScriptedModel, tool
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Reply, ToolCall
from tests.support.waiting import HANG, until

SCRIPT = {"root": {"one": "1", "two": {"three": "3", "four": "4"}, "five": "5"}}


class Counted:
    """A scripted model that counts its requests."""

    def __init__(self, latency: Any = 0.05, **options: Any) -> None:
        self.model = ScriptedModel(SCRIPT, latency=latency, **options)
        self.asked: Counter[tuple[str, str]] = Counter()
        whole = self.model._pieces

        async def pieces(request: Any) -> Any:
            self.asked[request.mode, request.facts.task] += 1
            async for piece in whole(request):
                yield piece

        self.model._pieces = pieces  # type: ignore[method-assign]

    @property
    def twice(self) -> list[tuple[str, str]]:
        return [what for what, count in self.asked.items() if count > 1]


def done(run: Run, *nodes: str) -> Callable[[], bool]:
    return lambda: all(node in run.tree and run.tree[node].state is NodeState.DONE for node in nodes)


def started(model: Any, **options: Any) -> Run:
    checkpoint = options.pop("checkpoint", None)
    return AsyncRecursiveEngine(model, retry=None, **options).start("root", checkpoint=checkpoint)


async def test_whoever_awaits_an_edited_run_gets_what_it_went_on_as() -> None:
    counted = Counted()
    run = started(counted.model)
    waiting = asyncio.ensure_future(run._result())
    await until(done(run, "0.0"))
    followed: list[Run] = []
    run.internals.follow(followed.append)
    run.internals.continue_as(lambda: run.edit("0.0", result="one, by hand"))
    output = await asyncio.wait_for(waiting, HANG)
    assert run.status == "cancelled"
    assert run.internals.successor is not None
    assert followed == [run.internals.successor]
    assert output.run is run.internals.successor is run.internals.latest
    assert run.internals.successor.tree["0.0"].result == "one, by hand"
    assert "one, by hand" in str(output)
    assert counted.twice == [], "no call was made again"


async def test_calls_in_flight_finish_and_are_recorded() -> None:
    counted = Counted(latency=0.3)
    run = started(counted.model)
    await until(lambda: counted.asked["worker", "one"] > 0 or counted.asked["planner", "one"] > 0)
    calls = sum(counted.asked.values())
    run.internals.continue_as(run.internals.again)
    await asyncio.sleep(0.1)
    assert sum(counted.asked.values()) == calls, "no new call starts"
    assert not run.ended
    await run
    assert counted.twice == []


async def test_tools_under_way_return_before_the_run_ends() -> None:
    """A tool may not bear to be called again."""
    called: list[str] = []

    @tool
    async def order(what: str) -> str:
        """Order something."""
        called.append(what)
        await asyncio.sleep(0.4)
        return "ordered"

    def answer(request: Any) -> Any:
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        if len(request.messages) > 2:
            return "done"
        return Reply("", tool_calls=(ToolCall("c1", "order", {"what": "tea"}),))

    run = AsyncRecursiveEngine(ScriptedModel(answer), tools=[order]).start("buy tea")
    await until(lambda: bool(called))
    run.internals.continue_as(run.internals.again)
    assert str(await run) == "done"
    assert called == ["tea"]


async def test_a_pause_does_not_hold_up_an_edit_and_resume_does_not_undo_it() -> None:
    counted = Counted()
    run = started(counted.model)
    await until(done(run, "0.0"))
    run.pause()
    run.internals.continue_as(lambda: run.edit("0.0", result="by hand"))
    run.resume()
    assert "by hand" in str(await asyncio.wait_for(run._result(), HANG))
    assert counted.twice == []


async def test_cancelling_while_it_settles_starts_nothing() -> None:
    run = started(Counted(latency=0.5).model)
    await asyncio.sleep(0.05)
    run.internals.continue_as(run.internals.again)
    await run.cancel()
    await asyncio.sleep(0.1)
    assert run.internals.successor is None
    assert run.ended
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_an_interrupted_caller_cancels_the_successor() -> None:
    counted = Counted()
    run = started(counted.model)
    waiting = asyncio.ensure_future(run._result())
    await until(done(run, "0.0"))
    run.internals.continue_as(lambda: run.edit("0.0", result="by hand"))
    await until(lambda: run.internals.successor is not None)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert run.ended
    assert run.internals.latest.status == "cancelled"


async def test_a_finished_run_continues_at_once() -> None:
    counted = Counted(latency=0)
    run = started(counted.model)
    first = await run
    run.internals.continue_as(lambda: run.edit("0.0", result="by hand"))
    await until(lambda: run.internals.successor is not None)
    second = await run.internals.successor  # type: ignore[misc]
    assert str(first) != str(second)
    assert counted.twice == [("synthesizer", "root")]


async def test_trying_again_stays_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    counted = Counted(latency=0, faults=[Fault("three", error=RuntimeError("gone"), times=1)])
    run = started(counted.model, checkpoint=path)
    with pytest.raises(ExecutionError):
        await run
    run.internals.continue_as(run.internals.again)
    await until(lambda: run.internals.successor is not None)
    await run.internals.latest
    assert run.internals.latest.status == "done"
    assert run.internals.latest.run_id == run.run_id
    assert [each.name for each in tmp_path.glob("*.json")] == ["run.json"]  # noqa: ASYNC240
    again = started(counted.model, checkpoint=path)
    await again
    assert again.calls == 0


async def test_what_cannot_be_started_leaves_the_run_as_it_ended(caplog: pytest.LogCaptureFixture) -> None:
    run = started(Counted().model)
    await until(done(run, "0.0"))
    run.internals.continue_as(lambda: run.edit("9", result="?"))
    with pytest.raises(asyncio.CancelledError):
        await run
    assert run.internals.successor is None
    assert "no node '9'" in caplog.text


async def test_a_second_change_is_refused_while_the_first_is_on_its_way() -> None:
    run = started(Counted().model)
    await until(done(run, "0.0"))
    run.internals.continue_as(lambda: run.edit("0.0", result="by hand"))
    with pytest.raises(ConfigurationError, match="about to continue with another change"):
        run.internals.continue_as(lambda: run.edit("0.1", task="other"))
    assert "by hand" in str(await run)


async def test_a_run_that_was_cancelled_while_it_settled_can_be_changed() -> None:
    run = started(Counted().model)
    await until(done(run, "0.0"))
    run.internals.continue_as(lambda: run.edit("0.0", result="by hand"))
    await run.cancel()
    run.internals.continue_as(lambda: run.edit("0.0", result="another hand"))
    await until(lambda: run.internals.successor is not None)
    assert "another hand" in str(await run.internals.latest)


async def test_two_runs_never_write_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    run = started(Counted(faults=[Fault("three", error=RuntimeError("gone"), times=1)]).model, checkpoint=path)
    with pytest.raises(ExecutionError):
        await run
    second = run.internals.again()
    for start in (run.internals.again, run.synthesize_anyway):
        with pytest.raises(ConfigurationError, match="continues in"):
            start()
    await second
    third = run.internals.again()
    with pytest.raises(ConfigurationError, match="continues in"):
        second.internals.again()
    await third
    assert third.internals.reused


# -- one node ---------------------------------------------------------------------------------------------------------


async def test_one_cancelled_node_leaves_its_siblings_alone() -> None:
    run = started(Counted(latency=0.1).model)
    await until(lambda: "0.1" in run.tree and run.tree["0.1"].state is NodeState.WAITING)
    await run.cancel("0.1")
    assert run.tree["0.1"].state is NodeState.CANCELLED
    assert {node.state for node in run.tree.walk("0.1")} == {NodeState.CANCELLED}
    with pytest.raises(ExecutionError, match=r"node 0.1 was cancelled"):
        await run
    assert done(run, "0.0", "0.2")()


async def test_the_rest_is_joined_where_gaps_are_allowed() -> None:
    run = started(Counted(latency=0.1).model, on_failure="synthesize")
    await until(lambda: "0.1" in run.tree)
    run.cancel("0.1")
    output = await run
    assert run.tree["0.1"].state is NodeState.CANCELLED
    assert "1" in str(output)


async def test_a_node_is_cancelled_before_its_first_step() -> None:
    run = started(Counted().model, on_failure="synthesize")

    def at_once(event: Any) -> None:
        if type(event).__name__ == "NodeCreated" and event.node == "0.2":
            run.cancel("0.2")

    run.internals.watch(at_once)
    await run
    assert run.tree["0.2"].state is NodeState.CANCELLED
    assert run.tree["0.2"].started is None


@pytest.mark.parametrize("node", ["9", "0.0.7"])
async def test_a_node_that_is_not_there_cannot_be_cancelled(node: str) -> None:
    run = started(Counted().model)
    with pytest.raises(ConfigurationError, match="nothing to cancel"):
        run.cancel(node)
    await run.cancel()


async def test_a_cancelled_node_is_tried_again() -> None:
    counted = Counted(latency=0.05)
    run = started(counted.model)
    await until(lambda: "0.1" in run.tree)
    run.cancel("0.1")
    run.internals.continue_as(run.internals.again)
    output = await run
    assert output.run is not run
    assert all(node.state is NodeState.DONE for node in run.internals.latest.tree)


async def test_an_answer_without_the_part_that_failed_leaves_no_copy_when_that_is_mended(tmp_path: Path) -> None:
    """The synthesis over the gap is superseded by a new one after a retry."""
    plans, failed, going = {"root": ["two", "five"], "two": ["three", "four"]}, [], asyncio.Event()

    async def answer(request: Any) -> Any:
        task = request.facts.task
        if request.mode == "planner":
            return {"decision": "RECURSE", "sub_tasks": plans[task]} if task in plans else {"decision": "EXECUTE"}
        if request.mode == "synthesizer":
            return ", ".join(part.content for part in request.facts.parts)
        if task == "five":
            await going.wait()
        if task == "three" and not failed:
            failed.append(task)
            raise RuntimeError("gone")
        return task

    run = started(ScriptedModel(answer), on_failure="synthesize", checkpoint=tmp_path / "run.json")
    await until(done(run, "0.0"))
    run.internals.continue_as(run.internals.again)
    going.set()
    assert str(await asyncio.wait_for(run._result(), HANG)) == "three, four, five"
    assert os.listdir(tmp_path) == ["run.json"]
