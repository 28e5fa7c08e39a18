"""Quotes in an answer are shown in quotation marks with footnotes, in which nothing is markup."""

from IPython.lib.pretty import pretty

from rlm_notebook import Output
from rlm_notebook.host.console import encodable
from rlm_notebook.views.export.content import CodeBlock, Emphasis, Paragraph, Table, blocks_of, text_of
from rlm_notebook.views.export.tex import escaped
from rlm_notebook.views.gate import markdown

ANSWER = """\
It says ⟦"a *bold* <b>x</b> [l](http://e) $x$ `c` 5_0"|my_report.pdf p.12|verified⟧, ⟦"no | way"|n.md §A|not found⟧ and
⟦"again"|my_report.pdf p.12|verified⟧.

| a | b |
|---|---|
| ⟦"in a table"|t.csv row 3|altered⟧ | 2 |

```
⟦"code"|x⟧
```

`⟦"inline"|x⟧`, ⟦"unchecked"|x⟧ and ⟦open"""


def test_each_quote_has_a_footnote_with_place_and_state() -> None:
    paragraph, table, code, last, notes = blocks_of(ANSWER)

    assert isinstance(paragraph, Paragraph)
    assert text_of(paragraph.inner) == (
        "It says “a *bold* <b>x</b> [l](http://e) $x$ `c` 5_0”¹, “no | way”² (not found) and\n“again”¹."
    )
    assert [each for each in paragraph.inner if isinstance(each, Emphasis)] != []
    assert isinstance(table, Table)
    assert text_of(table.rows[1][0]) == "“in a table”³ (altered)"
    assert code == CodeBlock('⟦"code"|x⟧')
    assert isinstance(last, Paragraph)
    assert text_of(last.inner) == '⟦"inline"|x⟧, “unchecked”⁴ and ⟦open'
    assert isinstance(notes, Paragraph)
    assert text_of(notes.inner).replace(" ¹", "\n¹").replace(" ²", "\n²") == (
        "¹ my_report.pdf p.12, verified\n² n.md §A, not found ³ t.csv row 3, altered ⁴ x, not checked"
    )


def test_a_cell_and_a_terminal_show_them_and_the_content_stays_as_it_was_written() -> None:
    output = Output(content='⟦"a_b_c"|r.pdf p.1|moved⟧ and ⟦"*d*"|x|altered⟧; `⟦"e"|x⟧`')
    assert output._repr_markdown_().startswith("“a_b_c”¹ and “&#42;d&#42;”² (**altered**)")
    assert pretty(output) == '“a_b_c”¹ and “*d*”² (altered); `⟦"e"|x⟧`\n\n¹ r.pdf p.1, moved\n² x, altered\n'
    assert encodable(pretty(output), "ascii").startswith('"a_b_c"^1 and "*d*"^2 (altered)')
    assert str(output) == output.content

    assert markdown("a ⟦ b ⟧⟧ c").startswith("a “b”¹")


def test_latex_raises_the_numbers() -> None:
    assert escaped("words”¹²").endswith(r"\textsuperscript{1}\textsuperscript{2}")
