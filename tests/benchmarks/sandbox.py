"""What the sandboxes of code nodes cost. Run: python tests/benchmarks/sandbox.py

For each sandbox: the start of a session; a call of the host from a cell, which does nothing on the host; 20 sub-queries
of 0.2 s that are one batched call, beside one sub-query; 10,000 calls in one cell, in time and memory; a text of 100 MB
that stays on the host, read in slices, with the memory of the process and the growth of the host; a table of 100,000
rows and five columns that crosses; the time from the cancellation of a busy cell to its end.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from rlm_notebook.exceptions import ConfigurationError
from rlm_notebook.sandbox.confined import ConfinedPython
from rlm_notebook.sandbox.monty import MontySandbox
from rlm_notebook.sandbox.port import CellResult, Sandbox, Session, SessionSettings

QUERY_SECONDS = 0.2
MEGABYTES = 100
ROWS = 100_000
#: The whole of a large text, in slices of a million characters.
READ_ALL = """
n = lines = 0
while n < context.size:
    piece = context.read(n, n + 1_000_000)
    lines += piece.count("\\n")
    n += len(piece)
lines
"""


class Text:
    """A large text that stays on the host."""

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def size(self) -> int:
        return len(self.text)

    def read(self, start: int = 0, end: int | None = None) -> str:
        return self.text[start:end]

    def search(self, pattern: str, limit: int = 100) -> Sequence[tuple[int, str]]:
        return []

    def chunks(self, length: int) -> Sequence[tuple[int, int]]:
        return [(start, start + length) for start in range(0, len(self.text), length)]


async def host(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if name == "nothing":
        return None

    async def query(prompt: str) -> str:
        await asyncio.sleep(QUERY_SECONDS)
        return prompt

    return await asyncio.gather(*map(query, args[0]))


async def timed(work: Callable[[], Awaitable[Any]], times: int = 5) -> float:
    """The median of some repetitions, in seconds."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def memory(pid: int | str, name: str) -> float:
    """A value of /proc/PID/status, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def peak_of_host() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def process_of(session: Any) -> int:
    return int(session.process_id)


async def cell(session: Session, code: str) -> CellResult:
    result = await session.run(code, host)
    assert result.error is None, result.error
    return result


async def measure(sandbox: Sandbox) -> None:
    settings = SessionSettings(functions=["nothing", "ask"], cell_seconds=600)

    async def start() -> None:
        await (await sandbox.open(settings)).close()

    print(f"{sandbox.kind}:")
    await start()
    print(f"  start of a session            {await timed(start) * 1000:8.1f} ms")

    session = await sandbox.open(settings)
    await cell(session, "nothing()")
    result = await cell(session, "for _ in range(2_000): nothing()")
    print(f"  call of the host              {result.seconds / 2_000 * 1e6:8.0f} us")

    one = await timed(lambda: cell(session, "ask(['a'])"))
    twenty = await timed(lambda: cell(session, "ask([str(i) for i in range(20)])"))
    print(f"  20 sub-queries of {QUERY_SECONDS} s        {twenty:8.3f} s, {twenty / one:.2f} times one")

    for calls in (1_000, 10_000):
        before = memory("self", "VmRSS")
        result = await cell(session, f"for _ in range({calls}): nothing()")
        grown = memory("self", "VmRSS") - before
        print(f"  {calls:6,} calls in one cell     {result.seconds:8.2f} s, the host grows by {grown:.1f} MB")
    await session.close()

    text = Text("a line of a long text that stays where it is, 64 characters....\n" * (MEGABYTES * 1024 * 1024 // 64))
    before = peak_of_host()
    began = time.perf_counter()
    session = await sandbox.open(SessionSettings(variables={"context": text}, cell_seconds=600))
    result = await cell(session, READ_ALL)
    assert result.value == str(text.text.count("\n")), result.value
    print(f"  {MEGABYTES} MB by reference           {time.perf_counter() - began:8.2f} s to read all of it in slices")
    worker, host_grown = memory(process_of(session), "VmHWM"), peak_of_host() - before
    print(f"    memory of its process       {worker:8.0f} MB, the host's peak grows by {host_grown:.0f} MB")
    await session.close()

    table = {
        "id": list(range(ROWS)),
        "amount": [number / 7 for number in range(ROWS)],
        "name": [f"customer {number % 5_000}" for number in range(ROWS)],
        "day": [f"2026-01-{number % 28 + 1:02}" for number in range(ROWS)],
        "paid": [number % 3 == 0 for number in range(ROWS)],
    }
    began = time.perf_counter()
    session = await sandbox.open(SessionSettings(variables={"sales": table}, cell_seconds=600))
    result = await cell(session, "sum(sales['amount']), len(sales['name'])")
    print(f"  {ROWS:,} rows as columns       {time.perf_counter() - began:8.2f} s")

    running = asyncio.create_task(session.run("while True: pass", host))
    await asyncio.sleep(0.2)
    began = time.perf_counter()
    running.cancel()
    await asyncio.wait([running])
    print(f"  cancel in a busy loop         {(time.perf_counter() - began) * 1000:8.1f} ms")
    await session.close()
    await sandbox.close()


async def main() -> None:
    await measure(MontySandbox())
    try:
        await measure(ConfinedPython())
    except ConfigurationError as refusal:
        print(f"python: not measured ({refusal})")


if __name__ == "__main__":
    asyncio.run(main())
