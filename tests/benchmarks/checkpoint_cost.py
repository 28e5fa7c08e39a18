"""What it costs to keep a run, and to go on from it.

    python tests/benchmarks/checkpoint_cost.py [--largest 100000] [--profile]

Trees of 1,000, 10,000 and 100,000 nodes (a hundred parts each) are solved by an instant model and kept in a file:
bytes written and CPU time per node, the journal and the final JSON apart. Then the finished run of 10,000 nodes is
loaded and resumed: the time, and how much more that is than reading and writing its bytes as plain JSON takes.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm_notebook import AsyncRecursiveEngine
from rlm_notebook.checkpoints.json_file import JsonFile
from rlm_notebook.core.events import Event
from rlm_notebook.core.tree import Recorded

PARTS = 100
RESUMED = 10_000
REPEATS = 5


@dataclass
class Cost:
    """Bytes, and seconds of CPU time."""

    journal_bytes: int = 0
    file_bytes: int = 0
    appending: float = 0.0
    compacting: float = 0.0

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        began = time.process_time()
        yield
        setattr(self, part, getattr(self, part) + time.process_time() - began)


class Measured:
    """A `JsonFile` whose every call is timed."""

    def __init__(self, path: Path, cost: Cost) -> None:
        self._file = JsonFile(path)
        self.path: Path | None = self._file.path
        self._journal = path.with_name(path.stem + ".journal.jsonl")
        self._cost = cost

    def read(self) -> Recorded | None:
        return self._file.read()

    def open(self) -> None:
        with self._cost.timed("appending"):
            self._file.open()

    def append(self, event: Event) -> None:
        with self._cost.timed("appending"):
            self._file.append(event)

    def compact(self, recorded: Recorded) -> None:
        self._cost.journal_bytes = self._journal.stat().st_size
        with self._cost.timed("compacting"):
            self._file.compact(recorded)

    def close(self) -> None:
        self._file.close()


def engine(nodes: int) -> AsyncRecursiveEngine:
    """An instant model that splits into so many nodes, the last level into `PARTS` each."""

    async def model(inputs: list[dict[str, Any]], context: dict[str, Any]) -> Any:
        task, depth = context["task"], context["depth"]
        if context["mode"] == "synthesizer":
            return {"content": f"{len(context['parts'])} parts of {task} joined into some words of an answer."}
        if depth < 2:
            parts = [f"{task} {number}" for number in range(nodes // PARTS if depth == 0 else PARTS - 1)]
            return {"content": json.dumps({"decision": "RECURSE", "sub_tasks": parts})}
        answer = f"What is to be said of {task}, in a sentence or two as models write them when they are asked."
        return {"content": json.dumps({"decision": "EXECUTE", "answer": answer})}

    return AsyncRecursiveEngine(model, max_steps=10 * nodes, max_concurrency=64)


def kept(nodes: int, path: Path) -> Cost:
    cost = Cost()
    output = asyncio.run(engine(nodes).solve("Part", checkpoint=Measured(path, cost)))
    assert output.metadata["steps"] == nodes + 1
    cost.file_bytes = path.stat().st_size
    return cost


def least(action: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest of some repeats."""
    found = []
    for _ in range(REPEATS):
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        action()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(found)


def print_cost(sizes: list[int], folder: Path) -> None:
    print("keeping a run: bytes and CPU us a node")
    print(f"{'nodes':>8} {'journal B':>10} {'JSON B':>8} {'append us':>10} {'compact us':>11} {'bytes a node':>13}")
    before = 0.0
    for nodes in sizes:
        cost = kept(nodes, folder / f"{nodes}.json")
        per_node = (cost.journal_bytes + cost.file_bytes) / nodes
        growth = f"{per_node / before:.3f}x" if before else ""
        microseconds = f"{cost.appending / nodes * 1e6:>10.1f} {cost.compacting / nodes * 1e6:>11.1f}"
        shown = f"{cost.journal_bytes / nodes:>10.0f} {cost.file_bytes / nodes:>8.0f}"
        print(f"{nodes:>8,} {shown} {microseconds} {growth:>13}", flush=True)
        before = per_node


def resumed(path: Path) -> None:
    output = asyncio.run(engine(RESUMED).solve("Part", checkpoint=path))
    assert output.metadata["calls"] == 0, "a finished run calls nothing"


def print_resume(path: Path) -> None:
    raw = path.read_bytes()
    plain_wall, plain_cpu = least(lambda: json.dumps(json.loads(raw)))
    read_wall, read_cpu = least(lambda: JsonFile(path).read())
    wall, cpu = least(lambda: resumed(path))
    assert path.read_bytes() == raw, "and changes nothing"
    print(f"\nloading and resuming a finished run of {RESUMED:,} nodes, zero calls")
    print(f"  {'its bytes through json':<28} {plain_wall:.2f} s ({plain_cpu:.2f} s CPU): the lower bound")
    print(f"  {'loaded and validated':<28} {read_wall:.2f} s ({read_cpu:.2f} s CPU): {read_cpu / plain_cpu:.1f}x")
    print(f"  {'loaded, validated, resumed':<28} {wall:.2f} s ({cpu:.2f} s CPU): {cpu / plain_cpu:.1f}x")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--largest", type=int, default=100_000, help="nodes of the largest tree")
    options.add_argument("--profile", action="store_true", help="show where the time of a resume goes")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sizes = [nodes for nodes in (1_000, RESUMED, 100_000) if nodes <= max(given.largest, RESUMED)]
        print_cost(sizes, Path(name))
        print_resume(Path(name) / f"{RESUMED}.json")
        if given.profile:
            profile = cProfile.Profile()
            profile.runcall(resumed, Path(name) / f"{RESUMED}.json")
            pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
