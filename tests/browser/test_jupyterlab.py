"""The tree in JupyterLab: it moves while the cell runs, its buttons act, and what is saved can be read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.waiting import HANG

pytestmark = pytest.mark.browser

MODEL = """
%load_ext rlm_notebook
from rlm_notebook import ScriptedModel

script = {
    "Market landscape: grid-scale storage": {
        "Size the market by region": {"Europe": "12 GWh", "Asia": "80 GWh"},
        "Compare storage chemistries": {
            "Lithium iron phosphate": "165 Wh/kg",
            "Sodium-ion": {"Announced gigafactories": "7", "Safety incidents": "none"},
            "Iron-air": "cheap and slow",
        },
        "Map the policy environment": {"United States": "credits", "European Union": "markets"},
        "=": "# Storage in one page\\n\\nLithium leads, **sodium follows**.\\n\\n- one\\n- two",
    }
}
model = ScriptedModel(script, latency=(0.3, 1.0), stream=True)
"""
CELL = "%%rlm -m model -n demo\nMarket landscape: grid-scale storage"
ACTIVE = {"planning", "waiting", "running", "synthesizing", "pending"}


def notebook_of(lab: Any, name: str, *more: str) -> Path:
    path: Path = lab.write(name, MODEL, CELL, *more)
    return path


def watch(page: Any, *, until: str = "done", seconds: float = HANG) -> list[dict[str, Any]]:
    """What the tree showed, from the start of the run to its end."""
    page.tab.wait_for_selector(".rn")
    seen: list[dict[str, Any]] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        seen.append({**page.seen(), "running": page.running()})
        if seen[-1]["status"] == until:
            return seen
        page.tab.wait_for_timeout(40)
    raise AssertionError(f"the run is {seen[-1]['status']!r} after {seconds} s")


def test_the_tree_moves_while_the_cell_runs(lab: Any, open_notebook: Any) -> None:
    path = notebook_of(lab, "moves")
    page = open_notebook(path)
    page.run_all()
    seen = watch(page)
    during = [look for look in seen if look["running"] and look["status"] == "running"]
    states = {state for look in during for state in look["states"]}
    assert len(states) >= 4, states
    assert states & ACTIVE
    assert "done" in states
    assert len({tuple(look["states"]) for look in during}) >= 6, "it moves"
    page.idle()
    # The static copy is there for the saved notebook, and the live widget hides it.
    assert page.seen()["static"] == ["none"]
    run_id = page.tab.get_attribute(".rn", "data-run-id")
    assert run_id == lab.document(path)["run_id"]
    assert page.tab.get_attribute("[data-rlm-run]:not(.rn)", "data-rlm-run") == run_id
    # The answer is the cell's value, rendered, once.
    heading = page.output(1).locator("h1", has_text="Storage in one page")
    heading.first.wait_for()
    assert heading.count() == 1
    assert page.output(1).locator("strong", has_text="sodium follows").count() == 1


def test_cancel_ends_the_cell(lab: Any, open_notebook: Any) -> None:
    path = notebook_of(lab, "cancelled", "21 * 2")
    page = open_notebook(path)
    page.run_all()
    page.status("running")
    page.tab.wait_for_selector('.rn [data-state="waiting"]')
    assert page.running()
    page.tab.get_by_role("button", name="Cancel", exact=True).click()
    page.status("cancelled")
    page.idle()
    page.output(1).locator(".jp-OutputArea-output", has_text="Cancelled: ").last.wait_for()
    failure = page.output(1).locator(".jp-OutputArea-output").last.inner_text()
    assert failure.strip().startswith("Cancelled: ")
    assert len(failure.strip().splitlines()) == 1
    assert lab.document(path)["status"] == "cancelled"
    assert "42" not in page.tab.locator(".jp-CodeCell").nth(2).inner_text(), "what was queued did not run"
    # The next cell works, and running this one again goes on with what was finished.
    page.tab.locator(".jp-CodeCell").nth(2).locator(".jp-InputPrompt").click()
    page.command("notebook:run-cell")
    page.tab.wait_for_function("() => document.querySelectorAll('.jp-CodeCell')[2].innerText.includes('42')")
    page.tab.locator(".jp-CodeCell").nth(1).locator(".jp-InputPrompt").click()
    page.command("notebook:run-cell")
    page.status("done")
    page.idle()
    assert page.output(1).locator("h1", has_text="Storage in one page").count() == 1


def test_a_page_that_is_reloaded_sees_the_run_go_on(lab: Any, open_notebook: Any) -> None:
    path = lab.write("reloaded", MODEL.replace("(0.3, 1.0)", "(1.5, 4.0)"), CELL)
    page = open_notebook(path)
    page.run_all()
    page.status("running")
    page.tab.wait_for_selector('.rn [data-state="waiting"]')
    page.save()
    page.reload()
    page.status("running")
    before = page.seen()
    assert set(before["states"]) & ACTIVE
    seen = watch(page, seconds=40)
    assert len({tuple(look["states"]) for look in seen}) >= 3, "live, not a picture"
    assert set(seen[-1]["static"]) <= {"none"}


def test_a_saved_notebook_without_a_kernel_shows_the_static_tree(lab: Any, open_notebook: Any) -> None:
    path = notebook_of(lab, "saved")
    page = open_notebook(path)
    page.run_all()
    page.status("done")
    page.idle()
    page.save()
    page.tab.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    outputs = nbformat.read(path, as_version=4).cells[1].outputs
    assert [output.output_type for output in outputs] == ["display_data"] * 3
    page.open()
    static = page.tab.locator(".rlm-static")
    static.wait_for(state="visible")
    assert "rlm done" in static.inner_text()
    static.locator("summary").first.click()
    assert static.get_by_text("Lithium iron phosphate").is_visible()
    assert page.tab.locator(".rn").count() == 0
    # JupyterLab says that the live widget is gone; nobody needs to read that beside the static tree.
    gone = page.tab.locator(".jupyter-widgets", has_text="model not found")
    gone.wait_for(state="attached")
    assert not gone.is_visible()
    page.shoot("saved_without_a_kernel")
    page.errors.clear()  # JupyterLab itself says that the widget's model is gone.


@pytest.mark.parametrize(("name", "theme"), [("light", "JupyterLab Light"), ("dark", "JupyterLab Dark")])
def test_both_themes_are_followed(lab: Any, open_notebook: Any, name: str, theme: str) -> None:
    lab.theme(theme)
    path = notebook_of(lab, f"theme_{name}")
    page = open_notebook(path)
    is_light = "true" if name == "light" else "false"
    page.tab.wait_for_selector(f'body[data-jp-theme-light="{is_light}"]', state="attached")
    page.run_all()
    page.status("running")
    page.tab.wait_for_selector('.rn [data-state="synthesizing"]')
    page.tab.locator(".rn").scroll_into_view_if_needed()
    page.shoot(f"{name}_running")
    assert page.tab.get_attribute(".rn", "data-theme") == name
    red, green, blue = page.tab.evaluate(
        "() => getComputedStyle(document.querySelector('.rn')).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    )
    assert (red + green + blue > 600) == (name == "light")
    page.status("done")
    page.idle()
    page.shoot(f"{name}_done")
    page.tab.get_by_role("button", name="Show tree").click()
    page.tab.locator('.rn [role="row"][data-node-id]').nth(2).click()
    page.tab.locator(".rn").get_by_text("12 GWh").wait_for()
    page.tab.locator(".rn").scroll_into_view_if_needed()
    page.shoot(f"{name}_details")
    # JupyterLab has a style of its own for the terms of lists.
    assert page.tab.locator(".rn dl div").count() >= 4
    assert page.tab.eval_on_selector_all(
        ".rn dl div",
        "all => all.every(each => each.querySelector('dt').getBoundingClientRect().bottom"
        " <= each.querySelector('dd').getBoundingClientRect().top + 1)",
    ), "a label stands above its value"
    lab.theme("JupyterLab Light")


@pytest.mark.parametrize("host", ["lab", "notebook"])
def test_letters_on_a_row_do_nothing_to_the_notebook(lab: Any, open_notebook: Any, host: str) -> None:
    """JupyterLab's `d d` deletes a cell, `a` and `b` insert one, `x` cuts, `y` and `m` change its kind."""
    path = notebook_of(lab, f"letters_{host}")
    page = open_notebook(path, host)
    page.run_all()
    page.status("done")
    page.idle()
    page.tab.get_by_role("button", name="Show tree").click()
    before = cells(page)
    row = page.tab.locator('.rn [role="row"][data-node-id]').nth(1)
    row.click()
    press_all(page, "ddabxmyr")
    focused = "() => document.activeElement.closest('.rn') !== null"
    assert page.tab.evaluate(focused)
    page.tab.locator('.rn [role="row"][data-node-id]').nth(2).focus()
    press_all(page, "dd")
    page.tab.locator(".rn").get_by_role("button", name="Hide tree").focus()
    press_all(page, "dd")
    assert page.tab.evaluate(focused)
    assert cells(page) == before
    # The same keys do act where the cell has the focus.
    page.tab.locator(".jp-CodeCell .cm-content").nth(1).click()
    page.tab.keyboard.press("Escape")
    press_all(page, "dd")
    page.tab.wait_for_function("() => document.querySelectorAll('.jp-Notebook .jp-Cell').length === 1")


def press_all(page: Any, keys: str) -> None:
    for key in keys:
        page.tab.keyboard.press(key)
    page.tab.wait_for_timeout(300)


def cells(page: Any) -> list[str]:
    """What kind of cell there is, and its source, of each."""
    found: list[str] = page.tab.evaluate(
        "() => [...window.jupyterapp.shell.currentWidget.content.model.cells].map("
        "cell => `${cell.type}: ${cell.sharedModel.source}`)"
    )
    return found
