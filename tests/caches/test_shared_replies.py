"""Equal requests in one engine: made once, and marked "cached" only where another run, or an earlier call, paid."""

import asyncio

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel


async def test_runs_that_share_a_cache_share_what_is_in_flight() -> None:
    model = ScriptedModel(latency=0.05)
    engine = AsyncRecursiveEngine(model, max_depth=1, cache=True)
    outputs = await asyncio.gather(*(engine.solve("t") for _ in range(3)))

    assert model.calls == 1
    assert sorted(output.run.tree["0"].mark for output in outputs) == ["", "cached", "cached"]
    assert sorted(output.metadata["calls"] for output in outputs) == [0, 0, 1]


async def test_equal_requests_of_one_run_are_one_call_and_none_of_them_is_marked() -> None:
    model = ScriptedModel({"t": ["same", "same", "other"]}, latency=0.02)
    for cache in (None, True):
        model.requests.clear()
        output = await AsyncRecursiveEngine(model, max_depth=2, cache=cache).solve("t")

        assert model.asked("worker") in (["same", "other"], ["same", "other"][::-1])
        assert {node.mark for node in output.run.tree} == {""}


async def test_a_cancelled_run_takes_no_reply_from_the_others() -> None:
    model = ScriptedModel(latency=0.05)
    engine = AsyncRecursiveEngine(model, max_depth=1, cache=True)
    first = engine.start("t")
    second = asyncio.create_task(engine.solve("t"))
    while not model.calls:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.001)
    await first.cancel()

    assert (await second).run.tree["0"].mark == ""
    assert model.calls == 2
