"""An experiment of 10,000 rows in JupyterLab: seen, sorted and filtered while it runs; a row's tree opens in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

AXE = Path(__file__).parents[2] / "js" / "node_modules" / "axe-core" / "axe.min.js"
SETUP = """
%load_ext rlm_notebook
from rlm_notebook import ScriptedModel
rows = [{"text": f"Plan trip {n}" if n == 17 else f"complaint {n} of a customer"} for n in range(10_000)]

def say(request):
    task = request.facts.task
    if request.mode == "planner" and task.startswith("Plan"):
        parts = [{"description": f"Flights of {task[5:]}"}, {"description": f"Hotel of {task[5:]}"}]
        return {"decision": "RECURSE", "sub_tasks": parts}
    number = int(next(word for word in task.split() if word.isdigit()))
    if number % 50 == 3:
        raise ValueError("the text is unreadable")
    return ["delivery", "quality", "returns"][number % 3]

model = ScriptedModel(say, price=(0.5, 2.0), latency=0.1)
"""
CELL = """%%rlm -m model --over rows --max-depth 2 --concurrency 8 --budget 50 --name labels-THEME
{{text}}"""
DONE = "() => parseInt(document.querySelector('.rx-summary b').textContent.replaceAll(',', ''))"


def numbers(page: Any, count: int = 3) -> list[int]:
    """Of the first rows that are shown."""
    found = page.tab.evaluate("() => [...document.querySelectorAll('.rx [data-row]')].map(row => row.dataset.row)")
    return [int(number) for number in found[:count]]


def violations(page: Any) -> list[str]:
    if not page.tab.evaluate("() => 'axe' in window"):
        page.tab.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.tab.evaluate("async () => (await axe.run('.rx')).violations")
    return [f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found]


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_ten_thousand_rows_live(lab: Any, open_notebook: Any, theme: str) -> None:
    lab.theme(f"JupyterLab {theme}")
    try:
        # A name of its own: rows that another notebook recorded under the same one would be reused.
        page = open_notebook(lab.write(f"rows_{theme.lower()}", SETUP, CELL.replace("THEME", theme.lower())))
        tab = page.tab
        page.run_all()
        tab.wait_for_selector('.rx[data-status="running"]')
        tab.wait_for_function("() => document.querySelectorAll('.rx [data-state=done]').length > 20")

        # Sorted and filtered while it runs.
        assert numbers(page) == [0, 1, 2]
        tab.get_by_role("button", name="Row", exact=True).click()
        tab.wait_for_function("() => document.querySelector('.rx [data-row]').dataset.row === '9999'")
        tab.get_by_label("Rows in this state").select_option("failed")
        tab.wait_for_function("() => document.querySelectorAll('.rx [data-state=failed]').length > 1")
        assert numbers(page)[-1] % 50 == 3
        tab.get_by_label("Rows in this state").select_option("")
        tab.get_by_label("Filter the rows").fill("trip plan")
        tab.wait_for_function("() => document.querySelectorAll('.rx [data-row]').length === 1")
        assert numbers(page) == [17]
        before = tab.evaluate(DONE)
        tab.wait_for_function(f"() => ({DONE})() > {before}")

        # The tree of a row, in place.
        tab.get_by_role("button", name="The tree of row 17").click()
        tab.wait_for_selector('.rn:not(.rx) [data-node-id="0.1"]')
        assert "Hotel of trip 17" in tab.locator('.rn:not(.rx) [data-node-id="0.1"]').inner_text()
        assert tab.locator('.rx[data-status="running"]').count() == 1
        tab.wait_for_function(
            "() => { const tree = document.querySelector('.rn:not(.rx)').getBoundingClientRect();"
            " return tree.bottom < innerHeight || tree.top < innerHeight / 2; }"
        )
        tab.get_by_label("Filter the rows").fill("")
        page.shoot(f"rows live {theme.lower()}")
        assert violations(page) == []
        assert tab.locator("[data-rlm-experiment]").evaluate("copy => getComputedStyle(copy).display") == "none"

        # Paused, resumed, cancelled: the rows that were recorded are in the copy that a reader sees without a kernel.
        tab.get_by_role("button", name="Pause").first.click()
        tab.wait_for_selector('.rx[data-status="paused"]')
        tab.locator(".rx").get_by_role("button", name="Resume").click()
        tab.wait_for_selector('.rx[data-status="running"]')
        tab.locator(".rx").get_by_role("button", name="Cancel").click()
        tab.wait_for_selector('.rx[data-status="cancelled"]')
        page.idle()
        done = tab.evaluate(DONE)
        copy = tab.locator("[data-rlm-experiment]").evaluate("copy => copy.textContent")
        assert done > 20
        assert f"{done} of 10000 rows done" in copy
        assert tab.locator("[data-rlm-experiment]").count() == 1, "shown once"
        assert violations(page) == []
        page.shoot(f"rows ended {theme.lower()}")
    finally:
        lab.theme("JupyterLab Light")
