"""A study in JupyterLab: its arms fill while it runs, its runs open, its table and its plot can be read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.test_rows import AXE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

SETUP = """
%load_ext rlm_notebook
from random import Random
from rlm_notebook import AsyncRecursiveEngine, ScriptedModel, study
from rlm_notebook.scorers import exact
from IPython.display import display

rows = [{"text": f"number {n}", "gold": n} for n in range(60)]

def say(request):
    task = request.facts.task
    number = (request.facts.goal or task).split()[-1]
    if request.mode == "planner" and request.facts.depth == 0:
        return {"decision": "RECURSE", "sub_tasks": [f"{task} once", f"{task} twice"]}
    sure = 0.9 if request.mode == "synthesizer" else 0.5
    return number if Random(f"{task} {request.mode}").random() < sure else "no idea"

model = ScriptedModel(say, price=(0.5, 2.0), latency=0.2)
engine = AsyncRecursiveEngine(model, max_depth=2, max_concurrency=4)
"""
CELL = """compared = study(
    rows, task="Say {{text}}", score=exact("gold"), engine=engine, name="arms-THEME", concurrency=4,
    grid=[{"name": "one call", "max_depth": 1}, {"name": "vote", "max_depth": 1, "best_of": 3}, {"name": "tree"}],
)
display(compared)
await compared
compared.table()"""
PLOT = "compared.plot()"
ARMS = "() => [...document.querySelectorAll('.rx-arms tbody tr')].map(row => parseInt(row.children[2].textContent))"


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_arms_of_a_study_live(lab: Any, open_notebook: Any, theme: str) -> None:
    lab.theme(f"JupyterLab {theme}")
    try:
        page = open_notebook(lab.write(f"study_{theme.lower()}", SETUP, CELL.replace("THEME", theme.lower()), PLOT))
        tab = page.tab
        page.run_all()
        tab.wait_for_selector('.rx[data-status="running"] .rx-arms')
        tab.wait_for_function(f"() => ({ARMS})().every(done => done > 3)")
        page.shoot(f"study live {theme.lower()}")

        # By keyboard alone: an arm is chosen, its runs are sorted, a run's tree opens and closes.
        tab.get_by_role("button", name="tree", exact=True).focus()
        tab.keyboard.press("Enter")
        tab.wait_for_function(
            "() => [...document.querySelectorAll('.rx [data-row]')].every(row => row.textContent.includes('tree:'))"
        )
        tab.get_by_role("button", name="State").focus()
        tab.keyboard.press("Enter")
        tab.get_by_label("Filter the rows").focus()
        assert tab.evaluate("() => document.activeElement.tagName") == "INPUT"
        tab.keyboard.press("End")
        tab.keyboard.type(" 7")
        tab.wait_for_function("() => document.querySelectorAll('.rx [data-row]').length < 20")
        page.idle()
        tab.wait_for_selector('.rx[data-status="done"]')
        tab.locator(".rx [data-row] button").first.focus()
        tab.keyboard.press("Enter")
        # A tree out of sight is not drawn.
        tab.locator(".rn:not(.rx)").scroll_into_view_if_needed()
        tab.wait_for_selector('.rn:not(.rx) [data-node-id="0.1"]')
        assert tab.evaluate("() => document.activeElement.getAttribute('aria-expanded')") == "true", "focus stays"
        page.shoot(f"study run open {theme.lower()}")
        tab.keyboard.press("Enter")
        tab.wait_for_function("() => !document.querySelector('.rn:not(.rx) [data-node-id]')")

        # At the end, the scores have intervals, and the table and the plot are there.
        assert tab.locator(".rx-arms .rx-interval").count() == 3
        assert "against one call" in page.output(1).inner_text()
        tab.evaluate(AXE.read_text(encoding="utf-8"))
        found = tab.evaluate("async () => (await axe.run('.rx')).violations")
        assert [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found] == []
        tab.locator("svg[aria-label*='against']").scroll_into_view_if_needed()
        page.shoot(f"study plot {theme.lower()}")
    finally:
        lab.theme("JupyterLab Light")
