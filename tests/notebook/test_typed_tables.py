"""What a cell with `--type` or `--format` shows, as IPython formats it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from rlm_notebook import ScriptedModel


class Book(BaseModel):
    title: str
    pages: int


class Other(BaseModel):
    title: str


class Styled(BaseModel):
    title: str

    def _repr_html_(self) -> str:
        return "mine"


BOOKS = '[{"title": "A <b>", "pages": 1}, {"title": "B", "pages": 2}]'


def shown(shell: Any, value: Any) -> dict[str, Any]:
    data, _ = shell.ip.display_formatter.format(value)
    return data  # type: ignore[no-any-return]


@pytest.fixture
def library(shell: Any) -> Any:
    shell.names.update(
        books=ScriptedModel({"books": BOOKS}),
        Books=list[Book],
        Book=Book,
        styled=ScriptedModel({"x": '{"title": "A"}'}),
    )
    return shell


async def test_a_typed_answer_is_a_table(library: Any) -> None:
    output = await library.value("%%rlm -m books --view none --type Books\nbooks")
    data = shown(library, output)
    assert "<th" in data["text/html"]
    assert "A &lt;b&gt;" in data["text/html"]
    assert data["text/plain"].splitlines()[0].split() == ["title", "pages"]
    assert "text/markdown" not in data
    assert str(output) == BOOKS


async def test_its_parsed_value_and_its_parts_are_tables_too(library: Any) -> None:
    output = await library.value("%%rlm -m books --view none --type Books\nbooks")
    assert "A &lt;b&gt;" in shown(library, output.parsed)["text/html"]
    assert "A &lt;b&gt;" in shown(library, output.parsed[0])["text/html"]
    assert "Book(title=" in shown(library, output.parsed)["text/plain"]


async def test_other_values_stay_as_they_are(library: Any) -> None:
    await library.value("%%rlm -m books --view none --type Books\nbooks")
    for value in ([1, 2], [], [Other(title="A")], Other(title="A"), {"a": 1}):
        assert "text/html" not in shown(library, value)


async def test_a_type_that_shows_itself_goes_on_doing_so(library: Any) -> None:
    library.names["Styled"] = Styled
    output = await library.value("%%rlm -m styled --view none --type Styled\nx")
    assert shown(library, output.parsed)["text/html"] == "mine"


async def test_unloading_forgets_the_tables(library: Any) -> None:
    output = await library.value("%%rlm -m books --view none --type Books\nbooks")
    await library.run("%unload_ext rlm_notebook")
    assert "text/html" not in shown(library, output.parsed)
    assert "text/html" not in shown(library, output.parsed[0])
    await library.run("%load_ext rlm_notebook")


@pytest.mark.parametrize(
    ("form", "mimes"),
    [
        ("markdown", {"text/markdown", "text/plain"}),
        ("text", {"text/plain"}),
        ("json", {"application/json", "text/plain"}),
        ("code", {"text/markdown", "text/plain"}),
    ],
)
async def test_the_format_is_how_the_answer_shows(library: Any, form: str, mimes: set[str]) -> None:
    output = await library.value(f"%%rlm -m books --view none -f {form}\nbooks")
    assert set(shown(library, output)) == mimes
    assert output.content == BOOKS


async def test_time_is_one_line(library: Any, capsys: pytest.CaptureFixture[str]) -> None:
    await library.value("%%rlm -m books --view none --time answer <<\nbooks")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("rlm: ")]
    assert len(lines) == 1
    assert "by the clock" in lines[0]
    assert "1 call now, 1 in all" in lines[0]
