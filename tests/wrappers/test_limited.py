"""The pace: never more than so much a minute, whoever asks and wherever; slower when the provider says so."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, Budget, ConfigurationError, ModelError, RetryPolicy, ScriptedModel
from rlm_notebook.core.limits import Usage
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Model, NodeFacts, Reply, Request
from rlm_notebook.wrappers.cached import Cached
from rlm_notebook.wrappers.limited import Limited
from rlm_notebook.wrappers.retried import Retried
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import HANG


class Time:
    """A clock that runs only while somebody sleeps: a minute takes no time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, woken))
        await woken

    async def run(self, *work: Any) -> list[Any]:
        """Let the clock go from one sleeper to the next until all the work is done."""
        tasks = [asyncio.ensure_future(each) for each in work]
        while not all(task.done() for task in tasks):
            for _ in range(20):
                await asyncio.sleep(0)
            self._sleepers = [(at, woken) for at, woken in self._sleepers if not woken.done()]
            if self._sleepers and not all(task.done() for task in tasks):
                at = min(at for at, _ in self._sleepers)
                self.now = max(self.now, at)
                for when, woken in self._sleepers:
                    if when <= at and not woken.done():
                        woken.set_result(None)
        return await asyncio.gather(*tasks, return_exceptions=True)


class Noted:
    """A model that notes when it is asked; the answers, or errors, are given in order, then a plain answer."""

    name = "noted"
    capabilities = ScriptedModel().capabilities

    def __init__(self, clock: Any, *answers: Any, usage: Usage | None = None) -> None:
        self.clock = clock
        self.starts: list[float] = []
        self.tasks: list[str] = []
        self._answers = list(answers)
        self._usage = usage

    async def stream(self, request: Request) -> Any:
        self.starts.append(self.clock())
        self.tasks.append(request.facts.task)
        answer = self._answers.pop(0) if self._answers else "ok"
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        yield Reply(answer, usage=self._usage)


def request(text: str = "t") -> Request:
    return Request("worker", ({"role": "user", "content": text},), NodeFacts(text), max_output_tokens=100)


async def ask(model: Model, text: str = "t") -> Reply:
    *_, reply = [piece async for piece in model.stream(request(text))]
    assert isinstance(reply, Reply)
    return reply


def limited(*answers: Any, usage: Usage | None = None, **limits: Any) -> tuple[Limited, Noted, Time]:
    clock = Time()
    model = Noted(clock, *answers, usage=usage)
    return Limited(model, **limits, clock=clock, sleep=clock.sleep), model, clock


def most_in_a_minute(starts: list[float]) -> int:
    return max(sum(start <= other < start + 60 for other in starts) for start in starts)


@pytest.mark.parametrize("rate", [1, 7, 60, 600])
async def test_within_any_minute_there_are_no_more_requests_than_allowed(rate: int) -> None:
    model, noted, clock = limited(requests_per_minute=rate)
    await clock.run(*(ask(model) for _ in range(min(3 * rate, 300))))

    assert most_in_a_minute(noted.starts) <= rate
    assert noted.starts[-1] - noted.starts[0] < 60 * 3 * 1.2, "and not much fewer"


async def test_a_few_at_once_do_not_wait() -> None:
    model, noted, clock = limited(requests_per_minute=60)
    await clock.run(*(ask(model) for _ in range(6)))

    assert set(noted.starts) == {1000.0}


async def test_callers_go_in_the_order_in_which_they_came() -> None:
    model, noted, clock = limited(requests_per_minute=10)
    await clock.run(*(ask(model, f"{n}") for n in range(12)))

    assert noted.tasks == [f"{n}" for n in range(12)]


async def test_tokens_are_paced_by_what_was_used_and_not_by_what_was_feared() -> None:
    model, noted, clock = limited(tokens_per_minute=1000, usage=Usage(40, 10))
    for _ in range(40):
        await clock.run(ask(model))
    used_per_minute = 50 * most_in_a_minute(noted.starts)

    assert 700 <= used_per_minute <= 1000


async def test_a_request_larger_than_a_whole_minute_still_goes() -> None:
    model, noted, clock = limited(tokens_per_minute=50)
    await clock.run(ask(model), ask(model))

    assert noted.starts[1] - noted.starts[0] >= 100, "the first one has to be paid off"


async def test_what_a_provider_asks_to_wait_everybody_waits() -> None:
    model, noted, clock = limited(ModelError("slow down", status=429, retry_after=30), requests_per_minute=600)
    await clock.run(*(ask(model, f"{n}") for n in range(100)))
    # Those that were under way with the refused one were sent already.
    late = [start for start in noted.starts if start > 1000.0 + 1]

    assert min(late) >= 1030
    assert len(noted.starts) == 100


async def test_after_a_refusal_the_pace_is_half_and_comes_back_slowly() -> None:
    model, noted, clock = limited(ModelError("slow down", status=429), requests_per_minute=60)
    await clock.run(*(ask(model) for _ in range(120)))
    gaps = [after - before for before, after in zip(noted.starts, noted.starts[1:], strict=False)]
    usual = 60 / 55

    assert 1.5 * usual < gaps[6] < 2.1 * usual
    assert gaps[-1] == pytest.approx(usual, rel=0.05)
    assert gaps[6] > gaps[12] > gaps[20] > usual * 1.05, "neither at once nor never"


async def test_calls_refused_together_slow_down_once() -> None:
    refusals = [ModelError("slow down", status=429) for _ in range(6)]
    model, noted, clock = limited(*refusals, requests_per_minute=60)
    await clock.run(*(ask(model) for _ in range(6)))
    await clock.run(ask(model), ask(model))

    assert noted.starts[-1] - noted.starts[-2] < 2.5 * 60 / 55


async def test_other_errors_do_not_slow_anybody_down() -> None:
    model, noted, clock = limited(*[ModelError("broken", status=500) for _ in range(6)], requests_per_minute=60)
    await clock.run(*(ask(model) for _ in range(20)))

    assert noted.starts[-1] - noted.starts[0] == pytest.approx(14 * 60 / 55)


async def test_whoever_stops_waiting_leaves_the_turn_to_others() -> None:
    model, noted, clock = limited(requests_per_minute=6)
    waiting = [asyncio.create_task(ask(model)) for _ in range(50)]
    await asyncio.sleep(0)
    for task in waiting[1:]:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await clock.run(ask(model))

    assert noted.starts[-1] - noted.starts[0] < 600, "49 who left do not count"


async def test_without_limits_only_the_wishes_of_the_provider_are_kept() -> None:
    model, noted, clock = limited(ModelError("later", status=503, retry_after=7))
    await clock.run(ask(model))
    await clock.run(*(ask(model) for _ in range(50)))

    assert set(noted.starts[1:]) == {1007.0}


def test_one_limit_holds_over_several_event_loops() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.now += seconds

    clock = Time()
    model = Limited(scripted := ScriptedModel(), requests_per_minute=600, clock=clock, sleep=sleep)  # 60 at once
    started: list[float] = []
    threads = [
        threading.Thread(target=lambda: started.extend([len(asyncio.run(ask(model)).content) for _ in range(16)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)

    assert scripted.calls == 64
    assert len(waits) >= 4, "four of them had to wait"


@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan"), "60", True])
@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
def test_limits_that_are_none_are_refused(name: str, limit: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Limited(ScriptedModel(), **{name: limit})


# -- with others ---------------------------------------------------------------------------------------------------

QUICK = RetryPolicy(attempts=3, initial=0)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda m: Cached(Retried(Limited(m, 6000), QUICK)),
        lambda m: Cached(Limited(Retried(m, QUICK), 6000)),
        lambda m: Limited(Cached(Retried(m, QUICK)), 6000),
        lambda m: Limited(Retried(Cached(m), QUICK), 6000),
        lambda m: Retried(Cached(Limited(m, 6000)), QUICK),
        lambda m: Retried(Limited(Cached(m), 6000), QUICK),
    ],
    ids=["CRL", "CLR", "LCR", "LRC", "RCL", "RLC"],
)
async def test_wrappers_compose_in_any_order(wrapped: Any) -> None:
    inside = ScriptedModel({"t": ["a", "b"]}, faults=[Fault("a", error=ModelError("busy", status=503, retryable=True))])
    model = wrapped(inside)
    engine = AsyncRecursiveEngine(model, retry=None, budget=Budget(usd=1), cache=None)
    outputs = [await engine.solve("t") for _ in range(2)]

    assert [output.content for output in outputs] == ["t: answer to: a; answer to: b"] * 2
    assert inside.calls == 5, "two splits' worth of calls, and the one that failed"
    assert outputs[1].metadata["calls"] == 0
    limited = replace(inside.capabilities, waits_for_rate_limit=True)
    assert (model.name, model.capabilities) == (inside.name, limited)


@in_virtual_time
async def test_waiting_for_a_turn_is_not_counted_as_time_of_the_call() -> None:
    model = Limited(ScriptedModel({"t": list("abcdefgh")}, latency=0.01), requests_per_minute=10)
    object.__setattr__(model, "sleep", lambda seconds: asyncio.sleep(0.03))
    quick = iter(range(10**6))
    object.__setattr__(model, "clock", lambda: float(next(quick)))
    output = await AsyncRecursiveEngine(model, call_timeout=0.1, max_depth=2, retry=None).solve("t")

    assert output.run.status == "done"
    assert output.metadata["duration"] > 0.1
