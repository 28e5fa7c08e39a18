"""Rows on a real cluster of processes: the same answers, one budget; one process is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, Budget, Experiment
from rlm_notebook.experiments.dask_rows import DaskRows
from rlm_notebook.experiments.row_store import RowStore
from tests.support.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
distributed = pytest.importorskip("distributed", reason="pip install 'rlm-notebook[dask]'")


class Logged:
    """Writes each call into a file that all processes share."""

    def __init__(self, path: Path, seconds: float = 0.0) -> None:
        self.path, self.seconds = path, seconds

    def __call__(self, inputs: Any, context: Any) -> dict[str, Any]:
        task = context["task"]
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{task} {os.getpid()}\n")
        time.sleep(self.seconds)
        if task.endswith("13"):
            raise ValueError("unlucky")
        return {"content": task.upper(), "metadata": {}}

    def calls(self) -> list[str]:
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        return [line.rpartition(" ")[0] for line in lines]

    def processes(self) -> set[int]:
        return {int(line.rpartition(" ")[2]) for line in self.path.read_text(encoding="utf-8").splitlines()}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = str(tmp_path_factory.mktemp("dask"))
    with (
        distributed.LocalCluster(
            n_workers=4, threads_per_worker=1, dashboard_address=None, local_directory=folder, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as made,
    ):
        yield made


def mapped(model: Logged, client: Any, texts: list[str], **options: Any) -> Experiment:
    engine = AsyncRecursiveEngine(model, max_depth=1, retry=None)
    return engine.map("{{row}}", texts, executor=client, **options)


async def test_the_same_frame_as_without_and_nothing_runs_again(client: Any, tmp_path: Path) -> None:
    model, texts = Logged(tmp_path / "calls"), [f"text {number}" for number in range(60)]

    labels = await mapped(model, client, texts, checkpoint=tmp_path / "there")
    engine = AsyncRecursiveEngine(model, max_depth=1, retry=None)
    here = await engine.map("{{row}}", texts, checkpoint=tmp_path / "here")
    calls = len(model.calls())
    again = await mapped(model, client, texts, checkpoint=tmp_path / "there")

    for column in ("answer", "_state", "_calls", "_tokens", "_error"):
        assert labels.frame[column] == here.frame[column], column
    assert labels.frame["_state"].count("failed") == 1
    assert len(model.processes()) > 2
    assert labels.run(3).tree.root is not None
    assert (calls, len(model.calls())) == (120, 121), "the failed row alone runs again"
    assert again.summary.done == 59


async def test_a_killed_worker_loses_nothing_and_repeats_nothing_recorded(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, texts = Logged(tmp_path / "calls", seconds=0.02), [f"row {number}" for number in range(300)]
    path = tmp_path / "labels.rlmx.jsonl"

    labels = mapped(model, client, texts, checkpoint=path, budget=Budget(calls=500), concurrency=8)
    await until(lambda: labels.summary.done > 40)
    recorded = {key for key in RowStore(path) if RowStore(path).state(key) == "done"}
    known = {text for text, key in zip(texts, labels.keys, strict=True) if key in recorded}
    before = len(model.calls())
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    await labels

    counts = Counter(model.calls())
    twice = {text for text, count in counts.items() if count > 1}
    with capsys.disabled():
        print(
            f"\n{before} calls before the kill, {len(model.calls())} in all; {len(twice)} rows twice; {labels.summary}"
        )
    assert labels.frame["_state"] == ["failed" if text.endswith("13") else "done" for text in texts]
    assert not twice & known, "what was recorded is not paid again"
    assert len(twice) <= 64, "only what was in flight runs twice"
    assert len(model.calls()) <= 500
    assert len(set(RowStore(path))) == 300


async def test_a_worker_that_is_killed_before_its_result_is_fetched(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, texts = Logged(tmp_path / "calls"), [f"text {number}" for number in range(100)]
    take, killed = DaskRows._take, []

    async def killing(self: DaskRows, batch: Any) -> None:
        if not killed:
            killed.append(batch.worker)
            os.kill(
                (await asyncio.to_thread(client.run, os.getpid, workers=[batch.worker]))[batch.worker], signal.SIGKILL
            )
        await take(self, batch)

    monkeypatch.setattr(DaskRows, "_take", killing)
    labels = await mapped(model, client, texts, checkpoint=tmp_path / "labels")

    assert killed
    assert labels.frame["_state"] == ["failed" if text.endswith("13") else "done" for text in texts]


@pytest.mark.parametrize("calls", [10, 57])
async def test_the_sum_of_the_leases_is_the_budget(client: Any, tmp_path: Path, calls: int) -> None:
    model, texts = Logged(tmp_path / "calls"), [f"text {number}" for number in range(100)]

    labels = await mapped(model, client, texts, checkpoint=False, budget=Budget(calls=calls))

    assert len(model.calls()) == calls
    assert labels.status == "stopped"
    assert labels.summary.done + model.calls().count("text 13") == calls
    assert "calls" in labels.summary.note
