"""Sources in runs: what is recorded of reading, what a change runs again, and what a replay needs."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ConfigurationError, ReplayError, ScriptedModel, SharedMemory, Source
from rlm_notebook.ports import Capabilities, Request
from tests.support.pdf import pdf

PAGES = ["alpha yields 3", "beta yields 5", "gamma yields 7"]


def tool(use: str, /, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": use, "arguments": arguments}]}


def readers(calls: dict[str, dict[str, Any]]) -> Callable[[Request], Any]:
    """A model with a sub-task per item, each of which makes one call and answers with its result."""

    def script(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "RECURSE", "sub_tasks": list(calls)} if request.facts.task == "t" else None
        if request.mode == "synthesizer":
            return None
        seen = [message["content"] for message in request.messages if message["role"] == "tool"]
        return seen[0].splitlines()[-1] if seen else calls[request.facts.task]

    return script


CALLS = {
    "first": tool("read_reference", name="report", anchor="p.1"),
    "second": tool("read_reference", name="report", anchor="report.pdf page 2"),
    "search": tool("search_reference", name="report", pattern="gamma"),
    "contents": tool("reference_contents", name="report"),
    "none": {"content": "nothing read"},
}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    file = tmp_path / "report.pdf"
    file.write_bytes(pdf(PAGES))
    return file


def rewrite(report: Path, pages: Sequence[str]) -> None:
    report.write_bytes(pdf(pages))


def workers(model: ScriptedModel) -> set[str]:
    return {request.facts.task for request in model.requests if request.mode == "worker"}


async def test_a_changed_page_runs_again_who_read_it_and_nobody_else(report: Path, tmp_path: Path) -> None:
    engine = AsyncRecursiveEngine(model := ScriptedModel(readers(CALLS)))
    given = {"variables": {"report": report}, "checkpoint": tmp_path / "run.json"}
    output = await engine.solve("t", **given)  # type: ignore[arg-type]
    assert "beta yields 5" in output.content
    reads = {node.task: set(node.reads) for node in output.run.tree}
    assert reads["first"] == {"report :: read p.1"}
    assert reads["second"] == {"report :: read p.2"}
    assert reads["search"] == {"report :: search gamma"}
    assert reads["none"] == set()
    for pages, expected in (
        (PAGES, set()),
        ([PAGES[0], "beta yields 6", PAGES[2]], {"second", "contents"}),
        ([PAGES[0], "beta yields 6", "gamma yields 8"], {"search", "contents"}),
        ([PAGES[0], "beta yields 6", "gamma yields 8", "delta"], {"contents"}),
    ):
        rewrite(report, pages)
        model.requests.clear()
        output = await engine.solve("t", **given)  # type: ignore[arg-type]
        assert workers(model) == expected
    assert "beta yields 6" in output.content


def test_recorded_searches_are_not_repeated_without_end(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SharedMemory({"report": report})
    recorded = f"{'0' * 32}.{str(memory.digest('report :: search beta')).partition('.')[2]}"
    fresh = SharedMemory({"report": report})
    assert fresh.is_same("report :: search beta", recorded)
    assert not fresh.is_same("report :: search alpha", recorded)
    monkeypatch.setattr("rlm_notebook.memory.MOST_REPEATING", -1.0)
    assert not SharedMemory({"report": report}).is_same("report :: search beta", recorded)
    for forged in (
        "",
        ".",
        "report :: ",
        "report :: search (",
        "report :: contents x y",
        "report :: read p.9",
        "no :: x",
    ):
        assert not fresh.is_same(forged, "1.2")


async def test_a_model_without_tools_reads_all_and_the_key_knows_the_version_of_the_extractor(tmp_path: Path) -> None:
    book = tmp_path / "book.epub"
    book.write_bytes(b"PK\0")

    def extract(path: Path) -> list[tuple[str, str]]:
        return [("ch. 1", "the whale")]

    engine = AsyncRecursiveEngine(model := ScriptedModel(capabilities=Capabilities()), max_depth=1)
    for version, calls in (("1", 1), ("1", 1), ("2", 2)):
        extract.version = version  # type: ignore[attr-defined]
        variables = {"book": Source(book, extract=extract)}
        output = await engine.solve("t", variables=variables, checkpoint=tmp_path / "run.json")
        assert model.calls == calls
        assert set(output.run.tree["0"].reads) == {"book"}
    assert "[book.epub ch. 1]\nthe whale" in model.requests[0].messages[1]["content"]


async def test_what_cannot_be_read_is_refused_before_any_call(report: Path, tmp_path: Path) -> None:
    engine = AsyncRecursiveEngine(model := ScriptedModel())
    rewrite(report, ["", ""])
    with pytest.raises(ConfigurationError, match=r"report\.pdf: 2 of 2 pages hold no text"):
        await engine.solve("t", variables={"report": report})

    assert model.calls == 0
    rewrite(report, ["text", ""])
    output = await engine.solve("t", variables={"report": report})
    assert output.run.notes == ["report.pdf: 1 of 2 pages hold no text"]


@pytest.mark.parametrize("store", ["full", "outputs"])
async def test_a_replay_needs_neither_the_library_nor_the_file(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Any
) -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(readers(CALLS)))
    path = tmp_path / "run.json"
    answer = await engine.solve("t", variables={"report": report}, checkpoint=path, store=store)
    monkeypatch.setattr("rlm_notebook.documents.document.find_spec", lambda name: None)
    for prepare in (lambda: None, report.unlink):
        prepare()
        replayed = await engine.solve("t", variables={"report": report}, checkpoint=path, mode="replay")
        assert replayed.content == answer.content
        assert replayed.run.calls == 0
        assert replayed.run.status == "done"

    with pytest.raises(ConfigurationError, match=r"report\.pdf: it cannot be read: No such file"):
        await engine.solve("t", variables={"report": report}, checkpoint=path)
    with pytest.raises(ReplayError, match="nothing is recorded"):
        await engine.solve("t", variables={"report": report}, checkpoint=tmp_path / "other.json", mode="replay")
    rewrite(report, ["another text"])
    with pytest.raises(ReplayError, match="the variable report changed"):
        await engine.solve("t", variables={"report": report}, checkpoint=path, mode="replay")


async def test_texts_come_from_the_cache_the_second_time(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLM_CACHE_DIR", str(tmp_path / "cache"))
    engine = AsyncRecursiveEngine(ScriptedModel(readers({"second": CALLS["second"]})))
    first = await engine.solve("t", variables={"report": report})
    (kept,) = (tmp_path / "cache" / "documents").iterdir()
    assert kept.stat().st_mode & 0o077 == 0, "for this user alone"
    monkeypatch.setattr("rlm_notebook.documents.document.find_spec", lambda name: None)
    assert (await engine.solve("t", variables={"report": report})).content == first.content

    for damaged in ("", "[]", '{"format": 1}', kept.read_text().replace("beta", "")):
        kept.write_text(damaged)
        with pytest.raises(ConfigurationError, match="needs pypdfium2"):
            await engine.solve("t", variables={"report": report})


async def test_only_full_records_hold_the_words_that_were_searched_for(report: Path, tmp_path: Path) -> None:
    engine = AsyncRecursiveEngine(model := ScriptedModel(readers({"search": CALLS["search"]})))
    path = tmp_path / "run.json"
    await engine.solve("t", variables={"report": report}, checkpoint=path, store="outputs")
    assert ":: search" not in path.read_text()
    model.requests.clear()
    await engine.solve("t", variables={"report": report}, checkpoint=path, store="outputs")
    assert model.calls == 0
    rewrite(report, [*PAGES, "delta"])
    await engine.solve("t", variables={"report": report}, checkpoint=path, store="outputs")
    assert workers(model) == {"search"}, "of what was read, only the file is known"


async def test_the_paths_in_a_file_are_never_read(report: Path, tmp_path: Path) -> None:
    engine = AsyncRecursiveEngine(model := ScriptedModel(readers({"first": CALLS["first"], "none": CALLS["none"]})))
    path, secret = tmp_path / "run.json", tmp_path / "secret.txt"
    secret.write_text("secret")
    await engine.solve("t", variables={"report": report}, checkpoint=path)
    forged = json.loads(path.read_text())

    def forge(value: Any) -> Any:
        if isinstance(value, dict):
            names = {str(secret): digest for key, digest in value.items() if key.startswith("report")}
            return {**{key: forge(each) for key, each in value.items()}, **names}
        return [forge(each) for each in value] if isinstance(value, list) else value

    path.write_text(json.dumps(forge(forged)))
    secret.chmod(0)
    model.requests.clear()
    output = await engine.solve("t", variables={"report": report}, checkpoint=path, mode="replay")
    assert output.run.calls == 0
    forked = engine.retry_run(output.run, "0.1")
    assert "alpha" in (await forked).content
    assert {name for node in forked.tree for name in node.reads} == {"report :: read p.1"}


async def test_code_reads_a_source_with_the_place_of_each_passage(report: Path) -> None:
    value = SharedMemory({"report": report}).code_values["report"]
    assert value.search("beta") == [(value.read().index("beta"), "beta yields 5")]
    assert "[report.pdf p.2]\nbeta yields 5" in value.read()
