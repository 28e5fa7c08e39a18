"""What a model wrote does nothing where it is shown, and ordinary answers look as they did."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rlm_notebook.core.plain_text import terminal_text
from rlm_notebook.views.formulas import bare_formula, for_notebooks, harmless_formula, taken_out
from rlm_notebook.views.gate import LONGEST, code_block, html_text, markdown
from tests.hostile_answers import ANSWERS, PIECES
from tests.support.amounts import few_or_many

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
            "span",
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


@few_or_many(200, 1_000)
def test_nothing_in_any_mixture_acts(amount: int) -> None:
    @settings(max_examples=amount, deadline=None)
    @given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join))
    def holds(answer: str) -> None:
        assert page_of(markdown(answer)).wrong == []

    holds()


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


def test_formulas_are_as_they_were() -> None:
    for formula in (
        r"$E = mc^2$ and $a_1 < b_2$ and \\(x_1 * y_2 * z\\)",
        "$$\n\\begin{aligned}\nf(x) &= \\int_0^1 x\\,dx \\\\\n+ &c\n\\end{aligned}\n$$",
        "\\begin{align}\na &= b \\\\\n- c\n\\end{align}",
        r"$\left[\begin{matrix} a & b \\ c & d \end{matrix}\right]$ and $\{x \mid x_1 > 0\}$",
    ):
        assert markdown(f"{formula}\n\n[a](https://x.org)") == f"{formula}\n\n[a](https://x.org)"
    assert markdown("$x<y$ [a](https://x.org)") == "$x< y$ [a](https://x.org)"


class Typeset(HTMLParser):
    """The formulas that a notebook sets: found in Markdown before it is read, and in the texts between elements."""

    def __init__(self, shown: str) -> None:
        super().__init__()
        self.formulas: list[str] = []
        places: list[str] = []
        # Code spans are protected.
        shown = re.sub(r"(?m)(^|[^\\])(`+)([^\n]*?[^`\n])\2(?!`)", lambda span: span[0].replace("$", "S"), shown)
        for begin, end in reversed(list(seen_by_notebooks(shown))):
            places.insert(0, shown[begin:end])
            shown = f"{shown[:begin]}@@{shown[end:]}"
        self.feed(reading(shown).replace("@@", "<math></math>"))
        self.formulas += places

    def handle_data(self, data: str) -> None:
        begun = re.finditer(r"(\$\$?|\\\(|\\\[)(.*?)(\1|\\\)|\\\])|\\(?:begin|ref|eqref)\{", data, re.DOTALL)
        self.formulas += [found[0] for found in begun]


#: As JupyterLab splits a text.
_SPLIT = re.compile(r"\\\\[()\[\]]|\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|\$\$?|[{}]|\n\s*\n", re.IGNORECASE)


def seen_by_notebooks(text: str) -> Iterator[tuple[int, int]]:
    """Where JupyterLab finds formulas before it reads Markdown (code spans apart)."""
    closings = {"$": "$", "$$": "$$", "\\\\(": "\\\\)", "\\\\[": "\\\\]"}
    begin, closing, depth, last = -1, "", 0, -1
    for mark in _SPLIT.finditer(text):
        sign = mark[0]
        if begin >= 0 and sign == closing:
            last = mark.end()
            if not depth:
                yield begin, last
                begin = -1
        elif sign.startswith("\n"):
            if begin >= 0 and last >= 0:
                yield begin, last
            begin, last = -1, -1
        elif begin < 0:
            closing = f"\\end{sign[6:]}" if sign[:6].lower() == "\\begin" else closings.get(sign, "")
            begin, depth, last = (mark.start() if closing else -1), 0, -1
        elif sign in "{}":
            depth = max(0, depth + (1 if sign == "{" else -1))


CASES = json.loads((Path(__file__).parent.parent / "formulas.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:40])
def test_a_notebook_sets_the_formulas_and_nothing_else(case: dict[str, Any]) -> None:
    shown = markdown(case["text"])
    assert [bare_formula(each)[0] for each in Typeset(shown).formulas] == case["formulas"]
    if not case["formulas"]:
        as_text = Unescaped(reading(shown)).text
        # The answer as it is read: escapes and emphasis are gone.
        assert as_text == Unescaped(reading(case["text"], html=False)).text


@few_or_many(100, 2_000)
def test_the_formulas_that_a_notebook_finds_in_any_mixture_are_those_of_the_answer(amount: int) -> None:
    signs = ("$", "$$", "\\(", "\\)", "\\[", "\\]", "\\\\(", "\\\\)", "\\begin{align}", "\\end{align}", "\\begin{a}")
    prose = [*"5x *_([)|{}\\\n", "\n\n", "\n> ", "\n- ", "&#36;", "\\$", "\\{"]

    @settings(max_examples=amount, deadline=None)
    @given(st.lists(st.sampled_from(signs) | st.sampled_from(prose), max_size=14).map("".join))
    def holds(answer: str) -> None:
        formulas: list[str] = []
        taken_out(answer, (), formulas)
        assert sorted(Typeset(markdown(answer)).formulas) == sorted(
            for_notebooks(harmless_formula(f)) for f in formulas
        )

    holds()


def test_prices_beside_a_link_stay_prices() -> None:
    shown = reading(markdown("It costs $5 ([a](https://x.org)) or $6."))
    assert shown.replace("<span>$</span>", "$") == '<p>It costs $5 (<a href="https://x.org">a</a>) or $6.</p>\n'


def test_tasks_are_ticked_as_they_were() -> None:
    assert markdown("- [ ] open\n- [x] done, `a`") == "- [ ] open\n- [x] done, `a`"


def test_html_is_shown_as_text() -> None:
    assert reading(markdown("a <b>b</b><br>c <!-- d -->")) == "<p>a &lt;b&gt;b&lt;/b&gt;<br>c &lt;!-- d --&gt;</p>\n"


def test_an_image_is_a_link_to_it() -> None:
    assert markdown("![a *b*](https://x.org/c.png)") == "[image: a b](https://x.org/c.png)"
    assert markdown("[![badge](https://x.org/b.png)](https://x.org)") == "[image: badge](https://x.org)"
    assert markdown("![](javascript:a)") == "&#33;[&#93;(javascript:a)"


def test_what_leads_elsewhere_stays_text() -> None:
    shown = reading(markdown("[a](ftp://x) [b](/api) [c] <file:///d>\n\n[c]: javascript:e"))
    assert "<a" not in shown
    assert "[b](/api)" in shown


@pytest.mark.parametrize("text", ["[a]()", "![a]()", "x [a]( ) y", '[~~~]()\n\n```html\n~~~\n<img src="x">\n```'])
def test_a_link_without_an_address_stays_text(text: str) -> None:
    shown = reading(markdown(text))
    assert "<a" not in shown
    assert "<img" not in shown
    assert "]()" in shown


def test_code_with_markup_is_shown_as_it_is() -> None:
    for code in ("<script>x</script>", "`<b>` ![a](b)", "a\n\n```\n<b>\n```\n\n$x$ \\begin{a}"):
        for before in ("", "> ", "- ", "> - "):
            after = before.replace("-", " ")
            lines = f"{before}````\n{code}\n````".replace("\n", f"\n{after}")
            html = reading(markdown(lines))
            assert html.count("<code>") == 1
            assert code in Unescaped(html).text, (before, html)


class Unescaped(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_diagram_that_only_draws_is_drawn() -> None:
    assert code_block("flowchart TD\n A[User clicks] --> B & C\n style A fill:#f9f", "mermaid").startswith(
        "```mermaid\n"
    )
    for line in ('click A "https://x.org"', "A@{ img: x }", "style A fill:url(x)", "A[<img src=x>]", "%%{init: {}}%%"):
        assert code_block(f"flowchart TD\n {line}", "mermaid").startswith("```text\n")
        assert markdown(f"> ```mermaid\n> flowchart TD\n>  {line}\n> ```").count("mermaid") == 0


def test_of_a_very_long_answer_the_beginning_is_shown() -> None:
    shown = markdown("word <b>\n" * 2_000_000)
    assert len(shown) < 2 * LONGEST
    assert "of 18,000,000 characters are shown; `.content`" in shown
    assert page_of(shown).wrong == []


@pytest.mark.parametrize(
    "piece",
    ["# a\n", "```\na\n```\n", "[a](http://b) ", "> ", "- a\n", "[", "![", "*a **b ", "|a", "$ {", "<a", "`", "a\n\n"],
)
def test_what_a_page_could_not_lay_out_is_shown_as_it_is(piece: str) -> None:
    shown = markdown(piece * (1_000_000 // len(piece)))
    assert len(shown) < 4 * LONGEST
    assert len(re.findall(r"\n", reading(shown))) < LONGEST
    assert page_of(shown).wrong == []


def test_html_text_has_no_element_and_no_formula() -> None:
    assert html_text("<b> & $x$ \\(y\\)") == (
        "&lt;b&gt; &amp; <span>$</span>x<span>$</span> <span>\\</span>(y<span>\\</span>)"
    )


def test_a_terminal_is_not_driven() -> None:
    said = "\x1b]8;;http://x\x07a\x1b[2J\rb\x9b1m\u202eevil\u2066\tc\n\u05d0 👩\u200d🔬"
    shown = terminal_text(said)
    assert not {"\x1b", "\x07", "\r", "\x9b", "\u202e", "\u2066"} & set(shown)
    assert shown.endswith("evil\ufffd\tc\n\u05d0 👩\u200d🔬")
