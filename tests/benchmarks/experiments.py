"""What a row of an experiment costs, and what running it again costs.

    python -m tests.benchmarks.experiments [--rows 100000] [--pilots 40] [--dask 2000]

An instant model answers `rows` rows, each with a file line and a tree: CPU time a row, memory at every tenth of the
rows, the size of the file. Then the same again (nothing to do), sorted, with a column more, with 100 rows more: CPU
time and calls. Then the pilot: how often the real cost lay inside the forecast, over tables of many distributions. Then
`dask` rows in this process, and on a cluster of four processes of this machine: seconds a row, and the CPU time of the
coordinator. A number of 0 leaves a part out.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from rlm_notebook import AsyncRecursiveEngine


class Instant:
    """A model of the user's own, which answers at once and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, inputs: Any, context: Any) -> dict[str, Any]:
        self.calls += 1
        return {"content": "a complaint about delivery", "metadata": {}}


def resident() -> float:
    """Megabytes of memory in use now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


async def rows(count: int) -> None:
    data = [{"id": number, "text": f"Parcel {number} arrived late and open"} for number in range(count)]
    model = Instant()
    engine = AsyncRecursiveEngine(model, max_depth=1, max_concurrency=64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.rlmx.jsonl"

        async def mapped(label: str, data: Any) -> Any:
            before, began = model.calls, time.process_time()
            gc.collect()
            experiment = engine.map("Classify the complaint: {{text}}", data, checkpoint=path)
            marks: list[str] = []
            runs = experiment.internals

            def mark() -> None:
                if runs.done and runs.calls and runs.done % (count // 10) == 0:
                    marks.append(f"{resident():.0f}")

            runs.watch(mark)
            await experiment
            seconds = time.process_time() - began
            frame_began = time.process_time()
            assert set(experiment.frame["_state"]) == {"done"}
            framed = time.process_time() - frame_began
            print(
                f"{label:28} {model.calls - before:7} calls  {seconds:7.2f} s CPU, "
                f"{1000 * seconds / len(data):.3f} ms a row  (frame {framed:.2f} s)"
                + (f"  MB at each tenth: {', '.join(marks)}" if marks else "")
            )
            return experiment

        print(f"{resident():.0f} MB before")
        await mapped(f"{count} rows", data)
        files = sorted(path.parent.iterdir())
        print(
            f"files: {', '.join(each.name for each in files)}, {path.stat().st_size / 1e6:.0f} MB, "
            f"{path.stat().st_size / count:.0f} bytes a row"
        )
        await mapped("again", data)
        await mapped("sorted backwards", data[::-1])
        await mapped("a column more", [{**row, "country": "NZ"} for row in data])
        more = [{"id": -number, "text": f"Refund {number} is missing"} for number in range(100)]
        await mapped("100 rows more", [*data, *more])


def pilots(count: int) -> None:
    from random import Random

    from rlm_notebook.experiments.forecast import total_of_rest
    from tests.experiments.test_forecast import DISTRIBUTIONS

    random = Random(12)
    for name, draw in DISTRIBUTIONS.items():
        inside = 0
        for number in range(count):
            values = [draw(random) for _ in range((100, 1_000, 5_000)[number % 3])]
            forecast = total_of_rest(values[:20], [1.0] * 20, [1.0] * (len(values) - 20))
            inside += forecast.low - 1e-6 <= sum(values[20:]) <= forecast.high + 1e-6
        print(f"pilot of 20 rows, {name:16} the real cost is inside the forecast in {inside} of {count} tables")


async def on_a_cluster(count: int) -> None:
    from distributed import Client, LocalCluster

    data = [{"text": f"Parcel {number} arrived late and open"} for number in range(count)]
    engine = AsyncRecursiveEngine(Instant(), max_depth=1, max_concurrency=64)

    async def timed(label: str, data: Any, **options: Any) -> None:
        began, used = time.perf_counter(), time.process_time()
        experiment = await engine.map("Classify the complaint: {{text}}", data, checkpoint=False, **options)
        assert experiment.summary.done == len(data)
        wall, here = time.perf_counter() - began, time.process_time() - used
        print(
            f"{label:28} {1000 * wall / len(data):7.3f} ms a row, of this process {1000 * here / len(data):.3f} ms CPU"
        )

    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=4, threads_per_worker=1, dashboard_address=None, local_directory=folder, host="127.0.0.1"
        ) as cluster,
        Client(cluster) as client,
    ):
        # The workers import what they need with their first rows.
        await timed("Dask, the first 64 rows", [{"text": f"{row}"} for row in range(64)], executor=client)
        await timed(f"Dask, {count} rows", data, executor=client)
    await timed(f"one process, {count} rows", data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pilots", type=int, default=40)
    parser.add_argument("--dask", type=int, default=2_000)
    options = parser.parse_args()
    if options.rows:
        asyncio.run(rows(options.rows))
    if options.pilots:
        pilots(options.pilots)
    if options.dask:
        asyncio.run(on_a_cluster(options.dask))
