"""Servers that nobody of this project wrote: npm's @modelcontextprotocol/server-everything and server-filesystem.

Needs Node and `npm ci` in tests/mcp_servers; says so and is skipped without them, and fails where RLM_REQUIRE_ALL is
set.
"""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, MCPServer, Request, ScriptedModel, ToolError, mcp
from tests.support.waiting import until, until_true

pytestmark = pytest.mark.node

FOLDER = Path(__file__).parents[2] / "mcp_servers"
SERVERS = FOLDER / "node_modules/@modelcontextprotocol"
PROGRAM = str(SERVERS / "server-everything/dist/index.js")
FILES = str(SERVERS / "server-filesystem/dist/index.js")


def _missing() -> str:
    if shutil.which("node") is None:
        return "there is no Node (https://nodejs.org)"
    installed = Path(PROGRAM).is_file() and Path(FILES).is_file()
    return "" if installed else "run `npm ci` in tests/mcp_servers"


def _require_servers() -> None:
    missing = _missing()
    if missing and os.environ.get("RLM_REQUIRE_ALL") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


@pytest.fixture(params=["stdio", "streamableHttp"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MCPServer]:
    _require_servers()
    if request.param == "stdio":
        monkeypatch.setenv("SOME_API_KEY", "key-of-the-kernel-12345")
        made = mcp(["node", PROGRAM, "stdio"], name="every")
        yield made
        made.close()
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["node", PROGRAM, "streamableHttp"],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", port)) == 0

    until_true(answers)
    made = mcp(f"http://127.0.0.1:{port}/mcp", name="every")
    yield made
    made.close()
    process.kill()
    process.wait()


def test_everything(server: MCPServer) -> None:
    tools = server.tools
    assert server.problems == ()
    assert tools["get-sum"].name == "every__get-sum"
    assert (tools["get-sum"].requires_approval, tools["gzip-file-as-resource"].requires_approval) == (False, True)
    assert server.echo(message="hi") == "Echo: hi"
    assert "5" in server["get-sum"](a=2, b=3)
    assert json.loads(server["get-structured-content"](location="Chicago")).keys() >= {"temperature"}
    assert "[image image/png, about 4,035 bytes: only models" in server["get-tiny-image"]()
    assert "linked, not read]" in server["get-resource-links"](count=2)
    assert "completed" in server["trigger-long-running-operation"](duration=1, steps=2)
    uri, *_ = server.resources[0]
    assert server.read(uri)
    if not server.address.startswith("http"):
        assert "SOME_API_KEY" not in server["get-env"](), "a program gets no key of this process"


async def test_files_are_read_at_once_and_written_when_a_person_agrees(tmp_path: Path) -> None:
    _require_servers()
    files = mcp(["node", FILES, str(tmp_path)], name="files")
    there, new = tmp_path / "there.txt", tmp_path / "new.txt"
    there.write_text("closed in 1921")
    try:
        tools = files.tools
        assert files.problems == ()
        assert {name for name, tool in tools.items() if tool.requires_approval} == {
            *("write_file", "edit_file", "create_directory", "move_file"),
        }
        assert files.read_text_file(path=str(there)) == "closed in 1921"
        with pytest.raises(ToolError, match="outside allowed directories"):
            files.read_text_file(path="/etc/passwd")
        (tmp_path / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(3_000))
        assert files.read_media_file(path=str(tmp_path / "dot.png")).startswith("[image image/png, about 3,0")

        def say(request: Request) -> Any:
            results = [message["content"] for message in request.messages if message["role"] == "tool"]
            arguments = {"path": str(new), "content": "x"}
            return results[-1] if results else {"tool_calls": [{"name": "files__write_file", "arguments": arguments}]}

        engine = AsyncRecursiveEngine(ScriptedModel(say), tools=[files], max_depth=1)
        for agrees in (False, True):
            run = engine.start("t")
            await until(partial(getattr, run, "awaiting"))
            assert not new.exists()
            (run.approve if agrees else run.reject)("0")
            assert ("rejected" in (await run).content) is not agrees
            assert new.exists() is agrees
    finally:
        files.close()
