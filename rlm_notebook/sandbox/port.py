"""The protocol between code nodes and the sandboxes that run their cells, and the values that cross it.

A *sandbox* is a factory: cheap to hold, it owns what its sessions share (a pool of processes). A *session* is the
Python session of one code node: names that a cell binds are there in the next one. The engine knows nothing of how a
cell is confined, and a sandbox knows nothing of runs: what a cell asks for goes through `HostCall`.

Beside the host's functions, a session itself provides `FINAL(value)` and `FINAL_VAR("name")`, which note the answer and
let the cell go on to its end; the last one counts, and none counts in a cell that ends with an error.

Values that cross in either direction are plain: `None`, bool, int, float, text, bytes, lists, tuples, dicts with text
keys. A host call may also give an exception, alone or as an item of a list: the cell gets an exception object of the
same name where the session has one, else a `RuntimeError`, with the same text. A variable may also be a `Readable`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

__all__ = ["Answer", "CellResult", "HostCall", "Readable", "Sandbox", "Session", "SessionSettings"]

#: `call(name, args, kwargs)`: a call of one of the functions in `SessionSettings.functions`, awaited on the event loop
#: of the run. What it raises is raised in the cell, as an exception object is given. Several may be in progress where
#: the cell uses threads. A batched function is one call with a list.
HostCall = Callable[[str, tuple[Any, ...], dict[str, Any]], Awaitable[Any]]


@runtime_checkable
class Readable(Protocol):
    """A large value that stays on the host: only what is read crosses. Positions count characters.

    In the session it is an object with `size`, `read`, `search` and `chunks`. Its methods may be slow: a session calls
    them beside the event loop.
    """

    @property
    def size(self) -> int: ...
    def read(self, start: int = 0, end: int | None = None) -> str:
        """The text from `start` to `end`, as a slice of it."""
        ...

    def search(self, pattern: str, limit: int = 100) -> Sequence[tuple[int, str]]:
        """Position and line of the first matches of a regular expression."""
        ...

    def chunks(self, length: int) -> Sequence[tuple[int, int]]:
        """(start, end) of consecutive pieces of at most `length` characters that end at line ends where possible."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """What a session starts with. Sessions with equal settings run the same cells to the same results.

    `variables` are plain values or `Readable`s by name; `functions` are the names of the host's functions. The clock of
    the session stands still at `started` (seconds since the epoch), and its random numbers start from `seed`.
    `memory_mb` limits the session, `cell_seconds` the time that one cell computes, without its waits for host calls.
    `output_characters` are kept of what a cell prints, and of its value and its error.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    functions: Sequence[str] = ()
    seed: int = 0
    started: float = 0.0
    memory_mb: int = 256
    cell_seconds: float = 30.0
    output_characters: int = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What `FINAL` or `FINAL_VAR` was given: a plain value."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What came of one cell.

    `stdout` is what it printed, `value` the text (`repr`) of its last expression or `None`, `error` the type and text
    of what it raised, with the line, or `None`; these are shortened, with what was left out said. `seconds` is the time
    that it took, waits included. `lost`: the session is gone with its names (out of memory, out of time), and can only
    be closed; `error` says so.
    """

    stdout: str = ""
    value: str | None = None
    error: str | None = None
    seconds: float = 0.0
    final: Answer | None = None
    lost: bool = False


class Session(Protocol):
    """One Python session. Cells run one after the other."""

    async def run(self, code: str, call: HostCall) -> CellResult:
        """Run one cell. Errors of the cell are in the result.

        When this is cancelled, the cell ends within a second, also in a busy loop; the session can then only be closed.
        """
        ...

    async def close(self) -> None:
        """End the session in whatever state it is, within a second; may be called twice."""
        ...


class Sandbox(Protocol):
    """Opens sessions; safe to share between runs and event loops."""

    @property
    def kind(self) -> str:
        """The name that is recorded: "monty", "python", "fake"."""
        ...

    @property
    def lacks(self) -> str:
        """One paragraph for the coder's prompt: what of Python is there and what is not."""
        ...

    async def open(self, settings: SessionSettings) -> Session:
        """A new session. Raises `ConfigurationError` where this sandbox cannot run, naming what to install or use."""
        ...

    async def close(self) -> None:
        """End all sessions, and what they share."""
        ...
