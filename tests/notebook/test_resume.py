"""`%rlm resume NAME`: a run goes on where it was, from any cell."""

# ruff: noqa: ASYNC240 - a test may block
from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import Output, ScriptedModel
from rlm_notebook.core.plan import Recurse
from tests.support.waiting import until

SCRIPT = {"root {{x}}": {"one": "1", "two": "2", "three": "3"}}
FILE = Path("notebook.rlm/trip.json")


@pytest.fixture
async def stopped(shell: Any) -> Any:
    """A run that its budget stopped after the plan and one part."""
    shell.names["first"] = ScriptedModel(SCRIPT)
    await shell.failure("%%rlm -m first -q -n trip --max-calls 2 --concurrency 1 --raw\nroot {{x}}")
    shell.names["second"] = ScriptedModel(SCRIPT)
    return shell


async def test_it_finishes_what_was_begun_and_repeats_nothing(stopped: Any) -> None:
    output = await stopped.value("%rlm resume trip -m second -q --max-calls 50")
    assert isinstance(output, Output)
    assert output.content == "root {{x}}: 1; 2; 3"
    assert stopped.names["first"].calls + stopped.names["second"].calls == 5
    assert json.loads(FILE.read_text())["status"] == "done"
    assert sorted(path.name for path in FILE.parent.iterdir()) == ["trip.json"]


async def test_the_limits_are_as_they_were(stopped: Any) -> None:
    error = await stopped.failure("%rlm resume trip -m second -q")
    assert "the budget of 2 calls is spent" in str(error)
    assert stopped.names["second"].calls == 0
    assert stopped.names["_rlm"].internals.limits.max_concurrency == 1


async def test_what_waits_for_approval_still_waits(shell: Any) -> None:
    shell.names["m"] = ScriptedModel({"root": {"one": "1", "two": "2"}})
    run = await shell.value("%%rlm -m m -q -n asked --approve --detach\nroot")
    await until(lambda: len(run.awaiting) == 1)
    run.cancel()
    again = await shell.value("%rlm resume asked -m m --detach")
    await until(lambda: len(again.awaiting) == 1)
    assert (again.awaiting[0].node, shell.names["m"].calls) == ("0", 1)
    again.approve("0")
    assert (await again).content == "root: 1; 2"


async def test_a_dry_run_is_resumed_without_approval(shell: Any) -> None:
    shell.names["m"] = model = ScriptedModel({"root": {"one": "1", "two": "2"}})
    assert isinstance(await shell.value("%%rlm -m m -n trip --dry-run\nroot"), Recurse)
    assert (await shell.value("%rlm resume trip -m m -q")).content == "root: 1; 2"
    assert model.calls == 4, "the plan is reused"


async def test_a_finished_run_is_changed_and_compared_by_the_model_that_answered_it(shell: Any) -> None:
    model = ScriptedModel({"root": {"one": "1", "two": "2"}})
    shell.names["m"] = model
    await shell.value("%%rlm -m m -q -n trip\nroot")
    for session in ("the same", "another"):
        if session == "another":
            shell.names["_rlm"] = None
            shell.ip.run_line_magic("unload_ext", "rlm_notebook")
            shell.ip.run_line_magic("load_ext", "rlm_notebook")
        calls = model.calls
        await shell.value("%rlm resume trip -q")
        assert model.calls == calls
        edited = await shell.names["_rlm"].edit("0.0", result=f"from {session}")
        assert edited.content == f"root: from {session}; 2"
        assert (await shell.value("%rlm baseline")).plain.status == "done"
    # Another model of this name: none of them is guessed.
    shell.names["other"] = ScriptedModel({"root": "another"})
    shell.ip.run_line_magic("unload_ext", "rlm_notebook")
    shell.ip.run_line_magic("load_ext", "rlm_notebook")
    FILE.with_name("trip-baseline.json").unlink()
    await shell.value("%rlm resume trip -q")
    assert "-m VARIABLE" in str(await shell.failure("%rlm baseline"))


async def test_inside_a_function_it_gives_its_value(stopped: Any) -> None:
    await stopped.run(
        "def go():\n    return get_ipython().run_line_magic('rlm', 'resume trip -m second --max-calls 9')"
    )
    assert (await stopped.value("answer = go()\nanswer.content")) == "root {{x}}: 1; 2; 3"
    await stopped.run("def again():\n    %rlm resume trip -m second -o other\n")
    await stopped.value("again()")
    assert stopped.names["other"].content == "root {{x}}: 1; 2; 3"


async def test_a_finished_run_is_reused_without_its_model(stopped: Any) -> None:
    await stopped.value("%rlm resume trip -m second -q --max-calls 50")
    before, calls = FILE.read_bytes(), stopped.names["second"].calls
    assert (await stopped.value("%rlm resume trip -q")).content == "root {{x}}: 1; 2; 3"
    assert (FILE.read_bytes(), stopped.names["second"].calls) == (before, calls)


async def test_no_other_model_takes_the_place_of_one_that_cannot_be_had_by_its_name(
    stopped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = FILE.read_bytes()
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    error = await stopped.failure("%rlm resume trip -q --max-calls 50")
    assert "trip was answered by scripted" in str(error)
    assert "-m VARIABLE" in str(error)
    assert FILE.read_bytes() == before


async def test_a_file_without_its_texts_says_why_it_cannot_go_on(shell: Any) -> None:
    shell.names["m"] = ScriptedModel(SCRIPT)
    await shell.value("%%rlm -m m -q -n trip --store hashes --raw\nroot {{x}}")
    assert 'was recorded with store="hashes"' in str(await shell.failure("%rlm resume trip -m m"))


async def test_a_cell_goes_on_with_an_edit_by_its_name_and_otherwise_with_what_it_says(shell: Any) -> None:
    shell.names["m"] = ScriptedModel({"trip": {"food": "soup", "way": "train"}})
    await shell.value("%%rlm -m m -q -n trip\ntrip")
    await shell.names["_rlm"].edit("0.0", result="stew")

    assert str(await shell.value("%%rlm -m m -q -n trip-edit\ntrip")) == "trip: stew; train"
    assert shell.names["_rlm"].calls == 0
    assert str(await shell.value("%%rlm -m m -q -n trip\ntrip")) == "trip: soup; train"


async def test_an_edited_run_that_goes_on_is_still_found_as_that_edit(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.names["m"] = ScriptedModel(SCRIPT, latency=0.05)
    await shell.value("%%rlm -m m -q -n trip --raw\nroot {{x}}\n")
    await shell.value("edit = _rlm.edit('0.1', task='three')\nawait __import__('asyncio').sleep(0.02)")
    first = shell.names["_rlm"]
    await shell.value("%rlm cancel trip-edit")
    assert "cancelled trip-edit" in capsys.readouterr().out
    while not shell.names["edit"].ended:  # noqa: ASYNC110 - what is waited for is a state, not an event
        await asyncio.sleep(0.01)
    await shell.value("%rlm resume trip-edit -m m -q")
    again = first.edit("0.1", task="three")
    await again
    assert (Path(again.checkpoint).name, again.calls) == ("trip-edit.json", 0)


async def test_its_cell_still_finds_it(stopped: Any) -> None:
    document = json.loads(FILE.read_text())
    FILE.write_text(json.dumps({**document, "cell_id": "the-cell"}))
    await stopped.value("%rlm resume trip -m second -q --max-calls 50")
    assert json.loads(FILE.read_text())["cell_id"] == "the-cell"


async def test_a_run_that_was_asked_with_more_than_its_task_needs_it_again(shell: Any) -> None:
    def look(place: str) -> str:
        """Look at a place."""
        return place

    shell.names.update(
        m=ScriptedModel(SCRIPT),
        look=look,
        notes="some text",
        team={"planner": ScriptedModel(SCRIPT), "critic": ScriptedModel()},
    )
    await shell.value("%%rlm -m m -q -n trip -t look -c notes -a team --raw\nroot {{x}}")
    before = FILE.read_bytes()
    error = await shell.failure("%rlm resume trip -m m")
    assert "asked with more than its task (agents planner, critic; tools look" in str(error)
    assert FILE.read_bytes() == before
    assert await shell.value("%rlm resume trip -m m -t look -c notes -a team -q")


async def test_a_dry_run_of_it(stopped: Any) -> None:
    assert isinstance(await stopped.value("%rlm resume trip -m second --dry-run --max-calls 9"), Recurse)
    assert stopped.names["second"].calls == 0


async def test_a_file_of_a_stranger_does_not_raise_what_is_spent(stopped: Any) -> None:
    document = json.loads(FILE.read_text())
    document["engine"]["budget"] = {"usd": 1e6, "calls": "many"}
    document["engine"]["limits"] = {"max_depth": "deep", "max_steps": -3, "max_concurrency": True}
    document["engine"]["model"] = "https://elsewhere.example/v1#m"
    FILE.write_text(json.dumps(document))
    stopped.names["priced"] = ScriptedModel(SCRIPT, price=(1.0, 1.0))
    await stopped.value("%rlm resume trip -m priced -q")
    run = stopped.names["_rlm"]
    assert run.internals.budget.usd is None or run.internals.budget.usd <= 1
    assert run.internals.limits.max_depth == 5


async def test_an_interrupt_is_told_in_one_line(shell: Any) -> None:
    shell.names["slow"] = ScriptedModel(SCRIPT, latency=0.2)
    cell = asyncio.ensure_future(shell.run("%%rlm -m slow -q -n trip --raw\nroot {{x}}"))
    await asyncio.sleep(0.3)
    cell.cancel()
    assert str((await cell).error_in_exec).startswith("Interrupted: ")
    assert (await shell.value("%rlm resume trip -m slow -q")).content == "root {{x}}: 1; 2; 3"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%rlm resume", "the following arguments are required: RUN"),
        ("%rlm resume tripp", "did you mean trip?"),
        ("%rlm resume missing.json", "there is no run in"),
        ("%rlm resume trip --name other", "a run stays in its file"),
        ("%rlm resume trip --modle x", "did you mean --mode or --model?"),
    ],
)
async def test_mistakes_are_told_in_one_line(stopped: Any, line: str, said: str) -> None:
    assert said in str(await stopped.failure(line))


async def test_a_run_that_went_on_as_another_is_shown_and_cancelled_as_that(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.names["m"] = ScriptedModel({**SCRIPT, "another": "4"}, latency=0.05)
    await shell.value("%%rlm -m m -q -n trip --raw\nroot {{x}}")
    run = shell.names["run"] = shell.names["_rlm"]
    run.internals.continue_as(lambda: run.edit("0.1", task="another"))
    while run.internals.successor is None:  # noqa: ASYNC110 - what is waited for is a state, not an event
        await asyncio.sleep(0.01)
    await shell.value("%rlm cancel trip")
    assert capsys.readouterr().out.count("cancelled ") == 1
    await shell.value("run")
    assert "another" in capsys.readouterr().out
