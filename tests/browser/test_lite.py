"""The page that runs in the browser: tutorials run in it, with every address refused but the site's own.

`.ci/lite.py` builds the page. `RLM_SCREENSHOTS` keeps the screenshots; the time to the first tree is printed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.support.amounts import FULL

#: Milliseconds for Python to start in the page, on a busy machine; a test starts it twice at most.
START = 900_000
pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(2 * START / 1000)]

TUTORIALS = ["02_agents_tools_context", "03_edit_replay_diff", "04_exploring_a_run", "05_at_home_in_jupyter",
             "06_models_and_cost", "07_code_nodes", "10_sources_and_quotes"]  # fmt: skip
SITE = Path(__file__).parents[2] / "build" / "lite" / "site"
PROMPTS = "[...document.querySelectorAll('.jp-Notebook .jp-InputPrompt')].map(each => each.textContent)"
QUEUED = f"() => {PROMPTS}.some(each => each.includes('[*]'))"
ENDED = f"() => {PROMPTS}.some(each => /\\d/.test(each)) && !{PROMPTS}.some(each => each.includes('[*]'))"
#: In the place of a network: names lead nowhere, and numbers but this machine's neither.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    if not SITE.is_dir():
        missing = f"{SITE} is not there: build it with `python .ci/lite.py`"
        pytest.fail(missing) if os.environ.get("RLM_REQUIRE_ALL") == "1" else pytest.skip(missing)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def offline_browser(site: str, started_playwright: Any) -> Iterator[Any]:
    launched = started_playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, OFFLINE], timeout=START)
    yield launched
    launched.close()


class Tutorial:
    """One notebook in the page, and what the page requested from elsewhere."""

    def __init__(self, browser: Any, site: str, name: str, scheme: str = "light", width: int = 1300) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        self.context.set_default_timeout(START)
        self.elsewhere: list[str] = []
        self.context.on("request", lambda sent: self._seen(site, sent.url))
        self.tab = self.context.new_page()
        self.began = time.monotonic()
        self.tab.goto(f"{site}notebooks/index.html?path={name}/{name}.ipynb")
        self.tab.wait_for_selector(".jp-Notebook .jp-CodeCell")

    def follow(self, link: str, title: str) -> None:
        """A link of the notebook, by keyboard; the notebook that it opens in a tab is this tutorial from here."""
        found = self.tab.get_by_role("link", name=link).first
        found.focus()
        with self.context.expect_page() as opened:
            self.tab.keyboard.press("Enter")
        self.tab = opened.value
        self.tab.get_by_role("heading", name=title).first.wait_for()

    def _seen(self, site: str, url: str) -> None:
        if not url.startswith((site, "data:", "blob:")):
            self.elsewhere.append(url)

    def run_all(self) -> None:
        self.tab.get_by_role("menuitem", name="Run", exact=True).click()
        self.tab.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self.tab.wait_for_function(QUEUED)

    def ended(self) -> None:
        self.tab.wait_for_function(ENDED)

    def node_opens(self, index: int) -> None:
        """A row of the first tree is pressed, and shows its details, which Python sends."""
        tree = self.tab.locator(".rn[data-status]").first
        # The notebook has scrolled on to its last cell.
        tree.scroll_into_view_if_needed()
        if (folded := tree.get_by_text("Show tree")).count():
            folded.click()
        tree.locator("[data-state]").nth(index).click()
        tree.locator("[role=tabpanel]").wait_for()
        self.tab.wait_for_function("() => document.querySelector('.rn [role=tabpanel]').innerText.trim().length > 20")

    def nothing_failed(self) -> None:
        """No cell failed, and nothing was requested from elsewhere."""
        failed = '[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]'
        assert self.tab.locator(f".jp-Notebook :is({failed})").all_inner_texts() == []
        assert self.elsewhere == []

    def shoot(self, name: str) -> None:
        if folder := os.environ.get("RLM_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.tab.screenshot(path=str(Path(folder, f"{name}.png")))


@pytest.fixture
def opened(offline_browser: Any, site: str) -> Iterator[Any]:
    tutorials: list[Tutorial] = []

    def open_tutorial(name: str, **look: Any) -> Tutorial:
        tutorials.append(Tutorial(offline_browser, site, name, **look))
        return tutorials[-1]

    yield open_tutorial
    for each in tutorials:
        each.context.close()


def test_the_quickstart_replays_its_recorded_run_and_a_node_opens(opened: Any, capsys: Any) -> None:
    tutorial = opened("01_quickstart")
    tutorial.run_all()
    tutorial.tab.wait_for_selector(".rn[data-status]", state="attached")
    seconds = time.monotonic() - tutorial.began
    with capsys.disabled():
        print(f"\ntime to the first tree: {seconds:.0f} s after the page was requested, with an empty cache")
    tutorial.ended()
    assert "0 model calls in this execution" in tutorial.tab.inner_text(".jp-Notebook")
    tutorial.node_opens(0)
    tutorial.shoot("lite-light")
    tutorial.nothing_failed()


def test_a_new_run_is_seen_while_its_cell_runs(opened: Any) -> None:
    tutorial = opened("04_exploring_a_run")
    tab = tutorial.tab
    cell = tab.locator(".jp-Notebook .jp-CodeCell .cm-content")
    cell.first.click()
    tab.keyboard.press("Control+Enter")
    tab.wait_for_function("() => /^\\[1\\]/m.test(document.querySelector('.jp-Notebook').innerText)")
    cell.nth(1).click()
    tab.keyboard.press("Control+a")
    tab.keyboard.insert_text("%%rlm -m model -n factory --mode fresh\nShould we build a battery factory?")
    # What a page sees is noted in the page, because questions from here would come too late.
    tab.evaluate(
        """() => { window.seen = new Set(); window.watching = setInterval(() => {
            const tree = document.querySelector('.rn[data-status=running]');
            if (tree) for (const row of tree.querySelectorAll('[data-state]')) window.seen.add(row.dataset.state);
        }, 20); }"""
    )
    tab.keyboard.press("Control+Enter")
    tab.wait_for_selector(".rn[data-status=done]")
    states = set(tab.evaluate("() => { clearInterval(window.watching); return [...window.seen]; }"))
    assert {"planning", "done"} <= states, states
    assert states & {"running", "waiting", "synthesizing"}, states
    tutorial.nothing_failed()


@pytest.mark.parametrize("name", TUTORIALS if FULL else TUTORIALS[-1:])
def test_a_tutorial_runs_to_its_end_and_its_tree_is_filled(opened: Any, name: str) -> None:
    tutorial = opened(name)
    tutorial.run_all()
    tutorial.ended()
    tutorial.tab.locator(".rn[data-status]").first.scroll_into_view_if_needed()
    tutorial.tab.wait_for_selector(".rn[data-status=done]")
    tutorial.nothing_failed()


def test_the_page_follows_a_dark_system_and_shows_a_saved_tree_when_it_is_loaded_again(opened: Any) -> None:
    tutorial = opened("01_quickstart", scheme="dark")
    tutorial.run_all()
    tutorial.ended()
    tutorial.node_opens(1)
    tutorial.shoot("lite-dark")
    tab = tutorial.tab
    tab.locator(".jp-Notebook .jp-MarkdownCell").first.click()
    tab.keyboard.press("Control+s")
    # It is said when the storage of the browser has it.
    tab.get_by_text("Last Checkpoint").wait_for()
    tab.reload()
    tree = tab.locator(".rlm-static").first
    tree.scroll_into_view_if_needed()
    assert "29 of 29 nodes" in tree.inner_text()
    dead = tab.get_by_text("Loading widget").first
    dead.wait_for(state="attached")
    assert not dead.is_visible()
    tutorial.follow("All tutorials", "Tutorials")
    tutorial.follow("Edit, replay, compare", "Edit, replay, compare")
    tutorial.nothing_failed()


def test_the_page_and_the_tree_fit_a_phone(opened: Any) -> None:
    tutorial = opened("01_quickstart", width=400)
    tutorial.run_all()
    tutorial.ended()
    # The notebook has scrolled on to its last cell.
    tree = tutorial.tab.locator(".rn[data-status]").first
    assert tree.evaluate("tree => tree.scrollWidth <= tree.clientWidth && tree.clientWidth <= 400")
    tree.scroll_into_view_if_needed()
    # It is drawn once it is in sight.
    tutorial.tab.wait_for_selector(".rn[data-status=done]")
    tutorial.shoot("lite-400")
    tutorial.nothing_failed()
