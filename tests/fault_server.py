"""An OpenAI-compatible server on 127.0.0.1 that can misbehave in every way that real ones do.

Standard library only, so that it runs with any version of any client; it speaks both forms of the protocol
(`fault_wires.py`) and may limit and announce its rate (`fault_limits.py`). What one request gets is an `Act`; a script
is a sequence of acts (one a request, in order; after the last, and for `None`, the server behaves) or a function from
`Seen` to an act. Without a script it plans and answers by `brain`, a small deterministic rule.

    async with FaultServer([Act(status=429, headers={"Retry-After": "1"})]) as server:   # or: with FaultServer() ...
        OpenAIModel("m", base_url=server.url)
    python -m tests.fault_server --port 0 --delay 0.05                                   # prints its URL
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from tests.fault_limits import ServerLimit
from tests.fault_wires import Act, Seen, encoded, events, whole

__all__ = ["Act", "FaultServer", "Seen", "ServerLimit", "brain", "every", "refusal"]

BACKLOG = 1024  # the default of 100 caps clients at about 103 concurrent connections


Script = Sequence["Act | None"] | Callable[[Seen], "Act | None"]


#: What OpenAI's endpoint says.
NO_TOOLS = (
    "Function tools with reasoning_effort are not supported for this model in /v1/chat/completions. "
    "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
)


def refusal(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> Act:
    """An error in the form that OpenAI gives it."""
    error = {"message": message, "type": "invalid_request_error", "code": code, "param": param}
    return Act(status=status, body={"error": error}, headers=headers or {})


def brain(seen: Seen) -> str:
    """Plans split where the task has a line "split: a | b | c"; everything else is answered.

    The task is what the last user message holds under "# Task", or all of it.
    """
    task = re.split(r"^# Task\n", seen.last_user_text, flags=re.MULTILINE)[-1].split("\n# ")[0].strip()
    title = task.partition("\n")[0]
    split = re.search(r"^\s*split:(.*)$", task, re.MULTILINE)
    if not seen.wants_plan:
        return f"answer to: {title}"
    if split is None:
        return _plan("EXECUTE", answer=f"answer to: {title}")
    return _plan("RECURSE", sub_tasks=[part.strip() for part in split[1].split("|") if part.strip()])


def _plan(decision: str, answer: str | None = None, sub_tasks: Sequence[str] = ()) -> str:
    described = [{"description": task, "assigned_agent": None, "depends_on": []} for task in sub_tasks]
    return json.dumps({"thoughts": "", "decision": decision, "answer": answer, "sub_tasks": described})


class FaultServer:
    """The server, as a context manager: async within a running loop, plain with a thread of its own.

    `requests` are the calls of models in order of arrival, `acts` what they got, `peak` the most that were in work at
    once. `official`: it refuses what OpenAI's own endpoint refuses (tools with reasoning in chat completions).
    """

    reads: type[Seen] = Seen

    def __init__(
        self,
        script: Script = (),
        *,
        brain: Callable[[Seen], str | Act] = brain,
        port: int = 0,
        models: Sequence[str] = ("test",),
        official: bool = False,
        limit: ServerLimit | None = None,
    ) -> None:
        self.script = script
        self.brain = brain
        self.port = port
        self.models = tuple(models)
        self.official = official
        self.limit = limit
        self.requests: list[Seen] = []
        self.acts: list[Act] = []
        self.connections = 0
        self.peak = 0
        self._active = 0
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self._thread: _ServerThread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [seen.body for seen in self.requests]

    async def __aenter__(self) -> FaultServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, backlog=BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    def __enter__(self) -> FaultServer:
        self._thread = _ServerThread(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        self._thread.stop()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._handlers.discard(handler)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (seen := await self._read(reader, writer)) is not None:
            self._active += 1
            self.peak = max(self.peak, self._active)
            try:
                if not await self._answer(seen, writer):
                    return
            finally:
                self._active -= 1

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Seen | None:
        first_byte = await reader.readexactly(1)
        if not first_byte.isalpha():
            writer.write(_head("400 Bad Request", {"Connection": "close"}))  # as real servers answer a TLS hello
            return None
        head = first_byte + await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        now = asyncio.get_running_loop().time()
        sent = json.loads(body) if body else {}
        seen = self.reads(len(self.requests), method, path, headers, sent, body, now)
        if seen.is_call:
            self.requests.append(seen)
            self.acts.append(self._act(seen))
        return seen

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may be used again."""
        if not seen.is_call:
            return await _send(writer, self._other(seen), seen)
        act = self.acts[seen.index]
        await asyncio.sleep(act.delay)
        if act.broken and act.after == 0:
            return await _break(writer, act)
        if seen.streaming and act.status == 200 and act.body is None:
            return await _stream(writer, act, seen)
        return await _send(writer, act, seen)

    def _act(self, seen: Seen) -> Act:
        """What the limit says, then the official endpoint's rule, then the script."""
        if self.limit is None:
            return self._refused(seen) or self._scripted(seen)
        act = self.limit.refused(seen.at) or self._refused(seen) or self._scripted(seen)
        return replace(act, headers={**self.limit.headers(), **act.headers})

    def _refused(self, seen: Seen) -> Act | None:
        thinks = re.match(r"o\d|gpt-5", seen.body.get("model", "")) and seen.effort != "none"
        if self.official and seen.is_chat and thinks and "tools" in seen.body:
            return refusal(400, NO_TOOLS, param="reasoning_effort")
        return None

    def _scripted(self, seen: Seen) -> Act:
        """The scripted act, its content filled in by the brain if it has none."""
        act = self.script(seen) if callable(self.script) else dict(enumerate(self.script)).get(seen.index)
        act = act or Act()
        given = (act.content, act.body, act.chunks, act.refusal)
        if act.tool_calls or any(each is not None for each in given):
            return act
        thought = self.brain(seen)
        return thought if isinstance(thought, Act) else replace(act, content=thought)

    def _other(self, seen: Seen) -> Act:
        if seen.path.endswith("/models"):
            return Act(body={"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})
        return refusal(404, f"no such path: {seen.path}")


async def _send(writer: asyncio.StreamWriter, act: Act, seen: Seen) -> bool:
    body = _encoded(act.body if act.body is not None else whole(act, seen))
    reason = "OK" if act.status < 400 else "Refused"
    headers = {"Content-Type": act.content_type, "Content-Length": str(len(body)), **act.headers}
    writer.write(_head(f"{act.status} {reason}", headers))
    if act.broken:
        writer.write(body[: len(body) // 2])
        await writer.drain()
        return await _break(writer, act)
    await _write(writer, body, act.drip)
    return True


async def _stream(writer: asyncio.StreamWriter, act: Act, seen: Seen) -> bool:
    writer.write(_head("200 OK", {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **act.headers}))
    for index, event in enumerate(events(act, seen)):
        if act.broken and index == act.after:
            return await _break(writer, act)
        data = encoded(event)
        await _write(writer, b"%x\r\n%b\r\n" % (len(data), data), act.drip)
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _break(writer: asyncio.StreamWriter, act: Act) -> bool:
    await writer.drain()
    if act.broken == "hang":
        await asyncio.sleep(3600)
    if act.broken == "reset":
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    return False


async def _write(writer: asyncio.StreamWriter, data: bytes, drip: float) -> None:
    for index in range(0, len(data), 1) if drip else ():
        if writer.is_closing():
            raise ConnectionError("the client went away")
        writer.write(data[index : index + 1])
        await asyncio.sleep(drip)
    if not drip:
        writer.write(data)
    await writer.drain()


def _head(status: str, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


def _encoded(body: str | bytes | dict[str, Any]) -> bytes:
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()


class _ServerThread:
    """Runs a server in a loop of its own, for code that has none."""

    def __init__(self, server: FaultServer) -> None:
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._done: asyncio.Event
        self._thread = threading.Thread(target=asyncio.run, args=(self._main(server),), daemon=True)
        self._thread.start()
        self._started.wait()

    async def _main(self, server: FaultServer) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        async with server:
            self._started.set()
            await self._done.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()


def every(count: int, act: Act, otherwise: Act) -> Callable[[Seen], Act]:
    """A script: each `count`-th request gets `act`."""
    return lambda seen: act if count and (seen.index + 1) % count == 0 else otherwise


@contextlib.asynccontextmanager
async def _from_arguments(arguments: Sequence[str] | None) -> AsyncIterator[FaultServer]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--fail-every", type=int, default=0, metavar="N", help="refuse each N-th request")
    parser.add_argument("--status", type=int, default=500, help="... with this status")
    parser.add_argument("--retry-after", type=float, help="... and this header")
    given = parser.parse_args(arguments)
    headers = {} if given.retry_after is None else {"Retry-After": f"{given.retry_after:g}"}
    failing = refusal(given.status, "refused on purpose", headers=headers)
    async with FaultServer(every(given.fail_every, failing, Act(delay=given.delay)), port=given.port) as server:
        yield server


async def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the process is ended; the first line on stdout is the URL."""
    async with _from_arguments(arguments) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
