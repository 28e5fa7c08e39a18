"""A program that used a sandbox ends as if it had not: with exit code 0, at once, and without processes left.

A thread that is inside a sandbox's native code when the interpreter exits can abort the process (exit code 134), in one
run of ten or so. So each way to end is tried often.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

from tests.support.amounts import few_or_many
from tests.support.sandboxes import KINDS, require_confined
from tests.support.waiting import HANG, until_true

START = """
import asyncio, sys, threading
from rlm_notebook.sandbox.{module} import {name}
from rlm_notebook.sandbox.port import SessionSettings

sandbox = {name}()
settings = SessionSettings(functions=["wait", "echo"], variables={{"text": "word " * 1000}}, cell_seconds=60)

async def call(name, args, kwargs):
    await asyncio.sleep(60 if name == "wait" else 0)
    return args

async def session_of(*cells):
    session = await sandbox.open(settings)
    for cell in cells:
        result = await session.run(cell, call)
        assert result.error is None, result.error
    return session
"""
#: Ways to end, from tidy to rude. Each prints the process ids of its sandbox's processes before it ends.
ENDINGS = {
    "all closed": """
async def main():
    session = await session_of("echo(len(text))", "print('x' * 100_000)")
    await session.close()
    await sandbox.close()
asyncio.run(main())
""",
    "nothing closed": """
async def main():
    await session_of("echo(1)")
    await session_of("echo(2)")
asyncio.run(main())
""",
    "a busy cell is cancelled": """
async def main():
    session = await session_of("echo(1)")
    await asyncio.wait([asyncio.create_task(session.run("while True: pass", call))], timeout=0.05)
asyncio.run(main())
""",
    "a cell waits for the host": """
async def main():
    session = await session_of("echo(1)")
    await asyncio.wait([asyncio.create_task(session.run("wait()", call))], timeout=0.05)
asyncio.run(main())
""",
    "the loop stops under a busy cell": """
loop = asyncio.new_event_loop()
session = loop.run_until_complete(session_of("echo(1)"))
task = loop.create_task(session.run("while True: echo(1)", call))
loop.run_until_complete(asyncio.sleep(0.05))
sys.unraisablehook = lambda *args: None
""",
    "a loop in a daemon thread goes on": """
ready = threading.Event()
async def main():
    session = await session_of("echo(1)")
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, ready.set)
    await session.run("while True: echo(1)", call)
threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
ready.wait(60)
""",
    "the program exits inside": """
async def main():
    session = await session_of("echo(1)")
    task = asyncio.create_task(session.run("wait()", call))
    await asyncio.sleep(0.05)
    sys.exit(0)
asyncio.run(main())
""",
    "a cell computed too long": """
async def main():
    session = await sandbox.open(SessionSettings(cell_seconds=0.05))
    result = await session.run("while True: pass", call)
    assert result.lost
asyncio.run(main())
""",
}
#: How often each way is tried; 13 makes 208 scripts and 50 kernels.
ROUNDS = int(os.environ.get("RLM_EXIT_ROUNDS", "2"))
NAMES = {"monty": ("monty", "MontySandbox"), "python": ("confined", "ConfinedPython")}


def program(kind: str, ending: str) -> str:
    if kind == "python":
        require_confined()
    module, name = NAMES[kind]
    return START.format(module=module, name=name) + ENDINGS[ending]


@pytest.mark.parametrize(
    ("kind", "ending", "amount"),
    [
        pytest.param("monty", "a loop in a daemon thread goes on", 1, id="few"),
        *(
            pytest.param(kind, ending, ROUNDS, id=f"{kind}, {ending}", marks=pytest.mark.long)
            for kind in KINDS
            for ending in ENDINGS
        ),
    ],
)
def test_a_script_ends_with_exit_code_0(kind: str, ending: str, amount: int) -> None:
    code = program(kind, ending)
    for _ in range(amount):
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=HANG, check=False)
        assert (ended.returncode, ended.stderr.decode()) == (0, "")


@pytest.mark.kernel
@few_or_many(1, 2 * ROUNDS - 1)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_ends_with_exit_code_0(kind: str, amount: int, tmp_path: Path) -> None:
    if kind == "python":
        require_confined()
    module, name = NAMES[kind]
    cells = [
        START.format(module=module, name=name),
        "session = await session_of('echo(len(text))')",
        "task = asyncio.create_task(session.run('while True: echo(1)', call)); await asyncio.sleep(0.05)",
    ]
    for _ in range(amount):
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=str(tmp_path))
        client = manager.blocking_client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=HANG)
            for cell in cells:
                reply = client.execute_interactive(cell, timeout=HANG, output_hook=lambda message: None)
                assert reply["content"]["status"] == "ok", reply["content"]
            process = manager.provisioner.process
            client.shutdown()
            until_true(lambda process=process: process.poll() is not None)
            assert process.returncode == 0
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
