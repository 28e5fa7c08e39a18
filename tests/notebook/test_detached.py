"""`--detach` in a real kernel: the run goes on while other cells work, and stops when it is told to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from rlm_notebook.checkpoints.selection import recorded_in
from tests.notebook.conftest import LOGGING_MODEL, Kernel, calls, one_line

pytestmark = pytest.mark.kernel

MANY = {"root": {f"leaf {n}": str(n) for n in range(1500)}}
DETACHED = "%%rlm -m model -n demo --detach --max-steps 2000 --concurrency 4\nroot"
#: Cells that keep the kernel busy until the run beside them has given so many more answers.
WHILE_OTHERS_BLOCK = """
import pathlib, time
def answers():
    return pathlib.Path("calls.log").read_text().count("answered")
def more_answers(meanwhile, wanted=5):
    before = answers()
    while answers() < before + wanted:
        meanwhile()
    return True
"""


def define(kernel: Kernel, script: object, latency: object) -> None:
    assert kernel.run(f"import time; model = logged({script!r}, 'calls.log', latency={latency!r})").ok


def test_the_cell_returns_at_once_and_the_run_goes_on_while_others_block(kernel: Kernel) -> None:
    define(kernel, MANY, 0.05)
    ran = kernel.run(DETACHED)
    assert ran.ok, "\n".join(ran.reply.get("traceback", []))
    assert kernel.value("type(_rlm).__name__, _rlm.status") == "('Run', 'running')"
    kernel.run(WHILE_OTHERS_BLOCK)
    # A run that a busy cell held up would give none, and the cell would never end.
    assert kernel.value("more_answers(lambda: time.sleep(0.2))") == "True"
    assert kernel.value("more_answers(lambda: sum(range(99_999)))") == "True"
    assert kernel.value("_rlm.status") == "'running'"
    ran = kernel.run("%rlm cancel demo")
    assert ran.printed.startswith("cancelled demo: ")
    assert kernel.value("_rlm.status") == "'cancelled'"
    asked = len(calls(kernel.folder))
    time.sleep(0.3)
    assert len(calls(kernel.folder)) == asked
    assert kernel.run("%rlm cancel").reply["status"] == "error"


def test_what_it_shows_stays_in_its_own_cell(kernel: Kernel) -> None:
    define(kernel, {"root": {f"leaf {n}": str(n) for n in range(6)}}, 0.3)
    message = kernel.send("%%rlm -m model -n demo --detach --view text --concurrency 2\nroot")
    kernel.finish(message)
    other = kernel.run("time.sleep(2.5); print('mine')")
    assert other.printed == "mine\n"
    mine = [m for m in kernel.seen if m["parent_header"].get("msg_id") == message and m["msg_type"] == "stream"]
    printed = "".join(m["content"]["text"] for m in mine)
    assert printed.count("✓ [0.") == 6
    assert "✓ root" in printed


def test_it_can_be_awaited_in_a_later_cell(kernel: Kernel) -> None:
    define(kernel, {"root": {"one": "1", "two": "2"}}, 0.3)
    kernel.run("%%rlm -m model -n demo --detach -o found\nroot")
    ran = kernel.run("output = await found\nstr(output), found.status")
    assert ran.text == "('root: 1; 2', 'done')"
    events = kernel.run("[type(event).__name__ async for event in found.events()]")
    assert events.text == "[]"


def test_stopping_a_cell_that_waits_does_not_stop_it(kernel: Kernel) -> None:
    define(kernel, {"root": {"one": "1", "two": "2"}}, 1.0)
    kernel.run("%%rlm -m model -n demo --detach\nroot")
    message = kernel.send("await _rlm")
    time.sleep(0.6)
    kernel.interrupt()
    assert kernel.finish(message).reply["status"] == "error"
    assert kernel.value("str(await _rlm)") == "'root: 1; 2'"


def test_its_events_can_be_followed_from_another_cell(kernel: Kernel) -> None:
    define(kernel, {"root": {"one": "1", "two": "2"}}, 0.3)
    kernel.run("%%rlm -m model -n demo --detach\nroot")
    ran = kernel.run("[type(event).__name__ async for event in _rlm.events()].count('Finished')")
    assert ran.text == "3"


def test_on_the_kernels_own_loop_it_goes_on_between_cells(kernel: Kernel) -> None:
    define(kernel, {"root": {"one": "1"}}, 0.1)
    kernel.run("%%rlm -m model -n demo --detach=loop\nroot")
    assert kernel.value("str(await _rlm)") == "'root: 1'"
    assert kernel.value("import asyncio; _rlm.internals.loop is asyncio.get_running_loop()") == "True"


def test_what_cannot_start_fails_the_cell_in_one_line(kernel: Kernel) -> None:
    ran = kernel.run("%%rlm -m nothing_of_that_name --detach\nroot")
    assert "nothing_of_that_name" in one_line(ran.failed_with)


@pytest.mark.parametrize("now", [False, True])
def test_closing_the_kernel_leaves_what_can_be_resumed(new_kernel: Callable[..., Kernel], now: bool) -> None:
    first = new_kernel()
    first.run(LOGGING_MODEL)
    define(first, {"root": {f"leaf {n}": str(n) for n in range(40)}}, 0.2)
    assert first.run("%%rlm -m model -n demo --detach --concurrency 8\nroot").ok
    while len(calls(first.folder, "answered")) < 10:
        time.sleep(0.05)
    first.manager.shutdown_kernel(now=now)
    asked = len(calls(first.folder))
    kept = recorded_in(first.folder / "notebook.rlm" / "demo.json")
    assert kept is not None
    done = {node.task for node in kept.tree if node.state == "done"}
    assert 5 <= len(done) < 40

    second = new_kernel()
    second.run(LOGGING_MODEL)
    define(second, {"root": {f"leaf {n}": str(n) for n in range(40)}}, 0.01)
    assert second.run("%%rlm -m model -n demo\nroot").ok
    assert not [call for call in calls(second.folder)[asked:] if call.split(" ", 2)[2] in done]
    assert json.loads((second.folder / "notebook.rlm" / "demo.json").read_text())["status"] == "done"
