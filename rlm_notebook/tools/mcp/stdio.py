"""The transport to a server that is a process: one JSON-RPC message a line, over its input and output.

The client's own transport reads a line in quadratic time, waits for ever for the answer to a call whose reply is no
valid JSON, and has no limit of length. Here a message has a limit, and each faulty reply becomes the error of its call.
Two threads move the bytes, so that any event loop will do.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

import anyio
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import ErrorData, JSONRPCError, jsonrpc_message_adapter

from ...core.text import well_formed_value
from ...host.credentials import without_keys
from .address import Launch

__all__ = ["Stdio"]

#: The longest message from a server, in bytes.
LONGEST_MESSAGE = 32 * 1024 * 1024
#: Seconds that a server has to end after its input has ended, and then after SIGTERM.
PATIENCE = 2.0
#: How much of the end of its stderr an error shows, in bytes.
TAIL = 2_000
#: The JSON-RPC code of an error of the client's making.
_FAULTY = -32700
_ID = re.compile(rb'"id"\s*:\s*(\d{1,18}|"[^"\\]{1,100}")')
_GUARD = str(Path(__file__).with_name("guard.py"))


class Stdio:
    """One process and the streams to it; an async context manager, as the client wants it.

    `ended` is set when the process has closed its output, or when it is to be stopped.
    """

    def __init__(self, launch: Launch, log: Path) -> None:
        self.ended = asyncio.Event()
        self.log = log
        self._launch = launch
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._noise = ""
        #: The process closed its output without being asked to end.
        self.crashed = False
        self._process: subprocess.Popen[bytes] | None = None
        #: Where what this process writes to stderr begins in the log.
        self._begin = log.stat().st_size

    async def __aenter__(self) -> tuple[Any, Any]:
        self._loop = asyncio.get_running_loop()
        self._process = process = _started(self._launch, self.log)
        assert process.stdin is not None
        assert process.stdout is not None
        self._received, read_stream = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write_stream, self._outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        threading.Thread(target=self._read, args=(process.stdout,), name="rlm-mcp-read", daemon=True).start()
        threading.Thread(target=self._write, args=(process.stdin,), name="rlm-mcp-write", daemon=True).start()
        self._sender = asyncio.create_task(self._send())
        return read_stream, write_stream

    async def __aexit__(self, *error: object) -> None:
        assert self._process is not None
        self.ended.set()
        self._sender.cancel()
        self._lines.put(None)
        # Also when this task is cancelled, no process is left.
        try:
            if not await self._has_ended(PATIENCE):
                _signal(self._process, signal.SIGTERM)
                await self._has_ended(PATIENCE)
        finally:
            self.kill()
            self._received.close()
            self._outgoing.close()

    def kill(self) -> None:
        """End the process with all that it started, at once. In any thread."""
        process = self._process
        if process is not None and process.returncode is None:
            _signal(process, signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)

    async def _has_ended(self, seconds: float) -> bool:
        assert self._process is not None
        ends = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < ends:  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(0.01)
        return self._process.returncode is not None

    async def why(self) -> str:
        """How the process ended, if it did by itself, with the end of what it wrote to stderr."""
        if self._process is None:
            return ""
        how = ""
        if self.crashed:
            ended = await self._has_ended(PATIENCE / 2)
            how = f"it ended with exit code {self._process.returncode}" if ended else "it closed its output"
        noise = f"it wrote to its output what is no message: {self._noise}" if self._noise else ""
        return "; ".join(filter(None, (how, noise, tail_of(self.log, self._begin))))

    # -- in threads ------------------------------------------------------------------------------------------------

    def _read(self, stdout: IO[bytes]) -> None:
        try:
            while line := stdout.readline(LONGEST_MESSAGE):
                message = self._message(line) if line.endswith(b"\n") else self._too_long(line, stdout)
                if message is not None:
                    asyncio.run_coroutine_threadsafe(self._received.send(message), self._loop).result()
        except Exception:
            pass
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self.crashed = not self.ended.is_set()
        self.ended.set()
        self._received.close()

    def _message(self, line: bytes) -> SessionMessage | None:
        try:
            # Python's reader takes halves of surrogate pairs, which the client's does not.
            value = well_formed_value(json.loads(line.decode(errors="replace")))
            message = jsonrpc_message_adapter.validate_python(value, by_name=False)
        except (ValueError, RecursionError):
            if line.lstrip().startswith(b"{") and (found := _ID.search(line[:300]) or _ID.search(line[-300:])):
                return _error(found, "the server's reply is no valid JSON-RPC message")
            if line.strip():
                self._noise = repr(line.decode(errors="replace").strip()[:100])
            return None
        return SessionMessage(message)

    def _too_long(self, line: bytes, stdout: IO[bytes]) -> SessionMessage | None:
        found, size, rest = _ID.search(line[:300]), len(line), line
        while not rest.endswith(b"\n") and (more := stdout.readline(1024 * 1024)):
            rest, size = more, size + len(more)
        if not rest.endswith(b"\n"):
            return None  # the process has ended
        found = found or _ID.search(rest[-300:])
        what = f"the server's reply has {size:,} bytes, and at most {LONGEST_MESSAGE:,} are read; ask it for less"
        return _error(found, what) if found else None

    def _write(self, stdin: IO[bytes]) -> None:
        with suppress(OSError, ValueError):
            while (line := self._lines.get()) is not None:
                stdin.write(line)
                stdin.flush()
        with suppress(OSError, ValueError):
            stdin.close()

    async def _send(self) -> None:
        with suppress(anyio.ClosedResourceError):
            async for message in self._outgoing:
                self._lines.put(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")


def _error(found: re.Match[bytes], text: str) -> SessionMessage:
    return SessionMessage(
        JSONRPCError(jsonrpc="2.0", id=json.loads(found[1]), error=ErrorData(code=_FAULTY, message=text))
    )


def _started(launch: Launch, log: Path) -> subprocess.Popen[bytes]:
    command = list(launch.command)
    if os.name != "nt" and sys.executable:
        command = [sys.executable, "-I", "-S", _GUARD, str(os.getpid()), *command]
    # Variables that are safe to inherit, and those that were named: a server gets no key of this process otherwise.
    env = {**get_default_environment(), **launch.env}
    with log.open("ab") as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=env,
            cwd=launch.cwd,
            start_new_session=os.name != "nt",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """To the whole group of the process: a launcher such as `uvx` has children."""
    if process.poll() is not None:
        return
    with suppress(OSError):
        if os.name == "nt":
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
        else:
            os.killpg(process.pid, number)


def tail_of(log: Path, begin: int = 0) -> str:
    """The end of a server's stderr, in words; it begins there in the log."""
    try:
        with log.open("rb") as file:
            file.seek(max(begin, log.stat().st_size - TAIL))
            text = file.read().decode(errors="replace").strip()
    except OSError:
        text = ""
    return f"the end of its stderr:\n{without_keys(text)}" if text else "it wrote nothing to stderr"
