"""`%rlm export`: what is written, and what is said about what a format cannot hold."""

# ruff: noqa: ASYNC240 - a test may block
from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import ScriptedModel

FOLDER = Path("notebook.rlm")
HEAD = "%%rlm -m model --view none -n trip\n"


@pytest.fixture
async def trips(shell: Any) -> Any:
    """A notebook in which a trip was planned, then with another hotel; and a second run that failed."""
    shell.names["model"] = ScriptedModel(
        {"trip": {"flights": "at 9", "hotel": "downtown"}, "trip <b>again</b>": {"flights": "at 9", "hotel": "suburb"}}
    )
    await shell.value(HEAD + "trip")
    await shell.value(HEAD + "trip <b>again</b>")
    shell.names["broken"] = lambda inputs, context: {}["lost"]
    await shell.failure("%%rlm -m broken --view none -n other\nroot")
    return shell


async def test_export(trips: Any, capsys: pytest.CaptureFixture[str]) -> None:
    await trips.value("%rlm export trip --json 'my copy.json'")
    assert json.loads(Path("my copy.json").read_text()) == json.loads((FOLDER / "trip.json").read_text())
    await trips.value("%rlm export trip --mermaid")
    assert Path("trip.mmd").read_text().startswith("flowchart")
    await trips.value("%rlm export trip --html page.html")
    page = Path("page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<b>again</b>" not in page
    assert "is written to" in capsys.readouterr().out


async def test_export_never_overwrites_a_run(trips: Any) -> None:
    before = (FOLDER / "trip.json").read_bytes()
    for target in ("notebook.rlm/trip.json", "notebook.rlm/other.json"):
        assert "is where a run is kept" in str(await trips.failure(f"%rlm export trip --json {target}"))
    assert "cannot write" in str(await trips.failure("%rlm export trip --json missing/folder/x.json"))
    assert (FOLDER / "trip.json").read_bytes() == before


ANSWER = "Take the *train* [0.0], it costs $x^2$ and $\\input{y}$. <script>alert(1)</script>"


@pytest.fixture
async def trip(shell: Any) -> Any:
    shell.names["model"] = ScriptedModel({"trip": {"flights <b>": "at **9**", "hotel": "downtown", "=": ANSWER}})
    await shell.value("%%rlm -m model --view none -n trip\ntrip")
    return shell


async def test_markdown(trip: Any, capsys: pytest.CaptureFixture[str]) -> None:
    await trip.value("%rlm export trip --md")
    text = Path("trip.md").read_text(encoding="utf-8")
    assert text.startswith("# trip\n\nmodel scripted · 20")
    assert "Take the *train* [0.0]" in text
    assert "### [0.0] flights &lt;b&gt;" in text
    assert "at **9**" in text
    assert "downtown" not in text
    assert "rlm: trip is written to" in capsys.readouterr().out


async def test_latex_says_what_became_text(trip: Any, capsys: pytest.CaptureFixture[str]) -> None:
    await trip.value("%rlm export trip --tex answer.tex")
    text = Path("answer.tex").read_text(encoding="utf-8")
    assert r"\(x^2\)" in text
    assert r"\input" not in text
    printed = capsys.readouterr().out
    assert "rlm: 1 formula is written as text, because LaTeX may not accept it: \\input{y}" in printed


async def test_word_without_pandoc(
    trip: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    await trip.value("%rlm export trip --docx 'for a colleague.docx'")
    document = zipfile.ZipFile("for a colleague.docx").read("word/document.xml").decode()
    assert "Take the " in document
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in document
    assert "2 formulas are written as TeX; with pandoc on the PATH" in capsys.readouterr().out


@pytest.mark.long
async def test_word_with_pandoc_has_equations(trip: Any, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("pandoc") is None:
        assert not os.environ.get("RLM_REQUIRE_DOCUMENTS"), "pandoc is not installed"
        pytest.skip("pandoc is not installed")
    await trip.value("%rlm export trip --docx")
    document = zipfile.ZipFile(io.BytesIO(Path("trip.docx").read_bytes())).read("word/document.xml").decode()
    assert "<m:oMath>" in document
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in document
    assert "2 formulas are written as equations, by pandoc" in capsys.readouterr().out


async def test_a_pandoc_that_fails_is_said_and_the_file_is_written(
    trip: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("bin").mkdir()
    pandoc = Path("bin/pandoc")
    pandoc.write_text("#!/bin/sh\necho no good >&2\nexit 3\n")
    pandoc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path('bin').absolute()}{os.pathsep}{os.environ['PATH']}")
    await trip.value("%rlm export trip --docx")
    assert zipfile.ZipFile("trip.docx").testzip() is None
    assert "as TeX, because pandoc failed: no good" in capsys.readouterr().out


async def test_a_page_without_scripts_has_the_answer(trip: Any) -> None:
    await trip.value("%rlm export trip --html")
    page = Path("trip.html").read_text(encoding="utf-8")
    assert 'Take the <em>train</em> <a href="#node-0-0">[0.0]</a>' in page
    assert "<script>alert" not in page


async def test_a_run_whose_texts_were_not_recorded_is_refused(trip: Any) -> None:
    await trip.value("%%rlm -m model --view none -n secret --store hashes\ntrip")
    for form in ("md", "tex", "docx"):
        assert "--store hashes" in str(await trip.failure(f"%rlm export secret --{form}"))
        assert not Path(f"secret.{form}").exists()
