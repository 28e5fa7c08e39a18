"""Cells in a CPython process that has given up all rights but to compute: Linux only.

How it works. A session is one process, started from this interpreter with the packages that are installed beside it. It
has no environment, no descriptors but one socket, and confines itself before it reads the first message
(`confinement.py`); if any part of that fails, or if it cannot be confirmed from outside, `open` raises, and nothing
runs. There is no weaker mode.

From then on the process counts as hostile: a model's code can do in it whatever Python can, and may write to the socket
what it likes. So this side limits and checks what it reads (`wire.py`), answers calls of the named functions and no
others, a limited number at a time, and kills the process for what it does not understand, for a cell that computes too
long, and for too many threads. A session whose process is gone says so in `CellResult.lost`. Between cells the process
is stopped: no thread that a cell left behind computes while nobody counts its time.

The process ends with the thread that opened its session, however that ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import site
import socket
import subprocess
import sys
import sysconfig
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..concurrency.at_exit import end_at_exit
from ..concurrency.threads import in_daemon_thread
from ..exceptions import ConfigurationError
from .crossing import plain
from .output import shortened
from .port import Answer, CellResult, HostCall, Readable, SessionSettings
from .reading import identifier, read_from
from .wire import HEADER, MalformedError, body_length, packed, unpacked

__all__ = ["ConfinedPython"]

#: The most calls of one cell that are answered at the same time; further ones wait in the socket.
MOST_CALLS = 256
#: The most threads of the process: the kernel's memory for them is not counted as the process's own.
MOST_THREADS = 256
#: How often a cell's time and threads are looked at, in seconds.
WATCH_SECONDS = 0.1
#: A process that is not ready after this time does not start at all, in seconds.
START_SECONDS = 60.0

LACKS = """\
The cells run in CPython with the installed packages (pandas and numpy, if they are installed). They do not have \
files, network, subprocesses, asyncio, multiprocessing, signals or the environment: what they need is in the \
variables. Threads work, but the batched functions are simpler. The clock stands still."""

#: Modules of this folder as a package of another name: importing ours would import its dependencies.
_START = "import sys, types; p = types.ModuleType('rlm_session'); p.__path__ = [sys.argv.pop()]; \
sys.modules['rlm_session'] = p; from rlm_session.worker import main; main()"

_OPTIONS = ("-s", "-S", "-P", "-X", "utf8")
_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    # One thread for the numerical libraries: theirs reserve memory for each core.
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")},
}


class ConfinedPython:
    """Sessions in confined processes of this Python. Needs Linux 5.13 or newer with Landlock and seccomp."""

    kind = "python"
    lacks = LACKS

    def __init__(self) -> None:
        self._sessions: weakref.WeakSet[_ConfinedSession] = weakref.WeakSet()

    async def open(self, settings: SessionSettings) -> _ConfinedSession:
        """A new session. Raises `ConfigurationError` where a process cannot be confined completely."""
        if problem := _impossible():
            raise ConfigurationError(f"{_REFUSED}: {problem}; {_INSTEAD}")
        session = _ConfinedSession(settings)
        end_at_exit(_end_all)
        _open_sessions.add(session)
        self._sessions.add(session)
        try:
            await session.start()
        except BaseException:
            session.end()
            raise
        return session

    async def close(self) -> None:
        """End all sessions."""
        for session in list(self._sessions):
            session.end()


_REFUSED = "the sandbox 'python' cannot confine a process here"
_INSTEAD = 'use CodeSandbox(kind="monty"), which runs everywhere; code never runs unconfined'


def _impossible() -> str:
    """Why no process can be confined on this system; "" if it can be tried."""
    if sys.platform != "linux":
        return f"it needs Linux, and this is {sys.platform}"
    from .confinement import landlock_version, machine_is_known

    if not machine_is_known():
        return f"the system calls of this machine ({os.uname().machine}) are not known"
    if not landlock_version():
        return "this kernel has no Landlock (Linux 5.13 or newer, with the module enabled), or a container hides it"
    if not sys.executable:
        return "the path of the Python interpreter is not known"
    return ""


class _ConfinedSession:
    """One process. It belongs to the event loop that opened it; `end` may be called in any thread."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._variables = {identifier(name): value for name, value in settings.variables.items()}
        self._readables = {name: value for name, value in self._variables.items() if isinstance(value, Readable)}
        self._socket, other = socket.socketpair()
        self._socket.setblocking(False)
        path, readable = _places()
        start = {
            "socket": other.fileno(),
            "parent": os.getpid(),
            "path": path,
            "readable": readable,
            "memory": settings.memory_mb * 1024 * 1024,
            "seed": settings.seed,
            "started": settings.started,
            "output": settings.output_characters,
            "functions": list(settings.functions),
        }
        try:
            self._process = subprocess.Popen(
                # No module of the user's: neither from the working directory nor from the environment.
                [sys.executable, *_OPTIONS, "-c", _START, json.dumps(start), str(Path(__file__).parent)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                env=_ENVIRONMENT | {"PYTHONHASHSEED": str(settings.seed % 2**32)},
                cwd="/",
            )
        except OSError as error:
            self._socket.close()
            raise ConfigurationError(f"{_REFUSED}: {sys.executable} does not start: {error}; {_INSTEAD}") from None
        finally:
            other.close()
        self._ended = False
        self._busy = False

    @property
    def process_id(self) -> int:
        return self._process.pid

    async def start(self) -> None:
        """Wait until the process is confined, confirm it from outside, and send the variables."""
        try:
            async with asyncio.timeout(START_SECONDS):
                said = await self._receive()
        except (TimeoutError, OSError, MalformedError) as error:
            said = {"refused": f"the process does not start ({type(error).__name__}: {error})"}
        if said != {"ready": True}:
            raise ConfigurationError(f"{_REFUSED}: {said.get('refused', 'it says something else')}; {_INSTEAD}")
        if missing := _unconfined(self._process.pid, self._settings.memory_mb * 1024 * 1024):
            raise ConfigurationError(f"{_REFUSED}: {missing}; {_INSTEAD}")
        values = {name: value for name, value in self._variables.items() if name not in self._readables}
        sizes = {name: int(value.size) for name, value in self._readables.items()}
        await self._send({"variables": values, "readables": sizes})

    async def run(self, code: str, call: HostCall) -> CellResult:
        """Run one cell; see `Session`."""
        if self._ended:
            return CellResult(error="RuntimeError: the session is closed", lost=True)
        began = time.perf_counter()
        cell = _Cell(self, call)
        watch = asyncio.create_task(cell.watch())
        self._busy = True
        self._signal(signal.SIGCONT)
        try:
            await self._send({"cell": code})
            done = await cell.finished()
        except asyncio.CancelledError:
            self.end()
            raise
        except (OSError, MalformedError) as error:
            return self._lost(cell.killed_for or self._cause(error), began)
        finally:
            await cell.stop(watch)
            self._busy = False
            if self._ended:
                self._socket.close()
            else:
                self._signal(signal.SIGSTOP)
        return self._result(done, began)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(OSError):  # it has ended by itself
            self._process.send_signal(number)

    async def close(self) -> None:
        """End the process."""
        self.end()

    def end(self) -> None:
        """Kill the process; in any thread and any state."""
        if self._ended:
            return
        self._ended = True
        with suppress(OSError):
            self._process.kill()
        # A read that is in progress ends with this, and closes the descriptor when nothing uses it any more.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait()
        if not self._busy:
            self._socket.close()

    def _lost(self, cause: str, began: float) -> CellResult:
        self.end()
        text = f"{cause}\nThe session ended: its variables are gone."
        error = shortened(text, max(200, self._settings.output_characters))
        return CellResult(error=error, seconds=time.perf_counter() - began, lost=True)

    def _cause(self, error: Exception) -> str:
        """Why the process is gone, or has to go."""
        if self._ended:
            return "RuntimeError: the session is closed"
        if isinstance(error, MalformedError):
            return f"RuntimeError: the process of the session sent {error}"
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout=1)
            if code < 0:
                return f"RuntimeError: the process of the session was ended by {signal.Signals(-code).name}"
            return f"RuntimeError: the process of the session exited with code {code}"
        return "RuntimeError: the process of the session closed its connection"

    def _result(self, done: Any, began: float) -> CellResult:
        """What the process says of a cell: hostile, so of the right type and length or refused."""
        limit = self._settings.output_characters
        texts: dict[str, str | None] = {}
        for name in ("stdout", "value", "error"):
            text = done.get(name) if isinstance(done, dict) else 0
            if not (text is None or isinstance(text, str)):
                return self._lost("RuntimeError: the process of the session sent a result that is none", began)
            # The process has shortened it already, with a line that says so.
            texts[name] = text if text is None else shortened(plain(text), limit + 200)
        final = done.get("final")
        try:
            answer = Answer(plain(final[0])) if isinstance(final, list) and final else None
        except (TypeError, ValueError) as error:
            answer, texts["error"] = None, f"{type(error).__name__}: FINAL: {error}"
        return CellResult(
            stdout=texts["stdout"] or "",
            value=texts["value"],
            error=texts["error"],
            seconds=time.perf_counter() - began,
            final=answer if texts["error"] is None else None,
        )

    async def _send(self, message: dict[str, Any]) -> None:
        data = packed(message)
        # Large tables take their time to be written.
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def _receive(self) -> dict[str, Any]:
        return unpacked(await self._bytes(body_length(await self._bytes(HEADER.size))))

    async def _bytes(self, count: int) -> bytearray:
        loop, data = asyncio.get_running_loop(), bytearray()
        while len(data) < count:
            piece = await loop.sock_recv(self._socket, min(count - len(data), 1 << 20))
            if not piece:
                raise ConnectionResetError("the connection ended")
            data += piece
        return data


class _Cell:
    """One cell while it runs: its calls of the host, and the time that it computes."""

    def __init__(self, session: _ConfinedSession, call: HostCall) -> None:
        self._session = session
        self._call = call
        self._calls: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()
        #: Calls whose result is not there yet.
        self._waiting = 0
        #: Why the process was killed.
        self.killed_for = ""

    async def finished(self) -> Any:
        """Answer calls until the cell has ended; gives what the process says of it."""
        while True:
            if len(self._calls) >= MOST_CALLS:
                await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)
                continue
            message = await self._session._receive()
            if "done" in message:
                return message["done"]
            number, name = message.get("call"), message.get("name")
            args, kwargs = message.get("args"), message.get("kwargs")
            if not (
                type(number) is int and isinstance(name, str) and isinstance(args, tuple) and isinstance(kwargs, dict)
            ):
                raise MalformedError("a message that is neither a call nor a result")
            task = asyncio.create_task(self._answer(number, name, args, kwargs))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def stop(self, watch: asyncio.Task[None]) -> None:
        """Cancel what is still in progress, and wait for its end."""
        tasks = [watch, *self._calls]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def watch(self) -> None:
        """Kill the process when it has computed for too long, or has too many threads."""
        session, limit = self._session, self._session._settings.cell_seconds
        before, started = time.perf_counter(), _usage(session._process.pid)[0]
        idle = 0.0
        while not self.killed_for:
            await asyncio.sleep(WATCH_SECONDS)
            seconds, threads = _usage(session._process.pid)
            # Time without a call in progress counts, too: a cell may wait for itself. A busy event loop counts little.
            now = time.perf_counter()
            idle, before = idle + (0.0 if self._waiting else min(now - before, 2 * WATCH_SECONDS)), now
            if max(idle, seconds - started) >= limit:
                self.killed_for = f"TimeoutError: the cell computed for more than {limit:g} seconds"
            elif threads > MOST_THREADS:
                self.killed_for = f"RuntimeError: the cell started more than {MOST_THREADS} threads"
        session.end()

    async def _answer(self, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        session = self._session
        self._waiting += 1
        try:
            if name == "_rlm_read":
                name, method, *arguments = args
                value = await in_daemon_thread(read_from, session._readables, name, method, tuple(arguments))
            elif name in session._settings.functions:
                value = await self._call(name, plain(args), plain(kwargs))
            else:
                raise NameError(f"name {name!r} is not defined")
            data = packed({"reply": number, "value": value})
        except Exception as error:
            data = packed({"reply": number, "error": error})
        finally:
            self._waiting -= 1
        async with self._sending:
            with suppress(OSError):  # the process is gone, which the reader notices
                await asyncio.get_running_loop().sock_sendall(session._socket, data)


def _usage(pid: int) -> tuple[float, int]:
    """Processor seconds and threads of a process; zeros if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(fields[17])
    except (OSError, IndexError, ValueError):
        return 0.0, 0


def _unconfined(pid: int, memory: int) -> str:
    """What the kernel does not confirm of a process that says it is confined; "" if all is well."""
    import resource

    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        limit = resource.prlimit(pid, resource.RLIMIT_DATA)[1]
    except OSError as error:
        return f"it cannot be confirmed that the process is confined ({error.strerror})"
    facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    wanted = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapPrm": "0" * 16}
    wrong = [f"{name} is {facts.get(name, 'unknown')}" for name, value in wanted.items() if facts.get(name) != value]
    if not 0 <= limit <= memory:
        wrong.append(f"RLIMIT_DATA is {limit}")
    return f"the kernel says of the process: {', '.join(wrong)}" if wrong else ""


def _places() -> tuple[list[str], list[str]]:
    """The folders of installed packages, and all that the process may read beside the standard library."""
    here = {os.path.realpath(folder) for folder in sys.path if folder}
    candidates = [*site.getsitepackages(), site.getusersitepackages()]
    packages = [folder for folder in dict.fromkeys(candidates) if os.path.realpath(folder) in here]
    libraries = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", f"{sys.base_prefix}/lib"]
    data = ["/etc/ld.so.cache", "/usr/share/zoneinfo"]
    return packages, [*packages, sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), *libraries, *data]


_open_sessions: weakref.WeakSet[_ConfinedSession] = weakref.WeakSet()


def _end_all() -> None:
    """End the processes of the sessions that nobody closed."""
    for session in list(_open_sessions):
        session.end()
