"""1,000 calls at once on one event loop: calls a second per core, memory, lag of the loop, and how soon Cancel acts.

For both transports of the SDK and both forms of the protocol, beside a bare aiohttp client as the bound. The server is
a process of its own; so is each case. Run: python tests/benchmarks/transports.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from rlm_notebook import AsyncRecursiveEngine, Event  # noqa: E402
from rlm_notebook.core.events import Started  # noqa: E402
from rlm_notebook.models.openai import OpenAIModel  # noqa: E402
from rlm_notebook.ports import NodeFacts, Request  # noqa: E402

SAID = "Say something short about the number {}."
CASES = ("bare", "aiohttp", "httpx", "aiohttp responses", "httpx responses", "aiohttp stream", "httpx stream")

Call = Callable[[int], Awaitable[Any]]


def raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(hard, 8192)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


@contextmanager
def serving(delay: float) -> Iterator[str]:
    """A server in a process of its own."""
    command = [sys.executable, "-m", "tests.fault_server", "--delay", str(delay)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def adapter_call(url: str, case: str) -> Call:
    transport, _, rest = case.partition(" ")
    wire = "responses" if rest == "responses" else "chat"
    model = OpenAIModel("m", base_url=url, transport=transport, wire=wire)  # type: ignore[arg-type]

    async def call(number: int) -> None:
        text = SAID.format(number)
        messages = ({"role": "user", "content": text},)
        request = Request("worker", messages, NodeFacts(text), streaming=rest == "stream")  # type: ignore[arg-type]
        async for _ in model.stream(request):
            pass

    return call


@asynccontextmanager
async def calls(url: str, case: str) -> AsyncIterator[Call]:
    """What makes one call."""
    if case != "bare":
        yield adapter_call(url, case)
        return
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(number: int) -> None:
            body = {"model": "m", "messages": [{"role": "user", "content": SAID.format(number)}]}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                assert (await response.json())["choices"]

        yield call


async def lag(into: list[float]) -> None:
    """How much later than asked for the loop comes back, in seconds."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.005)
        into.append(time.perf_counter() - began - 0.005)


def memory() -> float:
    """MB in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    return pages * resource.getpagesize() / 1e6


async def measured(url: str, case: str, at_once: int, rounds: int) -> dict[str, float]:
    async with calls(url, case) as call:
        await call(0)
        lags: list[float] = []
        watching = asyncio.create_task(lag(lags))
        failed, before, most = 0, memory(), 0.0

        async def caller(number: int) -> None:
            nonlocal failed, most
            for _ in range(rounds):
                try:
                    await call(number)
                except Exception as error:
                    failed += 1
                    print(error if failed < 3 else "", end="\n"[: failed < 3], file=sys.stderr)
            most = max(most, memory()) if number % 50 == 0 else most

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller(number) for number in range(at_once)))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        watching.cancel()
    quantiles = statistics.quantiles(lags, n=100)
    done = at_once * rounds
    return {
        "per_core": done / cpu,
        "per_second": done / seconds,
        "kb": (most - before) * 1000 / at_once,
        "lag50": quantiles[49] * 1000,
        "lag99": quantiles[98] * 1000,
        "failed": failed,
    }


async def cancelled(url: str, transport: str, at_once: int) -> dict[str, float]:
    """Seconds from Cancel until no task of a run with so many calls under way is alive."""
    model = OpenAIModel("m", base_url=url, transport=transport)  # type: ignore[arg-type]
    engine = AsyncRecursiveEngine(model, max_depth=2, max_steps=at_once + 1, max_concurrency=at_once)
    run = engine.start("split: " + " | ".join(f"part {number}" for number in range(at_once)))
    started, all_started = 0, asyncio.Event()

    def note(event: Event) -> None:
        nonlocal started
        started += isinstance(event, Started)
        if started == at_once:
            all_started.set()

    run.internals.watch(note)
    await all_started.wait()
    await asyncio.sleep(1)
    under_way = sum(node.state == "running" for node in run.tree)
    began = time.perf_counter()
    await run.cancel()
    return {"cancel": time.perf_counter() - began, "under_way": under_way, "left": len(asyncio.all_tasks()) - 1}


def in_a_process(url: str, case: str, *options: object) -> dict[str, float]:
    command = [sys.executable, __file__, "--case", case, "--url", url, *map(str, options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def print_calls(at_once: int, rounds: int, delay: float) -> None:
    print(f"{at_once} calls at once, {rounds} times, each answered after {delay} s")
    print(
        f"{'':18} {'per core':>9} {'of bare':>8} {'per s':>7} {'KB/call':>8} {'lag p50':>8} {'p99 ms':>7} {'failed':>7}"
    )
    bare = 0.0
    with serving(delay) as url:
        for case in CASES:
            got = in_a_process(url, case, "--at-once", at_once, "--rounds", rounds)
            bare = bare or got["per_core"]
            print(
                f"{case:18} {got['per_core']:9.0f} {got['per_core'] / bare:8.0%} {got['per_second']:7.0f} "
                f"{got['kb']:8.0f} {got['lag50']:8.1f} {got['lag99']:7.1f} {got['failed']:7.0f}"
            )


def print_cancel(at_once: int) -> None:
    print(f"Cancel of a run with {at_once} calls under way")
    # Long enough that none is over before all are under way.
    with serving(20.0) as url:
        for transport in ("aiohttp", "httpx"):
            got = in_a_process(url, f"cancel {transport}", "--at-once", at_once)
            print(
                f"{transport:18} acts after {got['cancel']:.2f} s; {got['under_way']:.0f} were under way, "
                f"{got['left']:.0f} tasks left"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.5)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    raise_file_limit()
    if given.case is None:
        print_calls(given.at_once, given.rounds, given.delay)
        print_cancel(given.at_once)
    elif given.case.startswith("cancel "):
        print(json.dumps(asyncio.run(cancelled(given.url, given.case.removeprefix("cancel "), given.at_once))))
    else:
        print(json.dumps(asyncio.run(measured(given.url, given.case, given.at_once, given.rounds))))


if __name__ == "__main__":
    main()
