"""What files of each kind are read as, and how those that cannot be read are refused: in one clear line."""

import io
import json
import zipfile
from pathlib import Path

import docx
import pytest

from rlm_notebook import ConfigurationError, SharedMemory, Source
from rlm_notebook.documents.passages import Passage
from rlm_notebook.host.installation import install_command
from tests.support.pdf import pdf


def passages(path: Path) -> list[Passage]:
    return list(SharedMemory({"x": path}).passages())


def anchors(path: Path) -> list[str]:
    return [passage.anchor for passage in passages(path)]


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        SharedMemory({"x": path}).load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# -- PDF -----------------------------------------------------------------------------------------------------------


def test_a_pdf_is_read_by_pages_and_columns_one_after_the_other(tmp_path: Path) -> None:
    file = written(tmp_path / "report.pdf", pdf([("left one\nleft two", "right one"), "the second page"]))
    first, second = passages(file)

    assert (first.place, second.place) == ("report.pdf p.1", "report.pdf p.2")
    assert first.text.split("\n") == ["left one", "left two", "right one"]
    assert second.text == "the second page"


def test_pages_without_text_are_counted(tmp_path: Path) -> None:
    memory = SharedMemory({"x": written(tmp_path / "mixed.pdf", pdf(["one", "", "three", ""]))})
    memory.load()

    assert memory.notes == ["mixed.pdf: 2 of 4 pages hold no text"]
    assert "2 of 4 pages hold no text" in memory.contents("x")


def test_a_pdf_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    encrypted = Path(__file__).with_name("encrypted.pdf")

    assert "encrypted.pdf: it is encrypted; save a copy" in refusal(encrypted)
    assert "3 of 3 pages hold no text: it is a scan" in refusal(written(tmp_path / "scan.pdf", pdf(["", "", ""])))
    assert "it is damaged" in refusal(written(tmp_path / "cut.pdf", pdf(["text"])[:150]))
    assert "it is damaged, or no PDF" in refusal(written(tmp_path / "not.pdf", "hello"))
    assert "it is damaged, or no PDF" in refusal(written(tmp_path / "empty.pdf", b""))


# -- DOCX ----------------------------------------------------------------------------------------------------------

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
NOTE = '<w:footnote w:id="7"><w:p><w:r><w:t>Measured in 2019.</w:t></w:r></w:p></w:footnote>'
FOOTNOTES = f"<w:footnotes {W}>{NOTE}</w:footnotes>"
RELATION = (
    '<Relationship Id="rId90" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes" '
    'Target="footnotes.xml"/></Relationships>'
)
MARKED = (
    '<w:r><w:footnoteReference w:id="7"/></w:r><w:ins w:id="1"><w:r><w:t> inserted</w:t></w:r></w:ins>'
    '<w:del w:id="2"><w:r><w:delText> deleted</w:delText></w:r></w:del></w:p>'
)


def word_file(path: Path) -> Path:
    """A document with headings, a table with a merged cell, a footnote and tracked changes."""
    made = docx.Document()
    made.add_paragraph("Before any heading")
    made.add_heading("Yields", 1)
    made.add_paragraph("The yield rose.")
    table = made.add_table(rows=2, cols=3)
    for at, text in enumerate(("plot", "2018", "2019", "north", "both")):
        table.cell(at // 3, at % 3).text = text
    table.cell(1, 1).merge(table.cell(1, 2))
    made.add_heading("Yields", 1)
    made.add_paragraph("Again.")
    plain = io.BytesIO()
    made.save(plain)
    with zipfile.ZipFile(plain) as before, zipfile.ZipFile(path, "w") as after:
        for part in before.infolist():
            content = before.read(part).decode() if part.filename.endswith((".xml", ".rels")) else before.read(part)
            if part.filename == "word/document.xml":
                content = str(content).replace(
                    "The yield rose.</w:t></w:r></w:p>", f"The yield rose.</w:t></w:r>{MARKED}"
                )
            elif part.filename == "word/_rels/document.xml.rels":
                content = str(content).replace("</Relationships>", RELATION)
            elif part.filename == "[Content_Types].xml":
                kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
                override = f'<Override PartName="/word/footnotes.xml" ContentType="{kind}"/></Types>'
                content = str(content).replace("</Types>", override)
            after.writestr(part.filename, content)
        after.writestr("word/footnotes.xml", FOOTNOTES)
    return path


def test_a_word_file_is_read_by_headings_with_tables_footnotes_and_insertions(tmp_path: Path) -> None:
    top, first, second = passages(word_file(tmp_path / "paper.docx"))

    assert (top.anchor, first.anchor, second.anchor) == ("top", "§Yields", "§Yields (2)")
    assert first.text.split("\n") == [
        "Yields",
        "The yield rose.[^7] inserted",
        "[^7]: Measured in 2019.",
        "plot | 2018 | 2019",
        "north | both",
    ]


def test_a_word_file_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = word_file(tmp_path / "paper.docx")
    old = written(tmp_path / "old.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))

    assert "it is encrypted, or in the format before DOCX" in refusal(old)
    assert "it is damaged, or no DOCX" in refusal(written(tmp_path / "not.docx", "hello"))
    assert "it is damaged, or no DOCX" in refusal(written(tmp_path / "cut.docx", sound.read_bytes()[:-400]))
    bomb = tmp_path / "bomb.docx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" " * 2_000_000)
    monkeypatch.setattr("rlm_notebook.documents.extractors.docx.MOST_UNPACKED", 1_000_000)
    assert "it unpacks to 2 MB; at most 1 MB" in refusal(bomb)


# -- HTML ----------------------------------------------------------------------------------------------------------


def test_a_page_is_read_as_it_is_seen(tmp_path: Path) -> None:
    page = (
        '<html><head><meta charset="iso-8859-1"><title>t</title><style>p{}</style></head><body><nav>Home</nav>'
        "<h1>Yields <b>of</b>\n plots</h1><div><p>One\n  line, m\xfcde</p>then<br>more</div>"
        "<script>alert('evil')</script>"
        '<p hidden>unseen</p><p style="display: none">unseen</p><table><tr><th>a</th><th>b</th></tr>'
        "<tr><td>1</td><td>2</td></tr></table><pre>  x =\n   1</pre></body></html>"
    )
    top, section = passages(written(tmp_path / "page.html", page.encode("latin-1")))

    assert (top.anchor, top.text) == ("top", "Home")
    assert section.anchor == "§Yields of plots"
    lines = [line for line in section.text.split("\n") if line]
    assert lines == ["Yields of plots", "One line, müde", "then", "more", "a | b", "1 | 2", "  x =", "   1"]


def test_a_page_of_scripts_alone_is_refused_and_so_is_one_that_takes_for_ever(tmp_path: Path) -> None:
    assert "no text outside of scripts" in refusal(written(tmp_path / "app.html", "<script>document.write(1)</script>"))
    deep, deeper = "<div>" * 1_500 + "bottom", "<div>" * 5_000
    formats = "".join(f"<b id={number}>" for number in range(1_500)) + "<p>x" * 4_000
    assert "nested 5,000 deep" in refusal(written(tmp_path / "deeper.htm", deeper))
    assert "nested 1,500 deep" in refusal(written(tmp_path / "formats.htm", formats))
    assert [passage.text for passage in passages(written(tmp_path / "deep.htm", deep))] == ["bottom"]


# -- text, tables, notebooks ---------------------------------------------------------------------------------------


def test_texts_are_read_by_lines_whatever_their_encoding(tmp_path: Path) -> None:
    text = "".join(f"line {number}: größe\n" for number in range(1, 201))
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"):
        found = passages(written(tmp_path / f"{encoding}.txt", text.encode(encoding)))
        assert "".join(passage.text for passage in found).lstrip("\ufeff") == text
        assert found[0].anchor.startswith("lines 1-")
        assert found[-1].anchor.endswith("-200")
    memory = SharedMemory({"old": written(tmp_path / "old.txt", "größe".encode("cp1252"))})
    memory.load()
    assert memory.read("old").endswith("\ngröße")
    assert memory.notes == ["old.txt: it is not UTF-8 (byte 2); it was read as Windows-1252"]


def test_markdown_is_read_by_headings_but_not_those_in_code(tmp_path: Path) -> None:
    text = "intro\n\n# One\na\n```\n# not this\n```\n## Two ##\nb\n\nThree\n=====\nc\n\n# One\nd\n"
    found = passages(written(tmp_path / "notes.md", text))

    assert [passage.anchor for passage in found] == ["top", "§One", "§Two", "§Three", "§One (2)"]
    assert "".join(passage.text for passage in found) == text
    assert anchors(written(tmp_path / "plain.md", "no heading\n")) == ["line 1"]


def test_tables_are_read_by_rows_with_line_breaks_in_cells(tmp_path: Path) -> None:
    rows = "".join(f'{number},"a\nb{number}"\n' for number in range(1, 400))
    memory = SharedMemory({"t": written(tmp_path / "data.csv", f"id,text\n{rows}")})
    found = list(memory.passages())

    assert (found[0].anchor, found[0].text) == ("header", "id,text\n")
    assert found[1].anchor.startswith("rows 1-")
    assert found[-1].anchor.endswith("-399")
    assert "".join(passage.text for passage in found) == f"id,text\n{rows}"
    assert "data.csv row 300 (start" in memory.search("t", "b300")
    piece = memory.read_place("t", "row 300")
    assert "columns: id, text" in piece
    assert '300,"a\nb300"' in piece
    records = written(tmp_path / "log.jsonl", "".join(json.dumps({"n": n}) + "\n" for n in range(1000)))
    assert "log.jsonl row 501 (start" in SharedMemory({"l": records}).search("l", ": 500}")


def test_notebooks_are_read_by_cells_and_their_outputs(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {
            "cell_type": "code",
            "source": "open('/etc/passwd')",
            "outputs": [
                {"output_type": "stream", "text": ["a\n", "b\n"]},
                {"data": {"text/plain": "42", "text/html": "<b>42</b>"}},
                {"ename": "ValueError", "evalue": "no", "traceback": ["..."]},
            ],
        },
    ]
    found = passages(written(tmp_path / "work.ipynb", json.dumps({"cells": cells, "nbformat": 4})))

    assert [(passage.anchor, passage.text) for passage in found] == [
        ("cell 1", "# Title\ntext"),
        ("cell 2", "open('/etc/passwd')"),
        ("cell 2 output", "a\nb\n42\nValueError: no"),
    ]
    assert "it is no notebook" in refusal(written(tmp_path / "broken.ipynb", "{"))
    assert "it is no notebook" in refusal(written(tmp_path / "list.ipynb", "[1]"))


# -- a function of the user's ----------------------------------------------------------------------------------------


def test_any_other_file_is_read_by_a_function(tmp_path: Path) -> None:
    book = written(tmp_path / "book.epub", b"PK\x00binary")
    with pytest.raises(ConfigurationError, match=r"\.epub files are not read; .*extract=FUNCTION"):
        SharedMemory({"x": book})
    memory = SharedMemory({"x": Source(book, extract={".epub": lambda path: [("ch. 1", f"read {path.name}")]})})

    assert [(each.place, each.text) for each in memory.passages()] == [("book.epub ch. 1", "read book.epub")]
    assert "read book.epub" in memory.read_place("x", "ch. 1")
    for wrong, said in (
        (lambda path: [1], "extract has to give"),
        (lambda path: None, "extract raised TypeError"),
        (lambda path: 1 / 0, "extract raised ZeroDivisionError"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            SharedMemory({"x": Source(book, extract=wrong)}).load()


def test_without_its_library_a_file_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_notebook.documents.document.find_spec", lambda name: None)

    assert f"needs pypdfium2, which is not installed: {install_command('sources')}" in refusal(
        written(tmp_path / "a.pdf", pdf(["x"]))
    )
    assert passages(written(tmp_path / "a.txt", "text")) == [Passage("a.txt", "line 1", "text")]
