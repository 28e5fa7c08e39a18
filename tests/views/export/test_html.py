"""An answer as static HTML: nothing in it acts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_notebook.views.export.content import blocks_of
from rlm_notebook.views.export.html import html_of, report_html
from tests.hostile_answers import PIECES
from tests.support.reports import HOSTILE_ANSWERS, RICH, report

TAGS = frozenset(
    re.findall(
        r"\w+",
        """
        p a em strong s code pre ul ol li table thead tbody tr th td blockquote hr br small span h1 h2 h3 h4 h5 h6
        """,
    )
)
LINKS = ("http://", "https://", "mailto:", "#")


class Page(HTMLParser):
    """What is wrong in a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("br", "hr"):
            self.open.append(tag)
        if tag not in TAGS:
            self.wrong.append(tag)
        for name, value in attributes:
            fine = {
                "href": str(value).lower().startswith(LINKS),
                "style": str(value).startswith("text-align:"),
                "id": str(value).startswith("node-0"),
                **dict.fromkeys(("dir", "rel", "start"), True),
            }
            if not fine.get(name):
                self.wrong.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.wrong.append("comment")

    def handle_decl(self, decl: str) -> None:
        self.wrong.append("declaration")


@pytest.mark.parametrize("answer", HOSTILE_ANSWERS)
def test_nothing_in_an_answer_acts(answer: str) -> None:
    assert Page(report_html(report(f"{answer}\n\n[0.0]", {answer: answer}))).wrong == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join))
def test_nothing_in_any_mixture_acts(answer: str) -> None:
    assert Page(html_of(blocks_of(answer))).wrong == []


def test_citations_lead_to_the_nodes() -> None:
    html = report_html(report("So it is [0.1], they say [0.5].", {"a": "x", "b": "y"}))
    assert '<a href="#node-0-1">[0.1]</a>, they say [0.5].' in html
    assert '<h3 id="node-0-1" dir="auto">[0.1] b</h3>' in html


def test_all_of_markdown_is_there() -> None:
    page = Page(report_html(report(RICH, {"a": "x", "b": "y"})))
    assert page.wrong == []
    for text in ("Storage", "phosphate", "E = mc^2", "LFP", "nested", "# \\end{verbatim}", "日本語", "مرحبا بالعالم"):
        assert text in page.text, text
    html = html_of(blocks_of(RICH))
    assert '<ol start="3">' in html
    assert '<td style="text-align:right" dir="auto">100</td>' in html


def test_formulas_are_code_or_left_to_the_notebook() -> None:
    assert html_of(blocks_of("$a<b$")) == '<p dir="auto"><code>a&lt; b</code></p>'
    assert html_of(blocks_of("$a<b$ for $5"), typeset=True) == ('<p dir="auto">$a&lt; b$ for <span>$</span>5</p>')
