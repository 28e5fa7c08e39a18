"""Patience: what is repeated, how long is waited, and what is said at the end."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine
from rlm_notebook.core.retry import RetryPolicy
from rlm_notebook.exceptions import ConfigurationError, ModelError
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.models.scripted import Fault, ScriptedModel
from rlm_notebook.ports import Model, NodeFacts, Reply, Request
from rlm_notebook.wrappers.retried import Retried
from tests.fault_server import Act, FaultServer, refusal
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import HANG

QUICK = RetryPolicy(attempts=4, initial=0.01, maximum=0.02)
BUSY = ModelError("busy", retryable=True)


def asking(**options):
    return Request("worker", ({"role": "user", "content": "t"},), NodeFacts("t"), **options)


async def collect(model, **options):
    *pieces, reply = [piece async for piece in model.stream(asking(**options))]
    assert isinstance(reply, Reply)
    return pieces, reply


def failing(error, times, **options):
    return ScriptedModel(faults=[Fault("t", error, times=times)], **options)


class TestWhatIsRepeated:
    async def test_a_retryable_error_is_repeated_until_it_works(self):
        model, told = failing(BUSY, 2), []
        retried = Retried(model, QUICK, on_retry=lambda error, attempt, delay: told.append((error, attempt)))
        assert (await collect(retried))[1].content == "answer to: t"
        assert model.calls == 3
        assert told == [(BUSY, 1), (BUSY, 2)], "the reasons are the model's own errors"

    async def test_the_last_error_says_how_often_it_was_tried(self):
        model = failing(ModelError("busy", status=503, retryable=True), None)
        for _ in range(2):
            with pytest.raises(ModelError, match=r"^busy \(tried 4 times\)$") as caught:
                await collect(Retried(model, QUICK))
            assert caught.value.status == 503
        assert model.calls == 8

    @pytest.mark.parametrize(
        "error",
        [
            ModelError("wrong key", fatal=True),
            ModelError("no"),
            ValueError("bug"),
        ],
    )
    async def test_what_cannot_get_better_is_not_repeated(self, error):
        model = failing(error, None)
        with pytest.raises(type(error)) as caught:
            await collect(Retried(model, QUICK))
        assert caught.value is error
        assert model.calls == 1

    @pytest.mark.parametrize(
        "error", [ModelError("x", retryable=True, fatal=True), ModelError("x", status=401, fatal=True)]
    )
    async def test_what_a_provider_refused_for_good_says_that_it_was_tried_once(self, error):
        model = failing(error, None)
        with pytest.raises(ModelError, match=r"^x \(tried once\)$"):
            await collect(Retried(model, QUICK))
        assert model.calls == 1

    async def test_one_attempt_is_one_call(self):
        model = failing(BUSY, None)
        with pytest.raises(ModelError, match=r"^busy \(tried once\)$"):
            await collect(Retried(model, RetryPolicy(attempts=1)))
        assert model.calls == 1

    async def test_it_is_the_model_to_everyone_else(self):
        model = ScriptedModel(stream=True, name="m")
        assert isinstance(Retried(model), Model)
        assert (Retried(model).name, Retried(model).capabilities) == ("m", model.capabilities)


class TestStreams:
    async def test_a_broken_stream_starts_again_and_the_listener_is_told_in_between(self):
        model = ScriptedModel({"t": "abcdef"}, stream=True, chunk=2, faults=[Fault("t", BUSY, after=2)])
        seen = []
        retried = Retried(model, QUICK, on_retry=lambda error, attempt, delay: seen.append("again"))
        async for piece in retried.stream(asking(streaming=True)):
            seen.append(piece if isinstance(piece, str) else piece.content)
        assert seen == ["ab", "cd", "again", "ab", "cd", "ef", "abcdef"]

    async def test_leaving_early_is_no_failed_attempt(self):
        model = ScriptedModel({"t": "abcdef"}, stream=True, chunk=2)
        stream = Retried(model, QUICK).stream(asking(streaming=True))
        await anext(stream)
        await stream.aclose()
        assert (model.calls, model._active) == (1, 0)

    async def test_cancelling_is_no_failed_attempt_in_the_call_or_in_the_wait(self):
        slow = ScriptedModel(latency=30)
        waiting = failing(ModelError("busy", retryable=True, retry_after=30), None)
        for model in (slow, waiting):
            task = asyncio.create_task(collect(Retried(model, QUICK)))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert model.calls == 1


class TestWaits:
    @in_virtual_time
    async def test_the_provider_decides_how_long_is_waited(self):
        told = []
        model = failing(ModelError("busy", retryable=True, retry_after=0.2), 1)
        retried = Retried(model, QUICK, on_retry=lambda error, attempt, delay: told.append(delay))
        started = asyncio.get_running_loop().time()
        await collect(retried)
        assert asyncio.get_running_loop().time() - started == pytest.approx(told[0])
        assert 0.2 <= told[0] <= 0.21

    async def test_nobody_waits_for_an_hour(self):
        model = failing(ModelError("come back tomorrow", retryable=True, retry_after=3600.0), None)
        with pytest.raises(ModelError, match="tomorrow"):
            await asyncio.wait_for(collect(Retried(model, QUICK)), HANG)
        assert model.calls == 1

    @given(attempt=st.integers(1, 5000), chance=st.floats(0, 1), asked=st.none() | st.floats(0, 1000))
    def test_a_wait_is_within_its_bounds(self, attempt, chance, asked):
        policy = RetryPolicy(initial=0.5, maximum=30.0)
        delay = policy.delay(attempt, asked=asked, chance=chance)
        if asked is None:
            assert 0.25 <= delay <= 30.0
        else:
            assert asked <= delay <= asked + 0.5

    def test_waits_double(self):
        policy = RetryPolicy(initial=1, maximum=10, jitter=False)
        assert [policy.delay(attempt, chance=0.3) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]

    @pytest.mark.parametrize(
        "values",
        [
            {"attempts": 0},
            {"attempts": 1.5},
            {"attempts": True},
            {"initial": -1},
            {"maximum": float("nan")},
            {"patience": "1"},
        ],
    )
    def test_a_policy_that_makes_no_sense_is_refused(self, values):
        with pytest.raises(ConfigurationError, match=next(iter(values))):
            RetryPolicy(**values)


class TestOverTheWire:
    async def test_rate_limits_failures_and_broken_streams_are_survived(self):
        acts = [
            refusal(429, "slow", headers={"Retry-After": "0.05"}),
            refusal(503, "busy"),
            Act(content="a long answer that breaks off", broken="reset", after=3),
            Act(content="whole"),
        ]
        async with FaultServer(acts) as server:
            model = Retried(OpenAIModel("m", base_url=server.url), QUICK)
            _, reply = await collect(model, streaming=True)
        assert reply.content == "whole"
        assert len(server.requests) == 4

    async def test_a_spent_quota_is_asked_for_once(self):
        async with FaultServer([refusal(429, "quota", code="insufficient_quota")]) as server:
            with pytest.raises(ModelError) as caught:
                await collect(Retried(OpenAIModel("m", base_url=server.url), QUICK))
        assert caught.value.fatal
        assert len(server.requests) == 1

    async def test_a_server_that_is_not_there_is_tried_four_times_with_the_default_policy(self):
        with pytest.raises(ModelError, match=r"is the server running\? \(tried 4 times\)"):
            await AsyncRecursiveEngine(OpenAIModel("m", base_url="http://127.0.0.1:1/v1")).solve("t")


def test_importing_it_does_not_import_tenacity():
    code = "import sys, rlm_notebook.wrappers.retried; print('tenacity' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, cwd=root)
    assert done.stdout.strip() == "False"
