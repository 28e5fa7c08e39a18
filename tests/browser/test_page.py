"""The page of a run, opened in a browser that has no network: it is the tree, and it does what it is told to show."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, Run, ScriptedModel, load_run
from rlm_notebook.models.scripted import Fault
from tests.support.waiting import HANG

pytestmark = pytest.mark.browser

HOSTILE = (
    "</script><script>window.broken=1</script><img src=x onerror='window.broken=1'> [x](javascript:window.broken=1) "
    "<!-- ]]> &lt; \u202e\u200b \x1b[31m \x00 \ud800 `${window.broken=1}`"
)
SCRIPT = {
    "Weigh the market": {
        "Size it": "12 GWh and **growing**",
        "Compare": {"Lithium": "165 Wh/kg", "Sodium": "cheap"},
        HOSTILE: HOSTILE,
    }
}


def _recorded(path: Path) -> Run:
    """In a thread: Playwright keeps a loop running in this one."""
    with ThreadPoolExecutor() as threads:
        return threads.submit(asyncio.run, _solved(path)).result(HANG)


async def _solved(path: Path) -> Run:
    faults = [Fault("Sodium", error=RuntimeError(HOSTILE), times=None)]
    engine = AsyncRecursiveEngine(
        ScriptedModel(SCRIPT, latency=0.05, faults=faults), on_failure="synthesize", retry=None
    )
    run = engine.start("Weigh the market", checkpoint=path)
    await run
    return run


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    run = _recorded(folder / "run.json")
    run.to_html(folder / "run.html")
    (folder / "recorded.html").write_text(load_run(folder / "run.json").to_html(), encoding="utf-8")
    return folder


@pytest.fixture(params=["light", "dark"])
def tab(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = browser.new_context(offline=True, color_scheme=request.param, viewport={"width": 1200, "height": 800})
    context.set_default_timeout(HANG * 1000)
    tab = context.new_page()
    tab.said = []
    tab.asked = []
    tab.on("console", lambda message: tab.said.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.on("request", lambda asked: tab.asked.append(asked.url))
    tab.theme = request.param
    yield tab
    context.close()


@pytest.mark.parametrize("name", ["run.html", "recorded.html"])
def test_the_page_is_the_tree_without_kernel_and_network(tab: Any, page_file: Path, name: str, tmp_path: Path) -> None:
    tab.goto((page_file / name).as_uri())
    tab.wait_for_selector('.rn[data-status="done"]')
    tab.locator(".rn [data-state]").nth(3).wait_for(state="attached")
    # The answer is what the page is opened for.
    tab.wait_for_selector(".rn-panel:has-text('12 GWh')")
    # A click shows what a node answered, from within the page.
    tab.locator(".rn [role=row]", has_text="Size it").first.click()
    tab.wait_for_selector(".rn strong:has-text('growing')")
    took = float(tab.locator(".rn").inner_text().split("done · ")[1].split("s")[0])
    recorded = load_run(page_file / "run.json").internals
    assert took == pytest.approx(recorded.active_seconds, abs=0.06), "the times are those of the run"
    # It can be looked at, not commanded.
    for label in ("Pause", "Cancel", "Retry", "Edit & re-run"):
        assert tab.get_by_role("button", name=label, exact=True).count() == 0, label
    # The copy for readers without scripts is hidden behind it.
    assert tab.locator(".rlm-static").is_hidden()
    assert tab.evaluate("window.broken") is None
    assert tab.asked == [(page_file / name).as_uri()], "no request but for the page itself"
    assert tab.said == []
    tab.screenshot(path=str(Path(os.environ.get("RLM_SCREENSHOTS") or tmp_path) / f"page {name} {tab.theme}.png"))


def test_hostile_text_is_shown_as_text(tab: Any, page_file: Path) -> None:
    tab.goto((page_file / "run.html").as_uri())
    tab.wait_for_selector('.rn[data-status="done"]')
    tab.locator(".rn [role=row]", has_text="onerror").first.click()
    tab.wait_for_timeout(300)
    assert "window.broken=1" in tab.locator(".rn").inner_text()
    assert tab.evaluate("window.broken") is None
    assert tab.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert tab.said == []


def test_the_policy_stops_what_would_get_in_all_the_same(tab: Any, page_file: Path) -> None:
    """A script and an image that somebody put into the file do nothing: only the page's own script has its hash."""
    text = (page_file / "run.html").read_text(encoding="utf-8")
    evil = "<script>window.broken=1</script><img src='https://127.0.0.1:9/x' onerror='window.broken=1'>"
    spoiled = page_file / "spoiled.html"
    spoiled.write_text(text.replace('<main id="rlm">', f'{evil}<main id="rlm">'), encoding="utf-8")
    tab.goto(spoiled.as_uri())
    tab.wait_for_selector('.rn[data-status="done"]')
    assert tab.evaluate("window.broken") is None
    assert any("Content Security Policy" in said for said in tab.said)


def test_without_scripts_the_page_is_read_as_text(browser: Any, page_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    tab = context.new_page()
    tab.goto((page_file / "run.html").as_uri())
    text = tab.locator("body").inner_text()
    assert "Size it" in text
    assert re.search(r"rlm done: \d+ of \d+ nodes", text)
    context.close()


def test_the_page_searches_what_it_holds(tab: Any, page_file: Path) -> None:
    tab.goto((page_file / "recorded.html").as_uri())
    tab.wait_for_selector(".rn-panel:has-text('12 GWh')")
    tab.get_by_label("Search nodes").fill("growing 12")
    tab.wait_for_selector('[data-node-id="0.0"] .rn-hit mark')
    assert tab.locator('[data-node-id="0.0"] .rn-hit b').inner_text() == "output"
    assert tab.locator('[data-node-id="0.1.0"]').count() == 0
    assert "does not answer" not in tab.locator(".rn-found").inner_text()


def test_without_scripts_the_page_is_the_answer_and_the_tree(browser: Any, page_file: Path) -> None:
    """As in the preview of a mail, or where scripts are switched off."""
    context = browser.new_context(offline=True, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto((page_file / "recorded.html").as_uri())
        text = page.locator("article").inner_text()
        assert "Weigh the market" in text
        assert "12 GWh and growing" in text
        assert page.locator("article strong").inner_text() == "growing"
        assert page.locator("article script, article img").count() == 0
        assert page.get_by_text("Sodium").first.is_visible()
    finally:
        context.close()


def test_with_scripts_the_answer_is_shown_once(tab: Any, page_file: Path) -> None:
    tab.goto((page_file / "recorded.html").as_uri())
    tab.wait_for_selector(".rn-panel:has-text('12 GWh')")
    assert not tab.locator("article").is_visible()
