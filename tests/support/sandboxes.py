"""The sandboxes that tests run, and what their cells call."""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from rlm_notebook.exceptions import ConfigurationError
from rlm_notebook.sandbox.confined import ConfinedPython
from rlm_notebook.sandbox.monty import MontySandbox
from rlm_notebook.sandbox.port import CellResult, Sandbox, Session, SessionSettings

__all__ = ["FUNCTIONS", "KINDS", "Text", "host_call", "made", "require_confined", "run_cells"]

KINDS = ["monty", "python"]


def made(kind: str) -> Sandbox:
    """A sandbox of that kind; the test is skipped where the confined Python cannot run."""
    if kind == "monty":
        return MontySandbox()
    require_confined()
    return ConfinedPython()


def require_confined() -> None:
    """Skip where Landlock is missing (old kernels, some containers), unless RLM_REQUIRE_CONFINED=1 demands it."""
    if problem := _refusal():
        if os.environ.get("RLM_REQUIRE_CONFINED") == "1":
            pytest.fail(problem)
        pytest.skip(problem)


@cache
def _refusal() -> str:
    async def tried() -> None:
        sandbox = ConfinedPython()
        await (await sandbox.open(SessionSettings())).close()

    # In a thread, because the test that asks may have a running loop in this one.
    try:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, tried()).result()
    except ConfigurationError as problem:
        return str(problem)
    return ""


@dataclass
class Text:
    """A large text of the host; `crossed` counts the characters that were read."""

    text: str
    crossed: int = 0

    @property
    def size(self) -> int:
        return len(self.text)

    def read(self, start: int = 0, end: int | None = None) -> str:
        piece = self.text[start:end]
        self.crossed += len(piece)
        return piece

    def search(self, pattern: str, limit: int = 100) -> Sequence[tuple[int, str]]:
        position = self.text.find(pattern)
        return [(position, pattern)][:limit] if position >= 0 else []

    def chunks(self, length: int) -> Sequence[tuple[int, int]]:
        return [(start, min(start + length, self.size)) for start in range(0, self.size, length)]


async def host_call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`echo` gives its arguments; `each` one result per item, an exception for "bad"; `fail` raises."""
    await asyncio.sleep(0)
    if name == "echo":
        return [list(args), kwargs]
    if name == "each":
        return [ValueError("no good") if item == "bad" else f"{item}!" for item in args[0]]
    if name == "fail":
        raise KeyError("lost") if args else RuntimeError("it failed")
    raise AssertionError(name)


FUNCTIONS = ("echo", "each", "fail")


async def run_cells(session: Session, *cells: str) -> list[CellResult]:
    return [await session.run(cell, host_call) for cell in cells]
