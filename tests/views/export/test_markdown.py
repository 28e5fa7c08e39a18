"""An answer as Markdown: what renders it finds nothing that acts."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from rlm_notebook.views.export.markdown import markdown_of
from tests.support.reports import HOSTILE_ANSWERS, RICH, report
from tests.views.test_gate import page_of


@pytest.mark.parametrize("answer", HOSTILE_ANSWERS)
def test_nothing_in_an_answer_acts(answer: str) -> None:
    assert page_of(markdown_of(report(f"{answer}\n\n[0.0]", {answer: answer}))).wrong == []


def test_the_title_is_text_and_the_answer_is_as_it_was() -> None:
    text = markdown_of(report(RICH, {"*a* [x](https://x.org)": "# Head\n\ntext", "b": "y"}))
    html = MarkdownIt("js-default", {"html": True}).render(text)
    assert "<h1>Weigh [it] &amp; &lt;b&gt;all&lt;/b&gt; of 100 %</h1>" in html
    assert "<h3>[0.0] *a* [x](https://x.org)</h3>" in html
    assert "<h4>Head</h4>" in html
    assert "phosphate** [0.0] is" in text
    assert "$$\n\\int_0^\\infty" in text


def test_a_long_answer_is_whole() -> None:
    answer = "a [link](https://x.org)\n\n" + "word " * 30_000
    assert markdown_of(report(answer)).count("word") == 30_000


def test_its_source_reads_as_people_write_it() -> None:
    answer = r"See [0.0](x) or [it]: a $5 note, $10, `a` \[1\] ![x](y) C:\begin \(x_1\) s3://b and <b>."
    written = markdown_of(report(answer)).split("\n\n")[-1]
    expected = r"See [0.0\](x) or [it\]: a \$5 note, \$10, `a` \[1\] \![x\](y) C:\\begin $x_1$ s3\://b and &lt;b>."
    assert written == f"{expected}\n"
    # A citation stays as it is, also where a text begins or ends with it.
    cited = "[0.1] has it.\n\n- [0.2]: no\n- see [0.3]"
    assert markdown_of(report(cited)).endswith("[0.1] has it.\n\n- \\[0.2\\]: no\n- see [0.3]\n")
