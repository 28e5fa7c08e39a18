"""Sources on a cell's line."""

from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import ScriptedModel
from rlm_notebook.notebook.widget.python_code import python_code
from tests.support.pdf import pdf


def reads_the_second_page(request: Any) -> Any:
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    name = request.facts.references[0].split(" (")[0]
    return (
        results[0]
        if results
        else {"tool_calls": [{"name": "read_reference", "arguments": {"name": name, "anchor": "p.2"}}]}
    )


@pytest.fixture
def report(shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shell.names["model"] = ScriptedModel(reads_the_second_page)
    report = tmp_path / "my report.pdf"
    report.write_bytes(pdf(["one", "two"]))
    return report


def rewrite(report: Path, pages: list[str] | None) -> None:
    report.write_bytes(pdf(pages)) if pages is not None else report.unlink()


@pytest.mark.parametrize("option", ["--source 'my report.pdf'", "--source '*.pdf'", "-c *.pdf", "-c given"])
async def test_a_source_is_read_and_replayed_without_its_file(shell: Any, report: Path, option: str) -> None:
    shell.names["given"] = report
    line = f"%%rlm -m model {option} --max-depth 1 --checkpoint run.json -q"
    first = await shell.value(f"{line}\nWhat is on page 2?")
    assert first.content.splitlines()[1] == "two"
    assert "report.pdf p.2" in first.content
    code = python_code(shell.names["_rlm"])
    assert code["solve"] == {
        "--source 'my report.pdf'": ", variables={'my report.pdf': Source('my report.pdf')}",
        "-c given": ", variables={'given': given}",
    }.get(option, ", variables={'*.pdf': Source('*.pdf')}")
    assert code["note"] == ("" if option == "-c given" else "from rlm_notebook import Source")
    rewrite(report, None)
    replayed = await shell.value(f"{line} --mode replay\nWhat is on page 2?")
    assert replayed.content == first.content
    refused = str(await shell.failure(f"{line}\nWhat is on page 2?"))
    assert "No such file" in refused or "no file that can be read" in refused or "no variable" in refused


async def test_what_is_no_variable_and_no_file_is_said(shell: Any, report: Path) -> None:
    assert "no variable 'other.pdf'" in str(await shell.failure("%%rlm -m model -c other.pdf -q\nx"))
    assert "other.pdf: it cannot be read" in str(await shell.failure("%%rlm -m model --source other.pdf -q\nx"))
    rewrite(report, [""])
    assert "its page holds no text: it is a scan" in str(await shell.failure("%%rlm -m model -c *.pdf -q\nx"))
    assert "its page holds no text: it is a scan" in str(
        await shell.failure("%%rlm -m model --source 'my report.pdf' -q\nx")
    )
    assert shell.names["_rlm"].tree.root.state == "failed"
    assert shell.names["model"].calls == 0
