"""What it costs the kernel to tell a browser of a large run: CPU per update, and bytes on the wire.

A tree of 10,000 nodes is there already; then 1,000 events a second arrive for 20 s, in frames of 50 ms, on a clock that
is only counted. "streaming": 200 nodes write at once, nine of ten events are pieces of text. "states": nodes are
planned, started and finished, and nobody writes, which is more to tell than any model can cause. CPU is that of taking
events in, of making frames and of packing them; folding the events to the tree is the run's. Wire: the whole message as
the kernel's session serialises it, per second. Run: python tests/benchmarks/feed.py
"""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from jupyter_client.session import Session

from rlm_notebook import AsyncRecursiveEngine, Run, ScriptedModel
from rlm_notebook.core.events import Event, Finished, NodeCreated, Planned, PlanStarted, RunStarted, Started, Token
from rlm_notebook.core.limits import Usage
from rlm_notebook.notebook.widget.compression import packed
from rlm_notebook.notebook.widget.feed import Feed
from rlm_notebook.runtime.event_log import EventLog

NODES = 10_000
RATE = 1_000
SECONDS = 20
FRAME = 0.05
WRITERS = 200


def grown() -> Iterator[Event]:
    """The tree as it is before: a hundred branches of ninety-nine leaves."""
    yield NodeCreated(at=0.0, node="0", parent=None, task="The whole")
    yield Planned(at=0.0, node="0", plan={"decision": "RECURSE"})
    for branch in range(100):
        yield NodeCreated(at=0.0, node=f"0.{branch}", parent="0", task=f"Branch {branch} of the market report")
        yield Planned(at=0.0, node=f"0.{branch}", plan={"decision": "RECURSE"})
        for leaf in range(99):
            name = f"0.{branch}.{leaf}"
            yield NodeCreated(at=0.0, node=name, parent=f"0.{branch}", task=f"Compare supplier {leaf} with the others")


LEAVES = [f"0.{branch}.{leaf}" for leaf in range(99) for branch in range(100)]
USAGE = Usage(prompt_tokens=812, completion_tokens=164, calls=1, cost_usd=0.00153)


def life(node: str, words: int) -> Iterator[Callable[[float], Event]]:
    """All that happens to one leaf, each at a time to be given."""
    yield lambda at: PlanStarted(at=at, node=node)
    yield lambda at: Planned(at=at, node=node, plan={"decision": "EXECUTE"}, usage=USAGE, model="openai:gpt-5-mini")
    yield lambda at: Started(at=at, node=node)
    for word in range(words):
        yield lambda at, said=f" lithium {word}": Token(at=at, node=node, text=said)
    yield lambda at: Finished(at=at, node=node, content="The answer.", usage=USAGE, model="openai:gpt-5-mini")


def lives(words: int) -> Iterator[Callable[[float], Event]]:
    """`WRITERS` leaves at once, one event of each in turn; who has finished makes room for the next leaf."""
    waiting = iter(LEAVES)
    writing = [life(next(waiting), words) for _ in range(WRITERS)]
    while True:
        for place, each in enumerate(writing):
            if (event := next(each, None)) is None:
                writing[place] = life(next(waiting), words)
                event = next(writing[place])
            yield event


async def quiet_run() -> tuple[Run, Run]:
    """A run whose tree is filled by hand, and the real one behind it."""
    real = AsyncRecursiveEngine(ScriptedModel(latency=1000)).start("The whole")
    await asyncio.sleep(0)
    run = copy.copy(real)
    context = run.internals = copy.copy(real.internals)
    context.log = EventLog(real.internals.log.journal, ())
    context.tree, context.watch = context.log.tree, context.log.watch
    run.tree.apply(RunStarted(at=context.clock(), run_id="by hand", task="The whole"))
    return run, real


async def measured(words: int) -> tuple[float, float, float, float]:
    """Microseconds an update, milliseconds of the longest frame, KB/s, and KB of a snapshot."""
    run, real = await quiet_run()
    for event in grown():
        run.tree.apply(event)
    feed, session = Feed(run), Session(key=b"benchmark")
    feed.frame()
    events = lives(words)
    spent = longest = 0.0
    sent = 0
    gc.collect()
    for frame_number in range(round(SECONDS / FRAME)):
        at = run.internals.clock()
        batch = [next(events)(at) for _ in range(round(RATE * FRAME))]
        for event in batch:
            run.tree.apply(event)
        began = time.process_time()
        for event in batch:
            feed.note(event)
        frame = feed.frame()
        frame = packed(frame) if frame is not None else None
        took = time.process_time() - began
        spent, longest = spent + took, max(longest, took)
        sent += size_of(session, frame) + (size_of(session, feed.heartbeat()) if frame_number % 40 == 0 else 0)
    snapshot = len(feed.snapshot())
    await real.cancel()
    return spent / (RATE * SECONDS) * 1e6, longest * 1e3, sent / SECONDS / 1e3, snapshot / 1e3


def size_of(session: Session, content: dict[str, Any] | None) -> int:
    """In bytes, as a comm message."""
    if content is None:
        return 0
    data = {"comm_id": "0" * 32, "data": {"method": "custom", "content": content}}
    return sum(map(len, session.serialize(session.msg("comm_msg", data))))


def main() -> None:
    print(f"{NODES} nodes, {RATE} updates/s for {SECONDS} s")
    print(f"{'mix':<10} {'us/update':>10} {'longest frame ms':>17} {'KB/s':>7} {'snapshot KB':>12}")
    for name, words in (("streaming", 36), ("states", 0)):
        cpu, longest, wire, snapshot = asyncio.run(measured(words))
        print(f"{name:<10} {cpu:>10.1f} {longest:>17.2f} {wire:>7.1f} {snapshot:>12.0f}")
    print(json.dumps({"limits": {"us/update": 10, "KB/s": 60}}))


if __name__ == "__main__":
    main()
