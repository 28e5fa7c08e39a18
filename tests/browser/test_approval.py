"""JupyterLab: a browser that shows the widget counts as somebody, so that a plan waits as long as they take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.amounts import hosts

pytestmark = pytest.mark.browser

MODEL = """
%load_ext rlm_notebook
from rlm_notebook import ScriptedModel
import rlm_notebook.notebook.cell.approval as approval
approval.PATIENCE = 3.0
model = ScriptedModel({"Plan a trip": {"Flights": "at 9", "Hotel": "downtown"}})
"""


def test_a_plan_waits_for_who_sees_it(lab: Any, open_notebook: Any) -> None:
    page = open_notebook(lab.write("approval", MODEL, "%%rlm -m model -n trip --approve\nPlan a trip"))
    page.run_all()
    page.tab.wait_for_selector(".rn")
    page.tab.wait_for_timeout(6000)
    assert page.running(), "twice the time that nobody would be given"
    page.tab.locator(".rn").get_by_role("button", name="Review plan", exact=True).first.click()
    page.tab.get_by_role("button", name="Approve", exact=False).last.click()
    page.status("done")
    page.idle()
    page.output(1).get_by_text("at 9").first.wait_for()


TOOL = """
%load_ext rlm_notebook
from rlm_notebook import tool

@tool(requires_approval=True)
def send(to: str) -> str:
    "Send a message."
    return f"sent to {to}"

async def llm(inputs, context):
    said = [message["content"] for message in inputs if message["role"] == "tool"]
    if said:
        return {"content": said[-1]}
    return {"content": None, "tool_calls": [{"name": "send", "arguments": {"to": "the harbour master"}}]}
"""


def test_a_call_of_a_tool_waits_and_shows_what_it_would_do(lab: Any, open_notebook: Any, tmp_path: Path) -> None:
    page = open_notebook(lab.write("allow", TOOL, "%%rlm -m llm -t send -n trip --max-depth 1\nAsk for a berth"))
    page.run_all()
    page.tab.wait_for_selector(".rn-awaiting:has-text('waiting for you: tool calls')")
    # The counters follow within a frame or two; nobody is at work then.
    page.tab.wait_for_selector(".rn-filter-waiting:has-text('1')")
    page.tab.wait_for_selector(".rn-filter-running", state="detached")
    page.tab.locator(".rn").get_by_role("button", name="Review calls", exact=True).first.click()
    allow = page.tab.get_by_role("button", name="Allow 1 call", exact=True)
    allow.wait_for()
    assert "the harbour master" in page.tab.locator("dialog").inner_text()
    page.tab.screenshot(path=str(Path(os.environ.get("RLM_SCREENSHOTS") or tmp_path) / "lab allow a call.png"))
    allow.click()
    page.status("done")
    page.idle()
    page.output(1).get_by_text("sent to the harbour master").first.wait_for()


PLANNER = """
%load_ext rlm_notebook
import json
asked = []

async def llm(inputs, context):
    mode, task = context["mode"], context["task"]
    asked.append((mode, task))
    if mode == "synthesizer":
        return {"content": "; ".join(part["content"] for part in context["parts"])}
    if mode == "planner":
        rejected = [message["content"] for message in inputs if "rejected this plan" in message["content"]]
        way = "by train" if any("no flying" in text for text in rejected) else "by plane"
        parts = {"Plan a trip": [f"Journey {way}", "Rooms"], "Rooms": ["Hotel", "Tent"]}.get(task)
        split = {"decision": "RECURSE", "thoughts": "Two parts.", "sub_tasks": parts}
        return {"content": json.dumps(split if parts else {"decision": "EXECUTE"})}
    return {"content": f"{task} is booked"}
"""


@pytest.mark.parametrize("host", hosts("notebook"))
def test_a_plan_is_rejected_with_a_reason_and_a_double_click_approves_one(
    lab: Any, open_notebook: Any, host: str
) -> None:
    name = f"reject-{host}"
    page = open_notebook(lab.write(name, PLANNER, f"%%rlm -m llm -n {name} --approve\nPlan a trip", "len(asked)"), host)
    if host == "lab":
        page.run_all()
    else:
        page.tab.evaluate("() => void window.jupyterapp.commands.execute('runmenu:run-all')")
    tree = page.tab.locator(".rn")
    dialog = page.tab.locator("dialog")
    tree.get_by_role("button", name="Review plan", exact=True).first.click()
    dialog.get_by_text("About 3 to 45 calls").wait_for()
    assert "Journey by plane" in [area.input_value() for area in dialog.locator(".rn-step textarea").all()]
    page.shoot(f"{host} a plan to approve")
    dialog.get_by_role("button", name="Reject…", exact=True).click()
    dialog.get_by_label("Why?").fill("no flying")
    page.shoot(f"{host} a plan to reject")
    dialog.get_by_role("button", name="Reject the plan", exact=True).click()
    dialog.wait_for(state="detached")

    tree.get_by_role("button", name="Review plan", exact=True).first.click()
    page.tab.wait_for_function("() => document.querySelector('dialog .rn-step textarea')?.value === 'Journey by train'")
    dialog.get_by_role("button", name="Approve", exact=True).dblclick()
    dialog.wait_for(state="detached")
    page.tab.wait_for_selector(".rn-row[data-node-id='0.1'] .rn-awaiting:has-text('waiting for you')")
    page.tab.wait_for_selector(".rn-row[data-node-id='0.0'][data-state='done']")
    assert page.tab.locator(".rn-row[data-node-id='0.1.0']").count() == 0, "the second click approved nothing"
    page.shoot(f"{host} waiting for you")

    tree.get_by_role("button", name="Review plan", exact=True).first.click()
    dialog.get_by_role("button", name="Approve all that is left", exact=True).click()
    page.status("done")
    page.idle()
    page.output(1).get_by_text("Journey by train is booked; Hotel is booked; Tent is booked").first.wait_for()
