"""A sandbox that confines nothing: cells run in a thread of this process. Public, for tests of your models and tools.

Never run code of a real model in it: a cell can do whatever this process can do.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import copy
import ctypes
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ..concurrency.threads import in_daemon_thread
from .output import KeptOutput, shortened
from .port import Answer, CellResult, HostCall, SessionSettings

__all__ = ["FakeSandbox"]

_FILE = "<cell>"


class _CellEnded(BaseException):
    """Raised in the thread of a cell to end it."""


class FakeSandbox:
    """Runs cells with `exec` in a thread of this process; confines nothing, and limits only the time of a cell.

        RecursiveEngine(model, code=CodeSandbox(kind=FakeSandbox(), when="root"))

    `sessions` counts those that were opened, `cells` are the codes that were run.
    """

    kind = "fake"
    lacks = "The cells run in Python, with its standard library."

    def __init__(self) -> None:
        self.sessions = 0
        self.cells: list[str] = []

    async def open(self, settings: SessionSettings) -> _FakeSession:
        self.sessions += 1
        return _FakeSession(settings, self.cells)

    async def close(self) -> None:
        """Nothing is shared between sessions."""


class _FakeSession:
    def __init__(self, settings: SessionSettings, cells: list[str]) -> None:
        self._settings = settings
        self._cells = cells
        self._names: dict[str, Any] = {"__name__": "__main__"}
        for name, value in settings.variables.items():
            # A copy, which a cell may change; a `Readable` stays the host's.
            self._names[name] = copy.deepcopy(value) if isinstance(value, dict | list) else value
        self._thread: int | None = None
        self._closed = False

    async def run(self, code: str, call: HostCall) -> CellResult:
        self._cells.append(code)
        loop, limits, waited = asyncio.get_running_loop(), self._settings, [0.0]
        out, final, pending = KeptOutput(limits.output_characters), list[Answer](), set[Future[Any]]()

        def host(name: str) -> Callable[..., Any]:
            def function(*args: Any, **kwargs: Any) -> Any:
                began = time.monotonic()
                made = asyncio.run_coroutine_threadsafe(_called(call, name, args, kwargs), loop)
                pending.add(made)
                try:
                    return made.result()
                finally:
                    pending.discard(made)
                    waited[0] += time.monotonic() - began

            return function

        self._names.update({name: host(name) for name in limits.functions})
        self._names["FINAL"] = lambda value: final.append(Answer(value))
        self._names["FINAL_VAR"] = lambda name: final.append(Answer(self._variable(name)))
        began = time.monotonic()
        cell = asyncio.ensure_future(in_daemon_thread(self._run, code, out))
        try:
            while not cell.done():
                await asyncio.wait({cell}, timeout=0.05)
                late = not pending and time.monotonic() - began - waited[0] > limits.cell_seconds
                if late and not cell.done():
                    await self._end(cell, pending)
                    error = (
                        f"TimeoutError: the cell computed for more than {limits.cell_seconds:g} s; its names are lost"
                    )
                    return CellResult(stdout=out.text, error=error, seconds=time.monotonic() - began, lost=True)
        except asyncio.CancelledError:
            await self._end(cell, pending)
            raise
        value, problem = cell.result()
        return CellResult(
            stdout=out.text,
            value=shortened(value, limits.output_characters) if value is not None else None,
            error=shortened(problem, limits.output_characters) if problem is not None else None,
            seconds=time.monotonic() - began,
            final=final[-1] if final and problem is None else None,
        )

    async def close(self) -> None:
        self._closed = True

    def _variable(self, name: str) -> Any:
        if name not in self._names:
            raise NameError(f"there is no variable {name!r}")
        return self._names[name]

    def _run(self, code: str, out: KeptOutput) -> tuple[str | None, str | None]:
        """The text of the last expression's value, and the error, if any."""

        def printed(
            *values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: Any = None
        ) -> None:
            text = (" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end)
            (out if file in (None, sys.stdout) else file).write(text)

        self._thread = threading.get_ident()
        self._names["print"] = printed
        try:
            tree = ast.parse(code, _FILE)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, _FILE, "exec"), self._names)
            if not isinstance(last, ast.Expr):
                return None, None
            value = eval(compile(ast.Expression(last.value), _FILE, "eval"), self._names)
            return (repr(value) if value is not None else None), None
        except BaseException as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _FILE]
            where = f" (line {lines[-1]})" if lines else ""
            return None, f"{type(error).__name__}: {error}{where}"
        finally:
            self._thread = None

    async def _end(self, cell: asyncio.Future[Any], pending: set[Future[Any]]) -> None:
        """End the thread of a cell; one that waits in C code is left to itself."""
        for made in list(pending):
            made.cancel()
        for _ in range(10):
            if cell.done():
                return
            if (thread := self._thread) is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_CellEnded))
            with contextlib.suppress(BaseException):
                await asyncio.wait({cell}, timeout=0.05)


async def _called(call: HostCall, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return await call(name, args, kwargs)
