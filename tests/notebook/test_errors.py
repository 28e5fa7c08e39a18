"""What goes wrong in a cell: one short line first, what to do next, a failed cell, and no traceback unless asked for.

Each row is a situation as a reader meets it: the cell, the kind of error, what was wrong, and what to do about it.
"""

# ruff: noqa: ASYNC240 - a test may block
from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import ScriptedModel
from rlm_notebook.checkpoints.json_file import JsonFile
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Reply
from tests.fault_server import FaultServer, refusal

SCRIPT = {"root": {"one": "1", "two": "2", "=": "# Both\n\n1 and 2"}}
LONGEST = 420


def unannotated(place):  # type: ignore[no-untyped-def]
    """A tool that says too little."""
    return place


DEFINITIONS = """
def failing(inputs, context):
    value = {}
    return value["lost"]
class Slow:
    async def __call__(self, inputs, context):
        raise OSError("unplugged")
slow = Slow()
"""


@pytest.fixture
async def wrong(shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A notebook with everything that the wrong cells below name."""
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    (tmp_path / "corrupt.json").write_text('{"format": "rlm-checkpoint", "nodes": [')
    (tmp_path / "other.json").write_text('{"format": "something else"}')
    (tmp_path / "newer.json").write_text('{"format": "rlm-checkpoint", "version": 99}')
    (tmp_path / "file").write_text("in the way")
    empty = ScriptedModel(lambda r: {"decision": "EXECUTE", "answer": None} if r.mode == "planner" else " ")
    shell.names.update(
        model=ScriptedModel(SCRIPT),
        never=ScriptedModel(lambda request: Reply("I would rather not"), name="never"),
        empty=empty,
        broken=ScriptedModel(SCRIPT, faults=[Fault("one", error=KeyError("lost"), times=None)]),
        none=lambda inputs, context: None,
        nothing=None,
        cls=ScriptedModel,
        number=3,
        numbers=list[int],
        weird=object(),
        stream=iter([1]),
        unannotated=unannotated,
        report="text",
        long="a long text\n" * 100,
        called=lambda inputs, context: None,
        team={"critic": ScriptedModel()},
    )
    await shell.run(DEFINITIONS)
    await shell.value("%%rlm -m model -q -n kept\nsomething else")
    return shell


@pytest.fixture
def capture(capsys: pytest.CaptureFixture[str]) -> Any:
    def lines() -> list[str]:
        printed = capsys.readouterr()
        return [line for line in (printed.out + printed.err).splitlines() if line.strip()]

    return lines


TABLE = [
    # the cell's line and body
    ("%%rlm -m model", "ConfigurationError", "the cell is empty", "write the task below"),
    ("%%rlm -m model\n  \n\n", "ConfigurationError", "the cell is empty", "write the task below"),
    ("%%rlm --modle model\nroot", "UsageError", "unknown option --modle", "did you mean --mode or --model?"),
    ("%%rlm compare these\nroot", "UsageError", "'compare' is no option", "the task goes into the cell below"),
    ("%%rlm -m model -n 'x\nroot", "UsageError", "cannot be read", "close the quotation mark"),
    ("%%rlm -m\nroot", "UsageError", "expected one argument", "--help lists the options"),
    ("%%rlm -m model --code=rot\nroot", "UsageError", "invalid choice: 'rot'", "did you mean root?"),
    ("%%rlm -m model --mode again\nroot", "UsageError", "invalid choice: 'again'", "resume"),
    ("%%rlm -m model --max-depth 0\nroot", "UsageError", "not '0'", "expected a whole number of at least 1"),
    ("%%rlm -m model --budget free\nroot", "UsageError", "not 'free'", "expected a number above 0"),
    ("%%rlm -m model --timeout -1\nroot", "UsageError", "not '-1'", "expected a number above 0"),
    ("%%rlm -m model -o for\nroot", "UsageError", "not the name of a variable", "use one such as answer"),
    ("%%rlm -m model --dry-run --detach\nroot", "UsageError", "contradict each other", "choose one"),
    ("%%rlm -m model\nsee {{repot}}", "ConfigurationError", "names no variable", "did you mean {{report}}?"),
    ("%%rlm -m model\nsee {{zzzz}}", "ConfigurationError", "names no variable", "define it in a cell above"),
    # the model
    ("%%rlm -m modle\nroot", "ConfigurationError", "no variable of this notebook and no model", "did you mean model?"),
    ("%%rlm -m opneai:x\nroot", "ConfigurationError", "unknown model 'opneai:x'", "did you mean 'openai:x'?"),
    ("%%rlm -m gpt-5\nroot", "ConfigurationError", "unknown model 'gpt-5'", "did you mean 'openai:gpt-5'?"),
    ("%%rlm -m openai:\nroot", "ConfigurationError", "names no model", "write openai:NAME"),
    ("%%rlm -m http://127.0.0.1:9/v1\nroot", "ConfigurationError", "names no model", "#NAME"),
    ("%%rlm -m number\nroot", "ConfigurationError", "3 is no model", "expected one of: offline"),
    ("%%rlm -m nothing\nroot", "ConfigurationError", "this variable is None", "give it a model"),
    ("%%rlm -m cls\nroot", "ConfigurationError", "ScriptedModel is a class", "pass an instance"),
    ("%%rlm -m openai:gpt-5-mini\nroot", "ModelError", "needs OPENAI_API_KEY", "set it, or choose another model"),
    ("%%rlm -m http://127.0.0.1:9/v1#m\nroot", "ModelError", "cannot reach it", "is the server running?"),
    ("%%rlm --env-file no.env -m model\nroot", "ConfigurationError", "--env-file no.env", "name a file"),
    # what it is given
    ("%%rlm -m model -a tema\nroot", "ConfigurationError", "there is no variable 'tema'", "did you mean team?"),
    ("%%rlm -m model -a number\nroot", "ConfigurationError", "not int", "expected a dict"),
    ("%%rlm -m model -a team\nroot", "ConfigurationError", "'planner' is not among the agents", "add it to them"),
    ("%%rlm -m model -t serach\nroot", "ConfigurationError", "there is no variable 'serach'", "define it in a cell"),
    ("%%rlm -m model -t number\nroot", "ConfigurationError", "3 is not a function", "pass functions"),
    ("%%rlm -m model -t long\nroot", "ConfigurationError", "is not a function", "pass functions"),
    ("%%rlm -m long\nroot", "ConfigurationError", "long: this variable holds a text", "expected one of: offline"),
    ("%%rlm -m called --budget 1\nroot", "ConfigurationError", "is not known", "or limit calls= or tokens="),
    ("%%rlm -m model\nsee {{opn}}", "ConfigurationError", "names no variable", "define it in a cell above"),
    ("%%rlm -m model -t unannotated\nroot", "ConfigurationError", "'place' has no annotation", "write `place: str`"),
    ("%%rlm -m model -c repot\nroot", "ConfigurationError", "there is no variable 'repot'", "did you mean report?"),
    ("%%rlm -m model -c stream\nroot", "ConfigurationError", "cannot be offered by reference", "pass text"),
    ("%%rlm -m model --type repot\nroot", "ConfigurationError", "there is no variable", "did you mean report?"),
    ("%%rlm -m model --type weird\nroot", "ConfigurationError", "cannot be described", "use a pydantic model"),
    # its file
    ("%%rlm -m model -n ../x\nroot", "ConfigurationError", "--name '../x'", "use letters"),
    ("%%rlm -m model -n con\nroot", "ConfigurationError", "it is reserved", "use letters"),
    ("%%rlm -m model --checkpoint corrupt.json\nroot", "CheckpointError", "it is damaged", "move the file away"),
    ("%%rlm -m model --checkpoint other.json\nroot", "CheckpointError", "not an rlm checkpoint", "choose another name"),
    ("%%rlm -m model --checkpoint newer.json\nroot", "CheckpointError", "it has version 99", "upgrade it"),
    ("%%rlm -m model --checkpoint file/x.json\nroot", "CheckpointError", "cannot write", "choose a place"),
    ("%%rlm -m model --checkpoint .\nroot", "CheckpointError", "it is a directory", "name a file"),
    ("%%rlm -m model --checkpoint a --no-checkpoint\nroot", "UsageError", "contradict each other", "choose one"),
    ("%%rlm -m model --keep-plan --no-checkpoint\nroot", "UsageError", "contradict each other", "choose one"),
    ("%%rlm -m model --mode replay --no-checkpoint\nroot", "UsageError", "contradict each other", "is in a file"),
    ("%%rlm -m model --mode fresh --keep-plan\nroot", "UsageError", "contradict each other", "fresh ignores"),
    ("%%rlm -m model --type list[stt]\nroot", "ConfigurationError", "no variable 'stt'", "define it in a cell above"),
    ("%%rlm -m model --type list[str\nroot", "ConfigurationError", "cannot be read as a type", "list[NAME], say"),
    ("%rlm gc kep", "ConfigurationError", "there is no run named 'kep'", "did you mean kept?"),
    ("%%rlm -m model --mode replay -n none\nroot", "ReplayError", "nothing is recorded", "run once with a model"),
    ("%%rlm -m model --mode replay -n kept\nroute", "ReplayError", "the task changed", "run"),
    # while it runs
    ("%%rlm -m never\nroot", "InvalidJSONError", "no usable plan in 3 attempts", "Use a model that can reply in JSON"),
    ("%%rlm -m empty\nroot", "ModelError", "empty reply", "return the answer"),
    ("%%rlm -m none\nroot", "ModelError", "returned None", 'expected {"content"'),
    ("%%rlm -m broken\nroot", "ExecutionError", "KeyError", "lost"),
    ("%%rlm -m failing\nroot", "ModelError", "raised KeyError: 'lost'", "(cell In[1], line 3; --debug shows"),
    ("%%rlm -m slow\nroot", "ModelError", "raised OSError: unplugged", "(cell In[1], line 6; --debug shows"),
    ("%%rlm -m report --type numbers\nroot", "ConfigurationError", "unknown model 'text'", "expected one of"),
    ("%%rlm -m model --type numbers --mode fresh\nroot", "PlanError", "no answer of the wanted type", "Use a model"),
    ("%%rlm -m model --max-calls 1\nroot", "BudgetExceededError", "1 call is spent", "with a larger --max-calls"),
    ("%%rlm -m model --max-depth 1 --on-limit raise\nroot", "RecursionDepthError", "wants to split", "raise max_depth"),
    ("%%rlm -m model --max-steps 2 --on-limit raise\nroot", "MaxStepsError", "wants 2 sub-tasks", "raise max_steps"),
    # line commands
    ("%rlm shwo", "UsageError", "there is no such command", "did you mean show?"),
    ("%rlm show kepp", "ConfigurationError", "there is no run named 'kepp'", "did you mean kept"),
    ("%rlm resume none.json", "CheckpointError", "there is no run in", "`%rlm runs` lists what there is"),
    ("%rlm cancel kept", "UsageError", "under way", "no run of this session"),
    ("%rlm diff kept", "UsageError", "required: RUN", "--help lists the options"),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "kind", "what", "next_step"), TABLE, ids=[row[0].replace("\n", "|") for row in TABLE])
async def test_one_line_and_a_failed_cell(
    wrong: Any, capture: Any, cell: str, kind: str, what: str, next_step: str
) -> None:
    capture()
    error = await wrong.failure(cell.replace("%%rlm", "%%rlm -q", 1))
    assert type(error).__name__ == kind
    lines = capture()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{kind}: ")
    assert len(lines[0]) <= LONGEST
    assert what in lines[0]
    assert next_step in lines[0]
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()
    # The next cell works.
    assert await wrong.value("1 + 1") == 2


@pytest.mark.parametrize("cell", ["%%rlm -m failing", "%%rlm -m never", "%%rlm -m model -n ../x", "%rlm show kepp"])
async def test_the_traceback_is_there_for_who_asks(wrong: Any, capture: Any, cell: str) -> None:
    await wrong.failure(f"{cell} --debug\nroot" if cell.startswith("%%") else f"{cell} --debug")
    assert any("Traceback" in line for line in capture())


async def test_debug_shows_the_line_of_the_reader(wrong: Any, capture: Any) -> None:
    await wrong.failure("%%rlm -m failing -q --debug\nroot")
    shown = "\n".join(re.sub(r"\x1b\[[0-9;]*m", "", line) for line in capture())
    assert 'return value["lost"]' in shown


# -- situations that take more than a cell ---------------------------------------------------------------------------


async def test_a_key_that_is_wrong(wrong: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer([refusal(401, "Incorrect API key provided", code="invalid_api_key")] * 20) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")
        capture()
        await wrong.failure("%%rlm -m openai:gpt-5-mini -q\nroot")
        assert len(server.bodies) == 1
    (line,) = capture()
    assert "OPENAI_API_KEY" in line
    assert "very-secret" not in line


@pytest.fixture
def held(wrong: Any) -> Iterator[Path]:
    """A file that somebody else writes."""
    path = Path("notebook.rlm/held.json")
    writer = JsonFile(path)
    writer.read()
    writer.open()
    yield path
    writer.close()


async def test_a_file_that_another_run_writes(wrong: Any, held: Path, capture: Any) -> None:
    capture()
    await wrong.failure("%%rlm -m model -q -n held\nroot")
    (line,) = capture()
    assert line.startswith("CheckpointError: cannot write")
    assert "is writing it" in line
    assert "wait for that run, cancel it, or choose another name" in line


async def test_a_folder_that_cannot_be_written_is_a_warning(wrong: Any, capture: Any) -> None:
    Path("analysis.ipynb").write_text("{}")
    Path("analysis.rlm").write_text("in the way")
    wrong.names["__vsc_ipynb_file__"] = str(Path("analysis.ipynb").absolute())
    capture()
    assert await wrong.value("%%rlm -m model -q\nroot")
    assert sum("rlm: warning: cannot write" in line and "kept in memory only" in line for line in capture()) == 1


async def test_a_function_in_a_file_is_named_with_its_line(wrong: Any, capture: Any) -> None:
    Path("mine.py").write_text("def ask(inputs, context):\n    x = 1\n    raise ValueError(f'no {x}')\n")
    await wrong.run("import sys; sys.path.insert(0, '.'); from mine import ask")
    capture()
    await wrong.failure("%%rlm -m ask -q\nroot")
    (line,) = capture()
    assert f"({Path('mine.py').absolute()}, line 3; --debug shows the traceback)" in line


async def test_spaces_within_braces_change_nothing(wrong: Any, capture: Any) -> None:
    await wrong.value("%%rlm -m model -q --no-checkpoint\nsee {{ report }} and \\{{ report }} and {{ a.b }}")
    task = wrong.names["model"].requests[-1].facts.task
    assert task == f"see {wrong.names['report']} and {{{{ report }}}} and {{{{ a.b }}}}"


@pytest.mark.parametrize("braces", ["{{ report.upper() }}", "{{report[:3]}}"])
async def test_an_expression_in_braces_is_refused_with_the_way_out(wrong: Any, capture: Any, braces: str) -> None:
    await wrong.failure(f"%%rlm -m model -q --no-checkpoint\nsee {braces}")
    (line,) = [line for line in capture() if "expression" in line]
    assert f"write value = {braces.strip('{ }')} in a cell above, and {{{{value}}}} here" in line
