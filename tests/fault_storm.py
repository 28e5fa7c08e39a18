"""A storm: a run against a server where a share of all requests fails, in every way that real ones do.

python -m tests.fault_storm --nodes 300 --share 0.3      # prints the figures
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import random
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rlm_notebook import AsyncRecursiveEngine, Event, Output, RetryPolicy
from rlm_notebook.core.events import Finished
from rlm_notebook.models.openai import OpenAIModel, WireFormat
from tests.fault_server import Act, FaultServer, Seen, ServerLimit, refusal

#: Seconds: a twentieth of what calls take in real life, and all time limits with it.
LATENCY = 0.1
CALL_TIMEOUT = 1.2
STALL_TIMEOUT = 0.5
RETRY_AFTER = 0.15
#: As often as an engine repeats that was not told otherwise; only the waits are shorter.
WAITS: dict[str, Any] = {"initial": 0.025, "maximum": 0.4}

FAULTS: dict[str, Act] = {
    "429 with Retry-After": refusal(429, "slow down", headers={"Retry-After": f"{RETRY_AFTER}"}),
    "429 without": refusal(429, "slow down"),
    "500": refusal(500, "oops"),
    "503": refusal(503, "overloaded"),
    "reset before": Act(broken="reset", after=0),
    "reset midway": Act(broken="reset", after=6),
    "hung before": Act(broken="hang", after=0),
    "hung midway": Act(broken="hang", after=6),
    "byte drip": Act(drip=0.05),
    "broken JSON": Act(body='{"choices": [{"mess', chunks=None),
    "HTML": Act(body="<html>Welcome</html>", content_type="text/html"),
    "empty choices": Act(body={"choices": []}),
}


@dataclass(frozen=True)
class Storm:
    """What came of a run: seconds, when each task was finished, and the server's log, all by the same clock."""

    output: Output
    seconds: float
    finished: dict[str, float]
    log: list[tuple[Seen, Act, str]]
    limit: ServerLimit
    #: How late this machine was at most, in seconds: what was sent in time may have arrived so much later.
    lag: float

    @property
    def faults(self) -> collections.Counter[str]:
        return collections.Counter(fault for _, _, fault in self.log if fault)

    @property
    def asked_again(self) -> list[str]:
        """Finished nodes whose model was called once more."""
        return [
            task
            for seen, _, _ in self.log
            if (task := task_of(seen)) in self.finished and seen.at > self.finished[task]
        ]

    @property
    def too_early(self) -> list[float]:
        """Seconds by which requests came before the end of a wait that a 429 had asked for (its own way back apart)."""
        refused = [
            (seen.at, float(act.headers["Retry-After"])) for seen, act, _ in self.log if "Retry-After" in act.headers
        ]
        waits = ((at, at + wait) for at, wait in refused)
        return [
            end - seen.at
            for at, end in waits
            for seen, _, _ in self.log
            if at + 0.05 + self.lag < seen.at < end - 0.005
        ]

    @property
    def share_of_rate(self) -> float:
        """The most requests within any span after the first 429, as a share of what was announced for such a span."""
        first = next((seen.at for seen, act, _ in self.log if act.status == 429), 0.0)
        times = [seen.at for seen, _, _ in self.log if seen.at > first]
        spans = (
            (to - since + 1, times[to] - times[since]) for since in range(len(times)) for to in range(since, len(times))
        )
        return max(
            count / (self.limit.burst + (seconds + self.lag) * self.limit.per_second) for count, seconds in spans
        )

    @property
    def figures(self) -> str:
        return (
            f"{len(self.output.run.tree)} nodes, {len(self.log)} requests, {sum(self.faults.values())} failed, "
            f"{self.seconds:.1f} s; at most {self.share_of_rate:.0%} of the announced rate, over it "
            f"{self.limit.refusals}, before a wait was over {len(self.too_early)}, asked again "
            f"{len(self.asked_again)}; this machine was {self.lag:.2f} s late at most"
        )


def task_of(seen: Seen) -> str:
    found = re.search(r"^# Task\n(.*)$", seen.last_user_text, re.MULTILINE)
    return found[1] if found else seen.last_user_text


def tree_of(nodes: int) -> Callable[[Seen], str]:
    """A brain for a tree of three levels with so many nodes."""
    groups = max(1, round(nodes**0.5))
    leaves = nodes - 1 - groups

    def sub_tasks(task: str) -> list[str]:
        if task == "everything":
            return [f"group {number}" for number in range(groups)]
        group = int(task.removeprefix("group "))
        return [f"leaf {number}" for number in range(group, leaves, groups)]

    def think(seen: Seen) -> str:
        task = task_of(seen)
        if not seen.wants_plan:
            return f"the answer to {task}, at some length"
        parts = [{"description": part, "assigned_agent": None, "depends_on": []} for part in sub_tasks(task)]
        return json.dumps({"thoughts": "", "decision": "RECURSE", "answer": None, "sub_tasks": parts})

    return think


def failing(share: float, seed: int) -> tuple[Callable[[Seen], Act], list[str]]:
    """A script by which that share of the requests fails, each in another way; and what each of them got."""
    chance = random.Random(seed)
    given: list[str] = []

    def script(seen: Seen) -> Act:
        fault = chance.choice(list(FAULTS)) if chance.random() < share else ""
        given.append(fault)
        act = FAULTS.get(fault, Act())
        return replace(act, delay=0.0 if act.status == 429 else LATENCY * (0.5 + chance.random()))

    return script, given


async def note_lag(lags: list[float]) -> None:
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.01)
        lags.append(time.monotonic() - began - 0.01)


async def run(
    nodes: int,
    share: float,
    *,
    seed: int = 0,
    wire: WireFormat = "chat",
    per_second: float = 40,
    burst: int = 20,
    patience: float = 1,
) -> Storm:
    """Solve a task of so many nodes in a storm in which that share of all requests fails; `patience` is a factor of all
    time limits."""
    script, given = failing(share, seed)
    limit = ServerLimit(per_second, burst)
    async with FaultServer(script, brain=tree_of(nodes), limit=limit) as server:
        engine = AsyncRecursiveEngine(
            OpenAIModel("storm", base_url=server.url, wire=wire, stall_timeout=patience * STALL_TIMEOUT),
            retry=replace(AsyncRecursiveEngine.retry or RetryPolicy(), **WAITS),
            call_timeout=patience * CALL_TIMEOUT,
            max_depth=3,
            max_steps=nodes,
        )
        began = time.monotonic()
        run = engine.start("everything")
        finished: dict[str, float] = {}

        def note(event: Event) -> None:
            if isinstance(event, Finished):
                finished[run.tree[event.node].task] = time.monotonic()

        # Somebody watches, so answers are streamed.
        run.internals.watch(note)
        lags = [0.0]
        watching = asyncio.create_task(note_lag(lags))
        output = await run
        seconds = time.monotonic() - began
        watching.cancel()
        scripted = iter(given)
        log = [
            (seen, act, "over the limit" if act.body == limit.REFUSAL else next(scripted))
            for seen, act in zip(server.requests, server.acts, strict=True)
        ]
    return Storm(output, seconds, finished, log, limit, max(lags))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wire", choices=("chat", "responses"), default="chat")
    given = parser.parse_args()
    calm = await run(given.nodes, 0.0, wire=given.wire)
    storm = await run(given.nodes, given.share, seed=given.seed, wire=given.wire)
    for name, each in (("calm", calm), ("storm", storm)):
        print(f"{name:6} {each.figures}")
    print(f"{'':6} {dict(storm.faults)}")
    ratio = storm.seconds / calm.seconds
    print(f"makespan: storm / calm = {ratio:.2f}")
    if storm.asked_again or storm.too_early:
        sys.exit("the storm was not weathered")


if __name__ == "__main__":
    asyncio.run(main())
