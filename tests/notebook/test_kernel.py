"""`%%rlm` in a real kernel: the queue, interrupts, and messages of the browser while a cell runs."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.notebook.conftest import Kernel, Ran, asked_again, calls, one_line
from tests.support.waiting import until_true

pytestmark = pytest.mark.kernel

WIDE = {"root": {f"part {n}": {f"leaf {n}.{m}": f"{n}{m}" for m in range(4)} for n in range(6)}}
VERY_WIDE = {"root": {f"part {n}": {f"leaf {n}.{m}": f"{n}{m}" for m in range(14)} for n in range(20)}}
KERNEL_VERSION = tuple(int(part) for part in version("ipykernel").split(".")[:2])
WITHOUT_ITS_SUCCESSOR = """
import asyncio
import rlm_notebook.notebook.kernel.event_loop as event_loop
real = event_loop._version
event_loop._version = lambda package: () if package == "nest_asyncio2" else real(package)
event_loop.enable_nested_loops()
"""
TASKS_LEFT = (
    "import asyncio\n"
    "[t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith('rlm') or 'Recursive' in str(t.get_coro())]"
)


def define(kernel: Kernel, script: Any, **options: Any) -> None:
    """The variable `model`; its calls are logged in calls.log, also across kernels."""
    said = "".join(f", {name}={value!r}" for name, value in options.items())
    ran = kernel.run(f"model = logged({script!r}, 'calls.log'{said})")
    assert ran.ok, ran.reply


def document(folder: Path, name: str = "demo") -> Any:
    return json.loads((folder / "notebook.rlm" / f"{name}.json").read_text())


# -- outputs ---------------------------------------------------------------------------------------------------------


def test_the_outputs_come_in_order_and_the_answer_once(kernel: Kernel) -> None:
    define(kernel, {"root": {"one": "1", "=": "# The answer"}}, latency=0.05)
    ran = kernel.run("%%rlm -m model -n demo\nroot")
    shown = ran.of("display_data", "execute_result", "stream")
    assert [next(iter(sorted(m["content"]["data"], key=len, reverse=True))) for m in shown] == [
        "application/vnd.jupyter.widget-view+json",
        "text/markdown",
        "text/markdown",
    ]
    assert "rlm-static" in shown[1]["content"]["data"]["text/html"]
    assert shown[2]["content"]["data"]["text/markdown"] == "# The answer"
    assert [m["msg_type"] for m in shown] == ["display_data"] * 3
    final = ran.of("update_display_data")[-1]["content"]["data"]
    assert "rlm done: 2 of 2 nodes" in final["text/plain"]
    assert "saved in notebook.rlm/demo.json" in final["text/plain"]


def test_a_rerun_shows_the_same_static_copy_and_answer(kernel: Kernel) -> None:
    define(kernel, WIDE, latency=0.01)
    first, again = (kernel.run("%%rlm -m model -n demo\nroot") for _ in range(2))
    assert len(calls(kernel.folder)) == len(set(calls(kernel.folder)))
    assert static(first) == static(again)
    assert first.text == again.text


def static(ran: Ran) -> Any:
    return ran.of("update_display_data")[-1]["content"]["data"]


def test_the_static_copy_is_refreshed_while_the_run_goes_on(kernel: Kernel) -> None:
    kernel.run("import rlm_notebook.notebook.display.show as showing; showing.REFRESH_INTERVAL = 0.3")
    define(kernel, {"root": {"a": {"b": {"c": "1"}}}}, latency=0.2)
    ran = kernel.run("%%rlm -m model --no-checkpoint\nroot")
    kernel.run("host.REFRESH_INTERVAL = 5.0")
    shown = [m["content"]["data"]["text/plain"] for m in ran.of("update_display_data")]
    assert 3 <= len(shown) <= 12
    assert shown[0].startswith("rlm running")
    assert shown[-1].startswith("rlm done")


def test_help_of_the_magic_is_its_options(kernel: Kernel) -> None:
    for cell in ("%%rlm?", "%rlm?"):
        ran = kernel.run(cell)
        page = ran.reply["payload"][0]["data"]["text/plain"]
        for part in ("--model", "--checkpoint", "--max-depth", "NAME <<"):
            assert part in page


def test_the_blocking_form_and_a_captured_cell_show_what_a_cell_shows(kernel: Kernel) -> None:
    define(kernel, {"root": {"one": "1"}})
    ran = kernel.run("get_ipython().run_cell_magic('rlm', '-m model -n demo', 'root')")
    assert ran.ok
    assert len(ran.of("display_data")) == 3
    assert ran.text == "root: 1"
    ran = kernel.run("%%capture captured\n%%rlm -m model -n demo\nroot")
    assert ran.ok
    assert not ran.of("display_data", "execute_result")
    assert kernel.value("captured.outputs[-1].data['text/markdown']") == "'root: 1'"


def test_a_run_shows_itself(kernel: Kernel) -> None:
    define(kernel, {"root": {"one": "1"}})
    kernel.run("%%rlm -m model -n demo\nroot")
    ran = kernel.run("_rlm")
    assert ran.ok
    assert "widget-view" in str(ran.of("display_data")[0]["content"]["data"])
    assert "rlm done" in ran.of("display_data")[1]["content"]["data"]["text/plain"]
    ran = kernel.run("from rlm_notebook import RecursiveEngine; RecursiveEngine(model).solve('root').run")
    assert ran.ok
    assert "rlm done" in ran.of("display_data")[1]["content"]["data"]["text/plain"]


# -- the queue -------------------------------------------------------------------------------------------------------


def test_run_all_answers_every_cell_in_order(kernel: Kernel) -> None:
    define(kernel, {"root": {"one": "1", "two": "2"}}, latency=0.1)
    cells = ["a = 1", "%%rlm -m model answer <<\nroot", "b = a + 1", "str(answer)", "a, b"]
    sent = [kernel.send(cell) for cell in cells]
    ran = [kernel.finish(message) for message in sent]
    assert [each.reply["status"] for each in ran] == ["ok"] * 5
    counts = [each.reply["execution_count"] for each in ran]
    assert counts == list(range(counts[0], counts[0] + 5))
    assert [each.text for each in ran] == ["", "root: 1; 2", "", "'root: 1; 2'", "(1, 2)"]


def test_a_failed_cell_stops_what_is_queued(kernel: Kernel) -> None:
    cells = ["import time; time.sleep(0.3); a = 1", "%%rlm -m nothing_of_that_name\nroot", "a = 2", "a = 3", "a = 4"]
    sent = [kernel.send(cell) for cell in cells]
    ran = [kernel.finish(message) for message in sent]
    assert [each.reply["status"] for each in ran] == ["ok", "error", "aborted", "aborted", "aborted"]
    assert "nothing_of_that_name" in one_line(ran[1].failed_with)
    assert kernel.value("a") == "1"


@pytest.mark.parametrize(
    ("cell", "kind"),
    [("%%rlm --modle x\nroot", "UsageError"), ("%%rlm", "ConfigurationError"), ("%%rlm -m offline {{x}", None)],
)
def test_what_is_wrong_is_one_line_to_a_reader(kernel: Kernel, cell: str, kind: str | None) -> None:
    ran = kernel.run(cell)
    if kind is not None:
        assert ran.reply["ename"] == kind
        assert one_line(ran.failed_with).startswith(f"{kind}: ")


# -- interrupts ------------------------------------------------------------------------------------------------------


def test_interrupts_at_random_moments_lose_nothing(kernel: Kernel) -> None:
    """Interrupted twenty times, the run ends as an uninterrupted one, and no finished call is made again."""
    chance = random.Random(20240607)
    define(kernel, VERY_WIDE, latency=(0.02, 0.15))
    cell = "%%rlm -m model -n demo --max-steps 400 --concurrency 4\nroot"
    for _ in range(20):
        message = kernel.send(cell)
        time.sleep(chance.uniform(0.02, 0.25))
        kernel.interrupt()
        ran = kernel.finish(message)
        assert kernel.run("'next'").ok
        assert kernel.value(TASKS_LEFT) == "[]"
        line = one_line(ran.failed_with)
        if line.startswith("KeyboardInterrupt"):
            # The cell had not begun to run; there was nothing to save.
            continue
        assert f"saved in {kernel.folder}" in line
        assert line.endswith("; run the cell again to continue")
        kept = document(kernel.folder)
        done = sum(node["state"] == "done" for node in kept["nodes"])
        assert kept["status"] == "cancelled"
        assert line.startswith(f"Interrupted: {done} of {len(kept['nodes'])} nodes are saved")
    ran = kernel.run(cell)
    assert ran.ok
    assert document(kernel.folder)["status"] == "done"
    assert asked_again(kernel.folder) == []
    asked = calls(kernel.folder)
    assert set(asked) == set(calls(kernel.folder, "answered"))
    assert len(set(asked)) == 1 + 20 + 20 * 14 + 20 + 1
    before = len(asked)
    assert kernel.run(cell).text == ran.text
    assert len(calls(kernel.folder)) == before


def test_an_interrupt_is_noticed_while_a_call_is_under_way(kernel: Kernel) -> None:
    define(kernel, {"root": "1"}, latency=3600)
    message = kernel.send("%%rlm -m model --no-checkpoint\nroot")
    until_true(lambda: calls(kernel.folder))
    kernel.interrupt()
    ran = kernel.finish(message)
    assert "kept in memory only" in one_line(ran.failed_with)


def test_an_interrupt_stops_what_is_queued(kernel: Kernel) -> None:
    define(kernel, {"root": "1"}, latency=3600)
    sent = [kernel.send(cell) for cell in ("%%rlm -m model --no-checkpoint\nroot", "a = 'ran'")]
    until_true(lambda: calls(kernel.folder))
    kernel.interrupt()
    assert [kernel.finish(message).reply["status"] for message in sent] == ["error", "aborted"]


def test_an_interrupt_of_the_blocking_form_saves_too(kernel: Kernel) -> None:
    define(kernel, WIDE, latency=(0.05, 0.3))
    message = kernel.send("get_ipython().run_cell_magic('rlm', '-m model -n demo', 'root')")
    time.sleep(0.6)
    kernel.interrupt()
    ran = kernel.finish(message)
    assert one_line(ran.failed_with).startswith("Interrupted: ")
    assert document(kernel.folder)["status"] == "cancelled"
    assert kernel.run("%%rlm -m model -n demo\nroot").ok
    assert asked_again(kernel.folder) == []


# -- the browser -----------------------------------------------------------------------------------------------------


def test_a_click_reaches_the_run_while_the_cell_runs(kernel: Kernel) -> None:
    """A custom message of the widget's comm is answered during the cell, and cancel ends it."""
    define(kernel, {"root": {"one": "1"}}, latency=(0.2, 3600))
    message = kernel.send("%%rlm -m model -n demo\nroot")
    comm = kernel.widget()
    kernel.tell(comm, {"t": "sync", "e": 0, "s": 0})
    kernel.until(lambda m: _content(m).get("t") == "s")
    began = time.monotonic()
    kernel.tell(comm, {"t": "cmd", "req": 1, "op": "cancel"})
    ack = kernel.until(lambda m: _content(m).get("t") == "ack")
    print(f"ipykernel {version('ipykernel')}: acknowledged after {1000 * (time.monotonic() - began):.0f} ms")
    assert _content(ack) == {"t": "ack", "req": 1, "ok": True}
    ran = kernel.finish(message)
    assert one_line(ran.failed_with).startswith("Cancelled: ")
    assert document(kernel.folder)["status"] == "cancelled"
    assert kernel.run("'next'").ok


def _content(message: dict[str, Any]) -> dict[str, Any]:
    found = message["content"].get("data", {}) if message["msg_type"] == "comm_msg" else {}
    content = found.get("content", {})
    return content if isinstance(content, dict) else {}


def test_after_the_cell_the_widget_still_answers(kernel: Kernel) -> None:
    define(kernel, {"root": {"one": "first"}})
    for cell in ("%%rlm -m model -n demo\nroot", "get_ipython().run_cell_magic('rlm', '-m model -n demo', 'root')"):
        message = kernel.send(cell)
        comm = kernel.widget()
        kernel.finish(message)
        kernel.tell(comm, {"t": "get", "req": 9, "id": "0.0", "fields": ["output"]})
        reply = kernel.until(lambda m: _content(m).get("t") == "d")
        assert _content(reply)["data"] == "first"


# -- the cell's file -------------------------------------------------------------------------------------------------


def test_cells_are_known_by_their_ids(kernel: Kernel) -> None:
    define(kernel, {})
    kernel.run("%%rlm -m model\nSay so", cell_id="cell-a")
    kernel.run("%%rlm -m model\nSay so", cell_id="cell-b")
    kernel.run("%%rlm -m model\nSay so again", cell_id="cell-b")
    folder = kernel.folder / "notebook.rlm"
    assert {path.stem: json.loads(path.read_text())["cell_id"] for path in folder.glob("*.json")} == {
        "say-so": "cell-a",
        "say-so-2": "cell-b",
        "say-so-2.1": "cell-b",
    }
    assert document(kernel.folder, "say-so-2")["task"] == "Say so again"


def test_enable_nested_loops_never_loses_a_queued_cell(new_kernel: Callable[..., Kernel]) -> None:
    """It refuses where cells would be lost, and works where they are not: either way every cell is answered."""
    kernel = new_kernel()
    cells = [WITHOUT_ITS_SUCCESSOR, "asyncio.run(asyncio.sleep(0.1, 'nested'))", "a = 1", "a + 1"]
    ran = [kernel.finish(message) for message in [kernel.send(cell) for cell in cells]]
    if KERNEL_VERSION >= (7, 1):
        assert ran[0].reply["ename"] == "ConfigurationError"
        assert "silently loses cells" in ran[0].reply["evalue"]
        assert kernel.value("import sys; 'nest_asyncio' in sys.modules") == "False"
    else:
        assert [each.text for each in ran] == ["", "'nested'", "", "2"]
