"""How long the event loop is held by what a model writes: `python tests/benchmarks/loop_lag.py`.

A ticker on the loop notes the longest time between two of its ticks while a run reads a large or a deep reply: work on
the loop itself, or work in another thread that holds the interpreter. "held" is by the clock and grows on a busy
machine; "its CPU" is the CPU time of this process in the longest gap.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.ports import Reply, Request, ToolCall

TICK = 0.005
PIECE = 2_000


class Ticker:
    """Ticks on the loop, and notes the longest time between two ticks: by the clock, and of this process's CPU."""

    def __init__(self) -> None:
        self.held = self.held_cpu = 0.0
        self.stopped = False

    async def run(self) -> None:
        last, last_cpu = time.monotonic(), time.process_time()
        while not self.stopped:
            await asyncio.sleep(TICK)
            now, now_cpu = time.monotonic(), time.process_time()
            self.held, self.held_cpu = max(self.held, now - last), max(self.held_cpu, now_cpu - last_cpu)
            last, last_cpu = now, now_cpu


async def longest_tick(work: Callable[[], Any]) -> tuple[Ticker, float, str]:
    """The ticker, the whole time in seconds, and the result as text."""
    ticker = Ticker()
    ticking, began = asyncio.create_task(ticker.run()), time.monotonic()
    await asyncio.sleep(0.05)
    ticker.held = ticker.held_cpu = 0.0
    try:
        came = str(await work())
    except Exception as error:
        came = f"{type(error).__name__}: {error}"
    took, ticker.stopped = time.monotonic() - began, True
    await ticking
    return ticker, took, " ".join(came.split())[:60]


def planned(text: str, *, stream: bool = False, **options: Any) -> Callable[[], Any]:
    """A run whose planner writes this."""

    async def whole(inputs: Any, context: Any) -> Any:
        return {"content": text if context["mode"] == "planner" else "done"}

    async def in_pieces(inputs: Any, context: Any) -> Any:
        said = text if context["mode"] == "planner" else "done"
        for at in range(0, len(said), PIECE):
            yield said[at : at + PIECE]
            await asyncio.sleep(0)

    model = in_pieces if stream else whole
    return lambda: AsyncRecursiveEngine(model, max_depth=2, retry=None, **options).solve("t")


def called(arguments: Any) -> Callable[[], Any]:
    """A run whose model calls a tool with this."""

    def look(where: Any = None) -> str:
        """Look."""
        return "seen"

    def reply(request: Request) -> Any:
        told = [message["content"] for message in request.messages if message["role"] == "tool"]
        return f"told: {told[0]}" if told else Reply("", (ToolCall("1", "look", arguments),))

    return lambda: AsyncRecursiveEngine(ScriptedModel(reply), tools=[look], max_depth=1).solve("t")


def by_callable(arguments: Any) -> Callable[[], Any]:
    """The same of a callable."""

    def look(where: Any = None) -> str:
        """Look."""
        return "seen"

    def model(inputs: Any, context: Any) -> Any:
        if inputs[-1]["role"] == "tool":
            return {"content": inputs[-1]["content"]}
        return {"content": "", "tool_calls": [{"name": "look", "arguments": arguments}]}

    return lambda: AsyncRecursiveEngine(model, tools=[look], max_depth=1, retry=None).solve("t")


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def many(count: int, part: str) -> str:
    return '{"decision": "RECURSE", "sub_tasks": [' + ", ".join([part] * count) + "]}"


def cases(scale: float) -> dict[str, Callable[[], Any]]:
    mega, deep, count = int(10_000_000 * scale), int(100_000 * scale), int(1_000_000 * scale)
    whole = '{"description": "part", "assigned_agent": null, "depends_on": [], "effort": null}'
    return {
        "plan cut off in a string": planned('{"decision": "RECURSE", "thoughts": "' + "x" * mega),
        "plan of quotes": planned('{"decision": "' + '\\"' * (mega // 2)),
        "plan of apostrophes": planned("{'decision': " + "'x', " * (mega // 5)),
        "plan cut off in its parts": planned(many(mega // len(whole), whole)[:-2]),
        "plan of braces": planned("{" * mega),
        "plan of brackets": planned("[" * mega),
        "plan of objects": planned('{"a": 1} ' * (mega // 9)),
        "plan of keys": planned('{"a":' * (mega // 5)),
        "prose": planned("word " * (mega // 5)),
        "plan with trailing commas": planned(many(mega // len(whole), whole)[:-2] + ",]}"),
        "plan with a comment": planned("{// why\n" + many(mega // len(whole), whole)[1:]),
        "streamed plan cut off": planned(many(mega // len(whole), whole)[:-2], stream=True),
        "streamed prose": planned("word " * (mega // 5), stream=True),
        "10^6 sub-tasks": planned(many(count, '"part"')),
        "10^6 sub-tasks as objects": planned(many(count, whole)),
        "10^6 sub-tasks, raise": planned(many(count, '"part"'), on_limit="raise"),
        "10^6 sub-tasks, streamed": planned(many(count, '"part"'), stream=True),
        "10^6 sub-tasks that depend": planned(many(count, '{"task": "part", "depends_on": [0]}')),
        "arguments nested, decoded": called({"where": nested(deep)}),
        "arguments nested, as text": called('{"where": ' + "[" * deep + "]" * deep + "}"),
        "arguments nested, callable": by_callable({"where": nested(deep)}),
        "arguments nested, its text": by_callable('{"where": ' + "[" * deep + "]" * deep + "}"),
        "arguments broken, callable": by_callable('{"where": ' + "[" * mega),
        "arguments of 10 MB": called({"where": "x" * mega}),
        "arguments of many": called({"where": list(range(mega // 8))}),
        "arguments of many, kept": called({"where": list(range(mega * 9 // 100))}),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--scale", type=float, default=1.0, help="1.0 is 10 MB, nesting of 100,000, 10^6 sub-tasks")
    options.add_argument("only", nargs="*", help="words in the names of what is measured")
    given = options.parse_args()
    print(f"{'':32}{'held':>9}{'its CPU':>9}{'whole':>9}  seconds")
    for name, work in cases(given.scale).items():
        if given.only and not any(word in name for word in given.only):
            continue
        ticker, took, came = asyncio.run(longest_tick(work))
        print(f"{name:32}{ticker.held:9.3f}{ticker.held_cpu:9.3f}{took:9.2f}  {json.dumps(came)}", flush=True)


if __name__ == "__main__":
    main()
