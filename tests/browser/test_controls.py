"""JupyterLab and Notebook 7: rows move while the cell runs, and what is pressed during the cell acts at once."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.amounts import hosts
from tests.support.waiting import HANG

pytestmark = pytest.mark.browser

MODEL = """
%load_ext rlm_notebook
from rlm_notebook import ScriptedModel
from rlm_notebook.models.scripted import Fault

script = {
    "Market landscape": {
        "Size the market": {"Europe": "12 GWh", "Asia": "80 GWh"},
        "Compare chemistries": {
            "Lithium": "165 Wh/kg",
            "Sodium": {"Gigafactories": "7", "Incidents": "none"},
            "Iron-air": "cheap and slow",
        },
        "Map the policies": {"United States": "credits", "European Union": "markets"},
    }
}
faults = []
model = ScriptedModel(script, latency=(0.2, 1.0), stream=True, faults=faults)
"""
CELL = "%%rlm -m model -n demo --concurrency 2 --on-failure synthesize\nMarket landscape"
ACTIVE = {"planning", "waiting", "running", "synthesizing", "pending"}


@pytest.fixture(params=hosts("lab"))
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Wire:
    """The commands that a page sends, and when each was acknowledged: by the browser's own clock, in seconds."""

    def __init__(self, page: Any) -> None:
        #: By the page that sent it and its number there: all pages hear all acknowledgements.
        self.sent: dict[tuple[str, int], tuple[str, float]] = {}
        self.acknowledged: list[tuple[str, float, bool]] = []
        network = page.tab.context.new_cdp_session(page.tab)
        network.send("Network.enable")
        network.on("Network.webSocketFrameSent", lambda frame: self._note(frame, self._command))
        network.on("Network.webSocketFrameReceived", lambda frame: self._note(frame, self._answer))

    def _note(self, frame: Any, take: Any) -> None:
        text = frame["response"]["payloadData"]
        if frame["response"]["opcode"] == 2:
            text = base64.b64decode(text).decode("utf-8", "replace")
        for found in re.finditer(r'"content"\s*:\s*(\{"t"\s*:\s*"(?:cmd|ack)".*)', text):
            take(json.JSONDecoder().raw_decode(found[1])[0], frame["timestamp"])

    def _command(self, message: dict[str, Any], at: float) -> None:
        self.sent[message["c"], message["req"]] = message["op"], at

    def _answer(self, message: dict[str, Any], at: float) -> None:
        command = message["c"], message["req"]
        if command in self.sent:
            op, since = self.sent.pop(command)
            self.acknowledged.append((op, at - since, message["ok"]))

    def expect(self, page: Any, op: str) -> None:
        """The command has been acknowledged."""
        ends = time.monotonic() + HANG
        while not (found := [each for each in self.acknowledged if each[0] == op]):
            assert time.monotonic() < ends, f"{op} was not acknowledged; sent: {self.sent}"
            page.tab.wait_for_timeout(10)
        _, seconds, ok = found[-1]
        print(f"{op}: acknowledged after {seconds * 1000:.0f} ms")
        assert ok
        self.acknowledged.clear()


def opened(
    lab: Any, open_notebook: Any, host: str, name: str, *more: str, model: str = MODEL
) -> tuple[Any, Wire, Path]:
    path = lab.write(f"{name}_{host}", model, CELL, *more)
    page = open_notebook(path, host)
    wire = Wire(page)
    page.run_all()
    page.status("running")
    page.tab.wait_for_selector('.rn [data-state="done"]')
    assert page.running()
    return page, wire, path


def press(page: Any, name: str) -> None:
    page.tab.locator(".rn").get_by_role("button", name=name, exact=True).first.click()


def choose(page: Any, title: str) -> None:
    """Click on a node's row."""
    page.tab.locator(".rn [role=row]", has_text=title).first.click()


def test_rows_move_and_pause_and_resume_act_during_the_cell(lab: Any, open_notebook: Any, host: str) -> None:
    page, wire, _ = opened(lab, open_notebook, host, "pause")
    states = set(page.seen()["states"])
    press(page, "Pause")
    wire.expect(page, "pause")
    page.status("paused")
    page.tab.wait_for_timeout(1300)
    before = page.seen()["states"]
    page.tab.wait_for_timeout(1500)
    assert page.seen()["states"] == before, "nothing new begins in a pause"
    assert page.running()
    page.shoot(f"{host} paused")
    press(page, "Resume")
    wire.expect(page, "resume")
    page.status("done")
    page.idle()
    assert states & ACTIVE
    page.output(1).get_by_text("12 GWh").first.wait_for()


def test_a_result_is_edited_during_the_cell(lab: Any, open_notebook: Any, host: str) -> None:
    page, wire, path = opened(lab, open_notebook, host, "edit", "str(_)[:2000]")
    # However slow the machine is, the run waits for the edit.
    press(page, "Pause")
    wire.expect(page, "pause")
    done = page.tab.locator('.rn [role=row][data-state="done"]').first
    done.click()
    press(page, "Edit & re-run")
    dialog = page.tab.locator(".rn dialog, .rn [role=dialog]").first
    dialog.wait_for()
    # The dialog grows when the text arrives.
    dialog.get_by_role("textbox").first.wait_for()
    dialog.get_by_role("radio", name="Result").check(force=True)
    dialog.get_by_role("textbox").fill("4711 GWh, by hand")
    page.tab.wait_for_selector(".rn-preview-ready")
    page.shoot(f"{host} edit dialog")
    again = dialog.locator(".rn-preview").inner_text()
    assert "run again" in again or "runs again" in again or "Nothing runs again" in again
    dialog.get_by_role("button", name="Run again").click()
    wire.expect(page, "edit")
    assert page.running()
    page.tab.wait_for_selector(".rn[data-status=running], .rn[data-status=done]")
    page.status("done")
    page.idle()
    assert "4711 GWh, by hand" in page.tab.locator(".jp-CodeCell").nth(2).inner_text()
    files = sorted(each.name for each in path.with_suffix(".rlm").glob("*.json"))
    assert files == ["demo.1.json", "demo.json"], "the run before the edit is a version"


def test_what_failed_is_tried_again_during_the_cell(lab: Any, open_notebook: Any, host: str) -> None:
    model = MODEL.replace("faults = []", 'faults = [Fault("Europe", error=RuntimeError("gone"), times=1)]')
    page, wire, path = opened(lab, open_notebook, host, "retry", model=model)
    page.tab.wait_for_selector('.rn [data-state="failed"]')
    choose(page, "Europe")
    page.shoot(f"{host} failed")
    press(page, "Retry")
    wire.expect(page, "retry")
    page.status("done")
    page.idle()
    assert "failed" not in page.seen()["states"]
    nodes = lab.document(path)["nodes"]
    assert {node["state"] for node in nodes} == {"done"}
    assert [each.name for each in path.with_suffix(".rlm").glob("*.json")] == ["demo.json"], "in the cell's own file"


def test_one_task_and_then_the_run_is_cancelled(lab: Any, open_notebook: Any, host: str) -> None:
    page, wire, path = opened(lab, open_notebook, host, "cancel")
    choose(page, "Map the policies")
    press(page, "Cancel node")
    wire.expect(page, "cancel")
    page.tab.wait_for_selector('.rn [data-state="cancelled"]')
    assert page.running(), "the rest goes on"
    page.tab.locator(".rn").get_by_role("button", name="Cancel", exact=True).click()
    wire.expect(page, "cancel")
    page.status("cancelled")
    page.idle()
    assert lab.document(path)["status"] == "cancelled"
    # Afterwards, outside the cell, the same view goes on with what was left.
    press(page, "Run the cancelled again")
    wire.expect(page, "retry")
    page.status("done")
    assert lab.document(path)["status"] == "done"
    # What a saved notebook shows is kept up, and still hidden by the live view.
    page.tab.wait_for_timeout(500)
    assert page.seen()["static"] == ["none"]
    page.save()
    texts = [
        output.data["text/plain"] for output in nbformat.read(path, as_version=4).cells[1].outputs if "data" in output
    ]
    assert any(text.startswith("rlm done") for text in texts), texts


def test_a_reload_comes_back_live_and_two_pages_agree(lab: Any, open_notebook: Any, host: str) -> None:
    page, wire, path = opened(lab, open_notebook, host, "reload")
    # However slow the machine is, the run waits for the page.
    press(page, "Pause")
    wire.expect(page, "pause")
    page.save()
    page.reload()
    page.status("paused")
    other = open_notebook(path, host)
    other.status("paused")
    press(page, "Resume")
    wire.expect(page, "resume")
    other.status("running")
    press(other, "Pause")
    page.status("paused")
    press(other, "Resume")
    page.status("done")
    other.status("done")
    for each in (page, other):
        press(each, "Show tree")
    page.tab.wait_for_timeout(500)
    assert page.seen()["states"] == other.seen()["states"]
    assert set(page.seen()["states"]) == {"done"}
