"""`%rlm runs`, `show`, `diff`, `gc`, over runs that real cells left."""

# ruff: noqa: ASYNC240 - a test may block
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import Run, ScriptedModel, load_run
from rlm_notebook.runtime.recorded_run import RecordedRun
from rlm_notebook.runtime.run_list import RunList
from rlm_notebook.views.diff import Difference

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


async def test_the_table_of_runs(trips: Any) -> None:
    runs = await trips.value("%rlm runs")
    assert isinstance(runs, RunList)
    assert [(run.name, run.status) for run in runs] == [("other", "failed"), ("trip", "done")]
    lines = str(runs).splitlines()
    assert lines[0].split() == ["name", "state", "nodes", "calls", "tokens", "cost", "time", "model", "when", "task"]
    trip = re.split(r"  +", lines[2])
    assert trip[:3] == ["trip", "done", "3"]
    assert trip[3] == "4"
    assert int(trip[4].replace(",", "")) > 0
    assert (trip[5], trip[7], trip[9]) == ("$0.0000", "scripted", "trip <b>again</b>")
    assert re.fullmatch(r"\d+\.\ds", trip[6])
    assert trip[8].startswith("20")
    assert "notebook.rlm" in lines[-1]
    assert "trip &lt;b&gt;again" in runs._repr_html_()
    assert [run.name for run in await trips.value("%rlm runs --all")] == ["other", "trip.1", "trip"]


async def test_the_copy_of_another_task_is_no_version(trips: Any, capsys: pytest.CaptureFixture[str]) -> None:
    listed = str(await trips.value("%rlm versions trip")).splitlines()
    assert [line.split()[0] for line in listed[:3] if line.strip()] == ["version", "now", "there"]
    assert "1 copy of runs with other tasks beside it" in listed[-1]
    capsys.readouterr()
    await trips.failure("%rlm restore trip 1")
    assert "trip.1 is no version of trip" in capsys.readouterr().out
    assert load_run(FOLDER / "trip.json").task == "trip <b>again</b>"
    # The first task again, anew: its own copy is a version, that of the other task is none.
    await trips.value(HEAD.replace("-n", "--mode fresh -n") + "trip <b>again</b>")
    listed = str(await trips.value("%rlm versions trip")).splitlines()
    assert [line.split()[0] for line in listed if line.strip()][:3] == ["version", "now", "1"]
    assert "1 copy of runs with other tasks" in listed[-1]


async def test_the_table_is_a_data_frame_too(trips: Any) -> None:
    frame = (await trips.value("%rlm runs")).to_frame()
    assert list(frame.name) == ["other", "trip"]
    assert list(frame.state) == ["failed", "done"]
    assert frame.model[1] == "scripted"


async def test_a_file_that_cannot_be_read_is_a_row_of_its_own(trips: Any) -> None:
    (FOLDER / "torn.json").write_text('{"format": "rlm-checkpoint", "no')
    rows = {run.name: run.status for run in await trips.value("%rlm runs")}
    assert rows == {"other": "failed", "torn": "unreadable", "trip": "done"}


async def test_no_runs_yet(shell: Any) -> None:
    assert "no runs are kept yet" in str(await shell.value("%rlm runs"))


@pytest.mark.parametrize("name", ["trip", "notebook.rlm/trip.json", "trip.1", "kept"])
async def test_show_gives_the_run_as_it_was_recorded(trips: Any, name: str) -> None:
    trips.names["kept"] = load_run(FOLDER / "trip.json")
    before = {path: path.read_bytes() for path in FOLDER.iterdir()}
    run = await trips.value(f"%rlm show {name}")
    assert isinstance(run, RecordedRun)
    assert run.tree["0.1"].result == ("downtown" if name == "trip.1" else "suburb")
    assert {path: path.read_bytes() for path in FOLDER.iterdir()} == before


async def test_show_without_a_name_is_the_last_run(trips: Any) -> None:
    assert await trips.value("%rlm show") is trips.names["_rlm"]


async def test_a_run_that_goes_on_is_shown_alive(trips: Any) -> None:
    import asyncio

    trips.names["slow"] = ScriptedModel({"root": {"a": "1", "b": "2"}}, latency=0.3)
    cell = asyncio.ensure_future(trips.run("%%rlm -m slow --view none -n slow\nroot"))
    await asyncio.sleep(0.4)
    from rlm_notebook.notebook.commands.registry import run_command
    from rlm_notebook.notebook.magic import RLMMagics

    session = next(each.session for each in trips.ip.configurables if isinstance(each, RLMMagics))
    assert isinstance(run_command(session, "show slow"), Run)
    assert {run.name: run.status for run in run_command(session, "runs")}["slow"] == "running"
    (await cell).raise_error()
    assert isinstance(run_command(session, "show slow"), RecordedRun)


async def test_what_a_killed_kernel_left_is_interrupted(trips: Any) -> None:
    """A journal without its document, as after a kill."""
    from rlm_notebook.checkpoints.json_file import JsonFile
    from rlm_notebook.core.events import NodeCreated, RunStarted

    journal = JsonFile(FOLDER / "killed.json")
    journal.read()
    journal.open()
    journal.append(RunStarted(at=1.0, run_id="r", task="t", request_key="k", settings={}))
    journal.append(NodeCreated(at=1.0, node="0", parent=None, task="t", agent="a"))
    journal.close()
    rows = {run.name: run.status for run in await trips.value("%rlm runs")}
    assert rows["killed"] == "interrupted"


async def test_diff(trips: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = await trips.value("%rlm diff trip.1 trip")
    assert isinstance(found, Difference)
    assert [change.new.id for change in found.changed] == ["0", "0.1"]
    assert "[0.1] hotel: result changed" in capsys.readouterr().out


async def test_a_run_is_called_by_what_its_cell_says_and_not_by_what_is_put_in(shell: Any) -> None:
    shell.names.update(model=ScriptedModel(), report="Dear diary, nobody is to read this.\n" * 50)
    await shell.value("%%rlm -m model -q\n\n{{report}}\nList the risks.")
    await shell.value("%%rlm -m model -q --store hashes\nSum up {{report}}")
    runs = await shell.value("%rlm runs")
    assert {run.name: run.title for run in runs}["report"] == "{{report}}"
    assert "diary" not in str(runs)
    hashed = next(path for path in Path("notebook.rlm").glob("*.json") if path.stem != "report").read_text()
    assert "Sum up" not in hashed

    await shell.value("%rlm resume report -q -m model")
    shell.names["_rlm"].edit("0", task="Another task").cancel()
    assert {run.name: run.title for run in await shell.value("%rlm runs")} == {
        **{run.name: run.title for run in runs},
        "report-edit": "Another task",
    }


async def test_gc_removes_numbered_copies_and_says_which(trips: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (FOLDER / "notes.1.json").write_text('{"mine": true}')
    (FOLDER / "linked.1.json").symlink_to(Path("elsewhere.json").absolute())
    Path("elsewhere.json").write_bytes((FOLDER / "trip.json").read_bytes())
    await trips.value("%rlm gc --dry-run")
    assert (FOLDER / "trip.1.json").exists()
    await trips.value("%rlm gc other")
    assert (FOLDER / "trip.1.json").exists()
    capsys.readouterr()
    await trips.value("%rlm gc")
    printed = capsys.readouterr().out
    assert f"removed {(FOLDER / 'trip.1.json').absolute()}" in printed
    assert "removed 1 copy of earlier runs" in printed
    assert sorted(path.name for path in FOLDER.iterdir() if path.suffix == ".json") == [
        "linked.1.json",
        "notes.1.json",
        "other.json",
        "trip.json",
    ]
    assert Path("elsewhere.json").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%rlm show tripp", "there is no run named 'tripp' here; did you mean trip"),
        ("%rlm show something-else", "there are: other, trip"),
        ("%rlm show missing.json", "there is no run in"),
        ("%rlm diff trip", "the following arguments are required: RUN"),
        ("%rlm export trip x.json", "one of the arguments"),
        ("%rlm export trip --jsn x.json", "--json"),
    ],
)
async def test_mistakes_are_told_in_one_line(
    trips: Any, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    await trips.failure(line)
    printed = capsys.readouterr()
    lines = [line for line in (printed.out + printed.err).splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert said in lines[0]


async def test_the_same_name_beside_two_notebooks(trips: Any) -> None:
    other = Path("analysis.rlm")
    other.mkdir()
    (other / "trip.json").write_bytes((FOLDER / "trip.json").read_bytes())
    assert "give the path of one" in str(await trips.failure("%rlm show trip"))
    assert isinstance(await trips.value("%rlm show analysis.rlm/trip.json"), RecordedRun)


async def test_debug_shows_the_traceback(trips: Any, capsys: pytest.CaptureFixture[str]) -> None:
    await trips.failure("%rlm show missing.json --debug")
    printed = capsys.readouterr()
    assert "Traceback" in printed.out + printed.err
