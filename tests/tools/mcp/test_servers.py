"""Servers made with the official SDK, as processes and at an address, and what goes wrong with them."""

import asyncio
import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ConfigurationError, MCPServer, ScriptedModel, ToolError, mcp
from rlm_notebook.concurrency.loop_thread import background_loop
from rlm_notebook.tools.mcp import connection
from tests.support import sdk_mcp_server
from tests.support.waiting import HANG, until, until_true

pytestmark = pytest.mark.long

PROGRAM = ["python", sdk_mcp_server.__file__]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def address() -> Iterator[str]:
    """A server over HTTP."""
    port = free_port()
    process = _served(port)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


def _served(port: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, sdk_mcp_server.__file__, str(port)])

    def answers() -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", port)) == 0

    until_true(answers)
    return process


@pytest.fixture(params=["process", "address"])
def server(request: pytest.FixtureRequest) -> Iterator[MCPServer]:
    where = PROGRAM if request.param == "process" else request.getfixturevalue("address")
    made = mcp(where, name="sdk", timeout=HANG)
    yield made
    made.close()


def test_what_a_server_offers_arrives(server: MCPServer) -> None:
    tools = server.tools
    asking = [name for name, tool in tools.items() if tool.requires_approval]
    assert asking == ["delete"]
    assert tools["search"].schema["parameters"]["required"] == ["query"]
    assert (server.search(query="cats"), server["search"](query="cats", limit=5)) == (
        "3 notes on cats",
        "5 notes on cats",
    )
    assert server.picture() == "[image image/png, about 3,000 bytes: only models that see images get it]"
    assert server.numbers().split() == ["{", '"numbers":', "[", "1,", "2,", "3", "]", "}"]
    assert server.read("notes://index") == "cats, dogs"
    assert server.resources == [("notes://index", "index", "The list of notes.")]
    with pytest.raises(ToolError, match="fails"):
        server.fails()
    with pytest.raises(
        TypeError, match=r"search: give the arguments by name, as a model does: search\(query=..., limit="
    ):
        server.search("cats")
    with pytest.raises(ToolError, match="valid integer"):
        server.search(query="cats", limit="many")
    with pytest.raises(ToolError, match="notes://none"):
        server.read("notes://none")
    again = pickle.loads(pickle.dumps(server))
    assert again.state == "not started"
    assert AsyncRecursiveEngine("offline", tools=[again]).request_key("x") == AsyncRecursiveEngine(
        "offline", tools=[server]
    ).request_key("x")


async def test_calls_are_parallel_from_any_loop_and_a_cancelled_one_leaves_the_session_usable(
    server: MCPServer,
) -> None:
    slow: Any = server.tools["slow"].function
    meet: Any = server.tools["meet"].function
    # Each waits for all others: one after the other, they would never end.
    assert await asyncio.wait_for(asyncio.gather(*(meet(count=20) for _ in range(20))), HANG) == ["met"] * 20

    cancelled = asyncio.ensure_future(slow(seconds=600))
    await asyncio.sleep(0.2)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    # In other threads with loops of their own, as cells with RecursiveEngine have.
    assert await asyncio.to_thread(lambda: asyncio.run(slow(seconds=0))) == "waited"
    assert await asyncio.to_thread(lambda: server.search(query="after")) == "3 notes on after"


def test_a_long_result_is_cut_with_a_word_and_a_message_too_long_is_refused(server: MCPServer) -> None:
    text = server.big(characters=1_000_000)
    assert text.startswith("x" * 100_000 + "\n[This result has 1,000,000 characters, and only the first 100,000 are")
    with pytest.raises(ToolError, match=r"(?i)33,?554,?432"):
        server.big(characters=100_000_000)
    assert server.search(query="after") == "3 notes on after"


def test_a_call_has_a_time_limit_and_a_server_that_hangs_is_killed_with_its_children(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = mcp(PROGRAM, name="sdk", timeout=1)
    calls = [{"name": "sdk__hang", "arguments": {}}]

    def reply(request: Any) -> Any:
        results = [message["content"] for message in request.messages if message["role"] == "tool"]
        return results[-1] if results else {"tool_calls": calls}

    engine = AsyncRecursiveEngine(ScriptedModel(reply), tools=[server], max_depth=1)
    assert asyncio.run(_solved(engine)) == "sdk__hang did not finish (limit: 1 s)."
    child = int(Path(server.log).read_text().rpartition("child ")[2])
    assert alive(child)
    monkeypatch.setattr(connection, "LIST_AGE", 0)
    monkeypatch.setattr(connection, "LIST_PATIENCE", 2)
    # The next run starts it again, once the call has been given up.
    until_true(lambda: server.tools and not alive(child))
    server.close()


async def _solved(engine: AsyncRecursiveEngine) -> str:
    return (await engine.solve("wait")).content


def test_a_server_that_crashes_is_started_again_three_times(capfd: pytest.CaptureFixture[str]) -> None:
    server = mcp(PROGRAM, name="sdk")
    crash: Any = server.tools["crash"].function
    for _ in range(4):
        with pytest.raises(ToolError, match=r"(?s)exit code 3.*the last words.*not repeated"):
            asyncio.run(crash())
    with pytest.raises(ToolError, match=r"(?s)crashed 4 times.*restart\(\)"):
        asyncio.run(crash())
    with pytest.raises(ConfigurationError, match="crashed 4 times"):
        _ = server.tools
    server.restart()
    assert server.search(query="cats") == "3 notes on cats"
    server.close()
    server.close()
    assert "cancel scope" not in capfd.readouterr().err


def test_an_address_that_is_gone_and_comes_back() -> None:
    port = free_port()
    served = _served(port)
    nowhere = mcp(f"http://127.0.0.1:{port}/mcp", name="sdk")
    assert nowhere.search(query="cats") == "3 notes on cats"
    served.kill()
    served.wait()
    with pytest.raises(ToolError, match="ended before it answered"):
        nowhere.search(query="cats")
    with pytest.raises(ConfigurationError, match="did not start"):
        nowhere.search(query="cats")
    process = _served(port)
    assert nowhere.search(query="cats") == "3 notes on cats"
    nowhere.close()
    process.kill()
    process.wait()


async def test_a_thousand_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOW_MANY", "1000")
    server = mcp(PROGRAM, name="sdk", env={"MANY": "HOW_MANY"})
    model = ScriptedModel(lambda request: str(len(request.tools)))
    engine = AsyncRecursiveEngine(model, tools=[server, server.search_999], max_depth=1)
    assert (await engine.solve("how many?")).content == "1011"
    only = AsyncRecursiveEngine(model, tools=[server.search_999], max_depth=1)
    assert (await only.solve("how many?")).content == "1"
    server.close()


async def test_secrets_come_by_name_and_are_in_no_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MY_TOKEN", "tok-8e2f77aa91")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-kernel-0123456789")
    server = mcp(PROGRAM, name="sdk", env={"TOKEN": "MY_TOKEN"})

    def reply(request: Any) -> Any:
        results = [message["content"] for message in request.messages if message["role"] == "tool"]
        return results[-1] if results else {"tool_calls": [{"name": "sdk__token", "arguments": {}}]}

    engine = AsyncRecursiveEngine(ScriptedModel(reply), tools=[server], max_depth=1)
    output = await engine.solve("tell", checkpoint=tmp_path / "run.json")
    assert output.content == "*** and None", "the server has its token, no other key, and no text has it"
    assert "tok-8e2f77aa91" not in (tmp_path / "run.json").read_text() + repr(server) + repr(vars(server))
    assert server.token() == "*** and None"
    assert os.stat(server.log).st_mode & 0o077 == 0
    server.close()


def test_a_handle_that_is_dropped_ends_its_server_and_its_log() -> None:
    def started() -> tuple[Path, int]:
        server = mcp([*PROGRAM], name="sdk")
        _ = server.tools
        assert server._opened is not None
        link = server._opened._link
        return Path(server.log), link._process.pid  # type: ignore[union-attr]

    log, pid = started()
    gc.collect()
    until_true(lambda: not alive(pid) and not log.exists())


@pytest.mark.parametrize("hanging", [False, True], ids=["idle", "hanging"])
def test_a_killed_process_leaves_no_server(hanging: bool, tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import threading, time
        import rlm_notebook
        server = rlm_notebook.mcp({PROGRAM!r}, name="sdk")
        server.tools
        print(server.log, flush=True)
        {"server.hang()" if hanging else "time.sleep(600)"}
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    log = Path(process.stdout.readline().strip())
    if hanging:
        until_true(lambda: "child" in log.read_text())
    started = _descendants(process.pid)
    assert len(started) >= (3 if hanging else 2), "the guard, the server, and its child"
    process.send_signal(signal.SIGKILL)
    process.wait()
    until_true(lambda: not any(map(alive, started)))
    log.unlink()


def _descendants(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = [pid]
    for each in found:
        found += [child for child, parent in parents if parent == each]
    return found[1:]


def test_a_process_that_ends_ends_its_servers(tmp_path: Path) -> None:
    script = f"""
import rlm_notebook
server = rlm_notebook.mcp({PROGRAM!r}, name="sdk")
print(server.search(query="cats"), server.log, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG)
    assert (done.returncode, done.stderr) == (0, "")
    log = Path(done.stdout.split()[-1])
    assert not log.exists()


def test_a_start_that_hangs_or_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    sleeper = ["python", "-c", f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"]
    server = mcp(sleeper, name="sleeper", start_timeout=3)
    with pytest.raises(ConfigurationError, match=r"did not answer within 3 s \(start_timeout\)"):
        _ = server.tools
    until_true(lambda: not alive(int(note.read_text())))

    async def interrupted() -> None:
        note.unlink()
        engine = AsyncRecursiveEngine("offline", tools=[mcp(sleeper, name="sleeper")])
        task = asyncio.ensure_future(engine.solve("x"))
        await until(lambda: note.exists() and note.read_text())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(interrupted())


def test_the_background_loop_is_unharmed() -> None:
    async def answers() -> int:
        return 1

    assert background_loop().submit(answers()).result(HANG) == 1
