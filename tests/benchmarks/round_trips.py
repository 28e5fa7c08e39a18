"""How many calls a tree needs, and how many of them one after the other. Run: python tests/benchmarks/round_trips.py

Every call takes the same time, so the time of a run counts its sequential round trips. A node that splits needs two
calls (plan, synthesis), a leaf one: in all 2 * internal + leaves; one after the other, 2 for each level of splits and
one for the leaves, however many siblings there are. Streamed, the first sub-tasks begin before the plan is whole.
With an agent of its own for planning, each leaf is planned and then answered: 2 * internal + 2 * leaves. The package
llm-recursive makes 3 * internal + 2 * leaves calls for the same tree (a formula, not measured here).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel

LATENCY = 0.05
#: (leaves below each split, levels of splits)
SHAPES = [(1, 0), (1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (32, 1), (2, 3), (4, 2), (3, 3)]


def script(branching: int, levels: int, name: str = "t") -> dict[str, Any]:
    if levels == 0:
        return {name: None}
    parts: dict[str, Any] = {}
    for index in range(branching):
        parts |= script(branching, levels - 1, f"{name}.{index}")
    return {name: parts}


async def measured(branching: int, levels: int, *, stream: bool) -> tuple[int, float]:
    """Calls, and the run's time in units of one call."""
    model = ScriptedModel(script(branching, levels), latency=LATENCY, stream=stream, chunk=40)
    engine = AsyncRecursiveEngine(model, max_depth=levels + 2, max_steps=1000, max_concurrency=1000)
    began = time.perf_counter()
    await engine.solve("t")
    return model.calls, (time.perf_counter() - began) / LATENCY


async def separate_calls(branching: int, levels: int) -> int:
    """Calls where one model plans and joins, and another one answers."""
    tree = script(branching, levels)
    planner, worker = ScriptedModel(tree, name="planner"), ScriptedModel(tree, name="worker")
    engine = AsyncRecursiveEngine(worker, {"planner": planner}, max_depth=levels + 2, max_steps=1000)
    await engine.solve("t")
    return planner.calls + worker.calls


async def main() -> None:
    print("leaves  levels   calls  formula  separate  formula  llm-recursive  round trips  formula  streamed")
    for branching, levels in SHAPES:
        internal = sum(branching**level for level in range(levels))
        leaves = branching**levels
        calls, trips = await measured(branching, levels, stream=False)
        _, streamed = await measured(branching, levels, stream=True)
        separate = await separate_calls(branching, levels)
        fused, apart, other = 2 * internal + leaves, 2 * internal + 2 * leaves, 3 * internal + 2 * leaves
        print(
            f"{leaves:6}  {levels:6}  {calls:6}  {fused:7}  {separate:8}  {apart:7}  {other:13}"
            f"  {trips:11.2f}  {2 * levels + 1:7}  {streamed:8.2f}"
        )
        assert (calls, separate) == (fused, apart)


if __name__ == "__main__":
    asyncio.run(main())
