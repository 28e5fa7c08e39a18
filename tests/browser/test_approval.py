"""JupyterLab: a browser that shows the widget counts as somebody, so that a plan waits as long as they take."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(150)]

MODEL = """
%load_ext rlm_notebook
from rlm_notebook import ScriptedModel
import rlm_notebook.notebook.approval as approval
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
    assert "at 9" in page.output(1).inner_text()
