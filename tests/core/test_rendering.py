"""How an answer shows: by format, typed values as tables, and nothing of it as mark-up of the page."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rlm_notebook.core.rendering import FORMATS, rendered, table_of
from rlm_notebook.core.table import Table


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
