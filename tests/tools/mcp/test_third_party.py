"""A server that nobody of this project wrote: npm's @modelcontextprotocol/server-everything.

Needs Node and `npm ci` in tests/mcp_servers; says so and is skipped without them, and fails where RLM_REQUIRE_ALL is
set.
"""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_notebook import MCPServer, mcp
from tests.support.waiting import until_true

pytestmark = pytest.mark.node

FOLDER = Path(__file__).parents[2] / "mcp_servers"
PROGRAM = str(FOLDER / "node_modules/@modelcontextprotocol/server-everything/dist/index.js")


def _missing() -> str:
    if shutil.which("node") is None:
        return "there is no Node (https://nodejs.org)"
    return "" if Path(PROGRAM).is_file() else "run `npm ci` in tests/mcp_servers"


@pytest.fixture(params=["stdio", "streamableHttp"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MCPServer]:
    missing = _missing()
    if missing and os.environ.get("RLM_REQUIRE_ALL") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
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
    assert "[image image/png, about 4,035 bytes: left out" in server["get-tiny-image"]()
    assert "linked, not read]" in server["get-resource-links"](count=2)
    assert "completed" in server["trigger-long-running-operation"](duration=1, steps=2)
    uri, *_ = server.resources[0]
    assert server.read(uri)
    if not server.address.startswith("http"):
        assert "SOME_API_KEY" not in server["get-env"](), "a program gets no key of this process"
