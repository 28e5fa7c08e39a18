"""The text of an answer, while it is written."""

# ruff: noqa: PT012

import asyncio

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    Event,
    ModelError,
    ScriptedModel,
)
from rlm_notebook.core.events import Finished, NodeCreated, RunFinished, Token
from tests.support.tasks import others
from tests.support.trip import TRIP, failing


async def test_stream_gives_every_event_in_order_tokens_included() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP, stream=True))
    told = [event async for event in engine.stream("trip")]

    assert isinstance(told[-1], RunFinished)
    assert sum(isinstance(event, NodeCreated) for event in told) == 6
    joined = "".join(e.text for e in told if isinstance(e, Token) and e.node == "0")
    assert joined == "trip: at 9; downtown; food: soup; stew", "of answers only: no plan JSON streams"


async def test_leaving_the_stream_early_cancels_the_run() -> None:
    model = ScriptedModel(TRIP, latency=0.01)
    async for event in AsyncRecursiveEngine(model).stream("trip"):
        if isinstance(event, Finished):
            break
    for _ in range(20):
        await asyncio.sleep(0)
    after = model.calls
    await asyncio.sleep(0.05)

    assert others() == set()
    assert model.calls == after < 8


async def test_the_error_of_a_run_comes_after_its_last_event() -> None:
    told: list[Event] = []
    with pytest.raises(ModelError, match="no t"):
        async for event in AsyncRecursiveEngine(ScriptedModel(faults=failing("t"))).stream("t"):
            told.append(event)

    assert isinstance(told[-1], RunFinished)
    assert told[-1].status == "failed"
