"""Makes the pictures of README and site: a run in JupyterLab in Chromium, light and dark.

`.venv/bin/python .ci/pictures.py`, with the extras `test` and `browser` and a Chromium. The model is a script with
delays, so that the bars of the tree have lengths; the tree, the cell and the page are the real ones.
`.ci/pictures.py flow` draws the diagram of docs/architecture.md for the site, which loads nothing from a network, with
the package `mermaid` (`npm install --no-save --prefix js mermaid`).
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright  # noqa: E402

from tests.browser.conftest import CHROMIUM, FLAGS, Lab, Page  # noqa: E402

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
IMAGES = ROOT / "docs" / "images"
MODEL = '''\
%load_ext rlm_notebook
import asyncio, json

PLANS = {
    "Compare": ["Lithium iron phosphate", "Sodium-ion", "Flow batteries", "What a grid needs from storage"],
    "Lithium iron phosphate": ["LFP: cost per kWh", "LFP: cycle life and safety"],
    "Flow batteries": ["Flow: cost per kWh", "Flow: supply of vanadium"],
}
DELAYS = {"cost": 1.6, "cycle": 2.4, "Sodium": 3.1, "supply": 1.1, "grid": 2.0, "planner": 0.7, "synthesizer": 1.3}
ANSWER = """**For a daily cycle, lithium iron phosphate; for a long one, flow.** [0.1] [0.3]

| | cycles | cost falls with |
|---|---|---|
| LFP | some thousands | cells made |
| sodium-ion | some thousands | plants built |
| flow | over ten thousand | hours stored |"""

async def model(inputs, context):
    task, mode = context["task"], context["mode"]
    await asyncio.sleep(next(delay for name, delay in DELAYS.items() if name in (mode if mode != "worker" else task)))
    if mode == "planner":
        parts = next((parts for name, parts in PLANS.items() if task.startswith(name)), None)
        plan = {"decision": "RECURSE", "sub_tasks": parts} if parts else {"decision": "EXECUTE"}
        return {"content": json.dumps(plan)}
    usage = {"prompt_tokens": 60 + 9 * len(task), "completion_tokens": 80 + len(task)}
    return {"content": ANSWER if context["depth"] == 0 else f"{task}: see the table.", "metadata": {"usage": usage}}'''
TASK = """%%rlm -m model --name storage
Compare three kinds of batteries for grid storage: cost, cycle life, safety, supply."""


def flow() -> None:
    script = ROOT / "js" / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
    source = re.search(r"```mermaid\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.S)
    assert source is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        page = browser.new_page()
        page.add_script_tag(path=str(script))
        drawn = page.evaluate(
            """async source => {
                mermaid.initialize({ theme: 'neutral', htmlLabels: false, flowchart: { htmlLabels: false } });
                return (await mermaid.render('flow', source)).svg;
            }""",
            source[1],
        )
        browser.close()
    digest = hashlib.sha256(source[1].encode()).hexdigest()[:16]
    (IMAGES / "flow.svg").write_text(f"{drawn}\n<!-- {digest} -->\n", encoding="utf-8")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        lab = Lab(Path(folder))
        try:
            for scheme, theme in THEMES.items():
                lab.theme(theme)
                _shoot(Page(browser, lab, lab.write(f"storage-{scheme}", MODEL, TASK)), IMAGES / f"tree-{scheme}.png")
        finally:
            lab.close()
            browser.close()


def _shoot(page: Page, path: Path) -> None:
    page.tab.set_viewport_size({"width": 1180, "height": 1400})
    page.run_all()
    page.status("done")
    page.idle()
    cell = page.tab.locator(".jp-CodeCell").nth(1)
    cell.get_by_text("Show tree").click()
    page.tab.wait_for_timeout(800)  # transitions
    cell.screenshot(path=str(path))
    page.close()


if __name__ == "__main__":
    flow() if sys.argv[1:] == ["flow"] else main()
