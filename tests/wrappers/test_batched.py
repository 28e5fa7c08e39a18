"""`Batched`: one batch for many requests, half the price, and no second batch after the process was killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ConfigurationError, ScriptedModel
from rlm_notebook.models.anthropic import AnthropicModel
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.wrappers.batched import Batched
from tests.support.batch_server import BatchServer
from tests.support.waiting import HANG, until

TEXTS = [f"text {number}" for number in range(6)]
PROVIDERS = ["openai", "anthropic"]


def answer(body: dict[str, Any]) -> Any:
    text = json.dumps(body["messages"])
    return (400, "text 3 is too odd") if "text 3" in text else text[text.index("text ") :][:6].upper()


def batched(provider: str, server: BatchServer, folder: Path, **options: Any) -> Batched:
    model = (
        AnthropicModel("m", base_url=server.root) if provider == "anthropic" else OpenAIModel("m", base_url=server.url)
    )
    given = {"window": 0.05, "poll": 0.02, "price": (2.0, 4.0), **options}
    return Batched(model, file=folder / "batches.jsonl", **given)


def engine_of(model: Any) -> AsyncRecursiveEngine:
    return AsyncRecursiveEngine(model, max_depth=1, retry=None, max_concurrency=100)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_many_rows_are_one_batch_at_half_the_price(provider: str, tmp_path: Path) -> None:
    with BatchServer(answer) as server:
        labels = await engine_of(batched(provider, server, tmp_path)).map("{{row}}", TEXTS, checkpoint=False)

    assert len(server.batches) == 1
    assert len(server.requests()) == 6
    assert labels.frame["answer"] == ["TEXT 0", "TEXT 1", "TEXT 2", None, "TEXT 4", "TEXT 5"]
    assert "text 3 is too odd" in labels.frame["_error"][3]
    # 1,000 tokens at 2 and 500 at 4 dollars a million, halved.
    assert labels.frame["_cost_usd"][0] == pytest.approx((1_000 * 2 + 500 * 4) / 1e6 / 2)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_equal_requests_are_answered_each(provider: str, tmp_path: Path) -> None:
    with BatchServer(answer) as server:
        model = batched(provider, server, tmp_path)
        engine = engine_of(model)
        outputs = await asyncio.gather(*(engine.solve("text 1") for _ in range(3)))

    assert [str(output) for output in outputs] == ["TEXT 1"] * 3
    assert [len(batch["bodies"]) for batch in server.batches.values()] == [3]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_failed_request_alone_is_made_again(provider: str, tmp_path: Path) -> None:
    with BatchServer(lambda body: None if "text 2" in json.dumps(body) else answer(body)) as server:
        first = await engine_of(batched(provider, server, tmp_path)).map("{{row}}", TEXTS[:3], checkpoint=False)
        error = first.frame["_error"][2]
        server.answer = answer
        await first.retry_failed()

    assert "holds no answer" in error or "expired" in error
    assert first.frame["answer"] == ["TEXT 0", "TEXT 1", "TEXT 2"]
    assert [len(batch["bodies"]) for batch in server.batches.values()] == [3, 1]


WAITS = """
import asyncio, sys
from pathlib import Path
from rlm_notebook import AsyncRecursiveEngine
from rlm_notebook.models.anthropic import AnthropicModel
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.wrappers.batched import Batched

provider, url, folder = sys.argv[1:]
model = AnthropicModel("m", base_url=url) if provider == "anthropic" else OpenAIModel("m", base_url=url + "/v1")
batched = Batched(model, window=0.05, poll=0.02, price=(2.0, 4.0), file=Path(folder) / "batches.jsonl")

async def main():
    engine = AsyncRecursiveEngine(batched, max_depth=1, retry=None, max_concurrency=100)
    await engine.map("{{row}}", [f"text {n}" for n in range(6)], checkpoint=Path(folder) / "labels")

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("provider", "recorded"),
    [
        ("openai", "recorded"),
        ("anthropic", "the reply was lost"),
        pytest.param("openai", "the reply was lost", marks=pytest.mark.long),
        pytest.param("anthropic", "recorded", marks=pytest.mark.long),
    ],
)
async def test_killed_while_waiting_it_finds_its_batch_again(provider: str, recorded: str, tmp_path: Path) -> None:
    with BatchServer(answer, at_once=False) as server:
        process = subprocess.Popen([sys.executable, "-c", WAITS, provider, server.root, str(tmp_path)])  # noqa: ASYNC220
        if recorded != "recorded":
            # The batch is made, and the process dies before it learns the id.
            def die() -> None:
                process.send_signal(signal.SIGKILL)
                process.wait(HANG)
                raise ConnectionError

            server.before_reply = die

        def waits() -> bool:
            return process.poll() is not None or any(line.startswith("GET ") for line in server.log)

        await until(lambda: bool(server.batches) and waits())
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait, HANG)
        server.before_reply = lambda: None
        server.finish()
        again = await engine_of(batched(provider, server, tmp_path)).map(
            "{{row}}", TEXTS, checkpoint=tmp_path / "labels"
        )

    assert len(server.batches) == 1, "no second batch is made"
    assert again.frame["answer"] == ["TEXT 0", "TEXT 1", "TEXT 2", None, "TEXT 4", "TEXT 5"]
    assert again.usage.cost_usd == pytest.approx(5 * 0.002)


async def test_an_intent_whose_batch_was_never_made_is_made(tmp_path: Path) -> None:
    with BatchServer(answer) as server:
        server.before_reply = lambda: server.batches.clear() or _broken()  # type: ignore[func-returns-value]
        labels = await engine_of(batched("openai", server, tmp_path)).map("{{row}}", TEXTS[:2], checkpoint=False)
        assert labels.summary.failed == 2
        server.before_reply = lambda: None
        await labels.retry_failed()

    assert labels.frame["answer"] == ["TEXT 0", "TEXT 1"]
    assert len(server.batches) == 1


def _broken() -> None:
    raise ConnectionError


async def test_cancelled_rows_leave_no_task_and_join_their_batch_later(tmp_path: Path) -> None:
    with BatchServer(answer, at_once=False) as server:
        model = batched("openai", server, tmp_path)
        labels = engine_of(model).map("{{row}}", TEXTS, checkpoint=tmp_path / "labels")
        await until(lambda: bool(server.batches))
        await labels.cancel()
        await until(lambda: len(asyncio.all_tasks()) == 1)
        server.finish()
        await engine_of(model).map("{{row}}", TEXTS, checkpoint=tmp_path / "labels")

    assert len(server.batches) == 1


@pytest.mark.parametrize("change", ["renamed", "copied"])
async def test_a_renamed_or_copied_notebook_joins_its_batch(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_notebook(name: str) -> Path:
        notebook = tmp_path / f"{name}.ipynb"
        notebook.write_text("{}", encoding="utf-8")
        monkeypatch.setenv("RLM_NOTEBOOK_PATH", str(notebook))
        return notebook

    async def execute(server: BatchServer, texts: list[str]) -> Any:
        model = Batched(OpenAIModel("m", base_url=server.url), window=0.05, poll=0.02, price=(2.0, 4.0))
        labels = engine_of(model).map("{{row}}", texts, name="labels")
        if not server.at_once:
            await until(lambda: len(server.batches) == 1 and any("GET" in line for line in server.log))
            return await labels.cancel()
        return await labels

    with BatchServer(answer, at_once=False) as server:
        one = open_notebook("one")
        await execute(server, TEXTS[:3])
        if change == "renamed":
            one.unlink()
        open_notebook("two")
        server.finish()
        server.at_once = True
        labels = await execute(server, TEXTS[:3])
        known = (tmp_path / "two.rlm" / "batches.jsonl").read_text(encoding="utf-8")
        more = await execute(server, TEXTS[:2] + TEXTS[4:5])

    assert labels.frame["answer"] == ["TEXT 0", "TEXT 1", "TEXT 2"]
    assert next(iter(server.batches)) in known, "noted in its own file, too"
    assert more.frame["answer"] == ["TEXT 0", "TEXT 1", "TEXT 4"]
    assert [len(batch["bodies"]) for batch in server.batches.values()] == [3, 1]


def test_what_has_no_batch_endpoint_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="this model has no batch endpoint; give a model of OpenAI or"):
        Batched(ScriptedModel())
    with pytest.raises(ConfigurationError, match=r"window=-1\): expected seconds"):
        Batched("openai:gpt-5-mini", window=-1)
    halved = Batched("openai:gpt-5-mini").capabilities.price
    assert halved is not None
    assert halved[0] < 0.25
