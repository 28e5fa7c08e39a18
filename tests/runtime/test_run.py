"""A run: what it tells, how it is controlled, and that it leaves nothing behind."""

# Polling is the simplest way to wait for a state that only the run knows.

import asyncio
import logging
import re
import threading
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    BudgetExceededError,
    CheckpointError,
    ConfigurationError,
    ExecutionError,
    ModelError,
    NodeState,
    RetryPolicy,
    Run,
    ScriptedModel,
)
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.core.events import (
    Event,
    Failed,
    Finished,
    NodeCreated,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Token,
)
from rlm_notebook.core.limits import Usage
from rlm_notebook.core.tree import Recorded, Tree
from rlm_notebook.models.scripted import Fault
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import HANG, until

TRIP = {"trip": {"flights": "at 9", "hotel": "downtown", "food": {"lunch": "soup", "dinner": "stew"}}}


def others() -> set[asyncio.Task[Any]]:
    """Every task but the test's own."""
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


class Slow:
    """A model of which each call waits until the test lets it go on."""

    def __init__(self, script: Any) -> None:
        self.gate = asyncio.Event()
        self.under_way = 0
        self.model = ScriptedModel(lambda request: self._wait(request))
        self._script = ScriptedModel(script)

    async def _wait(self, request: Any) -> Any:
        self.under_way += 1
        try:
            await self.gate.wait()
            return await anext(aiter(self._script.stream(request)))
        finally:
            self.under_way -= 1


# -- events --------------------------------------------------------------------------------------------------------


async def test_the_events_of_a_run_fold_to_its_tree() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP)).start("trip")
    told = [event async for event in run.events()]
    again = Tree()
    for event in told:
        again.apply(event)

    assert isinstance(told[0], RunStarted)
    assert isinstance(told[-1], RunFinished)
    assert list(again) == list(run.tree)
    assert again.status == run.status == "done"


async def test_every_watcher_gets_every_event() -> None:
    first: list[Event] = []
    run = AsyncRecursiveEngine(ScriptedModel(TRIP, stream=True), observers=[first.append]).start("trip")
    second, third = await asyncio.gather(*(asyncio.create_task(collected(run)) for _ in range(2)))

    assert first[-len(second) :] == second == third
    assert any(isinstance(event, Token) for event in first)


async def collected(run: Run) -> list[Event]:
    return [event async for event in run.events()]


async def test_tokens_add_up_to_the_answer() -> None:
    run = AsyncRecursiveEngine(ScriptedModel({"t": None}, stream=True, chunk=3), max_depth=1).start("t")
    tokens = [event.text async for event in run.events() if isinstance(event, Token)]

    assert len(tokens) > 1
    assert "".join(tokens) == (await run).content


async def test_events_of_a_finished_run_end_at_once() -> None:
    run = AsyncRecursiveEngine(ScriptedModel()).start("t")
    await run

    assert await collected(run) == []


async def test_a_failing_observer_is_logged_and_the_run_continues(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("the observer is broken")

    engine = AsyncRecursiveEngine(ScriptedModel(TRIP), observers=[broken, told.append])
    with caplog.at_level(logging.ERROR, logger="rlm_notebook"):
        output = await engine.solve("trip")

    assert output.content.startswith("trip: ")
    assert isinstance(told[-1], RunFinished)
    assert "the observer is broken" in caplog.text
    assert caplog.text.count("Traceback") == 1, "one that always fails does not drown all else"


async def test_an_observer_that_stops_watching_does_not_make_others_miss_an_event() -> None:
    run = AsyncRecursiveEngine(ScriptedModel()).start("t")
    told: list[Event] = []
    stop = run.internals.watch(lambda event: stop())
    run.internals.watch(told.append)
    await run

    assert isinstance(told[0], RunStarted)


# -- cancelling ----------------------------------------------------------------------------------------------------


async def test_after_cancel_no_task_is_alive_and_results_are_recorded() -> None:
    model = ScriptedModel({"t": {"quick": "Q", "slow": lambda request: asyncio.sleep(60)}})
    run = AsyncRecursiveEngine(model).start("t")
    await until(lambda: "0.0" in run.tree and run.tree["0.0"].state is NodeState.DONE)

    await run.cancel()

    assert others() == set()
    assert run.status == "cancelled"
    assert [str(node.state) for node in run.tree] == ["cancelled", "done", "cancelled"]
    assert "Q" in run.partial().content
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_run_cancelled_before_its_first_step_ends_as_cancelled() -> None:
    run = AsyncRecursiveEngine(model := ScriptedModel()).start("t")
    told: list[Event] = []
    run.internals.watch(told.append)

    await run.cancel()

    assert run.status == "cancelled"
    assert [type(event) for event in told] == [RunStarted, RunFinished]
    assert model.calls == 0
    assert await collected(run) == []


async def test_cancelling_from_another_thread_returns_when_the_run_has_ended() -> None:
    slow = Slow(TRIP)
    run = AsyncRecursiveEngine(slow.model).start("trip")
    await until(lambda: slow.under_way == 1)
    seen: list[str] = []

    def cancel() -> None:
        run.cancel()
        seen.append(run.status)

    thread = threading.Thread(target=cancel)
    thread.start()
    await until(lambda: not thread.is_alive())

    assert seen == ["cancelled"]
    assert others() == set()


async def test_cancelling_twice_or_after_the_end_does_nothing() -> None:
    run = AsyncRecursiveEngine(ScriptedModel()).start("t")
    output = await run
    await run.cancel()
    await run.cancel()

    assert run.status == "done"
    assert (await run) is output


async def test_whoever_awaits_a_run_and_is_cancelled_takes_the_run_along() -> None:
    slow = Slow(TRIP)
    solving = asyncio.create_task(AsyncRecursiveEngine(slow.model).solve("trip"))
    await until(lambda: slow.under_way == 1)
    solving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await solving

    assert slow.under_way == 0
    assert others() == set()


async def test_a_blocking_callable_does_not_hold_up_cancelling() -> None:
    release, returned = threading.Event(), threading.Event()

    def blocking(inputs: Any, context: Any) -> dict[str, str]:
        release.wait(HANG)
        returned.set()
        return {"content": "too late"}

    run = AsyncRecursiveEngine(blocking, max_depth=1).start("t")
    await until(lambda: run.calls == 1)
    await run.cancel()

    assert not returned.is_set()
    assert run.status == "cancelled"
    release.set()
    await until(returned.is_set)
    await asyncio.sleep(0.02)
    assert run.tree["0"].result is None


async def test_an_observer_may_cancel_the_run() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP, latency=0.01)).start("trip")
    run.internals.watch(lambda event: run.cancel() if isinstance(event, Finished) else None)
    with pytest.raises(asyncio.CancelledError):
        await run

    assert run.status == "cancelled"
    assert others() == set()


# -- pausing -------------------------------------------------------------------------------------------------------


async def test_while_paused_no_call_starts_and_those_under_way_finish() -> None:
    slow = Slow({"t": {"a": "A", "b": "B"}})
    run = AsyncRecursiveEngine(slow.model).start("t")
    await until(lambda: slow.under_way == 1)
    run.pause()
    slow.gate.set()
    await until(lambda: slow.under_way == 0)
    await asyncio.sleep(0.02)

    assert run.status == "paused"
    assert run.calls == 1
    assert run.tree["0"].decision == "RECURSE"
    run.resume()
    assert (await run).content == "t: A; B"


async def test_a_pause_right_after_the_start_is_not_lost() -> None:
    run = AsyncRecursiveEngine(model := ScriptedModel(TRIP)).start("trip")
    run.pause()
    await asyncio.sleep(0.02)

    assert (run.status, model.calls) == ("paused", 0)
    run.resume()
    assert (await run).content.startswith("trip")


async def test_pause_and_resume_from_another_thread() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP, latency=0.01)).start("trip")
    told: list[Event] = []
    run.internals.watch(told.append)
    await asyncio.to_thread(run.pause)
    await until(lambda: run.status == "paused")
    await asyncio.to_thread(run.resume)
    await run

    kinds = [type(event) for event in told]
    assert kinds.count(RunPaused) == kinds.count(RunResumed) == 1


async def test_a_paused_run_can_be_cancelled() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP, latency=0.01)).start("trip")
    await until(lambda: run.calls == 1)
    run.pause()
    await run.cancel()

    assert run.status == "cancelled"
    assert others() == set()


async def test_pausing_what_has_ended_does_nothing() -> None:
    run = AsyncRecursiveEngine(ScriptedModel()).start("t")
    await run
    run.pause()
    run.resume()

    assert run.status == "done"


# -- budgets -------------------------------------------------------------------------------------------------------


async def test_a_budget_of_calls_stops_new_calls_and_keeps_what_finished() -> None:
    engine = AsyncRecursiveEngine(model := ScriptedModel(TRIP), budget=Budget(calls=3), max_concurrency=1)
    journal = MemoryJournal()
    with pytest.raises(BudgetExceededError, match=r"budget of 3 calls is spent.*larger budget") as error:
        await engine.solve("trip", checkpoint=journal)

    assert model.calls == 3
    run: Run = error.value.run
    assert run.status == "failed"
    assert "at 9" in run.partial().content
    output = await engine.replaced(budget=Budget(calls=20)).solve("trip", checkpoint=journal)
    assert output.content == "trip: at 9; downtown; food: soup; stew"
    # The budget and the usage are those of the whole life of the run, `calls` those of this execution.
    assert output.usage.calls == model.calls == 3 + output.metadata["calls"]


async def test_attempts_are_calls_of_the_budget_too() -> None:
    failing = Fault(error=ModelError("busy", retryable=True), times=None)
    engine = AsyncRecursiveEngine(
        model := ScriptedModel(faults=[failing]), budget=Budget(calls=2), retry=RetryPolicy(attempts=9, initial=0)
    )
    with pytest.raises(BudgetExceededError):
        await engine.solve("t")

    assert model.calls == 2


async def test_a_budget_of_tokens_is_that_of_all_resumes() -> None:
    journal = MemoryJournal()
    whole = (await AsyncRecursiveEngine(ScriptedModel(TRIP)).solve("trip")).usage.total_tokens
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP), budget=Budget(tokens=whole // 2), max_concurrency=1)
    spent = []
    for _ in range(2):
        with pytest.raises(
            BudgetExceededError, match=r"tokens does not suffice for the next call \(\d+ used, and it may take [\d,]+\)"
        ):
            await engine.solve("trip", checkpoint=journal)
        recorded = journal.read()
        spent.append(recorded.spent.total_tokens if recorded is not None else 0)

    assert spent[0] == spent[1] <= whole // 2
    output = await engine.replaced(budget=Budget(tokens=whole * 100)).solve("trip", checkpoint=journal)
    assert output.usage.total_tokens == whole


@in_virtual_time
async def test_seconds_are_counted_while_the_run_works_and_not_while_it_is_paused() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP, latency=0.01), budget=Budget(seconds=0.5)).start("trip")
    await until(lambda: run.calls == 1)
    run.pause()
    await asyncio.sleep(0.7)
    run.resume()
    output = await run

    assert output.metadata["duration"] == pytest.approx(0.05), "five calls one after the other"


@in_virtual_time
async def test_when_the_seconds_are_spent_the_run_stops_with_what_it_has() -> None:
    slow: Any = {"t": {"quick": "Q", "slow": lambda request: asyncio.sleep(60)}}
    engine = AsyncRecursiveEngine(ScriptedModel(slow), budget=Budget(seconds=0.05))
    with pytest.raises(BudgetExceededError, match=r"0.05 seconds") as error:
        await engine.solve("t")

    assert "Q" in error.value.run.partial().content
    assert others() == set()


async def test_a_finished_run_can_be_opened_after_its_seconds_are_spent() -> None:
    """A replay takes no time, however little of the budget is left."""
    journal = MemoryJournal()
    wide = AsyncRecursiveEngine(ScriptedModel({"t": [f"part {n}" for n in range(30)]}))
    first = await wide.solve("t", checkpoint=journal)
    again = await wide.replaced(budget=Budget(seconds=0)).solve("t", checkpoint=journal)

    assert again.content == first.content
    assert again.metadata["calls"] == 0
    assert again.metadata["duration"] == first.metadata["duration"]


async def test_no_call_starts_when_the_seconds_were_spent_before() -> None:
    engine = AsyncRecursiveEngine(model := ScriptedModel(), budget=Budget(seconds=0))
    with pytest.raises(BudgetExceededError):
        await engine.solve("t")

    assert model.calls == 0


# -- keeping -------------------------------------------------------------------------------------------------------


class Refusing(MemoryJournal):
    """A journal that fails at one of its steps."""

    def __init__(self, step: str, kind: type[Event] = Event) -> None:
        super().__init__()
        self._step, self._kind = step, kind

    def _refuse(self, step: str) -> None:
        if step == self._step:
            raise CheckpointError(f"the disk is full ({step})")

    def open(self) -> None:
        self._refuse("open")

    def append(self, event: Event) -> None:
        if isinstance(event, self._kind):
            self._refuse("append")

    def compact(self, recorded: Recorded) -> None:
        self._refuse("compact")
        super().compact(recorded)


@pytest.mark.parametrize("kind", [RunStarted, NodeCreated, Finished, RunFinished])
async def test_an_event_that_cannot_be_recorded_fails_the_run(kind: type[Event]) -> None:
    told: list[Event] = []
    run = AsyncRecursiveEngine(ScriptedModel(TRIP), observers=[told.append]).start(
        "trip", checkpoint=Refusing("append", kind)
    )
    with pytest.raises(CheckpointError, match="disk is full") as error:
        await run

    assert others() == set()
    if kind is not RunStarted:
        assert error.value.run is run
        assert run.status == "failed"
        assert isinstance(told[-1], RunFinished)
        assert told[-1].status == "failed"


async def test_an_answer_that_cannot_be_recorded_is_still_in_memory() -> None:
    told: list[Event] = []
    run = AsyncRecursiveEngine(ScriptedModel(TRIP), observers=[told.append]).start(
        "trip", checkpoint=Refusing("compact")
    )
    with pytest.raises(CheckpointError):
        await run

    assert run.partial().content == "trip: at 9; downtown; food: soup; stew"
    assert (run.status, run.tree.status) == ("failed", "failed")
    assert [event.status for event in told if isinstance(event, RunFinished)] == ["failed"]


async def test_no_call_is_made_where_nothing_can_be_recorded() -> None:
    """Not even by siblings that were waiting for their turn at the same time."""
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(ScriptedModel({"t": ["a", "b", "c"]}, faults=[Fault("[abc]", times=9, reply="")]))
    with pytest.raises(ExecutionError):
        await engine.replaced(retry=None).solve("t", checkpoint=journal)
    refusing = Refusing("open")
    refusing._recorded = journal.read()
    model = ScriptedModel({"t": ["a", "b", "c"]})

    with pytest.raises(CheckpointError):
        await engine.replaced(llm=model).solve("t", checkpoint=refusing)
    assert model.calls == 0


async def test_done_is_emitted_after_it_is_recorded() -> None:
    order: list[str] = []

    class Noting(MemoryJournal):
        def compact(self, recorded: Recorded) -> None:
            order.append(f"kept {recorded.tree.status}")

    engine = AsyncRecursiveEngine(
        ScriptedModel(), observers=[lambda event: order.append("told") if isinstance(event, RunFinished) else None]
    )
    await engine.solve("t", checkpoint=Noting())

    assert order == ["kept done", "told"]


# -- what it gives -------------------------------------------------------------------------------------------------


async def test_a_run_can_be_awaited_again_and_by_several() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP, latency=0.005)).start("trip")
    first, second = await asyncio.gather(*(asyncio.ensure_future(awaited(run)) for _ in range(2)))

    assert first is second is await run
    assert run.output is first


async def awaited(run: Run) -> Any:
    return await run


async def test_an_error_that_is_not_awaited_is_on_the_run() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(faults=[Fault(error=ModelError("no"), times=None)]))
    run = engine.start("t")
    await until(lambda: run.internals.finished)
    await asyncio.sleep(0)

    assert isinstance(run.error, ModelError)
    assert run.tree.error == "ModelError: node 0: no"
    assert isinstance(run.tree["0"].error, str)


async def test_the_metadata_of_an_answer() -> None:
    output = await AsyncRecursiveEngine(ScriptedModel(TRIP)).solve("trip")
    metadata = output.metadata

    assert (metadata["depth"], metadata["steps"], metadata["calls"]) == (2, 6, 8)
    assert metadata["usage"]["total_tokens"] == output.usage.total_tokens > 0
    assert metadata["cost_usd"] == 0.0
    assert metadata["model"] == "scripted"
    assert metadata["limited"] is False
    assert metadata["checkpoint"] is None
    assert metadata["run_id"] == output.run.run_id
    assert metadata["task_id"] == "0"


async def test_the_usage_of_a_run_is_that_of_its_nodes() -> None:
    faults = [
        Fault("lunch", error=ModelError("busy", retryable=True), times=2),
        Fault("trip", reply="no plan", mode="planner"),
    ]
    engine = AsyncRecursiveEngine(model := ScriptedModel(TRIP, faults=faults), retry=RetryPolicy(initial=0))
    run = (await engine.solve("trip")).run

    assert run.usage == run.tree.usage
    assert run.usage.calls == model.calls == 11


async def test_usage_that_a_model_does_not_tell_is_unknown_and_calls_are_counted_once() -> None:
    async def silent(inputs: Any, context: Any) -> dict[str, Any]:
        return {"content": "x"}

    silently = await AsyncRecursiveEngine(silent, max_depth=1).solve("t")
    assert silently.usage == Usage(calls=1, cost_usd=None)
    assert silently.metadata["cost_usd"] is None

    from rlm_notebook.ports import Reply

    counting = ScriptedModel(lambda request: Reply("x", usage=Usage(7, calls=1)))
    assert (await AsyncRecursiveEngine(counting, max_depth=1).solve("t")).usage == Usage(7, calls=1)


async def test_partial_gives_the_topmost_finished_parts_in_the_order_of_the_plan() -> None:
    model = ScriptedModel(TRIP, faults=[Fault("trip", error=ModelError("no"), mode="synthesizer", times=None)])
    run = AsyncRecursiveEngine(model).start("trip")
    with pytest.raises(ModelError):
        await run
    content = run.partial().content

    assert [line for line in content.splitlines() if line.startswith("##")] == [
        "## [0.0] flights",
        "## [0.1] hotel",
        "## [0.2] food",
    ]
    assert "lunch" not in content


async def test_the_trace_of_a_run_is_plain_data() -> None:
    run = (await AsyncRecursiveEngine(ScriptedModel(TRIP)).solve("trip")).run

    assert [(row["id"], row["state"]) for row in run.trace()] == [
        (node, "done") for node in ("0", "0.0", "0.1", "0.2", "0.2.0", "0.2.1")
    ]
    assert str(run).count("\n") == 5
    assert "done: 6 nodes, 8 calls" in repr(run)


async def test_a_failed_run_tells_its_failure_as_events() -> None:
    told: list[Event] = []
    engine = AsyncRecursiveEngine(
        ScriptedModel(TRIP, faults=[Fault("lunch", error=ModelError("no soup"), times=None)]), observers=[told.append]
    )
    with pytest.raises(ExecutionError):
        await engine.solve("trip")

    assert {event.node for event in told if isinstance(event, Failed)} == {"0.2.0", "0.2", "0"}


# -- approval ------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_waiting_for_approval_costs_no_time() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP, latency=0.01), approve="root", budget=Budget(seconds=0.3))
    run = engine.start("trip")
    await until(lambda: run.awaiting)
    await asyncio.sleep(0.5)
    assert [request.node for request in run.awaiting] == ["0"]
    run.approve("0")
    output = await run

    assert output.metadata["duration"] == pytest.approx(0.05), "five calls one after the other"


async def test_an_unapproved_plan_needs_approval_after_a_cancel() -> None:
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(model := ScriptedModel(TRIP), approve=True)
    run = engine.start("trip", checkpoint=journal)
    await until(lambda: run.awaiting)
    await run.cancel()
    again = engine.start("trip", checkpoint=journal)
    await until(lambda: again.awaiting or again.internals.finished)

    assert [request.node for request in again.awaiting] == ["0"]
    assert model.calls == 1
    again.approve("0")
    await until(lambda: [request.node for request in again.awaiting] == ["0.2"])
    await again.cancel()
    third = engine.start("trip", checkpoint=journal)
    await until(lambda: third.awaiting or third.internals.finished)
    assert [request.node for request in third.awaiting] == ["0.2"], "what was approved is not asked again"
    third.approve("0.2", {"decision": "RECURSE", "sub_tasks": ["lunch"]})
    assert (await third).content == "trip: at 9; downtown; food: soup"


async def test_approving_what_waits_for_nothing_is_refused() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP), approve="root").start("trip")
    await until(lambda: run.awaiting)
    with pytest.raises(ConfigurationError, match=r"node 0\.1 waits for no approval; waiting: 0"):
        run.approve("0.1")
    with pytest.raises(ConfigurationError, match="not a plan"):
        run.approve("0", {"decision": "MAYBE"})
    run.approve("0", {"decision": "EXECUTE"})

    assert (await run).content == "answer to: trip"


async def test_a_budget_too_small_for_any_call_is_not_reported_as_spent() -> None:
    model = ScriptedModel(TRIP)
    with pytest.raises(BudgetExceededError) as error:
        await AsyncRecursiveEngine(model, budget=Budget(tokens=500)).solve("trip")

    assert re.search(
        r"500 tokens does not suffice for the next call \(0 used, and it may take 1,\d\d\d\)", str(error.value)
    )
    assert "is spent" not in str(error.value)
    assert model.requests == []
