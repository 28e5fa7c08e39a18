"""Cells in Monty, an interpreter for a subset of Python that has no way out: it has no files, no network, no processes.

Each session is a new process. A cell runs in a daemon thread that Monty blocks; a host call comes back in
that thread, which waits while the call is awaited on the event loop of the run:

    event loop                      thread                        process
    run(code) ------------------->  feed_run(code) ------------>  runs the cell
    call("llm_query", ...)  <-----  function of the host  <-----  llm_query(...)
              result ------------>  returns            ------->   goes on

A thread that is inside Monty when the interpreter exits aborts the whole process. So whatever ends a session ends its
process first, which returns the thread: a cancelled cell, `close`, and `atexit` for the sessions that nobody closed.
The asynchronous API of Monty is not used: its threads are its own, and cannot be ended so.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import signal
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError as CallCancelled
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..concurrency.at_exit import end_at_exit
from ..concurrency.threads import in_daemon_thread
from ..exceptions import ConfigurationError
from ..host.installation import install_command
from .crossing import error_report, plain, portable_error, rebuilt_error
from .output import KeptOutput, shortened
from .port import Answer, CellResult, HostCall, Readable, SessionSettings
from .reading import identifier, read_from

if TYPE_CHECKING:
    import pydantic_monty

__all__ = ["MontySandbox"]

#: Sessions wait for nobody: a cell may start the session of a child and wait for it.
MOST_PROCESSES = 100_000
#: Monty ends a session after this many host calls; budgets are the engine's.
MOST_CALLS = 2**40
#: How long an exiting interpreter waits for a thread whose process was killed, in seconds.
EXIT_SECONDS = 2.0
#: Longer cells run without showing the value of their last expression.
MOST_PARSED = 200_000

LACKS = """\
The cells run in Monty, a small Python. It has functions, closures, lambdas, comprehensions, f-strings, match, try, \
with, plain classes and dataclasses, and of the standard library only asyncio, base64, bisect, collections (Counter, \
defaultdict, deque, namedtuple), copy, csv, dataclasses, datetime, decimal, functools, hashlib, itertools, json, math, \
random, re, time, tomllib, typing and unicodedata. It does not have other modules (no pandas, string, statistics, \
heapq, io), files, network, threads, `yield`, `del`, inheritance, @property, @classmethod, or re.sub with a function. \
Functions of the host cannot be called inside a function that is given to sorted, map, filter, min or max, nor in \
special methods: call them in a loop or a comprehension."""

#: What a session defines before its first cell. Objects of Monty have no `len` and no slices.
_PRELUDE = """
class Readable:
    def __init__(self, name, size):
        self.name = name
        self.size = size
    def read(self, start=0, end=None):
        return _rlm_read(self.name, "read", start, end)
    def search(self, pattern, limit=100):
        return _rlm_read(self.name, "search", pattern, limit)
    def chunks(self, length):
        return _rlm_read(self.name, "chunks", length)
    def __repr__(self):
        return f"<{self.name}: {self.size} characters; .size, .read(start, end), .search(pattern), .chunks(length)>"
    def __getitem__(self, key):
        raise TypeError(f"{self.name} is large and not indexed: use {self.name}.read(start, end)")
def FINAL_VAR(name):
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError("FINAL_VAR takes the name of a variable, as text")
    return FINAL(eval(name))
def _rlm_show(value):
    if value is not None:
        _rlm_value(repr(value))
"""


_PRELUDE_FILE = "<python-input-0>"
_OUT_OF_TIME = "feed time limit exceeded"


class MontySandbox:
    """Sessions in Monty, each in a process of its own. Needs the extra `code`."""

    kind = "monty"
    lacks = LACKS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: pydantic_monty.Monty | None = None
        self._sessions: weakref.WeakSet[_MontySession] = weakref.WeakSet()

    async def open(self, settings: SessionSettings) -> _MontySession:
        """A new session. Raises `ConfigurationError` if Monty is not installed, or does not start."""
        return await in_daemon_thread(self._open, settings)

    async def close(self) -> None:
        """End all sessions and the processes."""
        await in_daemon_thread(self.end_all)

    def _open(self, settings: SessionSettings) -> _MontySession:
        try:
            import pydantic_monty
        except ImportError as error:
            raise ConfigurationError(
                "code nodes run in Monty, which is not installed; "
                f'{install_command("code")}, or use CodeSandbox(kind="python") on Linux ({error})'
            ) from None
        try:
            with self._lock:
                if self._pool is None:
                    # A new process takes 3 ms, and no session meets what an earlier one has left.
                    self._pool = pydantic_monty.Monty(
                        min_processes=0, max_processes=MOST_PROCESSES, max_checkouts_per_worker=1
                    ).__enter__()
                    end_at_exit(_end_all)
                    _open_sandboxes.add(self)
            session = _MontySession(self._pool, settings)
        except (OSError, pydantic_monty.MontyError) as error:
            raise ConfigurationError(
                f"the Monty sandbox does not start: {error}; reinstall it: pip install --force-reinstall pydantic-monty"
            ) from error
        self._sessions.add(session)
        return session

    def end_all(self) -> None:
        """End all processes, and wait until no thread is inside Monty."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is None:
            return
        sessions = list(self._sessions)
        for session in sessions:
            session.end()
        for session in sessions:
            session.wait_until_idle(EXIT_SECONDS)
        pool.__exit__(None, None, None)


class _MontySession:
    """One process of the pool. `end` may be called in any thread and in any state."""

    def __init__(self, pool: pydantic_monty.Monty, settings: SessionSettings) -> None:
        self._settings = settings
        named = {identifier(name): value for name, value in settings.variables.items()}
        self._readables = {name: value for name, value in named.items() if isinstance(value, Readable)}
        self._lock = threading.Lock()
        self._ended = False
        self._out_of_time = False
        #: The host call that the thread waits for, and whether the thread is inside Monty.
        self._waiting: Future[Any] | None = None
        self._idle = threading.Event()
        self._idle.set()
        self._checkout = pool.checkout(
            limits={
                "max_memory": settings.memory_mb * 1024 * 1024,
                "max_feed_duration_secs": settings.cell_seconds,
                "max_suspensions": MOST_CALLS,
            },
            os_policy={
                "datetime": datetime.fromtimestamp(settings.started, UTC),
                "timezone": "utc",
                "sleep": "zero",
                "random_start": {"seed": settings.seed},
            },
        )
        self._monty = self._checkout.__enter__()
        self._pid = self._monty.worker_pid
        variables = {name: value for name, value in named.items() if name not in self._readables}
        prelude = _PRELUDE
        for name, readable in self._readables.items():
            prelude += f"{name} = Readable({name!r}, {int(readable.size)})\n"
        self._monty.feed_run(prelude + "None", inputs=variables)

    @property
    def process_id(self) -> int | None:
        return self._pid

    async def run(self, code: str, call: HostCall) -> CellResult:
        """Run one cell in a thread; see `Session`."""
        tasks: set[asyncio.Task[Any]] = set()
        cell = asyncio.ensure_future(in_daemon_thread(self._run, code, call, asyncio.get_running_loop(), tasks))
        try:
            return await asyncio.shield(cell)
        except asyncio.CancelledError:
            self.end()
            await asyncio.wait([cell, *tasks], timeout=EXIT_SECONDS)
            raise

    async def close(self) -> None:
        """End the session and its process."""
        await in_daemon_thread(self.end)

    def end(self) -> None:
        """Give up an idle process; kill a busy one, which ends the thread that waits for it."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            busy, waiting = not self._idle.is_set(), self._waiting
            if busy:
                self.kill()
        if waiting is not None:
            waiting.cancel()
        if not busy:
            self._finish()

    def kill(self) -> None:
        """End the process of a cell that runs."""
        if self._pid is not None:
            with suppress(OSError):  # it has ended by itself
                os.kill(self._pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def wait_until_idle(self, seconds: float) -> None:
        self._idle.wait(seconds)

    def _finish(self) -> None:
        import pydantic_monty

        # An error says that the process is gone, which is what is wanted.
        with suppress(pydantic_monty.MontyError):
            self._checkout.__exit__(None, None, None)

    # What follows runs in the thread of the cell.

    def _run(
        self, code: str, call: HostCall, loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[Any]]
    ) -> CellResult:
        with self._lock:
            if self._ended:
                return CellResult(error="RuntimeError: the session is closed", lost=True)
            self._idle.clear()
        try:
            return self._fed(code, call, loop, tasks)
        finally:
            with self._lock:
                self._idle.set()
                ended = self._ended
            if ended:
                self._finish()

    def _fed(
        self, code: str, call: HostCall, loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[Any]]
    ) -> CellResult:
        import pydantic_monty

        limit = self._settings.output_characters
        printed = KeptOutput(limit)
        shown: list[str] = []
        answers: list[Answer] = []
        #: Seconds that the cell waited for the host. Monty counts what its interpreter computes; the rest of the way to
        #: the host and back counts, too, or a cell that calls without end would have no end.
        waited = [0.0]

        async def awaited(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            started = time.perf_counter()
            try:
                return await call(name, args, kwargs)
            finally:
                waited[0] += time.perf_counter() - started
                tasks.discard(task)

        def check_time() -> None:
            if time.perf_counter() - began - waited[0] > self._settings.cell_seconds:
                self._out_of_time = True
                self.kill()
                raise TimeoutError

        def host_function(name: str) -> Callable[..., Any]:
            def function(*args: Any, **kwargs: Any) -> Any:
                check_time()
                return self._wait_for(awaited(name, plain(args), plain(kwargs)), loop)

            return function

        def read(name: str, method: str, *args: Any) -> Any:
            check_time()
            return read_from(self._readables, name, method, args)

        def show(text: str) -> None:
            shown[:] = [shortened(str(text), limit)]

        def final(value: Any) -> None:
            answers[:] = [Answer(plain(value))]

        names = {name: host_function(name) for name in self._settings.functions}
        names |= {"FINAL": final, "_rlm_value": show, "_rlm_read": read}
        error, lost = None, False
        began = time.perf_counter()
        try:
            self._monty.feed_run(
                _showing(code), external_lookup=names, print_callback=lambda _, text: printed.write(text)
            )
        except pydantic_monty.MontyError as problem:
            lost = self._is_lost(problem)
            error = self._explained(problem, code)
            if lost:
                error += "\nThe session ended: its variables are gone."
        except RuntimeError as problem:  # Monty's own, of a session that it has given up
            lost, error = True, f"RuntimeError: {problem}"
        return CellResult(
            stdout=printed.text,
            value=shown[0] if shown and error is None else None,
            error=shortened(error, limit) if error else None,
            seconds=time.perf_counter() - began,
            final=answers[0] if answers and error is None else None,
            lost=lost,
        )

    def _wait_for(self, call: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> Any:
        """The result of a host call, as the cell gets it."""
        with self._lock:
            if self._ended:
                call.close()
                raise RuntimeError("the session is closed")
            try:
                self._waiting = asyncio.run_coroutine_threadsafe(call, loop)
            except RuntimeError:  # the loop is closed
                call.close()
                raise
        try:
            return _for_cell(self._waiting.result())
        except CallCancelled:
            raise RuntimeError("the call was cancelled") from None
        except Exception as error:
            raise rebuilt_error(*portable_error(error)) from None
        finally:
            self._waiting = None

    def _explained(self, error: pydantic_monty.MontyError, code: str) -> str:
        """The text of an error, without figures that differ each time."""
        inner = error.exception()
        stopped = isinstance(inner, TimeoutError) and _OUT_OF_TIME in str(error)
        if self._out_of_time or stopped or getattr(error, "timed_out", False):
            return f"TimeoutError: the cell computed for more than {self._settings.cell_seconds:g} seconds"
        text = f"{type(inner).__name__}: {inner}" if str(inner) else type(inner).__name__
        if isinstance(inner, MemoryError):
            text = f"MemoryError: the session needs more than {self._settings.memory_mb} MB"
        lines = code.splitlines()
        frames: list[tuple[int, str, str]] = []
        for frame in getattr(error, "traceback", list)():
            if frame.filename == _PRELUDE_FILE or (not frame.source_line and frames):
                continue  # of the names that the session provides, or of `eval`
            source = frame.source_line or ""
            if "_rlm_show((" in source and 0 < frame.line <= len(lines):
                # The line as it was written.
                source = lines[frame.line - 1]
            frames.append((frame.line, frame.function_name or "<module>", source))
        return error_report(frames, text)

    def _is_lost(self, error: Exception) -> bool:
        """Whether the session cannot go on: its process is gone, or was stopped in the middle of an operation."""
        import pydantic_monty

        if isinstance(error, pydantic_monty.MontyCrashedError) or _OUT_OF_TIME in str(error):
            return True
        try:
            self._monty.feed_run("None")
        except (pydantic_monty.MontyError, RuntimeError):
            return True
        return False


def _showing(code: str) -> str:
    """The code with its last expression passed to `_rlm_show`, on the same lines.

    The code is parsed and never run here. What only Monty can parse runs as it is.
    """
    if len(code) > MOST_PARSED:
        return code
    # Python warns here of escape sequences that it does not know. They say nothing about where statements end: text of
    # the same length stands for them.
    try:
        statements = ast.parse(re.sub(r"\\([^\n\r\\'\"])", r"_\1", code)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    last = statements[-1] if statements else None
    if not isinstance(last, ast.Expr) or last.end_lineno is None or last.end_col_offset is None:
        return code
    lines = [line.encode("utf-8", "replace") for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", code)]
    # From the end, so that the first insertion does not move the second.
    for line, column, text in (
        (last.end_lineno, last.end_col_offset, b"))"),
        (last.lineno, last.col_offset, b"_rlm_show(("),
    ):
        lines[line - 1] = lines[line - 1][:column] + text + lines[line - 1][column:]
    return b"".join(lines).decode("utf-8")


def _for_cell(value: Any) -> Any:
    """A result of the host with exceptions that Monty knows, alone or in a list."""
    if isinstance(value, BaseException):
        return rebuilt_error(*portable_error(value))
    if isinstance(value, list | tuple):
        return type(value)([_for_cell(item) for item in value])
    if isinstance(value, Mapping):
        return {key: _for_cell(item) for key, item in value.items()}
    return value if value is None or isinstance(value, str | bytes | int | float) else plain(value)


_open_sandboxes: weakref.WeakSet[MontySandbox] = weakref.WeakSet()


def _end_all() -> None:
    """End the processes, and wait until no thread is inside Monty."""
    for sandbox in list(_open_sandboxes):
        sandbox.end_all()
