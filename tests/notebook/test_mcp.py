"""Tools of MCP servers in cells: `--tools server,server.search`, `%rlm tools`, and real kernels."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import MCPServer
from tests.notebook.conftest import Kernel, Shell
from tests.support import raw_mcp_server, sdk_mcp_server
from tests.support.waiting import until_true

TOOL = {"name": "search", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
ASKING = {"name": "delete", "description": "approved \x1b[31m", "inputSchema": {"type": "object"}}
NONSENSE = {"type": "object", "properties": {"x": {"type": "nonsense"}}}
#: Calls the tool that the task names, and answers with its result.
MODEL = """
import rlm_notebook as rlm
from rlm_notebook import ScriptedModel, tool
%load_ext rlm_notebook

def reply(request):
    if request.mode == "planner":
        return {"decision": "EXECUTE"}
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    if results:
        return f"{len(request.tools)} tools: {results[-1]}"
    name, _, arguments = request.facts.task.partition(" ")
    import json
    return {"tool_calls": [{"name": name, "arguments": json.loads(arguments or "{}")}]}

model = ScriptedModel(reply)
"""


async def test_cells_name_servers_and_their_tools_and_a_list_says_which_ask(shell: Shell, tmp_path: Path) -> None:
    broken = {**TOOL, "name": "se arch", "inputSchema": NONSENSE}
    (tmp_path / "tools.json").write_text(json.dumps([TOOL, ASKING, broken]))
    (tmp_path / "replies.json").write_text(json.dumps({"search": "found it"}))
    await shell.value(MODEL)
    await shell.value("@tool(requires_approval=True)\ndef mail(to: str) -> str:\n    'Send.'\n    return to")
    await shell.value(f"notes = rlm.mcp(['python', {raw_mcp_server.__file__!r}, {str(tmp_path)!r}], name='notes')")
    server: MCPServer = shell.names["notes"]

    text = str(await shell.value("%rlm tools"))
    assert "not started" in text
    assert server.state == "not started", "a list of what is known starts nothing"

    output = await shell.value("%%rlm -m model --tools notes,notes.search,mail --no-checkpoint\nnotes__search {}")
    assert str(output) == "3 tools: found it"
    only = await shell.value("%%rlm -m model --tools notes.search --no-checkpoint\nnotes__search {}")
    assert str(only) == "1 tools: found it"
    problem = str(await shell.failure("%%rlm -m model --tools notes.serch --no-checkpoint\nx"))
    assert "no tool 'serch'; did you mean search?" in problem

    rows = {line.split()[0]: line for line in str(await shell.value("%rlm tools notes")).splitlines()}
    assert "no: it says that it only reads" in rows["notes__search"]
    assert "yes: it does not say that it only reads" in rows["notes__delete"]
    assert "se arch: left out" in rows["notes:"]
    everything = str(await shell.value("%rlm tools"))
    assert "mail" in everything
    assert "\x1b" not in everything
    server.close()


# -- real kernels --------------------------------------------------------------------------------------------------

PROGRAM = ["python", sdk_mcp_server.__file__]


def ready(kernel: Kernel, **options: Any) -> None:
    assert kernel.run(MODEL).ok
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    ran = kernel.run(f"server = rlm.mcp({PROGRAM!r}, name='sdk'{given})\nserver.tools and server.state")
    assert ran.text == "'running'", ran.reply


def solve(kernel: Kernel, task: str, options: str = "--no-checkpoint") -> Any:
    return kernel.run(f"%%rlm -m model -t server {options}\n{task}")


@pytest.mark.kernel
def test_a_server_started_in_one_cell_serves_others_and_survives_what_happens_to_them(kernel: Kernel) -> None:
    ready(kernel, timeout=600)
    assert "3 notes on cats" in solve(kernel, 'sdk__search {"query": "cats"}').text

    detached = kernel.run('%%rlm -m model -t server --no-checkpoint --detach\nsdk__search {"query": "dogs"}')
    assert detached.ok, detached.reply
    assert "3 notes on dogs" in kernel.run("str(await _rlm)").text

    # Interrupted in a call that waits, then in one that blocks the server's thread.
    sent = kernel.send('%%rlm -m model -t server --no-checkpoint --view text\nsdk__slow {"seconds": 600}')
    kernel.until(lambda message: "sdk__slow" in json.dumps(message["content"]))
    time.sleep(1)
    kernel.interrupt()
    assert "Interrupted" in kernel.finish(sent).failed_with
    assert "3 notes on birds" in solve(kernel, 'sdk__search {"query": "birds"}').text

    assert "exit code 3" in solve(kernel, "sdk__crash").text
    assert "3 notes on fish" in solve(kernel, 'sdk__search {"query": "fish"}').text
    blocking = """rlm.RecursiveEngine(model, tools=[server.search]).solve('sdk__search {"query": "bees"}')"""
    assert "3 notes on bees" in kernel.value(f"str({blocking})")
    assert kernel.run("server.close(); server.state").text == "'ended'"
    said = json.dumps([message["content"] for message in kernel.seen])
    assert "cancel scope" not in said
    assert "ExceptionGroup" not in said


@pytest.mark.kernel
@pytest.mark.parametrize("now", [False, True], ids=["shut down", "killed"])
@pytest.mark.parametrize("hanging", [False, True], ids=["idle", "hanging"])
def test_a_restarted_kernel_leaves_no_server(new_kernel: Callable[..., Kernel], now: bool, hanging: bool) -> None:
    kernel = new_kernel()
    ready(kernel)
    pids = kernel.run(
        "import subprocess\n"
        # Whole lines, whatever width the environment names.
        "listed = subprocess.run(['ps', '-A', '-ww', '-o', 'pid=,args='], capture_output=True, text=True).stdout\n"
        f"' '.join(line.split()[0] for line in listed.splitlines() if {sdk_mcp_server.__file__!r} in line)"
    ).text.strip("'")
    mine = [int(pid) for pid in pids.split()]
    assert len(mine) >= 2, "the guard and the server"
    if hanging:
        kernel.send("%%rlm -m model -t server --no-checkpoint --view text\nsdk__hang {}")
        kernel.until(lambda message: "sdk__hang" in json.dumps(message["content"]))
        time.sleep(1)
    kernel.manager.restart_kernel(now=now)
    until_true(lambda: not any(map(_alive, mine)))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
