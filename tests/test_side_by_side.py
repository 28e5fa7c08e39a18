"""Runs of one engine and of several, at the same time."""

# ruff: noqa: ASYNC110

import asyncio
from typing import Any

import pytest

from rlm_notebook import (
    Agent,
    AsyncRecursiveEngine,
    Event,
    ExecutionError,
    ModelError,
    RetryPolicy,
    ScriptedModel,
)
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.core.events import Finished
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Request
from tests.support.tasks import others
from tests.support.trip import asked, failing, planned, split, states
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import HANG


async def test_equal_requests_under_way_are_one_call_whose_failure_is_each_ones_own() -> None:
    model = planned(0.005, t=split("same", "same", "other"))
    output = await AsyncRecursiveEngine(model).solve("t")
    assert asked(model).count("same") == 1
    assert output.usage.calls == model.calls == 4

    broken = ScriptedModel(
        lambda r: split("same", "same") if r.mode == "planner" and r.facts.task == "t" else None,
        faults=failing("same"),
        latency=0.005,
    )
    with pytest.raises(ExecutionError, match=r"\[0\.0\] no same; \[0\.1\] no same"):
        await AsyncRecursiveEngine(broken).solve("t")


async def test_cancelling_two_that_wait_for_one_answer_starts_no_other_call() -> None:
    model = ScriptedModel(
        lambda r: split("same", "same", "same") if r.facts.task == "t" else asyncio.sleep(60),
    )
    run = AsyncRecursiveEngine(model).start("t")
    while model.calls < 2:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    async with asyncio.timeout(HANG):
        await run.cancel()

    assert model.calls == 2
    assert others() == set()


async def test_a_wait_that_nobody_will_make_does_not_hold_up_the_others() -> None:
    """A provider that asks for a day: the one that was refused fails, and so does the run, now."""
    refused = Fault("^a$", error=ModelError("quota of today", retry_after=86_400, retryable=True), times=None)
    model = ScriptedModel({"t": {"a": "A", "b": {"b1": "1", "b2": "2"}}}, faults=[refused], latency=0.002)
    with pytest.raises(ExecutionError, match="quota of today") as error:
        await AsyncRecursiveEngine(model).solve("t")

    assert states(error.value.run)["0.1"] == "done"


@in_virtual_time
async def test_a_wait_that_a_provider_asks_for_is_made_by_all() -> None:
    refused = Fault("^a$", error=ModelError("slow down", retry_after=0.05, retryable=True))
    began: dict[str, float] = {}

    def answer(request: Request) -> Any:
        began.setdefault(request.facts.task, asyncio.get_running_loop().time())
        return (
            split("a", {"task": "b", "depends_on": []})
            if request.facts.task == "t" and not request.facts.parts
            else None
        )

    model = ScriptedModel(answer, faults=[refused])
    engine = AsyncRecursiveEngine(model, max_concurrency=1, retry=RetryPolicy(initial=0, jitter=False))
    await engine.solve("t")

    assert began["b"] - began["t"] >= 0.05


async def test_a_wait_for_one_provider_leaves_the_turns_to_the_others() -> None:
    refused = Fault("^a$", error=ModelError("slow down", retry_after=0.2, retryable=True))
    plan = split("a", {"task": "a too", "depends_on": []}, {"task": "b", "agent": "other"})
    busy = ScriptedModel(lambda r: plan if r.mode == "planner" and r.facts.task == "t" else None, faults=[refused])
    ended: dict[str, float] = {}

    def note(event: Event) -> None:
        if isinstance(event, Finished):
            ended[event.node] = asyncio.get_running_loop().time()

    engine = AsyncRecursiveEngine(
        busy,
        {"planner": busy, "other": Agent("other", ScriptedModel(name="free"))},
        max_concurrency=1,
        max_depth=2,
        retry=RetryPolicy(initial=0, jitter=False),
        observers=[note],
    )
    await engine.solve("t")

    assert ended["0.2"] < min(ended["0.0"], ended["0.1"]) - 0.1, "the other provider is asked while this one rests"


async def test_an_answer_that_no_longer_fits_its_type_ends_the_run_in_words() -> None:
    from typing import Annotated

    from pydantic import AfterValidator

    strict = False

    def checked(value: int) -> int:
        if strict:
            raise ValueError("not today")
        return value

    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(ScriptedModel({"t": "7"}))
    wanted = Annotated[int, AfterValidator(checked)]
    assert (await engine.solve("t", checkpoint=journal, output_type=wanted)).parsed == 7
    strict = True
    run = engine.start("t", checkpoint=journal, output_type=wanted)
    with pytest.raises(ExecutionError, match=r'does not fit the output type any more.*not today.*mode="fresh"'):
        await run

    assert run.status == "failed"


@pytest.mark.parametrize(("said", "recorded"), [({}, "house-model"), ({"model": "its-own"}, "its-own")])
async def test_the_default_model_names_what_does_not_name_itself(said: dict[str, str], recorded: str) -> None:
    engine = AsyncRecursiveEngine(
        lambda inputs, context: {"content": "x", "metadata": said}, max_depth=1, default_model="house-model"
    )
    output = await engine.solve("task")
    assert output.metadata["model"] == output.run.tree["0"].model == recorded
