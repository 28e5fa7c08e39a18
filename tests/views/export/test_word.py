"""An answer as a Word file: valid, with all that the answer has, and nothing in it acts."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_notebook.views.export.word import word_of
from tests.hostile_answers import ANSWERS, PIECES
from tests.support.reports import HOSTILE_ANSWERS, RICH, report
from tests.support.waiting import HANG

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


def parts_of(data: bytes) -> dict[str, ElementTree.Element]:
    """The parts of a file, each of which must be XML."""
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        assert package.testzip() is None
        return {name: ElementTree.fromstring(package.read(name)) for name in package.namelist()}


def text_of(document: ElementTree.Element) -> str:
    paragraphs = ("".join(each.text or "" for each in p.iter(f"{W}t")) for p in document.iter(f"{W}p"))
    return "\n".join(paragraphs)


def links_of(parts: dict[str, ElementTree.Element]) -> list[str]:
    return [
        each.attrib["Target"]
        for each in parts["word/_rels/document.xml.rels"]
        if each.attrib.get("TargetMode") == "External"
    ]


@pytest.mark.parametrize("answer", HOSTILE_ANSWERS)
def test_nothing_in_an_answer_acts(answer: str) -> None:
    parts = parts_of(word_of(report(f"{answer}\n\n[0.0]", {answer: answer})))
    document = parts["word/document.xml"]
    assert {each.tag for each in document.iter()} <= KNOWN
    assert all(link.lower().startswith(("http://", "https://", "mailto:")) for link in links_of(parts))


KNOWN = {
    f"{W}{name}"
    for name in re.findall(
        r"\w+",
        """
        document body p pPr pStyle numPr ilvl numId bidi ind jc r rPr rStyle b i strike rtl t tab br hyperlink
        bookmarkStart bookmarkEnd tbl tblPr tblStyle tblW tblGrid gridCol tr trPr tblHeader tc tcPr tcW sectPr pgSz
        pgMar
        """,
    )
}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join))
def test_any_mixture_is_a_file(answer: str) -> None:
    parts = parts_of(word_of(report(answer)))
    assert {each.tag for each in parts["word/document.xml"].iter()} <= KNOWN


def test_all_of_markdown_is_there() -> None:
    parts = parts_of(word_of(report(RICH, {"a": "x", "b": "y"})))
    document = parts["word/document.xml"]
    text = text_of(document)
    for wanted in ("Storage", "phosphate", "E = mc^2", "LFP", "nested", "\\end{verbatim}", "日本語", "مرحبا بالعالم"):
        assert wanted in text, wanted
    styles = [each.attrib[f"{W}val"] for each in document.iter(f"{W}pStyle")]
    assert {"Title", "Heading1", "Heading2", "Quote", "Code", "Cell", "Rule"} <= set(styles)
    defined = {each.attrib[f"{W}styleId"] for each in parts["word/styles.xml"].iter(f"{W}style")}
    assert set(styles) <= defined
    numbers = {each.attrib[f"{W}val"] for each in document.iter(f"{W}numId")}
    assert numbers <= {each.attrib[f"{W}numId"] for each in parts["word/numbering.xml"].iter(f"{W}num")}
    starts = [each.attrib[f"{W}val"] for each in parts["word/numbering.xml"].iter(f"{W}startOverride")]
    assert starts[0] == "3"
    assert links_of(parts) == ["https://example.org/a_b?x=1&y=2#z%20"]


def test_citations_lead_to_bookmarks() -> None:
    document = parts_of(word_of(report("So it is [0.1], they say [0.5].", {"a": "x", "b": "y"})))["word/document.xml"]
    targets = [each.attrib[f"{W}anchor"] for each in document.iter(f"{W}hyperlink") if f"{R}id" not in each.attrib]
    assert targets == ["node_0_1"]
    assert [each.attrib[f"{W}name"] for each in document.iter(f"{W}bookmarkStart")] == ["node_0_1"]
    assert "they say [0.5]." in text_of(document)


def test_what_xml_cannot_hold_is_left_out() -> None:
    document = parts_of(word_of(report("a\x00b \x1b[31mred \ud800 \ufffe end")))["word/document.xml"]
    assert re.search(r"a.b .*end", text_of(document))


def test_right_to_left_paragraphs_are_marked() -> None:
    document = parts_of(word_of(report("مرحبا بالعالم\n\nhello")))["word/document.xml"]
    marked = [
        "".join(t.text or "" for t in p.iter(f"{W}t")) for p in document.iter(f"{W}p") if list(p.iter(f"{W}bidi"))
    ]
    assert marked == ["مرحبا بالعالم"]


def test_equal_reports_are_equal_files() -> None:
    assert word_of(report(RICH, {"a": "x"})) == word_of(report(RICH, {"a": "x"}))


@pytest.mark.long
def test_python_docx_reads_it(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx", reason="python-docx is not installed (pip install 'rlm-notebook[browser]')")
    (tmp_path / "answer.docx").write_bytes(word_of(report("\n\n".join([RICH, *ANSWERS[:30]]), {"a": "x", "b": "y"})))
    document = docx.Document(str(tmp_path / "answer.docx"))
    assert document.paragraphs[0].text == "Weigh [it] & <b>all</b> of 100 %"
    assert document.paragraphs[0].style.name == "Title"
    assert [cell.text for cell in document.tables[0].rows[1].cells] == ["LFP", "100", "good [0.1]"]


@pytest.mark.long
def test_libreoffice_opens_it(tmp_path: Path) -> None:
    if shutil.which("soffice") is None:
        assert not os.environ.get("RLM_REQUIRE_DOCUMENTS"), "LibreOffice is not installed"
        pytest.skip("LibreOffice is not installed (libreoffice-writer)")
    (tmp_path / "answer.docx").write_bytes(word_of(report("\n\n".join([RICH, *ANSWERS[:30]]), {"a": "x", "b": "y"})))
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    command = ["soffice", profile, "--headless", "--convert-to", "txt:Text (encoded):UTF8", "answer.docx"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=4 * HANG, check=True)
    text = (tmp_path / "answer.txt").read_text(encoding="utf-8")
    for wanted in ("Weigh [it] & <b>all</b>", "phosphate", "LFP", "3. three", "\\end{verbatim}", "日本語", "onerror"):
        assert wanted in text, wanted
