"""How an answer shows: by format, typed values as tables, and nothing of it as mark-up of the page."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rlm_notebook import Output
from rlm_notebook.exceptions import ModelError
from rlm_notebook.views.formats import FORMATS
from rlm_notebook.views.rendering import rendered, table_of
from rlm_notebook.views.table import Table


class Book(BaseModel):
    title: str
    pages: int | None = None
    tags: list[str] = []


@dataclass
class Point:
    x: int
    y: str


def test_markdown_is_the_answer_itself() -> None:
    assert rendered("# A", None, "markdown") == {"text/markdown": "# A", "text/plain": "# A"}
    assert rendered("# A", None, "text") == {"text/plain": "# A"}


@pytest.mark.parametrize(
    ("content", "value"),
    [('{"a": [1]}', {"a": [1]}), ('Here it is:\n```json\n{"a": 1}\n```', {"a": 1}), ("[1, 2]", [1, 2])],
)
def test_json_is_found_in_prose(content: str, value: object) -> None:
    shown = rendered(content, None, "json")
    assert shown["application/json"] == value
    assert json.loads(shown["text/plain"]) == value


def test_an_answer_without_json_is_a_json_text() -> None:
    assert rendered("no", None, "json") == {"text/plain": '"no"'}


def test_a_typed_answer_as_json() -> None:
    assert rendered("", [Book(title="A")], "json")["application/json"] == [{"title": "A", "pages": None, "tags": []}]


def test_code_is_taken_out_of_its_fences() -> None:
    shown = rendered("Do:\n```python\nx = 1\n```\nand\n~~~\ny = 2\n~~~\n", None, "code")
    assert shown["text/plain"] == "x = 1\n\ny = 2"
    assert shown["text/markdown"] == "```python\nx = 1\n\ny = 2\n```"
    assert rendered("x = '```'", None, "code")["text/markdown"] == "````\nx = '```'\n````"


def test_records_are_rows() -> None:
    table = table_of([Book(title="A", pages=3, tags=["x"]), Book(title="B")])
    assert table == Table(("title", "pages", "tags"), (("A", "3", '["x"]'), ("B", "", "[]")))
    assert table_of((Point(1, "a"), {"x": 2, "z": 3})) == Table(("x", "y", "z"), (("1", "a", ""), ("2", "", "3")))


def test_a_record_is_its_fields() -> None:
    assert table_of(Book(title="A")) == Table(("field", "value"), (("title", "A"), ("pages", ""), ("tags", "[]")))
    assert table_of({"a": {"b": [Book(title="A")]}}) is not None


@pytest.mark.parametrize("value", [None, 3, "text", [], {}, [1, 2], [Book(title="A"), 3], Book, [[1]], object()])
def test_everything_else_is_no_table(value: object) -> None:
    assert table_of(value) is None


def test_what_a_model_wrote_is_text_in_a_table() -> None:
    html = rendered("", [Book(title="<script>alert(1)</script>&")], "markdown")["text/html"]
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in html
    assert "\x1b" not in str(table_of([Book(title="\x1b[31mred")]))


def test_a_long_table_is_cut_and_says_so() -> None:
    table = table_of([Book(title=str(number)) for number in range(700)])
    assert table is not None
    assert len(table.rows) == 500
    assert "200 more" in str(table)


@given(st.text(max_size=80), st.sampled_from(FORMATS))
def test_any_answer_has_a_text_in_every_form(content: str, form: str) -> None:
    shown = rendered(content, None, form)  # type: ignore[arg-type]
    assert isinstance(shown["text/plain"], str)
    assert all(isinstance(data, str) for mime, data in shown.items() if mime.startswith("text/"))


def test_an_answer_is_shown_as_text_and_is_not_changed() -> None:
    said = "a <b onclick=x>b</b> ![c](https://x.org/c.png)\x1b[31m\rd"
    output = Output(said)
    assert output.content == str(output) == said
    assert output._repr_markdown_() == "a &lt;b onclick=x>b&lt;/b> [image: c](https://x.org/c.png)\x1b[31m\nd"
    assert rendered(said, None, "markdown")["text/plain"].endswith("\ufffd[31m d")


def test_plain_text_leads_to_the_web_only() -> None:
    shown = rendered("javascript://%0ax data:text/html,x https://x.org", None, "text")["text/plain"]
    assert "javascript\u2060://" in shown
    assert "data\u2060:text" in shown
    assert shown.endswith(" https://x.org")


def test_a_table_holds_no_formula() -> None:
    html = rendered("", [{"a": r"\begin{a}\href{javascript:b}{c}\end{a} $d$"}], "markdown")["text/html"]
    assert r"\begin" not in html
    assert r"\href" not in html
    assert "$d" not in html


def test_json_that_is_too_much_for_a_tree_is_text() -> None:
    shown = rendered("", list(range(200_000)), "json")
    assert set(shown) == {"text/plain"}
    assert "characters are shown; `.content`" in shown["text/plain"]


def test_an_error_drives_no_terminal() -> None:
    assert str(ModelError("a\x1b]8;;x\x07b\rc\nd")) == "a\ufffd]8;;x\ufffdb c\nd"
