"""The sandboxes that tests run, and what their cells call."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlm_notebook.sandbox.monty import MontySandbox
from rlm_notebook.sandbox.port import CellResult, Sandbox, Session

__all__ = ["KINDS", "Text", "host_call", "made", "run_cells"]

KINDS = ["monty"]


def made(kind: str) -> Sandbox:
    return MontySandbox()


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
