"""Rows in a storm: nearly a third of all calls fails, in every way that real ones do."""

from __future__ import annotations

import pytest

from rlm_notebook import AsyncRecursiveEngine, Budget
from rlm_notebook.models.openai import OpenAIModel
from tests.fault_server import FaultServer, Seen
from tests.fault_storm import CALL_TIMEOUT, STALL_TIMEOUT, failing, task_of

pytestmark = pytest.mark.long


def say(seen: Seen) -> str:
    return f"class of {task_of(seen)}"


async def test_every_row_ends_and_failed_ones_can_be_retried(capsys: pytest.CaptureFixture[str]) -> None:
    script, given = failing(0.3, seed=3)
    rows = [f"complaint {number}" for number in range(200)]
    async with FaultServer(script, brain=say) as server:
        engine = AsyncRecursiveEngine(
            OpenAIModel("storm", base_url=server.url, wire="chat", stall_timeout=4 * STALL_TIMEOUT),
            retry=None,
            call_timeout=4 * CALL_TIMEOUT,
            max_depth=1,
        )
        labels = await engine.map("{{row}}", rows, budget=Budget(calls=150, unknown_price="ignore"), concurrency=16)
        first = labels.summary
        assert len(server.requests) <= 150
        assert first.calls == 150
        assert first.done + first.failed + first.pending == 200
        assert all(error for error, state in _pairs(labels) if state == "failed")
        rounds = []
        for _ in range(12):
            if labels.summary.done == 200:
                break
            left, before = 200 - labels.summary.done, len(server.requests)
            done = {row for row, state in zip(rows, labels.frame["_state"], strict=True) if state == "done"}
            await labels.retry_failed(budget=Budget(calls=2_000))
            asked = [task_of(seen) for seen in server.requests[before:]]
            assert not done & set(asked), "a row that was done was asked again"
            assert len(asked) == left
            rounds.append(left)
    with capsys.disabled():
        faults = sum(map(bool, given))
        print(f"\n{len(given)} calls, {faults} failed; {first}; then retried {rounds}")

    assert labels.summary.done == 200
    assert labels.frame["answer"] == [f"class of {row}" for row in rows]


def _pairs(labels: object) -> list[tuple[str, str]]:
    frame = labels.frame  # type: ignore[attr-defined]
    return list(zip(frame["_error"], frame["_state"], strict=True))
