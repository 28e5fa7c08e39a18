"""JupyterLab: cells of a code node and its sub-queries appear while the code runs; many sub-queries are one line."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser
pytest.importorskip("pydantic_monty")

MODEL = """
%load_ext rlm_notebook
import asyncio, os
from rlm_notebook import ScriptedModel

CELLS = [
    "print(len(log), 'characters')",
    "answers = llm_query_batched(['Is line ' + str(i) + ' a complaint?' for i in range(200)])\\nprint(answers[0])",
    "FINAL(str(len([a for a in answers if not isinstance(a, Exception)])) + ' lines were read')",
]

async def say(request):
    if request.mode == "coder":
        written = sum(message["role"] == "assistant" for message in request.messages)
        return f"```python\\n{CELLS[written]}\\n```"
    if "line 7 " in request.facts.task or "line 77 " in request.facts.task:
        raise ValueError("cannot read it")
    while not os.path.exists("seen"):
        await asyncio.sleep(0.05)
    return "no"

model = ScriptedModel(say)
log = "a line\\n" * 1000
"""
TASK = "%%rlm -m model -c log --code=root -n many --max-steps 300\nHow many complaints are there?"
NEXT = "print('the next cell runs')"


def test_cells_and_sub_queries_appear_while_the_code_runs(lab: Any, open_notebook: Any) -> None:
    page = open_notebook(lab.write("codenodes", MODEL, TASK, NEXT))
    page.run_all()
    page.tab.wait_for_selector(".rn [data-node-id='0']")
    page.tab.locator(".rn [data-node-id='0']").click()
    page.tab.get_by_role("tab", name="Cells").click()
    page.tab.get_by_text("llm_query_batched").first.wait_for()
    assert page.running(), "the code is seen while it runs"
    # Many sub-queries are one line.
    page.tab.wait_for_selector(".rn [data-node-id='0'] .rn-children:has-text('llm_query × 200')")
    page.shoot("lab code node running")
    (lab.root / "seen").touch()
    page.status("done")
    page.idle()
    page.tab.wait_for_selector(".rn [data-node-id='0'] .rn-children:has-text('llm_query × 200, 2 failed')")
    page.tab.locator(".rn-cell").nth(2).wait_for()
    assert page.tab.locator(".rn-cell").count() == 3
    assert "7000 characters" in page.tab.locator(".rn-cell").first.inner_text()
    page.output(1).get_by_text("198 lines were read").first.wait_for()
    page.output(2).get_by_text("the next cell runs").first.wait_for()
    page.tab.locator(".rn-panel").scroll_into_view_if_needed()
    page.shoot("lab code node done")
    # A changed cell: nothing before it is asked again.
    page.tab.locator(".rn").get_by_role("button", name="Edit & re-run", exact=True).first.click()
    page.tab.get_by_label("Cell 3", exact=True).fill("FINAL('another answer')")
    page.tab.wait_for_selector(".rn-preview-ready")
    page.shoot("lab code node edit")
    page.tab.get_by_role("button", name="Run again", exact=True).click()
    # The answer below the tree is the new one, and so is that in the tree.
    page.output(1).locator(".jp-RenderedMarkdown").get_by_text("another answer").wait_for()
    page.status("done")
    page.tab.locator(".rn [data-node-id='0']").click()
    page.tab.get_by_role("tab", name="Output").click()
    page.tab.locator(".rn-panel").get_by_text("another answer").wait_for()
    # They open on demand.
    page.tab.locator(".rn [data-node-id='0']").dblclick()
    page.tab.wait_for_selector(".rn [data-node-id='0.1']")
    page.shoot("lab code node open")


BUSY = """
%load_ext rlm_notebook
from rlm_notebook import ScriptedModel
busy = ScriptedModel(lambda request: "```python\\nwhile True:\\n    pass\\n```")
"""


def test_the_stop_button_ends_a_busy_cell_and_the_next_cell_runs(lab: Any, open_notebook: Any) -> None:
    page = open_notebook(lab.write("busycode", BUSY, "%%rlm -m busy --code=root -n busy\nNever ends", NEXT))
    page.run_all()
    page.tab.wait_for_selector(".rn [data-state='running']")
    page.command("notebook:interrupt-kernel")
    page.status("cancelled")
    page.idle()
    # The cancelled cell has failed, so the next one was not executed with it.
    page.tab.locator(".jp-CodeCell").nth(2).click()
    page.command("notebook:run-cell")
    page.output(2).get_by_text("the next cell runs").first.wait_for()
