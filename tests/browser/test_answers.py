"""Answers that try to act, in JupyterLab and Notebook 7: trusted, saved and reopened, from somebody else's file."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import RecursiveEngine
from tests.hostile_answers import ANSWERS, THERE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

#: What may be in an output: what Markdown and formulas are made of, and what JupyterLab puts around them.
ELEMENTS_THAT_ACT = "script, iframe, object, embed, form, meta, link, base, audio, video, input, style, svg, x-y"

FOUND = """() => {
    const outputs = [...document.querySelectorAll('.jp-RenderedMarkdown, .jp-RenderedHTML, .jp-RenderedText')];
    const all = selector => outputs.flatMap(output => [...output.querySelectorAll(selector)]);
    const drawn = element => element.closest('.jp-RenderedMermaid, .rlm-static, .jp-ToolbarButton');
    // JupyterLab makes links in the traceback of any error.
    const theirs = element => element.closest('.jp-CodeCell').innerText.includes('RecursiveEngine(fails)');
    return {
        ran: window.ran ?? 0,
        outputs: outputs.length,
        elements: all('ELEMENTS').filter(each => !drawn(each)).map(each => each.outerHTML.slice(0, 120)),
        images: all('img').filter(each => !each.src.startsWith('data:')).map(each => each.outerHTML.slice(0, 120)),
        links: all('a').filter(each => !theirs(each)).map(each => each.getAttribute('href') ?? '').filter(
            href => href && !/^(https?:|mailto:|#)/i.test(href)),
        handlers: all('*').flatMap(each => each.getAttributeNames()).filter(name => name.startsWith('on')),
        styled: all('[style]').filter(each => /url|fixed/.test(each.getAttribute('style'))).length,
    };
}""".replace("ELEMENTS", ELEMENTS_THAT_ACT)
NOTHING = {"ran": 0, "elements": [], "images": [], "links": [], "handlers": [], "styled": 0}


class There:
    """The server that answers want to reach; keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(204)
                self.end_headers()

            do_POST = do_GET  # noqa: N815

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def there() -> Iterator[There]:
    server = There()
    yield server
    server.close()


@pytest.fixture
def whole_outputs(lab: Any) -> Iterator[None]:
    """All outputs are drawn, also those out of sight."""
    path = lab.settings / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"windowingMode": "none", "maxNumberOutputs": 1000}))
    yield
    path.unlink()


class Watched:
    """A page, and where else it went."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.elsewhere: list[str] = []
        self._home = page.tab.url.split("?")[0]
        page.tab.on("request", self._requested)
        page.tab.on("framenavigated", self._navigated)

    def _requested(self, request: Any) -> None:
        if not request.url.startswith((self.page.lab.url("").split("?")[0], "data:", "blob:")):
            self.elsewhere.append(request.url)

    def _navigated(self, frame: Any) -> None:
        if frame == self.page.tab.main_frame and not frame.url.startswith(self._home):
            self.elsewhere.append(f"navigated to {frame.url}")

    def found(self, outputs: int) -> dict[str, Any]:
        """What is in the page once so many outputs are drawn and formulas are set."""
        self.page.tab.wait_for_function(
            "n => document.querySelectorAll('.jp-RenderedMarkdown, .jp-RenderedHTML').length >= n", arg=outputs
        )
        self.page.tab.wait_for_function("() => document.querySelector('.jp-RenderedMarkdown mjx-container')")
        self.page.tab.wait_for_timeout(2_000)
        seen: dict[str, Any] = self.page.tab.evaluate(FOUND)
        assert seen.pop("outputs") >= outputs
        return seen


def said_by(text: str) -> Any:
    return lambda inputs, context: {"content": text if context["mode"] != "planner" else '{"decision": "EXECUTE"}'}


def strangers_file(lab: Any, name: str, text: str) -> Path:
    """A run that somebody else recorded, beside a notebook."""
    path: Path = lab.root / f"{name}.rlm" / "stranger.json"
    RecursiveEngine(said_by(text)).solve("What does it say?", checkpoint=path)
    return path


SHOWN = """
import json, pathlib
from dataclasses import dataclass
from IPython.display import display
from rlm_notebook import Output, RecursiveEngine, load_run
%load_ext rlm_notebook
answers = json.loads(pathlib.Path("NAME.json").read_text())
@dataclass
class Said:
    text: str
for answer in answers:
    display(Output(answer))
"""
FORMS = """
joined = "\\n\\n".join(answers[:70])[:60_000]
for form in ("json", "code", "text"):
    for answer in answers[:12]:
        output = Output(answer)
        output.format = form
        display(output)
display(Output("", parsed=[Said(answer) for answer in answers]))
display({"text/html": Output("", parsed=[{answer: answer} for answer in answers[:40]])._repr_html_()}, raw=True)
display(Output(joined))
load_run("NAME.rlm/stranger.json").output
"""
FAILED_CELL = "%%rlm -m fails --name failing\nWhat does it say?"
REPLAYED = "%%rlm --mode replay --name stranger\nWhat does it say?"
FAILED = """
def fails(inputs, context):
    raise ValueError("\\x1b]8;;javascript:window.ran=1\\x07 javascript://%0awindow.ran=1 " + joined)
try:
    RecursiveEngine(fails).solve(answers[0])
except Exception:
    get_ipython().showtraceback()
"""


@pytest.mark.usefixtures("whole_outputs")
@pytest.mark.parametrize("host", ["lab", "notebook"])
def test_no_answer_acts(lab: Any, open_notebook: Any, there: There, host: str) -> None:
    name = f"answers_{host}"
    answers = [answer.replace(THERE, there.url) for answer in ANSWERS]
    (lab.root / f"{name}.json").write_text(json.dumps(answers))
    strangers_file(lab, name, "\n\n".join([*answers[:55], *answers[-18:]]))
    cells = [cell.replace("NAME", name) for cell in (SHOWN, FORMS, REPLAYED, FAILED, FAILED_CELL)]
    page = open_notebook(lab.write(name, *cells), host)
    watched = Watched(page)
    page.run_all()
    page.tab.wait_for_timeout(500)
    page.idle()

    assert watched.found(len(answers)) == NOTHING
    page.save()
    # JupyterLab asks the kernel for the trees of the page before, some of which are gone.
    page.expected.append("widget model not found")
    page.reload()
    assert watched.found(len(answers)) == NOTHING
    assert there.asked == []
    assert watched.elsewhere == []


@pytest.mark.usefixtures("whole_outputs")
def test_it_would_be_noticed(lab: Any, browser: Any, there: There) -> None:
    """The same answers as they are, but for those that would take the page away from the others: it goes elsewhere,
    is hidden, or loads JupyterLab's own scripts from elsewhere."""
    from .conftest import Page

    spoil = ("refresh", "display:none", "<base")
    answers = [answer.replace(THERE, there.url) for answer in ANSWERS if not any(each in answer for each in spoil)]
    (lab.root / "raw.json").write_text(json.dumps(answers[:80]))
    show = "from IPython.display import Markdown, display\nimport json\n"
    show += "for answer in json.load(open('raw.json')): display(Markdown(answer))"
    page = Page(browser, lab, lab.write("raw", show, "1"))
    page.run_all()
    page.tab.wait_for_function("() => window.ran > 2")
    page.tab.wait_for_timeout(1_000)
    seen = page.tab.evaluate(FOUND)
    page.close()

    assert len(there.asked) > 3
    assert all(seen[what] for what in ("elements", "images", "links", "handlers"))
