"""What code nodes cost: parallel sub-queries, a host call, many sub-queries in one run, the end of a busy cell.

python -m tests.benchmarks.code_nodes [--many 10000] [--sandbox monty]
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from statistics import median
from typing import Any

from rlm_notebook import AsyncRecursiveEngine, CodeSandbox, Output, Request, ScriptedModel

ROUNDS = 5
LATENCY = 0.2


def engine(kind: Any, cells: list[str], latency: float = 0.0, **options: Any) -> AsyncRecursiveEngine:
    async def say(request: Request) -> str:
        if request.mode == "coder":
            written = sum(message["role"] == "assistant" for message in request.messages)
            return f"```python\n{cells[written]}\n```"
        if latency:
            await asyncio.sleep(latency)
        return "ok"

    return AsyncRecursiveEngine(
        ScriptedModel(say), code=CodeSandbox(kind=kind, when="root", cell_seconds=600), max_concurrency=32, **options
    )


async def timed(kind: Any, cells: list[str], latency: float = 0.0, **options: Any) -> tuple[float, Output]:
    """The seconds of the first cell, and the output."""
    output = await engine(kind, [*cells, "FINAL('done')"], latency, **options).solve("Go")
    return output.run.tree["0"].cells[0].seconds, output


async def ended(kind: Any) -> float:
    """Seconds until a run with a busy cell is cancelled."""
    run = engine(kind, ["llm_query('begun')\nwhile True:\n    pass"]).start("Go")
    while "0.0" not in run.tree or not run.tree["0.0"].state.final:  # noqa: ASYNC110 - a state, not an event
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    began = time.perf_counter()
    await run.cancel()
    return time.perf_counter() - began


async def main(kind: str, most: int) -> None:
    one = [(await timed(kind, ["llm_query('x')"], LATENCY))[0] for _ in range(ROUNDS)]
    batch = "llm_query_batched([str(i) for i in range(20)])"
    twenty = [(await timed(kind, [batch], LATENCY))[0] for _ in range(ROUNDS)]
    print(f"sandbox {kind}; medians of {ROUNDS}")
    print(f"one sub-query of {LATENCY} s: {median(one):.3f} s; twenty in parallel: {median(twenty):.3f} s,", end=" ")
    print(f"{median(twenty) / median(one):.2f} times one")
    calls = 2_000
    seconds, _ = await timed(kind, [f"for i in range({calls}):\n    SHOW_VARS()"])
    print(f"a host call: {seconds / calls * 1e6:,.0f} us")
    for count in (most // 4, most // 2, most):
        part = f"[str(j) for j in range(i, min(i + 500, {count}))]"
        pieces = f"for i in range(0, {count}, 500):\n    llm_query_batched({part})"
        for way, cell in (
            ("in batches of 500", pieces),
            ("one by one", f"for i in range({count}):\n    llm_query(str(i))"),
        ):
            seconds, output = await timed(kind, [cell], max_steps=count + 10)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            each = seconds / count * 1e6
            print(
                f"{len(output.run.tree) - 1:6,} sub-queries {way:18} {seconds:7.2f} s,"
                f" {each:6,.0f} us each, peak {peak:.0f} MB"
            )
    print(f"a busy cell is cancelled in {median([await ended(kind) for _ in range(ROUNDS)]):.3f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--sandbox", choices=["monty", "python"], default="monty")
    given = parser.parse_args()
    asyncio.run(main(given.sandbox, given.many))
