"""Looks at the built site in Chromium: `python .ci/check_site.py FOLDER [PAGE...]`.

Every page in light, dark and at 400 px: nothing is wider than the window, no error is logged, nothing is requested
from elsewhere, and no path of the machine that built it is shown. On ten pages, or on those that are named, no rule of
axe is broken either. A page is loaded once, and its look is changed in place. Needs the extra `browser` and
`js/node_modules` (axe).
"""

from __future__ import annotations

import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.conftest import CHROMIUM, FLAGS, PATIENCE  # noqa: E402

LOOKS = [("light", "default", 1300), ("dark", "slate", 1300), ("light", "default", 400)]
#: For axe, which reads every element: one page of each kind, and the longest.
AUDITED = [
    "index.html",
    "try.html",
    "guide/cells.html",
    "guide/tree.html",
    "guide/models.html",
    "compared.html",
    "migration.html",
    "reference/options.html",
    "tutorials/01_quickstart.html",
    "tutorials/04_exploring_a_run.html",
]
#: The page that runs in the browser is not ours to judge.
NOT_OURS = "lite"
BROKEN = "async () => (await axe.run()).violations.map(rule => `${rule.id}: ${rule.nodes[0].html.slice(0, 120)}`)"
LOOK = "scheme => document.body.setAttribute('data-md-color-scheme', scheme)"
#: Else a page is judged between two looks.
AT_ONCE = "*, *::before, *::after { transition: none !important; animation: none !important }"
#: Of temporary files and of this checkout.
PATHS = re.compile(f"{re.escape(tempfile.gettempdir())}/tmp\\w+|{re.escape(str(ROOT))}")
WIDER = "() => document.documentElement.scrollWidth - innerWidth"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def main(site: Path, *chosen: str) -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    every = [path.relative_to(site) for path in sorted(site.rglob("*.html")) if path.name != "404.html"]
    pages = list(chosen) or [str(path) for path in every if path.parts[0] != NOT_OURS]
    audited = set(chosen or AUDITED)
    began = time.monotonic()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        wrong = list(_faults(browser, base, pages, audited))
        browser.close()
    server.shutdown()
    seconds = time.monotonic() - began
    print(
        f"{len(pages)} pages, {len(LOOKS)} looks each, {len(audited & set(pages))} of them with axe, "
        f"in {seconds:.0f} s: {len(wrong)} faults",
        *wrong,
        sep="\n",
    )
    return 1 if wrong or audited - set(pages) else 0


def _faults(browser: Any, base: str, pages: list[str], audited: set[str]) -> Iterator[str]:
    tab = browser.new_page()
    tab.set_default_timeout(PATIENCE)
    said: list[str] = []
    tab.on("request", lambda sent: sent.url.startswith(base) or said.append(f"asks for {sent.url}"))
    tab.on("console", lambda message: message.type == "error" and said.append(message.text))
    for page in pages:
        tab.goto(base + page)
        tab.add_style_tag(content=AT_ONCE)
        said += {f"names {path}" for path in PATHS.findall(tab.inner_text("body"))}
        if page in audited:
            tab.add_script_tag(path=str(ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"))
        for media, scheme, width in LOOKS:
            tab.set_viewport_size({"width": width, "height": 900})
            tab.emulate_media(color_scheme=media)
            tab.evaluate(LOOK, scheme)
            if page in audited:
                said += tab.evaluate(BROKEN)
            if (wider := tab.evaluate(WIDER)) > 0:
                said.append(f"{wider} px wider than the window")
            yield from (f"{page} ({media}, {width} px): {each}" for each in said)
            said.clear()
    tab.close()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), *sys.argv[2:]))
