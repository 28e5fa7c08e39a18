"""What an exported answer holds, before it is written in a format."""

from __future__ import annotations

from rlm_notebook.views.export.content import (
    Break,
    Citation,
    Code,
    CodeBlock,
    Emphasis,
    Formula,
    Heading,
    Items,
    Link,
    Paragraph,
    Quote,
    Rule,
    Table,
    Text,
    blocks_of,
)
from rlm_notebook.views.export.report import report_of
from tests.support.reports import RICH, report, tree_of


def test_markdown_is_read_into_blocks() -> None:
    kinds = [type(block) for block in blocks_of(RICH)]
    assert kinds == [Heading, *[Paragraph] * 3, Table, Items, Quote, CodeBlock, Rule, Paragraph]


def test_a_paragraph_is_read_into_its_parts() -> None:
    (block,) = blocks_of("a *b* `c` [0.2] $d_1$ [e](https://x.org)<br>![f](https://x.org/g.png) <i>")
    assert block == Paragraph(
        (
            Text("a "),
            Emphasis("em", (Text("b"),)),
            Text(" "),
            Code("c"),
            Text(" "),
            Citation("0.2"),
            Text(" "),
            Formula("d_1", False),
            Text(" "),
            Link("https://x.org", (Text("e"),)),
            Break(),
            Link("https://x.org/g.png", (Text("image: "), Text("f"))),
            Text(" <i>"),
        )
    )


def test_dangerous_links_stay_text_and_formulas_do_nothing_but_typeset() -> None:
    (block,) = blocks_of(r"[a](javascript:x) [b](file:///c) $\href{javascript:x}{y}$")
    assert isinstance(block, Paragraph)
    assert not any(isinstance(each, Link) for each in block.inner)
    assert block.inner[-1] == Formula(r"\ href{javascript:x}{y}", False)


def test_json_is_code() -> None:
    assert blocks_of('{"a": [1, 2]}') == (CodeBlock('{\n  "a": [\n    1,\n    2\n  ]\n}', "json"),)
    assert isinstance(blocks_of("[0.2] says so")[0], Paragraph)


def test_a_text_that_is_too_large_or_too_deep_is_whole_and_plain() -> None:
    deep = "> " * 200 + "x"
    assert blocks_of(deep) == (CodeBlock(deep),)
    (paragraphs,) = {type(block) for block in blocks_of("word\n\n" * 2_000)}
    assert paragraphs is Paragraph


def test_the_nodes_that_an_answer_cites_come_with_their_results() -> None:
    made = report("So [0.1], not [0.7] or [0].", {"a": "unused", "b": "rests on [0.2]", "c": "ground"})
    assert [(section.node, section.title, section.text) for section in made.sections] == [
        ("0.1", "b", "rests on [0.2]"),
        ("0.2", "c", "ground"),
    ]
    assert made.cited == {"0.1", "0.2"}
    assert made.title == "Weigh [it] & <b>all</b> of 100 %"
    assert "model scripted" in made.facts


def test_a_run_without_an_answer_says_so() -> None:
    made = report_of(tree_of("", {"a": "1"}, status="cancelled"), "## [0.0] a\n\n1")
    assert made.notes == ("This run is cancelled: the text below is what there is so far.",)
    assert report_of(tree_of("", status="cancelled"), "").blocks == (Paragraph((Text("(There is no answer.)"),)),)


def test_the_first_line_of_the_cell_is_the_title() -> None:
    assert report_of(tree_of("x"), "x", title="\n Sum up {{report}}\nand more").title == "Sum up {{report}}"
