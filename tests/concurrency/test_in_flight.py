"""Coalescing: one request is made for all who want the same at the same time."""

import asyncio

import pytest

from rlm_notebook.concurrency.in_flight import Abandoned, InFlightRequests


async def test_duplicates_await_the_outcome_of_the_first() -> None:
    requests: InFlightRequests[str] = InFlightRequests()
    first, made = requests.join("key", "me")
    same, made_again = requests.join("key", "you")

    assert (made, made_again, same is first, first.owner) == (True, False, True, "me")
    assert requests.join("other", "you")[1], "another key is another request"
    assert first.outcome is not None
    waiting = [asyncio.ensure_future(asyncio.wrap_future(first.outcome)) for _ in range(3)]
    waiting[0].cancel()
    await asyncio.sleep(0)
    requests.settle(first, "done")
    assert await asyncio.gather(*waiting[1:]) == ["done", "done"]
    assert waiting[0].cancelled()


async def test_after_an_abandoned_request_the_next_one_is_the_first() -> None:
    requests: InFlightRequests[str] = InFlightRequests()
    first, _ = requests.join("key", None)
    requests.join("key", None)
    requests.settle(first, Abandoned())
    again, made = requests.join("key", None)

    assert made
    requests.settle(first, "too late")
    assert len(requests) == 1, "a request is settled once, and only by its own caller"
    requests.settle(again, "done")
    assert len(requests) == 0
    assert first.outcome is not None
    with pytest.raises(Abandoned):
        await asyncio.wrap_future(first.outcome)
