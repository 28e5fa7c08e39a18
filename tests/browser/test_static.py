"""What a saved notebook shows where neither a kernel nor a script is: exported, sanitised, on paper."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest

import rlm_notebook
from rlm_notebook import AsyncRecursiveEngine, Run, ScriptedModel
from rlm_notebook.notebook.display.static_tree import bundle_of
from tests.support.waiting import HANG

pytestmark = pytest.mark.browser

BUNDLE = Path(rlm_notebook.__file__).parent / "static" / "widget.js"

HOSTILE = "<script>window.broken=1</script><img src=x onerror='window.broken=1'> [x](javascript:1) ``` \u202e"
SCRIPT = {"Weigh the market": {"Size it": {"Europe": "12", "Asia": "80"}, HOSTILE: "x", "Compare": "165"}}

#: What GitHub leaves of HTML in a notebook: these elements, and hardly an attribute.
GITHUB_KEEPS = {"details", "summary", "div", "span", "b", "small", "p", "pre", "code", "ul", "li"}


class _Sanitised(HTMLParser):
    """HTML without style and script, and without any attribute but `open`."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.text = ""
        self._dropped = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("style", "script"):
            self._dropped += 1
        elif tag in GITHUB_KEEPS:
            self.text += f"<{tag}{' open' if ('open', None) in attrs or ('open', '') in attrs else ''}>"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script"):
            self._dropped -= 1
        elif tag in GITHUB_KEEPS:
            self.text += f"</{tag}>"

    def handle_data(self, data: str) -> None:
        self.text += "" if self._dropped else data

    def handle_entityref(self, name: str) -> None:
        self.text += f"&{name};"

    def handle_charref(self, name: str) -> None:
        self.text += f"&#{name};"


@pytest.fixture(scope="module")
def run() -> Run:
    async def solved() -> Run:
        run = AsyncRecursiveEngine(ScriptedModel(SCRIPT, latency=0.01)).start("Weigh the market")
        await run
        return run

    # In a thread: Playwright keeps a loop running in this one.
    with ThreadPoolExecutor() as threads:
        return threads.submit(asyncio.run, solved()).result(HANG)


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    context = browser.new_context(offline=True)
    tab = context.new_page()
    tab.asked = []
    tab.on("request", lambda asked: tab.asked.append(asked.url))
    yield tab
    context.close()


def is_read_as_a_tree(tab: Any) -> None:
    """Every task is there as text, and what is below a task is folded with it."""
    tab.locator("summary").first.click()
    text = tab.locator("body").inner_text()
    for title in ("Weigh the market", "Size it", "Europe", "Compare", "onerror"):
        assert title in text, title
    assert "✓" in text
    tab.locator("summary", has_text="Size it").click()
    assert not tab.get_by_text("Europe").first.is_visible()
    assert tab.evaluate("window.broken") is None


def test_sanitised_as_github_does_it_is_still_a_tree(tab: Any, run: Run, tmp_path: Path) -> None:
    page = tmp_path / "github.html"
    page.write_text(f"<!doctype html><meta charset=utf-8>{_Sanitised(bundle_of(run)['text/html']).text}")
    tab.goto(page.as_uri())
    is_read_as_a_tree(tab)


def test_exported_with_nbconvert_it_is_a_tree_without_network(tab: Any, run: Run, tmp_path: Path) -> None:
    nbconvert = pytest.importorskip(
        "nbconvert", reason="nbconvert is not installed (pip install 'rlm-notebook[browser]')"
    )
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "gone", "version_major": 2, "version_minor": 1}}
    outputs = [
        nbformat.v4.new_output("display_data", data={**view, "text/plain": ""}),
        nbformat.v4.new_output("display_data", data=bundle_of(run)),
    ]
    cell = nbformat.v4.new_code_cell("%%rlm -m model\nWeigh the market", outputs=outputs)
    exported, _ = nbconvert.HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    page = tmp_path / "exported.html"
    page.write_text(exported, encoding="utf-8")
    tab.goto(page.as_uri())
    is_read_as_a_tree(tab)
    text = tab.locator("body").inner_text()
    assert "model not found" not in text
    assert "Error displaying widget" not in text


DEAD_WIDGET = """
async ([code, run_id]) => {
  const widget = (await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })))).default();
  const traits = { _meta: { protocol: 1, run_id, title: "" }, _snap: null, theme: "auto", height: 460 };
  const model = { get: (name) => traits[name], on() {}, off() {}, send() {} };
  widget.initialize({ model });
  const place = document.createElement("div");
  place.id = "dead";
  document.body.prepend(place);
  widget.render({ model, el: place });
}
"""


@pytest.mark.parametrize("with_state", [True, False])
def test_a_widget_without_a_kernel_leaves_an_exported_page_to_the_static_copy(
    tab: Any, run: Run, tmp_path: Path, with_state: bool
) -> None:
    """JupyterLab can save the state of widgets; exported pages load them from the web, and then no kernel answers."""
    nbconvert = pytest.importorskip(
        "nbconvert", reason="nbconvert is not installed (pip install 'rlm-notebook[browser]')"
    )
    mime = "application/vnd.jupyter.widget"
    view = {f"{mime}-view+json": {"model_id": "a" * 32, "version_major": 2, "version_minor": 1}}
    outputs = [
        nbformat.v4.new_output("display_data", data={**view, "text/plain": ""}),
        nbformat.v4.new_output("display_data", data=bundle_of(run)),
    ]
    cell = nbformat.v4.new_code_cell("%%rlm -m model\nWeigh the market", outputs=outputs)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    state = {"model_name": "AnyModel", "model_module": "anywidget", "model_module_version": "~0.9", "state": {}}
    if with_state:
        saved = {"version_major": 2, "version_minor": 0, "state": {"a" * 32: state}}
        notebook.metadata["widgets"] = {f"{mime}-state+json": saved}
    exported, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    (tmp_path / "exported.html").write_text(exported, encoding="utf-8")
    tab.goto((tmp_path / "exported.html").as_uri())
    tab.evaluate(DEAD_WIDGET, [BUNDLE.read_text(encoding="utf-8"), run.run_id])
    # Without a state nobody draws the widget; one that is drawn all the same is alive.
    assert (tab.locator("#dead *").count() == 0) is with_state
    assert tab.locator(".rlm-static").is_visible() is with_state
    if with_state:
        is_read_as_a_tree(tab)
        assert "Loading" not in tab.locator("body").inner_text()


def test_a_terminal_gets_the_tree_as_text(run: Run) -> None:
    text = bundle_of(run)["text/plain"]
    assert "    ✓ Europe" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
