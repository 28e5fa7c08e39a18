"""How early sub-tasks start while their plan streams in. Run: python tests/benchmarks/early_start.py

A planner takes T seconds to write a plan of eight sub-tasks, evenly. The ideal: each sub-task starts at the moment in
which the last character of its JSON object has come, and the synthesis when the last one has ended. Sub-tasks take
equally long, or the first ones the longest: then most is gained over a planner that does not stream.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from rlm_notebook import AsyncRecursiveEngine

PARTS = 8
PIECE = 6
SYNTHESIS = 0.1
HEAD = '{"thoughts": "eight parts", "decision": "RECURSE", "answer": null, "sub_tasks": ['
ITEMS = [
    json.dumps({"description": f"Part {index}: what is known of it", "assigned_agent": None, "depends_on": []})
    for index in range(PARTS)
]
PLAN = HEAD + ", ".join(ITEMS) + "]}"


def complete_at(index: int) -> float:
    """The fraction of the plan's text after which the sub-task is whole."""
    return (PLAN.index(ITEMS[index]) + len(ITEMS[index])) / len(PLAN)


class Streaming:
    """A planner that writes for `writes` seconds; sub-tasks take `answers` seconds. Keeps when each call began."""

    def __init__(self, writes: float, answers: list[float]) -> None:
        self.writes, self.answers = writes, answers
        self.began: dict[str, float] = {}

    async def __call__(self, inputs: list[dict[str, Any]], context: dict[str, Any]) -> AsyncIterator[str]:
        began = self.began.setdefault(f"{context['mode']} {context['task_id']}", time.perf_counter())
        if context["mode"] == "synthesizer":
            await asyncio.sleep(SYNTHESIS)
            yield "joined"
        elif context["depth"]:
            await asyncio.sleep(self.answers[int(context["task_id"].rpartition(".")[2])])
            yield json.dumps({"decision": "EXECUTE", "answer": "the answer"})
        else:
            for end in range(PIECE, len(PLAN) + PIECE, PIECE):
                # By the clock, not by sleeps that add up: the planner is never late.
                due = began + self.writes * min(end, len(PLAN)) / len(PLAN)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                yield PLAN[end - PIECE : end]


async def measured(writes: float, longest: float, *, equal: bool) -> None:
    answers = [longest if equal else longest * (PARTS - index) / PARTS for index in range(PARTS)]
    model = Streaming(writes, answers)
    began = time.perf_counter()
    await AsyncRecursiveEngine(model).solve("The whole")
    took = time.perf_counter() - began
    starts = [(model.began[f"planner 0.{index}"] - model.began["planner 0"]) / writes for index in range(PARTS)]
    late = max(start - complete_at(index) for index, start in enumerate(starts))
    ideal = max(writes, *(writes * complete_at(index) + answers[index] for index in range(PARTS))) + SYNTHESIS
    print(
        f"{writes:>5.1f} {longest:>6.1f} {'equal' if equal else 'first longest':<14} {starts[0]:>8.3f} T"
        f" {complete_at(0):>6.3f} T {late * writes * 1000:>8.0f} ms {took:>7.3f} s {ideal:>7.3f} s"
        f" {took / ideal:>7.3f} {(writes + longest + SYNTHESIS) / ideal:>9.3f}",
        flush=True,
    )


async def main() -> None:
    print("    T answer                first start  (whole)    latest  makespan     ideal   ratio  unstreamed")
    for equal in (True, False):
        for writes in (1.0, 2.0):
            for longest in (0.2, 1.0, 3.0):
                await measured(writes, longest, equal=equal)


if __name__ == "__main__":
    asyncio.run(main())
