"""A run as one HTML file: the widget with the recorded data, for a browser without a kernel and without a network.

Without scripts it shows the answer, with the nodes that it cites, and the static tree.

The file allows only its own two scripts (by their hashes) and no requests. Text from models is only in it as data: JSON
without `<`, or escaped text.
"""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from ...core.text import printable
from ...runtime.run_view import RunView
from ...views.export.html import report_html
from ..widget.feed import Feed
from ..widget.python_code import python_code
from .report import report_of_run
from .static_tree import bundle_of, summary_of

__all__ = ["page_of"]

_BUNDLE = Path(__file__).parents[2] / "static" / "widget.js"
_EXPORT = re.compile(r"export\s*\{\s*(\w+) as default\s*\};?\s*$")
_TITLE_CHARACTERS = 120
#: Of the static tree, which a page has room for.
MOST_BYTES_OF_TREE = 150_000


def page_of(run: RunView) -> str:
    """The whole page. A run that is under way is shown in its present state."""
    feed = Feed(run, readonly=True, python=python_code(run))
    if run.internals.reused:
        feed.show_recorded_times()
    feed.frame()
    script = _script()
    digest = b64encode(sha256(script.encode()).digest()).decode()
    # The long fields of all nodes are compressed, because prompts repeat each other.
    details = {node.id: {field: feed.detail(node.id, field) for field in feed.detail_fields} for node in run.tree}
    packed = gzip.compress(_harmless(details).encode(), compresslevel=6, mtime=0)
    # Everything that the widget may request.
    snapshot = b64encode(feed.snapshot()).decode()
    data = {"run_id": run.run_id, "snapshot": snapshot, "details": b64encode(packed).decode()}
    title = printable(run.task)[:_TITLE_CHARACTERS].strip() or "rlm"
    return _PAGE.format(
        policy=f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'",
        title=escape(title),
        summary=escape(summary_of(run)),
        run_id=escape(run.run_id),
        answer=report_html(report_of_run(run)),
        static=bundle_of(run, MOST_BYTES_OF_TREE)["text/html"].replace("<details>", "<details open>", 1),
        data=_harmless(data),
        script=script,
    )


def _harmless(data: Any) -> str:
    """JSON in ASCII, without characters that have a meaning in HTML: none can end the element that contains it."""
    return json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")


@cache
def _script() -> str:
    """The widget's bundle with its export replaced by a constant, followed by the code that draws the page."""
    bundle = _BUNDLE.read_text(encoding="utf-8")
    code, found = _EXPORT.subn(lambda match: f"const createWidget={match[1]};", bundle)
    assert found == 1, "the bundle exports the widget at its end"
    return f"{code}\n{(Path(__file__).parent / 'page.js').read_text(encoding='utf-8')}"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<meta name="generator" content="rlm_notebook">
<meta name="description" content="{summary}">
<title>{title}</title>
<style>:root{{color-scheme:light dark}}body{{margin:12px;font-family:system-ui,sans-serif}}</style>
</head>
<body>
<main id="rlm"></main>
<article data-rlm-run="{run_id}">
{answer}
</article>
{static}
<script type="application/json" id="rlm-run">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""
