"""What a row of an experiment costs, and what running it again costs.

    python tests/benchmarks/experiments.py [--rows 100000] [--pilots 40]

An instant model answers `rows` rows, each with a file line and a tree: CPU time a row, memory at every tenth of the
rows, the size of the file. Then the same again (nothing to do), sorted, with a column more, with 100 rows more: CPU
time and calls. Then the pilot: how often the real cost lay inside the forecast, over tables of many distributions.
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pilots", type=int, default=40)
    options = parser.parse_args()
    asyncio.run(rows(options.rows))
