"""An answer from what there is: for a run that ended before it was done."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    ConfigurationError,
    ExecutionError,
    ModelError,
    ScriptedModel,
    load_run,
)
from rlm_notebook.models.scripted import Fault
from tests.support.waiting import HANG

TRIP = {"trip": {"flights": "at 9", "hotel": "downtown", "food": {"lunch": "soup", "dinner": "stew"}}}


async def ended(engine: AsyncRecursiveEngine, **options: Any) -> Any:
    run = engine.start("trip", **options)
    with pytest.raises(Exception):  # noqa: B017, PT011
        await run
    return run


async def test_what_is_missing_is_stated_to_the_synthesizer_at_every_level() -> None:
    faults = [Fault("^(hotel|lunch)$", error=ModelError("no room"), times=None)]
    run = await ended(AsyncRecursiveEngine(model := ScriptedModel(TRIP, faults=faults)))
    calls = model.calls
    output = await run.synthesize_anyway()

    assert output.content == "trip: at 9; (missing: it was not finished); food: (missing: it was not finished); stew"
    assert [request.mode for request in model.requests[calls:]] == ["synthesizer"] * 2, "nothing new is solved"
    assert output.run.status == "done"


async def test_it_is_an_answer_although_the_budget_is_spent() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP), budget=Budget(calls=2), max_concurrency=1)
    run = await ended(engine)
    output = await run.synthesize_anyway()

    assert "(missing: " in output.content
    assert "at 9" in output.content or "soup" in output.content or "downtown" in output.content


async def test_the_next_resume_solves_what_is_missing_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    faults = [Fault("^hotel$", error=ModelError("no room"), times=None)]
    run = await ended(AsyncRecursiveEngine(ScriptedModel(TRIP, faults=faults)), checkpoint=path)
    await run.synthesize_anyway()
    model = ScriptedModel(TRIP)
    output = await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)

    assert output.content == "trip: at 9; downtown; food: soup; stew"
    assert [request.facts.task for request in model.requests] == ["hotel", "trip"]


async def test_what_failed_keeps_its_error_and_its_partial_text(tmp_path: Path) -> None:
    async def model(inputs: Any, context: Any) -> Any:
        if context["mode"] == "planner":
            parts = {"trip": ["flights", "food"], "food": ["lunch", "dinner"]}.get(context["task"], [])
            yield json.dumps({"decision": "RECURSE" if parts else "EXECUTE", "sub_tasks": parts})
        elif context["task"] in ("lunch", "dinner"):
            yield "a soup of "
            raise ValueError("418: short and stout")
        else:
            yield "fine"

    path = tmp_path / "run.json"
    run = await ended(AsyncRecursiveEngine(model, retry=None), checkpoint=path)
    before = {node.id: (node.error, node.error_kind, node.partial) for node in run.tree if node.id != "0"}
    output = await run.synthesize_anyway()

    assert "418" in before["0.1.0"][0]
    assert before["0.1.0"][2] == "a soup of "
    for tree in (output.run.tree, load_run(path).tree):
        assert {node.id: (node.error, node.error_kind, node.partial) for node in tree if node.id != "0"} == before
        assert tree["0"].state == "done"


async def test_where_nothing_is_finished_there_is_no_answer() -> None:
    run = await ended(AsyncRecursiveEngine(ScriptedModel(faults=[Fault(error=ModelError("down"), times=None)])))
    with pytest.raises(ExecutionError, match="not finished"):
        await run.synthesize_anyway()


async def test_while_a_run_is_under_way_it_is_refused() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP, latency=0.05)).start("trip")
    await asyncio.sleep(0.01)
    with pytest.raises(ConfigurationError, match="running; wait until it has ended, or cancel it first"):
        run.synthesize_anyway()
    await run.cancel()


async def test_a_cancelled_run_can_be_joined_too_and_nobody_is_asked_for_approval() -> None:
    model = ScriptedModel({"trip": {"flights": "at 9", "hotel": lambda r: asyncio.sleep(60)}})
    engine = AsyncRecursiveEngine(model, approve=True)
    run = engine.start("trip")
    async with asyncio.timeout(HANG):
        while "0" not in run.awaiting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        run.approve("0")
        while "0.0" not in run.tree or run.tree["0.0"].result is None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await run.cancel()

    assert (await run.synthesize_anyway()).content == "trip: at 9; (missing: it was not finished)"


async def test_the_type_holds_for_it_too() -> None:
    class Found(BaseModel):
        parts: int

    def script(request: Any) -> Any:
        if request.mode == "planner":
            return {"decision": "RECURSE", "sub_tasks": ["a", "b"]} if request.facts.task == "trip" else None
        return '{"parts": 1}' if request.mode == "synthesizer" else None

    faults = [Fault("^b$", error=ModelError("no"), times=None)]
    run = await ended(AsyncRecursiveEngine(ScriptedModel(script, faults=faults)), output_type=Found)

    assert (await run.synthesize_anyway()).parsed == Found(parts=1)
