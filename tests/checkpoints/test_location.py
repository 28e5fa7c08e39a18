"""Where the notebook is, and which file beside it belongs to a cell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.checkpoints.json_file import JsonFile
from rlm_notebook.checkpoints.location import (
    Cell,
    FilesInUse,
    checked_name,
    checkpoint_for,
    notebook_path,
    run_folder,
    slug_of,
)
from rlm_notebook.core.events import RunStarted
from rlm_notebook.exceptions import CheckpointError, ConfigurationError


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RLM_NOTEBOOK_PATH", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def cell(task: str = "Say so", *, name: str | None = None, cell_id: str = "", key: str = "", run: str = "") -> Cell:
    return Cell(name=name, cell_id=cell_id, request_key=key, task=task, execution=run)


def recorded(path: Path, **head: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": "rlm-checkpoint", **head}))
    return path


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "analysis.ipynb"
    path.write_text("{}")
    return path


# -- the notebook ----------------------------------------------------------------------------------------------------


@pytest.fixture
def said(tmp_path: Path) -> dict[str, str]:
    """A notebook for each front end that may name one."""
    names = ("rlm", "vscode", "papermill_out", "papermill_in", "session")
    for name in names:
        (tmp_path / f"{name}.ipynb").write_text("{}")
    return {name: str(tmp_path / f"{name}.ipynb") for name in names}


def test_who_is_asked_first(said: dict[str, str]) -> None:
    environment = {"RLM_NOTEBOOK_PATH": said["rlm"], "JPY_SESSION_NAME": said["session"]}
    variables = {
        "__vsc_ipynb_file__": said["vscode"],
        "PAPERMILL_OUTPUT_PATH": said["papermill_out"],
        "PAPERMILL_INPUT_PATH": said["papermill_in"],
    }
    found = []
    while (path := notebook_path(variables, environment)) is not None:
        found.append(path.stem)
        taken = [*environment, *variables]
        first = next(n for n in taken if {**environment, **variables}[n] == str(path))
        environment.pop(first, None)
        variables.pop(first, None)
    assert found == ["rlm", "vscode", "papermill_out", "papermill_in", "session"]


@pytest.mark.parametrize("name", ["no/such/file.ipynb", "", "console-1", "/tmp"])
def test_a_session_that_names_no_notebook_says_nothing(name: str) -> None:
    assert notebook_path({}, {"JPY_SESSION_NAME": name}) is None


def test_a_variable_that_happens_to_have_the_name_says_nothing() -> None:
    assert notebook_path({"__vsc_ipynb_file__": 3, "PAPERMILL_INPUT_PATH": Path("x.ipynb")}, {}) is None


def test_what_is_said_explicitly_is_taken_or_refused(tmp_path: Path) -> None:
    assert notebook_path({}, {"RLM_NOTEBOOK_PATH": "later.ipynb"}) == tmp_path / "later.ipynb"
    with pytest.raises(ConfigurationError, match=r"RLM_NOTEBOOK_PATH=notes\.md"):
        notebook_path({}, {"RLM_NOTEBOOK_PATH": "notes.md"})


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../x", "..", ".", "a/b", "a\\b", "/etc/x", "C:x", "con", "CON", "nul.txt", "com1", ".hidden", "x.", "x ", "",
        "x" * 81, "a\x00b", "a\nb", "a\x1bb", "a\u202eb", "a*b", 'a"b', "a<b", "a|b", "a?b", "demo.1", "demo.12",
    ],
)  # fmt: skip
def test_names_that_are_no_safe_file_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="--name") as caught:
        cell(name=name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["demo", "Demo 2", "a.b", "größe", "x" * 80, "console", "2026-01-01", "日本"])
def test_other_names_are_kept(name: str) -> None:
    assert checked_name(name) == name


@given(st.text(max_size=100))
def test_a_name_that_is_taken_stays_in_its_folder(name: str) -> None:
    try:
        checked_name(name)
    except ConfigurationError:
        return
    path = Path("/folder") / f"{name}.json"
    assert path.parent == Path("/folder")
    assert path.name.isprintable()


@given(st.text(max_size=200))
def test_a_slug_is_a_name(task: str) -> None:
    assert checked_name(slug_of(task)) == slug_of(task)


# -- files -----------------------------------------------------------------------------------------------------------


def test_runs_lie_beside_the_notebook(notebook: Path, tmp_path: Path) -> None:
    assert run_folder(notebook) == tmp_path / "analysis.rlm"
    assert checkpoint_for(cell(name="demo"), notebook, tmp_path) == tmp_path / "analysis.rlm" / "demo.json"


def test_without_a_name_the_first_words_are_one(notebook: Path, tmp_path: Path) -> None:
    path = checkpoint_for(cell("Compare three (3) papers: what do they agree on, and why?"), notebook, tmp_path)
    assert path.name == "compare-three-3-papers-what-do.json"


def test_other_cells_with_the_same_words_get_a_number(notebook: Path, tmp_path: Path) -> None:
    folder = run_folder(notebook)
    recorded(folder / "say-so.json", cell_id="a", request_key="1")
    recorded(folder / "say-so-2.json", cell_id="b", request_key="2")
    assert checkpoint_for(cell(cell_id="c", key="3"), notebook, tmp_path).name == "say-so-3.json"


def test_a_cell_is_known_by_its_name_then_its_id_then_what_it_asks(notebook: Path, tmp_path: Path) -> None:
    folder = run_folder(notebook)
    recorded(folder / "by-key.json", cell_id="x", request_key="k")
    recorded(folder / "by-id.json", cell_id="c", request_key="other")
    recorded(folder / "by-name.json", cell_id="y", request_key="z")
    known = {"cell_id": "c", "key": "k"}
    assert checkpoint_for(cell(name="by-name", **known), notebook, tmp_path).name == "by-name.json"
    assert checkpoint_for(cell(name="new", **known), notebook, tmp_path).name == "new.json"
    assert checkpoint_for(cell(**known), notebook, tmp_path).name == "by-id.json"
    assert checkpoint_for(cell(cell_id="", key="k"), notebook, tmp_path).name == "by-key.json"


def test_files_that_are_kept_of_earlier_runs_belong_to_no_cell(notebook: Path, tmp_path: Path) -> None:
    recorded(run_folder(notebook) / "demo.1.json", cell_id="c", request_key="k")
    assert checkpoint_for(cell(cell_id="c", key="k"), notebook, tmp_path).name == "say-so.json"


def test_a_journal_that_stands_alone_belongs_to_its_cell(notebook: Path, tmp_path: Path) -> None:
    """After a crash there may be nothing but the journal."""
    journal = run_folder(notebook) / "old.journal.jsonl"
    journal.parent.mkdir()
    journal.write_bytes(json.dumps({"event": "RunStarted", "request_key": "k"}).encode() + b"\n")
    assert checkpoint_for(cell("Other words", key="k"), notebook, tmp_path).name == "old.json"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"cell_id": 3}', "[" * 100_000])
def test_files_of_others_are_passed_over(notebook: Path, tmp_path: Path, content: str) -> None:
    other = run_folder(notebook) / "other.json"
    other.parent.mkdir()
    other.write_text(content)
    assert checkpoint_for(cell(cell_id="c", key="k"), notebook, tmp_path).name == "say-so.json"


# -- two cells, and a cell with a loop -------------------------------------------------------------------------------


def run(files: FilesInUse, notebook: Path, asked: Cell) -> str:
    """Find the file of a cell and record the run there, as a cell does."""
    path = checkpoint_for(asked, notebook, notebook.parent, files)
    files.used(path, asked)
    if not path.exists():
        recorded(path, cell_id=asked.cell_id, request_key=asked.request_key)
    return path.stem


def test_two_cells_with_the_same_words_keep_two_files(notebook: Path) -> None:
    first, second = cell(cell_id="a", key="k", run="1"), cell(cell_id="b", key="k", run="2")
    files = FilesInUse()
    assert [run(files, notebook, first), run(files, notebook, second)] == ["say-so", "say-so-2"]
    later = FilesInUse()
    assert [run(later, notebook, second), run(later, notebook, first)] == ["say-so-2", "say-so"]


def test_a_cell_with_a_loop_keeps_a_file_for_each_task(notebook: Path) -> None:
    def loop(files: FilesInUse, execution: str) -> list[str]:
        tasks = ("Say one", "Say two", "Say three")
        return [run(files, notebook, cell(t, cell_id="a", key=t, run=execution)) for t in tasks]

    files = FilesInUse()
    wanted = ["say-one", "say-two", "say-three"]
    assert loop(files, "1") == wanted
    assert loop(files, "2") == wanted
    assert loop(FilesInUse(), "1") == wanted


def test_an_edited_cell_stays_in_its_file(notebook: Path) -> None:
    files = FilesInUse()
    assert run(files, notebook, cell("Say one", cell_id="a", key="1", run="1")) == "say-one"
    assert run(files, notebook, cell("Say two", cell_id="a", key="2", run="2")) == "say-one"


def test_a_cell_that_was_moved_finds_what_it_asked(notebook: Path) -> None:
    run(FilesInUse(), notebook, cell("Say one", cell_id="old", key="1", run="1"))
    assert run(FilesInUse(), notebook, cell("Say one", cell_id="new", key="1", run="1")) == "say-one"


# -- a notebook without a name ---------------------------------------------------------------------------------------


def test_without_a_notebook_a_unique_match_is_used(tmp_path: Path) -> None:
    path = recorded(tmp_path / "analysis.rlm" / "demo.json", request_key="k")
    (tmp_path / "other.rlm").mkdir()
    assert checkpoint_for(cell(name="demo"), None, tmp_path) == path
    assert checkpoint_for(cell("Other words", key="k"), None, tmp_path) == path


def test_without_a_notebook_several_matches_are_refused_by_name(tmp_path: Path) -> None:
    recorded(tmp_path / "analysis.rlm" / "demo.json", request_key="k")
    recorded(tmp_path / "report.rlm" / "demo.json", request_key="k")
    for asked in (cell(name="demo"), cell(key="k")):
        with pytest.raises(CheckpointError) as caught:
            checkpoint_for(asked, None, tmp_path)
        for part in ("analysis.rlm/demo.json", "report.rlm/demo.json", "--checkpoint", "RLM_NOTEBOOK_PATH"):
            assert part in str(caught.value).replace("\\", "/")


def test_without_a_notebook_and_a_match_there_is_a_folder_for_it(tmp_path: Path) -> None:
    assert checkpoint_for(cell(), None, tmp_path) == tmp_path / "notebook.rlm" / "say-so.json"


def test_a_file_where_the_folder_would_be_is_no_match(notebook: Path, tmp_path: Path) -> None:
    run_folder(notebook).write_text("in the way")
    assert checkpoint_for(cell(), notebook, tmp_path) == tmp_path / "analysis.rlm" / "say-so.json"
    assert checkpoint_for(cell(), None, tmp_path) == tmp_path / "notebook.rlm" / "say-so.json"


def test_an_edited_cell_finds_the_journal_that_a_kill_left(tmp_path: Path) -> None:
    folder = tmp_path / "analysis.rlm"
    file = JsonFile(folder / "what-was-asked.json", cell_id="cell-7")
    file.read()
    file.open()
    file.append(RunStarted(at=1.0, run_id="r", task="What was asked", request_key="old"))
    file.close()
    edited = Cell(name=None, cell_id="cell-7", request_key="new", task="Something else")
    another = Cell(name=None, cell_id="cell-8", request_key="new", task="Something else")

    assert checkpoint_for(edited, tmp_path / "analysis.ipynb", tmp_path) == folder / "what-was-asked.json"
    assert checkpoint_for(another, tmp_path / "analysis.ipynb", tmp_path) == folder / "something-else.json"


async def test_in_a_script_each_task_has_a_file_of_its_own_and_finds_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLM_NOTEBOOK_PATH", raising=False)
    model = ScriptedModel({"Plan a trip": {"a": "b"}})
    engine = AsyncRecursiveEngine(model)
    first = await engine.solve("Plan a trip", checkpoint=True)
    other = await engine.solve("Pack the bags", checkpoint=True)
    calls = model.calls
    again = await engine.solve("Plan a trip", checkpoint=True)

    assert Path(first.metadata["checkpoint"]) == tmp_path / "notebook.rlm" / "plan-a-trip.json"
    assert Path(other.metadata["checkpoint"]) == tmp_path / "notebook.rlm" / "pack-the-bags.json"
    assert (again.metadata["checkpoint"], model.calls) == (first.metadata["checkpoint"], calls)

    monkeypatch.setenv("RLM_NOTEBOOK_PATH", str(tmp_path / "analysis.ipynb"))
    named = await engine.solve("Plan a trip", checkpoint=True)
    assert Path(named.metadata["checkpoint"]) == tmp_path / "analysis.rlm" / "plan-a-trip.json"
