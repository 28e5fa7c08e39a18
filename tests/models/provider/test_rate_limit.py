"""The rate_limit: what a provider announces is kept by all who call, over threads and event loops."""

import asyncio
import itertools
import threading

import pytest

from rlm_notebook import AsyncRecursiveEngine, RetryPolicy
from rlm_notebook.exceptions import ModelError
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.models.openai.errors import rate_limit_headers
from rlm_notebook.models.provider.rate_limit import LongWait, RateLimit, RateLimitHeaders, Ticket, rate_limit_of
from rlm_notebook.ports import Model
from rlm_notebook.wrappers.retried import Retried
from tests.fault_server import Act, FaultServer, ServerLimit, refusal
from tests.models.openai.test_model import asking, collect
from tests.support.waiting import HANG


class Clock:
    """Runs only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def sent(rate_limit: RateLimit, clock: Clock, calls: int, *, tokens: float = 1) -> list[float]:
    """When each of so many calls in a row was sent; each is over at once."""
    times = []
    for _ in range(calls):
        ticket = await rate_limit.turn(tokens, clock.sleep)
        times.append(clock.now)
        rate_limit.went_well(ticket)
    return times


def test_headers_are_read_where_they_say_all_of_it() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-remaining-tokens": "30000",
    }
    assert rate_limit_headers(headers) == {"requests": RateLimitHeaders(500, 499, 0.12)}
    assert rate_limit_headers(headers)["requests"].rate == pytest.approx(500 / 60)
    assert rate_limit_headers({}) == {}


async def test_without_announcements_nobody_waits(clock: Clock) -> None:
    assert set(await sent(RateLimit(clock), clock, 1000)) == {100.0}


async def test_what_is_left_goes_at_once_and_the_rest_at_the_rate_at_which_it_comes_back(clock: Clock) -> None:
    rate_limit = RateLimit(clock)
    ticket = await rate_limit.turn(1, clock.sleep)
    rate_limit.learn(
        ticket, {"requests": RateLimitHeaders(60, 11, 24.5)}
    )  # two a second, and a little is left to be sure
    times = await sent(rate_limit, clock, 20)

    assert times[:10] == [100.0] * 10
    assert [after - before for before, after in itertools.pairwise(times[9:])] == pytest.approx([0.5] * 10)


async def test_tokens_are_kept_too_and_a_call_larger_than_the_limit_still_goes(clock: Clock) -> None:
    rate_limit = RateLimit(clock)
    rate_limit.learn(
        await rate_limit.turn(1, clock.sleep), {"tokens": RateLimitHeaders(600, 102.5, 49.75)}
    )  # ten a second
    times = await sent(rate_limit, clock, 3, tokens=200)

    assert times == pytest.approx([110.0, 130.0, 150.0])
    assert await sent(rate_limit, clock, 1, tokens=10_000) == pytest.approx([209.75])


async def test_what_is_counted_by_the_day_is_used_to_the_last(clock: Clock) -> None:
    rate_limit = RateLimit(clock)
    rate_limit.learn(await rate_limit.turn(1, clock.sleep), {"requests": RateLimitHeaders(14_400, 100, 85_800)})

    assert set(await sent(rate_limit, clock, 99)) == {100.0}


async def test_an_idle_hour_gives_no_more_than_the_limit(clock: Clock) -> None:
    rate_limit = RateLimit(clock)
    rate_limit.learn(await rate_limit.turn(1, clock.sleep), {"requests": RateLimitHeaders(5, 0.5, 4.5)})
    clock.now += 3600
    times = await sent(rate_limit, clock, 8)

    assert len({*times[:4]}) == 1
    assert times[7] - times[4] == pytest.approx(3.0)


async def test_whoever_stops_waiting_leaves_the_turn_to_others(clock: Clock) -> None:
    rate_limit = RateLimit(clock)
    rate_limit.learn(await rate_limit.turn(1, clock.sleep), {"requests": RateLimitHeaders(10, 1, 9.0)})
    waiting = [asyncio.create_task(rate_limit.turn(1)) for _ in range(500)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert await sent(rate_limit, clock, 3) == pytest.approx([101.0, 102.0, 103.0])


async def test_a_late_reply_to_an_early_call_does_not_undo_what_is_known(clock: Clock) -> None:
    rate_limit = RateLimit(clock)
    early, late = [await rate_limit.turn(1, clock.sleep) for _ in range(2)]
    rate_limit.learn(late, {"requests": RateLimitHeaders(10, 1, 9.0)})
    rate_limit.learn(early, {"requests": RateLimitHeaders(10, 9, 1.0)})

    assert (await sent(rate_limit, clock, 1))[0] == pytest.approx(101.0)


async def test_where_the_provider_asks_to_wait_everybody_waits(clock: Clock) -> None:
    rate_limit = RateLimit(clock)
    rate_limit.failed(await rate_limit.turn(1, clock.sleep), ModelError("slow down", status=429, retry_after=7))

    assert (await sent(rate_limit, clock, 2))[0] == pytest.approx(107.0)


async def test_a_wait_of_minutes_is_told_and_not_waited(clock: Clock) -> None:
    rate_limit = RateLimit(clock)
    rate_limit.learn(await rate_limit.turn(1, clock.sleep), {"requests": RateLimitHeaders(10, 1, 77_760)})
    with pytest.raises(LongWait) as caught:
        await rate_limit.turn(1, clock.sleep)
    assert caught.value.seconds == pytest.approx(8640)
    # A wait that is too long for anybody is left to those who are refused.
    rate_limit = RateLimit(clock)
    rate_limit.failed(await rate_limit.turn(1, clock.sleep), ModelError("tomorrow", status=429, retry_after=3600))
    assert await sent(rate_limit, clock, 1) == [100.0]


async def starts_at_once(rate_limit: RateLimit) -> bool:
    """Whether one more call starts without a wait; if not, it is given up."""

    async def refuse(seconds: float) -> None:
        raise TimeoutError

    try:
        await rate_limit.turn(1, refuse)
    except TimeoutError:
        return False
    return True


async def test_after_a_refusal_half_as_many_go_at_once_and_one_more_with_each_success(clock: Clock) -> None:
    rate_limit = RateLimit(clock)
    tickets = [await rate_limit.turn(1, clock.sleep) for _ in range(8)]
    for ticket in tickets[:4]:
        rate_limit.failed(ticket, ModelError("slow down", status=429))
    for ticket in tickets[4:]:
        rate_limit.failed(ticket)
    room = [await starts_at_once(rate_limit) for _ in range(6)]
    assert room == [True] * 4 + [False] * 2, "four refusals together are one"
    rate_limit.went_well(tickets[0])
    assert [await starts_at_once(rate_limit) for _ in range(3)] == [True, True, False]


async def test_other_errors_slow_nobody_down(clock: Clock) -> None:
    rate_limit = RateLimit(clock)
    for _ in range(5):
        rate_limit.failed(await rate_limit.turn(1, clock.sleep), ModelError("broken", status=500, retryable=True))
    assert set(await sent(rate_limit, clock, 100)) == {100.0}


def test_one_account_has_one_pace_for_each_model() -> None:
    assert rate_limit_of("url", "key", "model") is rate_limit_of("url", "key", "model")
    assert rate_limit_of("url", "key", "model") is not rate_limit_of("url", "other key", "model")


def patient(server: FaultServer) -> Model:
    return Retried(OpenAIModel("m", base_url=server.url), RetryPolicy(attempts=9, initial=0.01))


@pytest.mark.parametrize("streaming", [False, True])
async def test_what_a_server_announces_is_kept(streaming: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    went: list[float] = []
    learn = RateLimit.learn

    def noted(rate_limit: RateLimit, ticket: Ticket, headers: dict[str, RateLimitHeaders]) -> None:
        went.append(ticket.sent)
        learn(rate_limit, ticket, headers)

    monkeypatch.setattr(RateLimit, "learn", noted)
    limit = ServerLimit(per_second=40, burst=10)
    async with FaultServer(lambda seen: Act(delay=0.1), limit=limit) as server:
        model = patient(server)
        await collect(model, asking())
        await asyncio.gather(*(collect(model, asking(str(n), streaming=streaming)) for n in range(60)))

    went.sort()
    spans = [(j - i + 1, went[j] - went[i]) for i in range(len(went)) for j in range(i, len(went))]
    # Not as it arrives: on a busy machine, that is in bunches.
    assert max(count - limit.burst - seconds * limit.per_second for count, seconds in spans) <= 2


async def test_a_server_that_refuses_without_having_announced_it_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others use the same account, so that nothing that is announced says when it refuses.

    After a refusal is read, no call starts before its wait is over. Both times are those of the caller: when a server
    sees a call that was under way already depends on the machine.
    """
    numbers = itertools.count()
    started: list[float] = []
    waits: list[tuple[float, float]] = []
    turn, failed = RateLimit.turn, RateLimit.failed

    async def watched_turn(self: RateLimit, tokens: float) -> Ticket:
        ticket = await turn(self, tokens)
        started.append(ticket.sent)
        return ticket

    def watched_failed(self: RateLimit, ticket: Ticket, error: ModelError | None = None) -> None:
        before = self.clock()
        failed(self, ticket, error)
        if error is not None and error.status == 429:
            assert error.retry_after is not None
            waits.append((self.clock(), before + error.retry_after))

    monkeypatch.setattr(RateLimit, "turn", watched_turn)
    monkeypatch.setattr(RateLimit, "failed", watched_failed)

    def script(seen):
        return refusal(429, "slow down", headers={"Retry-After": "0.2"}) if next(numbers) % 5 == 4 else None

    async with FaultServer(script) as server:
        policy = RetryPolicy(attempts=10, initial=0.01)
        engine = AsyncRecursiveEngine(
            OpenAIModel("m", base_url=server.url), retry=policy, max_depth=2, max_steps=20, max_concurrency=3
        )
        output = await engine.solve("split: " + " | ".join(f"part {n}" for n in range(8)))
        refused = sum(act.status == 429 for act in server.acts)

    assert "part 7" in output.content
    assert len(waits) == refused > 0
    assert len(started) == len(server.requests)
    assert [at - read for read, over in waits for at in started if read < at < over] == []


async def test_the_pace_holds_over_threads() -> None:
    limit = ServerLimit(per_second=40, burst=5)
    with FaultServer(limit=limit) as server:
        model = patient(server)

        async def call() -> None:
            for _ in range(11):
                await collect(model, asking())

        threads = [threading.Thread(target=asyncio.run, args=(call(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join, HANG)

    assert len(server.requests) == 33 + limit.refusals
    assert limit.refusals <= 8, "apart from what was sent before anything was known"


async def test_a_long_wait_is_one_clear_line() -> None:
    headers = {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "21h36m0s",
    }
    async with FaultServer([Act(headers=headers), refusal(429, "no")]) as server:
        model = OpenAIModel("m", base_url=server.url)
        await collect(model, asking())
        with pytest.raises(ModelError, match=r"asked for patience, 86\d\d s more; try again then") as caught:
            await collect(model, asking())

    assert caught.value.retry_after == pytest.approx(8640, abs=5)
    assert len(server.requests) == 1, "it was not even asked"
