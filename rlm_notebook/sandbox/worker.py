"""The confined process of a session: it gives up its rights, then runs the cells that the host sends.

Started by `confined.py` with its settings as an argument and one socket. It imports nothing of the package but the
modules beside it, and they import only the standard library.

Messages of the host: `{"variables": ...}` once, then `{"cell": code}` and answers `{"reply": id, "value" | "error"}`.
Messages of this process: `{"ready": true}` or `{"refused": reason}` once, then calls `{"call": id, "name", "args",
"kwargs"}` and, at the end of each cell, `{"done": {...}}`. Several threads of a cell may wait for answers: one of them
reads the socket for all.

A model's code runs in this process and can do to it whatever Python can. Nothing here protects the host: that is what
`confinement` does, and the checks on the host's side.
"""

from __future__ import annotations

import ast
import builtins
import ctypes
import datetime
import gc
import io
import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from .confinement import ConfinementError, confine, die_with_parent, prove
from .crossing import error_report, plain, portable_error
from .output import KeptOutput, shortened
from .wire import HEADER, MOST_BYTES, body_length, packed, unpacked

__all__ = ["main"]

#: The host may send more than it reads.
MOST_RECEIVED = 1 << 31
#: Threads have small stacks, because private memory is limited.
STACK = 1 << 20


class Host:
    """The socket. Any thread may call the host; one reads the answers for all."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._reading = False
        self._calls = 0
        self._arrived: dict[object, dict[str, Any]] = {}

    def send(self, message: dict[str, Any]) -> None:
        encoded = packed(message)
        if len(encoded) > MOST_BYTES:
            raise ValueError(f"{len(encoded):,} bytes cannot be passed at once; pass less")
        data = memoryview(encoded)
        with self._sending:
            while data:
                data = data[os.write(self._descriptor, data) :]

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a function of the host. What it raises is raised here."""
        message = {"name": name, "args": plain(args), "kwargs": plain(kwargs)}
        with self._changed:
            self._calls += 1
            number = self._calls
        self.send({"call": number, **message})
        answer = self.receive(number)
        if "error" in answer:
            raise answer["error"]
        return answer["value"]

    def receive(self, awaited: object) -> dict[str, Any]:
        """The answer to a call, or with "cell" the next cell."""
        while True:
            with self._changed:
                while awaited not in self._arrived and self._reading:
                    self._changed.wait()
                if awaited in self._arrived:
                    return self._arrived.pop(awaited)
                self._reading = True
            message = None
            try:
                size = body_length(self._bytes(HEADER.size), MOST_RECEIVED)
                message = unpacked(self._bytes(size), trusted=True)
            finally:
                with self._changed:
                    self._reading = False
                    if message is not None:
                        self._arrived[message.get("reply", "cell")] = message
                    self._changed.notify_all()

    def _bytes(self, count: int) -> bytearray:
        data = bytearray()
        while len(data) < count:
            piece = os.read(self._descriptor, min(count - len(data), 1 << 20))
            if not piece:
                os._exit(0)  # the host has gone
            data += piece
        return data


class Readable:
    """A large value of the host: only what is read crosses."""

    def __init__(self, host: Host, name: str, size: int) -> None:
        self._host = host
        self._name = name
        self.size = size

    def read(self, start: int = 0, end: int | None = None) -> str:
        return str(self._host.call("_rlm_read", (self._name, "read", start, end), {}))

    def search(self, pattern: str, limit: int = 100) -> Any:
        return self._host.call("_rlm_read", (self._name, "search", pattern, limit), {})

    def chunks(self, length: int) -> Any:
        return self._host.call("_rlm_read", (self._name, "chunks", length), {})

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: object) -> str:
        if not isinstance(key, slice) or key.step not in (None, 1):
            raise TypeError(f"{self._name} is large: use {self._name}.read(start, end)")
        start, end, _ = key.indices(self.size)
        return self.read(start, max(start, end))

    def __iter__(self) -> Any:
        raise TypeError(f"{self._name} is large: use {self._name}.chunks(length) and {self._name}.read(start, end)")

    def __repr__(self) -> str:
        return f"<{self._name}: {self.size} characters; .size, .read(start, end), .search(pattern), .chunks(length)>"


class _Output(io.TextIOBase):
    """`sys.stdout` and `sys.stderr` of a cell."""

    def __init__(self) -> None:
        self.kept = KeptOutput(0)

    def write(self, text: str) -> int:
        self.kept.write(str(text))
        return len(text)

    def writable(self) -> bool:
        return True


def main() -> None:
    settings = json.loads(sys.argv[1])
    host = Host(settings["socket"])
    # Whatever writes to the standard descriptors gets an error.
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    try:
        die_with_parent(settings["parent"])
        _freeze_clock(settings["started"])
        _seed(settings["seed"])
        _refuse_interrupts()
        threading.stack_size(STACK)
        sys.path += settings["path"]
        sys.argv[:] = [""]
        confine([*sys.path, *settings["readable"]], settings["memory"])
        prove()
    except (ConfinementError, OSError) as error:
        host.send({"refused": str(error)})
        return
    host.send({"ready": True})
    _Session(host, settings).serve()


class _Session:
    def __init__(self, host: Host, settings: dict[str, Any]) -> None:
        self._host = host
        self._limit = int(settings["output"])
        self._output = _Output()
        self._sources: dict[str, list[str]] = {}
        self._answer: list[Any] = []
        self._names: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
        for name in settings["functions"]:
            self._names[name] = self._host_function(name)
        self._names["FINAL"], self._names["FINAL_VAR"] = self._final, self._final_variable

    def _host_function(self, name: str) -> Callable[..., Any]:
        def function(*args: Any, **kwargs: Any) -> Any:
            return self._host.call(name, args, kwargs)

        function.__name__ = function.__qualname__ = name
        return function

    def _final(self, value: Any) -> None:
        answer = [plain(value)]
        if len(packed({"final": answer})) > MOST_BYTES // 2:
            raise ValueError("the answer is too long")
        self._answer = answer

    def _final_variable(self, name: str) -> None:
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError("FINAL_VAR takes the name of a variable, as text")
        if name not in self._names:
            raise NameError(f"name {name!r} is not defined")
        self._final(self._names[name])

    def serve(self) -> None:
        sys.stdout = sys.stderr = self._output
        started = self._host.receive("cell")
        self._names.update(started["variables"])
        for name, size in started["readables"].items():
            self._names[name] = Readable(self._host, name, size)
        number = 0
        while True:
            code = self._host.receive("cell")["cell"]
            number += 1
            self._output.kept = KeptOutput(self._limit)
            self._answer = []
            value, error = self._run(code, f"<cell {number}>")
            done: dict[str, Any] = {"stdout": self._output.kept.text, "value": value, "error": error}
            if error is None and self._answer:
                done["final"] = self._answer
            self._host.send({"done": done})

    def _run(self, code: str, file: str) -> tuple[str | None, str | None]:
        """The text of the last expression's value, and of what the cell raised."""
        self._sources[file] = code.splitlines()
        try:
            tree = ast.parse(code, file)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, file, "exec"), self._names)
            if not isinstance(last, ast.Expr):
                return None, None
            value = eval(compile(ast.Expression(last.value), file, "eval"), self._names)
            return (None if value is None else shortened(repr(value), self._limit)), None
        except BaseException as error:
            return None, shortened(self._reported(error), self._limit)

    def _reported(self, error: BaseException) -> str:
        try:
            frames: list[tuple[int, str, str]] = []
            for frame, line in traceback.walk_tb(error.__traceback__):
                if (source := self._sources.get(frame.f_code.co_filename)) is not None:
                    shown = source[line - 1] if 0 < line <= len(source) else ""
                    frames.append((line, frame.f_code.co_name, shown))
            text = "".join(traceback.format_exception_only(error)).strip()
            return error_report(frames, text if len(text) < 100_000 else text[: self._limit])
        except BaseException as second:
            return "{}: {}".format(*portable_error(second))


def _seed(seed: int) -> None:
    """Random numbers from the seed, those of the operating system included: a replay must see the same."""
    source = random.Random(seed)
    os.urandom = source.randbytes
    random._urandom = source.randbytes  # type: ignore[attr-defined]
    of_class = random.Random.seed

    def seeded(self: random.Random, a: Any = None, version: int = 2) -> None:
        of_class(self, source.getrandbits(64) if a is None else a, version)

    random.Random.seed = seeded  # type: ignore[method-assign]
    random.seed(seed)


def _refuse_interrupts() -> None:
    """An interrupt, which a thread can raise in the main one without sending a signal, would end a later cell, or the
    wait for it. Without a handler it does nothing, so the function that raises it says so."""
    import _thread

    def interrupt_main(signum: int = signal.SIGINT, /) -> NoReturn:
        raise PermissionError("interrupt_main: a cell cannot be interrupted from inside")

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _thread.interrupt_main = interrupt_main


def _freeze_clock(started: float) -> None:
    """Let the clocks of Python stand still at `started`; `time.sleep` moves them, and takes no time."""
    now = [started]

    def seconds() -> float:
        return now[0]

    def nanoseconds() -> int:
        return int(now[0] * 1_000_000_000)

    def sleep(duration: float) -> None:
        if duration < 0:
            raise ValueError("sleep length must be non-negative")
        now[0] += duration

    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        setattr(time, name, seconds)
        setattr(time, f"{name}_ns", nanoseconds)
    time.sleep = sleep  # type: ignore[assignment]
    _replace_methods(
        datetime.datetime,
        now=lambda cls, tz=None: cls.fromtimestamp(now[0], tz),
        utcnow=lambda cls: cls.fromtimestamp(now[0], datetime.UTC).replace(tzinfo=None),
        today=lambda cls: cls.fromtimestamp(now[0]),
    )
    _replace_methods(datetime.date, today=lambda cls: cls.fromtimestamp(now[0]))


def _replace_methods(kind: type, **methods: Callable[..., Any]) -> None:
    """Replace class methods of a class that is written in C.

    A subclass in its place would be simpler, but compiled modules as those of pandas take the class for the one that
    they were compiled with, and crash.
    """
    [attributes] = gc.get_referents(kind.__dict__)
    for name, method in methods.items():
        attributes[name] = classmethod(method)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))
