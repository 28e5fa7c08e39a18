"""Looks at the built site in Chromium: `python .ci/check_site.py FOLDER [PAGE...]`.

Every page in light, dark and at 400 px: no rule of axe is broken, nothing is wider than the window, no error is logged,
and nothing is requested from elsewhere. Needs the extra `browser` and `js/node_modules` (axe).
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.conftest import CHROMIUM, FLAGS  # noqa: E402

LOOKS = [("light", 1300), ("dark", 1300), ("light", 400)]
BROKEN = "async () => (await axe.run()).violations.map(rule => `${rule.id}: ${rule.nodes[0].html.slice(0, 120)}`)"
WIDER = "() => document.documentElement.scrollWidth - innerWidth"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def main(site: Path, *chosen: str) -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    every = [str(path.relative_to(site)) for path in sorted(site.rglob("*.html")) if path.name != "404.html"]
    pages = list(chosen) or every
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        wrong = [each for scheme, width in LOOKS for each in _faults(browser, base, pages, scheme, width)]
        browser.close()
    server.shutdown()
    print(f"{len(pages)} pages, {len(LOOKS)} looks each: {len(wrong)} faults", *wrong, sep="\n")
    return 1 if wrong else 0


def _faults(browser: Any, base: str, pages: list[str], scheme: str, width: int) -> list[str]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab = context.new_page()
    said: list[str] = []
    tab.on("request", lambda sent: sent.url.startswith(base) or said.append(f"asks for {sent.url}"))
    tab.on("console", lambda message: message.type == "error" and said.append(message.text))
    wrong = []
    for page in pages:
        tab.goto(base + page)
        tab.add_script_tag(path=str(ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"))
        said += tab.evaluate(BROKEN)
        if (wider := tab.evaluate(WIDER)) > 0:
            said.append(f"{wider} px wider than the window")
        wrong += [f"{page} ({scheme}, {width} px): {each}" for each in said]
        said.clear()
    context.close()
    return wrong


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), *sys.argv[2:]))
