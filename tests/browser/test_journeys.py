"""What a person reads of one run on its way: causes of failures, time and money ahead, one word and one count for each
thing, and a task as Python code that runs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.amounts import hosts

pytestmark = pytest.mark.browser

MODEL = """
%load_ext rlm_notebook
import os
from rlm_notebook import ScriptedModel

class Market:
    '''Answers slowly; two parts fail for one cause as long as the line is down, in a tree of three levels.'''
    name = "market"
    def __init__(self):
        self.plans = {"Weigh the market": [f"Region {n}" for n in range(12)] + ["The rest"], "The rest": ["Sea", "Air"]}
        self.down = True
    async def __call__(self, inputs, context):
        import asyncio, json
        mode, task = context["mode"], context["task"]
        await asyncio.sleep(1.5 if mode == "worker" else 0.01)
        if mode == "planner":
            parts = self.plans.get(task)
            plan = {"decision": "RECURSE", "sub_tasks": parts} if parts else {"decision": "EXECUTE"}
            return {"content": json.dumps(plan)}
        if self.down and task in ("Sea", "Air"):
            raise ValueError("the line is down")
        return {"content": f"about {task}"}

model = Market()
"""
CELL = "%%rlm -m model -n market --concurrency 2 -o found\\nWeigh the market".replace("\\n", "\n")


def header(page: Any) -> str:
    return str(page.tab.locator(".rn-header").first.inner_text())


@pytest.mark.parametrize("host", hosts("lab"))
def test_one_run_from_its_first_call_to_code(lab: Any, open_notebook: Any, host: str) -> None:
    page = open_notebook(lab.write(f"journeys_{host}", MODEL, CELL, "pass"), host)
    page.expected.append("the line is down")
    page.run_all()
    page.tab.wait_for_selector(".rn")
    # Ahead: roughly what is left, what was done, and how to give a price that is not known.
    page.tab.wait_for_function("() => /about .* left/.test(document.querySelector('.rn-header')?.innerText ?? '')")
    assert "calls" in header(page)
    assert page.tab.locator(".rn-header [title*='RLMMagics.prices']").count() > 0
    page.status("failed")
    page.idle()
    # One cause, told once; the rows of the leaves have it, and only they count as failed.
    sea = page.tab.locator(".rn [role=row]", has_text="Sea").first
    assert "the line is down" in sea.inner_text()
    assert "2" in page.tab.locator(".rn-filter-failed").first.inner_text()
    shown = page.tab.locator(".rn").first.inner_text()
    assert "2 times" in shown or shown.count("the line is down") <= 3, shown
    # An answer with what there is leaves the cause where it was.
    page.tab.locator(".rn").get_by_role("button", name="Answer with what there is", exact=True).first.click()
    page.status("done")
    unfold = page.tab.locator(".rn").get_by_role("button", name="Show tree", exact=True)
    if unfold.count():
        unfold.first.click()
    assert "the line is down" in page.tab.locator(".rn [role=row]", has_text="Sea").first.inner_text()
    # Executed again, the run has the same counts in all views, and says that it was reused.
    tokens = page.tab.locator(".rn-metric", has_text="tokens").first.inner_text()
    page.tab.locator(".jp-CodeCell").nth(1).locator(".jp-InputArea-editor").click()
    page.command("notebook:run-cell")
    page.tab.wait_for_timeout(500)
    page.idle()
    page.tab.wait_for_function("() => document.querySelector('.rn-header')?.innerText.includes('reused')")
    assert "0 calls now" in header(page)
    assert page.tab.locator(".rn-metric", has_text="tokens").first.inner_text() == tokens
    # A task as code, in the next cell.
    unfold = page.tab.locator(".rn").get_by_role("button", name="Show tree", exact=True)
    if unfold.count():
        unfold.first.click()
    page.tab.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; } }")
    page.tab.locator(".rn [role=row]", has_text="Region 3").first.click()
    page.tab.locator(".rn").get_by_role("button", name="Copy as Python", exact=True).first.click()
    page.tab.wait_for_function("() => window.copied")
    page.tab.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.getCell(2).setSource(window.copied)"
    )
    page.tab.locator(".jp-CodeCell").nth(2).locator(".jp-InputArea-editor").click()
    page.command("notebook:run-cell")
    page.tab.wait_for_timeout(300)
    page.idle()
    assert "about Region 3" in page.output(2).inner_text()
