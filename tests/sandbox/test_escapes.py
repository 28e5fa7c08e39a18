"""Hostile cells get nothing of the host: no file, no connection, no process, no secret, no memory. Each is told so."""

import asyncio
import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook.sandbox.port import CellResult, SessionSettings
from tests.sandbox.escapes import COMMON, MONTY, PYTHON
from tests.support.sandboxes import FUNCTIONS, KINDS, Text, host_call, made
from tests.support.waiting import until

SECRET = "sesame-41f7a0c2"
ATTEMPTS = {"monty": COMMON | MONTY, "python": COMMON | PYTHON}
#: What goes on until a limit ends it takes its time.
ENDLESS = {
    "bytes", "text", "list", "growing list", "dict", "power", "permutations", "repeat", "decompression", "references",
    "answer of references", "long argument", "long name", "endless sum", "endless pattern", "large product",
    "endless iterator", "long error", "deadlock", "stolen message", "json", "deep recursion", "recursion",
}  # fmt: skip


class Host:
    """What an attempt could reach: files, sockets, a process, an environment. It notices what happened to them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.canary, self.target = folder / "canary", folder / "target"
        self.canary.write_text(SECRET)
        (folder / "link").symlink_to(self.canary)
        (folder / "escape_canary_module.py").write_text(f"print({SECRET!r})")
        monkeypatch.setenv("RLM_TEST_SECRET", SECRET)
        monkeypatch.chdir(folder)
        self.listeners = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)]
        self.listeners[1].bind(str(folder / "unix"))
        self.listeners[1].listen()
        self.before = sorted(path.name for path in folder.iterdir())
        for listener in self.listeners:
            listener.setblocking(False)

    def fill_in(self, code: str) -> str:
        facts = {
            "canary": self.canary,
            "folder": self.folder,
            "target": self.target,
            "port": self.listeners[0].getsockname()[1],
            "unix": self.folder / "unix",
            "pid": os.getpid(),
        }
        for name, value in facts.items():
            code = code.replace(f"{{{name}}}", str(value))
        return code

    def damage(self) -> list[str]:
        """What attempts have done."""
        found = []
        if self.canary.read_text() != SECRET or self.canary.stat().st_mtime < 1:
            found.append("the file was changed")
        if (names := sorted(path.name for path in self.folder.iterdir())) != self.before:
            found.append(f"the folder holds {names}")
        for listener in self.listeners:
            try:
                listener.accept()
                found.append("somebody connected")
            except BlockingIOError:
                pass
        return found

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    host = Host(tmp_path, monkeypatch)
    yield host
    host.close()


def escaped(result: CellResult, limit: int) -> str:
    """What is wrong with the result of an attempt; "" if it got nothing, and its model is told."""
    said = f"{result.stdout}\n{result.value}\n{result.error}\n{result.final}"
    if "ESCAPED" in result.stdout or "ESCAPED" in str(result.value) or SECRET in said:
        return f"it escaped: {said[:300]}"
    if result.error is None:
        return f"no error: {said[:300]}"
    if max(map(len, (result.stdout, result.value or "", result.error))) > limit + 300:
        return "its output is too long"
    return ""


@pytest.mark.parametrize("endless", [False, pytest.param(True, marks=pytest.mark.long)], ids=["quick", "endless"])
@pytest.mark.parametrize("kind", KINDS)
async def test_no_attempt_escapes_and_each_is_told_as_an_error(host: Host, kind: str, endless: bool) -> None:
    sandbox, wrong = made(kind), {}
    settings = SessionSettings(
        functions=FUNCTIONS,
        variables={"context": Text("0123456789" * 10)},
        memory_mb=200,
        cell_seconds=1.0 if endless else 60.0,
        output_characters=2_000,
    )
    assert len(ATTEMPTS[kind]) >= 80
    session = await sandbox.open(settings)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, code in ATTEMPTS[kind].items():
        if (name in ENDLESS or "while True" in code) != endless:
            continue
        result = await asyncio.wait_for(session.run(host.fill_in(code), host_call), 100)
        if problem := escaped(result, settings.output_characters) or ", ".join(host.damage()):
            wrong[name] = problem
        if result.lost:
            await session.close()
            session = await sandbox.open(settings)
        elif (after := await session.run("1 + 1", host_call)).value != "2":
            wrong[f"after {name}"] = str(after)
            await session.close()
            session = await sandbox.open(settings)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    await sandbox.close()

    assert wrong == {}
    assert grown < 1_000, f"the host needed {grown} MB"
    assert len(asyncio.all_tasks()) == 1
    await until(lambda: not [thread for thread in threading.enumerate() if thread.name == "rlm-worker"])


def test_the_attempts_would_be_noticed(host: Host) -> None:
    """The same code, unconfined, reaches what it is after: the test above can fail."""
    reached = []
    for name in ("open", "listdir", "walk", "os.environ", "symlink", "system", "connect", "subclasses"):
        printed: list[str] = []
        names: dict[str, Any] = {"print": lambda *values, out=printed: out.append(" ".join(map(str, values)))}
        with suppress(LookupError):
            exec(host.fill_in(COMMON[name]), names)
        if any("ESCAPED" in line for line in printed):
            reached.append(name)

    assert len(reached) == 8
    assert len(host.damage()) == 2
