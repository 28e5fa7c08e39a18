"""Where the notebook is, and which file beside it belongs to a cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.checkpoints.heads import options_in
from rlm_notebook.checkpoints.json_file import JsonFile, load_recorded
from rlm_notebook.checkpoints.location import (
    Cell,
    FilesInUse,
    checked_name,
    checkpoint_for,
    notebook_path,
    papermill_folders,
    run_folder,
    slug_of,
)
from rlm_notebook.core.events import NodeCreated, RunFinished, RunStarted
from rlm_notebook.core.tree import Recorded, RunState, Tree, TreeHeader
from rlm_notebook.exceptions import CheckpointError, ConfigurationError


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RLM_NOTEBOOK_PATH", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def cell(task: str = "Say so", *, name: str | None = None, cell_id: str = "", key: str = "", run: str = "") -> Cell:
    return Cell(name=name, cell_id=cell_id, request_key=key, task=task, execution=run)


def recorded(path: Path, **head: Any) -> Path:
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


def test_the_request_key_decides_then_the_cell_id_then_the_name(notebook: Path, tmp_path: Path) -> None:
    folder = run_folder(notebook)
    recorded(folder / "by-key.json", cell_id="x", request_key="k")
    recorded(folder / "by-id.json", cell_id="c", request_key="other")
    recorded(folder / "by-name.json", cell_id="", request_key="z")
    known = {"cell_id": "c", "key": "k"}
    assert checkpoint_for(cell(**known), notebook, tmp_path).name == "by-key.json"
    assert checkpoint_for(cell(cell_id="c", key="new"), notebook, tmp_path).name == "by-id.json"
    assert checkpoint_for(cell(name="by-name", **known), notebook, tmp_path).name == "by-name.json"
    # Another name is another run, because the user says so.
    assert checkpoint_for(cell(name="new", **known), notebook, tmp_path).name == "new.json"


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


def test_without_a_notebook_several_files_of_a_cell_that_was_copied_are_refused_by_name(tmp_path: Path) -> None:
    """Copies of a notebook have equal cell ids. None of them is replaced by guess."""
    recorded(tmp_path / "analysis.rlm" / "demo.json", cell_id="c", request_key="k")
    recorded(tmp_path / "report.rlm" / "demo.json", cell_id="c", request_key="l")
    with pytest.raises(CheckpointError) as caught:
        checkpoint_for(cell(cell_id="c", key="edited"), None, tmp_path)
    for part in ("analysis.rlm/demo.json", "report.rlm/demo.json", "--checkpoint", "RLM_NOTEBOOK_PATH"):
        assert part in str(caught.value).replace("\\", "/")


def test_without_a_notebook_equal_requests_are_no_conflict(tmp_path: Path) -> None:
    recorded(tmp_path / "a.rlm" / "demo.json", request_key="k", status="done")
    kept = recorded(tmp_path / "b.rlm" / "demo.json", request_key="k", status="done")
    (tmp_path / "b.ipynb").write_text("{}")
    assert checkpoint_for(cell(name="demo", key="k"), None, tmp_path) == kept, "the folder whose notebook exists"
    finished = recorded(tmp_path / "c.rlm" / "demo.json", request_key="m", status="done")
    recorded(tmp_path / "b.rlm" / "other.json", request_key="m", status="failed")
    assert checkpoint_for(cell(key="m"), None, tmp_path) == finished, "what is done comes first"


def test_without_a_notebook_a_name_of_another_request_is_another_notebooks(tmp_path: Path) -> None:
    recorded(tmp_path / "north.rlm" / "demo.json", request_key="k", status="done")
    south, lines = cell(name="demo", key="l"), list[str]()
    path = checkpoint_for(south, None, tmp_path, tell=lines.append)
    assert path == tmp_path / "notebook.rlm" / "demo-2.json"
    assert lines == [f"rlm: {Path('north.rlm/demo.json')} holds another run, which is kept; this one is demo-2.json"]
    recorded(path, request_key="l", status="done")
    assert checkpoint_for(south, None, tmp_path) == path


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


# -- one name, several cells -----------------------------------------------------------------------------------------


def test_a_copied_cell_keeps_its_name_and_another_file(notebook: Path) -> None:
    files = FilesInUse()
    first = cell("Say one", name="demo", cell_id="a", key="1", run="1")
    copied = cell("Say two", name="demo", cell_id="b", key="2", run="2")
    assert [run(files, notebook, each) for each in (first, copied)] == ["demo", "demo-2"]
    for later in (files, FilesInUse()):
        assert [run(later, notebook, each) for each in (copied, first, copied)] == ["demo-2", "demo", "demo-2"]
    edited = cell("Say three", name="demo", cell_id="b", key="3", run="3")
    assert run(FilesInUse(), notebook, edited) == "demo-2"


def test_without_cell_ids_two_requests_of_one_name_are_two_files(notebook: Path) -> None:
    cells = [cell(f"Say {key}", name="demo", key=key, run=key) for key in ("1", "2", "3")]
    for files in (FilesInUse(), FilesInUse()):
        assert [run(files, notebook, each) for each in cells] == ["demo", "demo-2", "demo-3"]


def test_a_named_cell_with_a_loop_keeps_a_file_for_each_task(notebook: Path) -> None:
    cells = [cell(f"Say {key}", name="demo", cell_id="a", key=key, run="1") for key in ("1", "2", "3")]
    for files in (FilesInUse(), FilesInUse()):
        assert [run(files, notebook, each) for each in cells] == ["demo", "demo-2", "demo-3"]


def test_a_run_that_records_no_cell_is_that_of_its_name(notebook: Path, tmp_path: Path) -> None:
    """It was made where no front end sends cell ids, and its cell was edited since."""
    path = recorded(run_folder(notebook) / "demo.json", cell_id="", request_key="k", status="done")
    assert checkpoint_for(cell(name="demo", cell_id="a", key="edited"), notebook, tmp_path) == path


def test_an_edited_cell_that_changed_no_file_before_is_found(notebook: Path, tmp_path: Path) -> None:
    path = recorded(run_folder(notebook) / "old.json", cell_id="", request_key="k", status="done")
    files = FilesInUse()
    assert run(files, notebook, cell(cell_id="a", key="k", run="1")) == "old"
    assert checkpoint_for(cell(cell_id="a", key="edited", run="2"), notebook, tmp_path, files) == path


def test_a_file_that_two_cells_name_is_refused_to_the_second(tmp_path: Path) -> None:
    files, path = FilesInUse(), tmp_path / "run.json"
    files.require_unused(path, cell(cell_id="a", key="1"))
    files.require_unused(path, cell(cell_id="b", key="1"))
    files.require_unused(path, cell(cell_id="b", key="edited"))
    files.require_unused(path, cell(cell_id="", key="2"))
    files.require_unused(path, cell(cell_id="c", key="3"))
    with pytest.raises(ConfigurationError, match=r"--checkpoint .*another cell of this notebook.*name another file"):
        files.require_unused(path, cell(cell_id="d", key="4"))


@pytest.mark.parametrize("options", [{"keep_plan": True}, {"mode": "replay"}])
def test_where_the_named_run_is_wanted_the_name_decides(
    notebook: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = recorded(run_folder(notebook) / "demo.json", cell_id="a", request_key="k", status="done")
    wanted = Cell(name="demo", cell_id="b", request_key="new", task="Say so", **options)
    assert checkpoint_for(wanted, notebook, tmp_path) == path
    files = FilesInUse()
    files.used(path, cell(name="demo", cell_id="a", key="k"))
    assert checkpoint_for(wanted, notebook, tmp_path, files) == path


def test_a_run_of_another_model_answers_no_cell_but_its_own(notebook: Path, tmp_path: Path) -> None:
    folder = run_folder(notebook)
    document = {"format": "rlm-checkpoint", "request_key": "k", "cell_id": "", "status": "done"}
    folder.mkdir()
    (folder / "demo.json").write_text(json.dumps({**document, "engine": {"model": "small"}}))

    def place(model: str, mode: str = "resume") -> str:
        asked = Cell(name="demo", cell_id="", request_key="k", task="Say so", model=model, mode=mode)
        return checkpoint_for(asked, notebook, tmp_path).name

    assert place("small") == place("") == place("large", "replay") == "demo.json"
    assert place("large") == "demo-2.json"
    (folder / "demo-2.json").write_text(json.dumps({**document, "engine": {"model": "large"}}))
    assert [place("large"), place("small")] == ["demo-2.json", "demo.json"]


# -- files that cannot be read ---------------------------------------------------------------------------------------

CONFLICT = """{{
 "format": "rlm-checkpoint",
 "version": 1,
<<<<<<< HEAD
 "request_key": "{ours}",
 "cell_id": "{cell}",
=======
 "request_key": "theirs",
 "cell_id": "{cell}",
>>>>>>> branch
 "status": "done"
}}"""


@pytest.mark.parametrize(
    ("asked", "stops"),
    [
        (cell(name="demo", key="x"), True),
        (cell("Demo", key="x"), True),
        (cell("Other words", key="mine"), True),
        (cell("Other words", key="x", cell_id="c"), True),
        (cell("Other words", key="x", cell_id="d"), False),
        (cell("Demo", key="elsewhere"), False),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_conflict_stops_the_cell_whose_file_it_is(
    notebook: Path, tmp_path: Path, asked: Cell, stops: bool, known: bool
) -> None:
    folder = run_folder(notebook)
    recorded(folder / "other.json", request_key="elsewhere", status="done")
    (folder / "demo.json").write_text(CONFLICT.format(ours="mine", cell="c"))
    path = checkpoint_for(asked, notebook if known else None, tmp_path)
    assert (path == folder / "demo.json") == stops
    if stops:
        with pytest.raises(CheckpointError, match=r"line 4 begins a git conflict.*git checkout --ours .*demo\.json"):
            JsonFile(path).read()


# -- runs beside the notebook ----------------------------------------------------------------------------------------


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The run of a cell of `Untitled.ipynb`."""
    path = tmp_path / "Untitled.rlm" / "demo.json"
    file = JsonFile(path, cell_id="c")
    file.claim(Recorded(Tree.of((), TreeHeader("r", "e", "Say so", "k"), RunState("done"))))
    for beside in ("demo.1.json", "demo-edit.json", "demo-baseline.json", "demonstration.json"):
        (path.parent / beside).write_text(beside)
    return path


@pytest.mark.parametrize(
    "asked", [cell(name="demo", cell_id="c", key="k"), cell(cell_id="d", key="k"), cell(cell_id="c", key="edited")]
)
def test_the_run_of_a_renamed_notebook_is_moved(notebook: Path, tmp_path: Path, original: Path, asked: Cell) -> None:
    lines: list[str] = []
    path = checkpoint_for(asked, notebook, tmp_path, tell=lines.append)
    assert path == run_folder(notebook) / "demo.json"
    assert json.loads(path.read_text())["cell_id"] == asked.cell_id
    names = {"demo.json", "demo.1.json", "demo-edit.json", "demo-baseline.json"}
    assert {each.name for each in path.parent.iterdir()} == names
    assert [each.name for each in original.parent.iterdir()] == ["demonstration.json"]
    assert lines == [
        f"rlm: {Path('Untitled.rlm/demo.json')}, whose notebook is gone, is moved to {Path('analysis.rlm/demo.json')}"
    ]


def test_a_folder_that_was_moved_whole_is_removed(notebook: Path, tmp_path: Path, original: Path) -> None:
    (original.parent / "demonstration.json").unlink()
    checkpoint_for(cell(key="k"), notebook, tmp_path)
    assert not original.parent.exists()


def test_a_copied_notebook_copies_and_leaves_the_original_alone(notebook: Path, tmp_path: Path, original: Path) -> None:
    (tmp_path / "Untitled.ipynb").write_text("{}")
    before = {path.name: path.read_bytes() for path in original.parent.iterdir()}
    lines: list[str] = []
    asked = cell(name="demo", cell_id="c", key="k")
    path = checkpoint_for(asked, notebook, tmp_path, tell=lines.append)
    assert path == run_folder(notebook) / "demo.json"
    names = {"demo.json", "demo.1.json", "demo-edit.json", "demo-baseline.json"}
    assert {each.name for each in path.parent.iterdir()} == names
    assert {path.name: path.read_bytes() for path in original.parent.iterdir()} == before
    assert len(lines) == 1
    assert "copied" in lines[0]
    other = cell(name="demo", cell_id="d", key="k")
    assert checkpoint_for(other, tmp_path / "third.ipynb", tmp_path) == tmp_path / "third.rlm" / "demo.json"
    assert not (tmp_path / "third.rlm").exists(), "a cell with another id, in another notebook, is another cell"
    # An edited cell of the copy is not the original's, although its id is the same.
    assert checkpoint_for(cell(name="new", cell_id="c", key="edited"), notebook, tmp_path).name == "new.json"


def test_a_run_that_is_being_written_is_copied_and_continues_where_it_is(notebook: Path, tmp_path: Path) -> None:
    source = tmp_path / "Untitled.rlm" / "demo.json"
    file = JsonFile(source, cell_id="c")
    file.read()
    file.open()
    file.append(RunStarted(at=1.0, run_id="r", task="Say so", request_key="k"))
    file.append(NodeCreated(at=1.0, node="0", parent=None, task="Say so", agent="default"))
    path = checkpoint_for(cell(key="k"), notebook, tmp_path)
    assert path == run_folder(notebook) / "demo.json"
    assert load_recorded(path) is not None
    file.append(RunFinished(at=2.0, status="failed"))
    file.close()
    assert load_recorded(source) is not None


def test_a_replay_reads_where_the_run_is(notebook: Path, tmp_path: Path, original: Path) -> None:
    asked = Cell(name="demo", cell_id="c", request_key="k", task="Say so", mode="replay")
    assert checkpoint_for(asked, notebook, tmp_path) == original
    assert not run_folder(notebook).exists()


def test_a_fresh_run_adopts_nothing(notebook: Path, tmp_path: Path, original: Path) -> None:
    asked = Cell(name="demo", cell_id="c", request_key="k", task="Say so", mode="fresh")
    assert checkpoint_for(asked, notebook, tmp_path) == run_folder(notebook) / "demo.json"
    assert original.exists()


def test_a_cell_whose_file_another_cell_uses_gets_a_copy(notebook: Path, tmp_path: Path, original: Path) -> None:
    files = FilesInUse()
    first, second = (cell(cell_id=each, key="k", run=each) for each in "ab")
    files.used(checkpoint_for(first, notebook, tmp_path, files), first)
    assert checkpoint_for(second, notebook, tmp_path, files) == run_folder(notebook) / "say-so.json"
    copied = json.loads((run_folder(notebook) / "say-so.json").read_text())
    assert (copied["request_key"], copied["cell_id"]) == ("k", "b")


def test_cells_of_one_name_and_one_request_share_a_file(notebook: Path) -> None:
    """A dry run in one cell and the run in the next, for example."""
    files = FilesInUse()
    first, second = (cell(name="demo", cell_id=each, key="k", run=each) for each in "ab")
    assert [run(files, notebook, each) for each in (first, second, first)] == ["demo"] * 3
    assert run(files, notebook, cell(name="demo", cell_id="b", key="edited", run="c")) == "demo-2"


@pytest.mark.parametrize("name", [None, "demo"])
@pytest.mark.parametrize("ids", [("", ""), ("a", "b")])
def test_each_of_two_cells_with_other_options_keeps_its_file(
    notebook: Path, tmp_path: Path, name: str | None, ids: tuple[str, str]
) -> None:
    engines: list[dict[str, Any]] = [
        {"limits": {"max_depth": 5}},
        {"limits": {"max_depth": 5}, "code": {"when": "root"}},
    ]
    cells = [
        Cell(name=name, cell_id=i, request_key="k", task="Say so", execution=run, options=options_in(engine))
        for i, run, engine in zip(ids, "12", engines, strict=True)
    ]
    stem = name or "say-so"
    places = [run_folder(notebook) / f"{stem}.json", run_folder(notebook) / f"{stem}-2.json"]
    heads = [
        {"request_key": "k", "cell_id": i, "status": "done", "engine": engine}
        for i, engine in zip(ids, engines, strict=True)
    ]
    recorded(places[0], **heads[0])
    files = FilesInUse()
    assert run(files, notebook, cells[0]) == stem
    assert checkpoint_for(cells[1], notebook, tmp_path, files) == places[1]
    assert not places[1].exists(), "the other answer is not copied"
    recorded(places[1], **heads[1])
    for order in ([0, 1], [1, 0]):
        files = FilesInUse()
        assert [run(files, notebook, cells[at]) for at in order] == [places[at].stem for at in order]


def test_what_is_typed_again_under_a_name_is_its_next_version(notebook: Path, tmp_path: Path) -> None:
    """A terminal has no cells. What another session kept is not replaced, because it may be another notebook's."""

    def typed(key: str) -> Cell:
        return Cell(name="demo", cell_id="", request_key=key, task="Say so", typed=True)

    files = FilesInUse()
    assert [run(files, notebook, typed(key)) for key in ("1", "2")] == ["demo", "demo"]
    assert run(FilesInUse(), notebook, typed("3")) == "demo-2"


def test_an_archived_run_that_answers_is_copied(notebook: Path, tmp_path: Path, original: Path) -> None:
    folder = run_folder(notebook)
    recorded(folder / "demo.json", request_key="later", status="done")
    original.rename(folder / "demo.1.json")
    path = checkpoint_for(cell(name="demo", key="k"), notebook, tmp_path)
    assert path == folder / "demo-2.json"
    assert json.loads(path.read_text())["request_key"] == "k"
    replayed = Cell(name="demo", cell_id="", request_key="k", task="Say so", mode="replay")
    path.unlink()
    assert checkpoint_for(replayed, notebook, tmp_path) == folder / "demo.1.json"


def test_papermills_input_is_searched(tmp_path: Path, original: Path) -> None:
    (tmp_path / "Untitled.ipynb").write_text("{}")
    output = tmp_path / "out" / "result.ipynb"
    output.parent.mkdir()
    folders = papermill_folders({"PAPERMILL_INPUT_PATH": str(tmp_path / "Untitled.ipynb")})
    path = checkpoint_for(cell(name="demo", key="k"), output, tmp_path, also=folders)
    assert path == tmp_path / "out" / "result.rlm" / "demo.json"
    assert path.exists()
    assert original.exists()


def test_nothing_is_moved_out_of_a_linked_folder(notebook: Path, tmp_path: Path, original: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    original.parent.rename(elsewhere)
    original.parent.symlink_to(elsewhere, target_is_directory=True)
    assert not checkpoint_for(cell(name="demo", key="k"), notebook, tmp_path).exists()
    assert (elsewhere / "demo.json").exists()


def test_a_linked_notebook_is_its_target(notebook: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.ipynb"
    link.parent.mkdir()
    link.symlink_to(notebook)
    assert notebook_path({}, {"JPY_SESSION_NAME": str(link)}) == notebook
    assert notebook_path({}, {"RLM_NOTEBOOK_PATH": str(link)}) == notebook
