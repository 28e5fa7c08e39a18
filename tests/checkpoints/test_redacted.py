"""`store`: what the file, the journal and the copies of them hold of the texts, and what can be done with that."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    Agent,
    AsyncRecursiveEngine,
    CheckpointError,
    ConfigurationError,
    ModelError,
    ReplayError,
    ScriptedModel,
    load_run,
    tool,
)
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Reply, Request, ToolCall
from tests.support.checkpoint_schema import require_valid
from tests.support.waiting import HANG

#: Words by where they occur; a store keeps some of these and not the others.
INPUTS = ["ROOTTASK", "ARGUMENT", "RETURNED", "THOUGHT", "INSTRUCTED"]
OUTPUTS = ["SUBTASK", "ANSWERED", "JOINED"]


def reply(request: Request) -> Any:
    if request.mode == "planner":
        parts = ["SUBTASK one", "SUBTASK two"] if request.facts.depth == 0 else []
        return {"decision": "RECURSE" if parts else "EXECUTE", "thoughts": "THOUGHT", "sub_tasks": parts}
    if request.mode == "synthesizer":
        return "JOINED"
    if not any(m["role"] == "tool" for m in request.messages):
        return Reply("THOUGHT", (ToolCall("1", "look", {"where": "ARGUMENT"}),))
    return f"ANSWERED {request.facts.task[-3:]}"


@tool(version="1")
def look(where: str) -> str:
    """Look."""
    return "RETURNED"


def engine(model: Any = None, **options: Any) -> AsyncRecursiveEngine:
    llm = model or ScriptedModel(reply)
    return AsyncRecursiveEngine(
        llm, agents={"planner": Agent("planner", llm, instructions="INSTRUCTED")}, tools=[look], retry=None, **options
    )


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def words_in(folder: Path) -> set[str]:
    raw = b"".join(path.read_bytes() for path in files_of(folder)).decode()
    return {word for word in [*INPUTS, *OUTPUTS] if word in raw}


EXPECTED = {"full": {*INPUTS, *OUTPUTS}, "outputs": set(OUTPUTS), "hashes": set()}


@pytest.mark.parametrize("store", EXPECTED)
async def test_a_file_holds_what_it_is_to_hold_and_nothing_else(store: Any, tmp_path: Path) -> None:
    model = ScriptedModel(reply)
    output = await engine(model).solve("ROOTTASK", checkpoint=tmp_path / "run.json", store=store)

    assert output.content == "JOINED", "the run itself has everything"
    assert words_in(tmp_path) == EXPECTED[store]
    run = load_run(tmp_path / "run.json")
    assert (run.status, run.store, len(run.tree), run.usage) == ("done", store, 3, output.usage)
    assert str(run)
    assert run.to_mermaid()


@pytest.mark.parametrize("store", EXPECTED)
async def test_an_unfinished_run_holds_no_more(store: Any, tmp_path: Path) -> None:
    model = ScriptedModel(reply, faults=[Fault("SUBTASK two", error=ModelError("because of SUBTASK"), times=None)])
    with pytest.raises(Exception, match="parts failed"):
        await engine(model).solve("ROOTTASK", checkpoint=tmp_path / "run.json", store=store)

    assert words_in(tmp_path) == EXPECTED[store] - {"JOINED"}


SCRIPT = """
import asyncio, os, signal, sys
from tests.checkpoints.test_redacted import engine
run = None
def kill(event):
    if type(event).__name__ == "Finished":
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(engine(observers=[kill]).solve("ROOTTASK", checkpoint=sys.argv[1], store=sys.argv[2]))
"""


def killed(path: Path, store: str) -> int:
    root = Path(__file__).parent.parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    arguments = [sys.executable, "-c", SCRIPT, str(path), store]
    return subprocess.run(arguments, cwd=root, env=environment, timeout=HANG, check=False).returncode


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")
@pytest.mark.parametrize("store", EXPECTED)
async def test_the_journal_obeys_too(store: Any, tmp_path: Path) -> None:
    assert killed(tmp_path / "run.json", store) == -signal.SIGKILL
    assert (tmp_path / "run.journal.jsonl") in files_of(tmp_path)
    assert words_in(tmp_path) == EXPECTED[store] - {"JOINED"}
    assert load_run(tmp_path / "run.json").store == store

    model = ScriptedModel(reply)
    output = await engine(model).solve("ROOTTASK", checkpoint=tmp_path / "run.json", store=store)
    assert output.content == "JOINED"
    planned = [r.facts.task for r in model.requests if r.mode == "planner"]
    assert planned == ([] if store != "hashes" else ["ROOTTASK", "SUBTASK one", "SUBTASK two"])
    assert words_in(tmp_path) == EXPECTED[store]


@pytest.mark.parametrize("store", ["full", "outputs"])
async def test_outputs_suffice_to_resume_and_replay(store: Any, tmp_path: Path) -> None:
    await engine().solve("ROOTTASK", checkpoint=tmp_path / "run.json", store=store)
    before = (tmp_path / "run.json").read_bytes()
    model = ScriptedModel(faults=[Fault(error=ModelError("asked"), times=None)])
    for mode in ("resume", "replay"):
        output = await engine(model).solve("ROOTTASK", checkpoint=tmp_path / "run.json", mode=mode, store=store)
        assert (output.content, output.metadata["calls"]) == ("JOINED", 0)
        assert output.run.tree["0"].task == "ROOTTASK"
    assert (tmp_path / "run.json").read_bytes() == before


async def test_hashes_cannot_be_replayed_and_say_so(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    await engine().solve("ROOTTASK", checkpoint=path, store="hashes")
    with pytest.raises(ReplayError, match=r'store="hashes": it can be shown, not replayed; run once .* "full"'):
        await engine().solve("ROOTTASK", checkpoint=path, mode="replay")
    output = await engine().solve("ROOTTASK", checkpoint=path, store="hashes")
    assert output.metadata["calls"] > 0
    assert output.run.notes == ["the file holds hashes only: nothing in it can be reused"]
    assert output.content == "JOINED"
    assert not [node for node in output.run.tree if node.task.startswith("#")]


async def test_a_file_that_holds_more_than_is_wanted_now_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    await engine().solve("ROOTTASK", checkpoint=path)
    for store in ("outputs", "hashes"):
        output = await engine().solve("ROOTTASK", checkpoint=path, store=store)  # type: ignore[arg-type]
        assert output.metadata["calls"] == 0
        assert words_in(tmp_path) == EXPECTED[store]
    assert [path.name for path in files_of(tmp_path)] == ["run.json"]


@pytest.mark.parametrize("store", ["outputs", "hashes"])
async def test_a_run_that_is_at_hand_can_be_edited_whatever_its_file_holds(store: Any, tmp_path: Path) -> None:
    model = ScriptedModel(reply)
    run = (await engine(model).solve("ROOTTASK", checkpoint=tmp_path / "run.json", store=store)).run
    asked = model.calls
    fork = run.edit("0.1", result="ANSWERED otherwise")
    await fork

    assert [request.mode for request in model.requests[asked:]] == ["synthesizer"]
    assert words_in(tmp_path) == EXPECTED[store]
    with pytest.raises(CheckpointError, match=f'store="{store}".*solve the task again with store="full"'):
        engine(model).edit(tmp_path / "run.json", "0.1", result="x")


async def test_an_answer_from_what_there_is_needs_no_file(tmp_path: Path) -> None:
    model = ScriptedModel(reply, faults=[Fault("SUBTASK two", error=ModelError("no"), times=None)])
    run = engine(model).start("ROOTTASK", checkpoint=tmp_path / "run.json", store="hashes")
    with contextlib.suppress(Exception):
        await run
    assert str(await run.synthesize_anyway()) == "JOINED"
    assert words_in(tmp_path) == set()


async def test_hashes_can_be_compared(tmp_path: Path) -> None:
    for name, answer in (("a", "1"), ("b", "1"), ("c", "2")):
        model = ScriptedModel({"root": {"one": answer, "two": "x"}})
        await AsyncRecursiveEngine(model).solve("root", checkpoint=tmp_path / f"{name}.json", store="hashes")
    a, b, c = (load_run(tmp_path / f"{name}.json") for name in "abc")
    assert not a.diff(b)
    assert [change.new.id for change in a.diff(c).changed] == ["0", "0.0"]


async def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="store='some': expected one of 'full', 'outputs', 'hashes'"):
        await engine().solve("t", store="some")  # type: ignore[arg-type]


async def test_the_documents_are_valid_by_the_schema(tmp_path: Path) -> None:

    for store in EXPECTED:
        path = tmp_path / f"{store}.json"
        await engine().solve("ROOTTASK", checkpoint=path, store=store)  # type: ignore[arg-type]
        require_valid(json.loads(path.read_text(encoding="utf-8")))


async def test_a_run_stopped_among_tool_calls_holds_nothing_of_them(tmp_path: Path) -> None:
    @tool(version="1")
    async def look(where: str) -> str:
        """Look."""
        if where == "ARGUMENT":
            await asyncio.Event().wait()
        return "RETURNED"

    for store in ("outputs", "hashes"):
        run = AsyncRecursiveEngine(ScriptedModel(reply), tools=[look], max_depth=1).start(
            "ROOTTASK",
            checkpoint=tmp_path / f"{store}.json",
            store=store,  # type: ignore[arg-type]
        )
        async for event in run.events():
            if type(event).__name__ == "ToolCalled":
                break
        await run.cancel()
        assert words_in(tmp_path) == set()
