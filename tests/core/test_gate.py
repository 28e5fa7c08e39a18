"""What a model wrote does nothing where it is shown, and ordinary answers look as they did."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rlm_notebook.core.gate import markdown
from tests.hostile_answers import ANSWERS, PIECES

TAGS = {
    *(
        [
            "p",
            "a",
            "em",
            "strong",
            "s",
            "code",
            "pre",
            "ul",
            "ol",
            "li",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "blockquote",
            "hr",
            "br",
        ]
    ),
    *(f"h{level}" for level in range(1, 7)),
}
ATTRIBUTES = {"href", "class", "style", "start"}
LINKS = ("http://", "https://", "mailto:", "#")
COMMANDS = r"\\(?:href|class|cssId|style|unicode|require|includegraphics|bbox|mmlToken|csname|data|html\w+|url)\b"


class Page(HTMLParser):
    """What a browser makes of a text: what is wrong in it, and what is read of it outside of code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.prose: list[str] = []
        self._in_code = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._in_code += tag in ("code", "pre")
        if tag not in TAGS:
            self.wrong.append(f"<{tag}>")
        for name, value in attributes:
            said = (value or "").lower()
            allowed = name in ATTRIBUTES and (name != "href" or said.startswith(LINKS))
            if not allowed or (name == "style" and not said.startswith("text-align")):
                self.wrong.append(f"<{tag} {name}={value}>")

    def handle_endtag(self, tag: str) -> None:
        self._in_code -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        if not self._in_code:
            self.prose.append(data)

    def handle_comment(self, data: str) -> None:
        self.wrong.append("comment")

    def handle_decl(self, decl: str) -> None:
        self.wrong.append("declaration")


def reading(text: str, *, html: bool = True) -> str:
    return MarkdownIt("js-default", {"html": html}).render(text)


def page_of(shown: str) -> Page:
    page = Page(reading(shown))
    prose = "\0".join(page.prose)
    if re.search(r"\$|\\[(\[]|\\begin", prose):
        page.wrong.extend(re.findall(COMMANDS, prose))
    return page


@pytest.mark.parametrize("answer", ANSWERS)
def test_nothing_in_an_answer_acts(answer: str) -> None:
    assert page_of(markdown(answer)).wrong == []


def test_the_check_sees_what_acts() -> None:
    assert sum(bool(page_of(answer).wrong) for answer in ANSWERS) >= 45


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join))
def test_nothing_in_any_mixture_acts(answer: str) -> None:
    assert page_of(markdown(answer)).wrong == []


ORDINARY = [
    "# Title\n\nA **bold** and *slanted* ~~word~~, `a < b`, 1 < 2 & 3 > 2.\n\n## Next\n\ntext",
    "- one\n- two\n  - inner\n    ```python\n    x = [1, 2]\n    print(x[0:1])\n    ```\n- three\n\n1. a\n2. b\n10. c",
    "3) third\n4) fourth\n\n* star\n\n  second paragraph\n\n* next",
    "| a | b |\n|:--|--:|\n| 1 | `x` |\n| *y* | [z](https://example.org/a_b?c=1&d=2#e) |",
    "> quoted\n> lines\n>\n> - list\n\n---\n\nafter  \nbreak\\\nbreak",
    "```html\n<b>code</b> & <!-- more -->\n```\n\n~~~\n```\ninner\n```\n~~~\n\n    indented <i>",
    "Setext\n===\n\nlines\nof text_with_marks 2 * 3 * 4\n\nOther\n---\n",
    "An [a *slanted* link](http://example.org/x_y) and <https://example.org> and <me@example.org> and [here](#there).",
    "&copy; &amp; \\*not slanted\\* \\# \\[no link\\] snake_case_name a*b*c **x**y",
    "- [ ] open\n- [x] done\n\n5\\. no list\n\n\\- no list",
    "The list is [1, 2, 3], f(x)[0], and {a: b}; 50% of $5 and `$HOME`.",
]


@pytest.mark.parametrize("answer", ORDINARY)
def test_an_ordinary_answer_looks_as_it_did(answer: str) -> None:
    assert reading(markdown(answer + " [x](https://x.org)")) == reading(answer + " [x](https://x.org)", html=False)
