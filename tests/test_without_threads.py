"""What a browser lacks (threads, file locks, `openai`, `regex`) is not needed, or named with what to use instead."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, CheckpointError, ConfigurationError, ModelError, RecursiveEngine, tool
from rlm_notebook.checkpoints import file_lock
from rlm_notebook.concurrency import threads
from rlm_notebook.documents.expressions import compiled
from rlm_notebook.models.discovery import local_servers


@pytest.fixture(autouse=True)
def _no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "CAN_START_THREADS", False)
    monkeypatch.setattr(file_lock, "HAS_FILE_LOCKS", False)
    monkeypatch.setattr(threading.Thread, "start", refuse)


def _planner(inputs: Any, context: Any) -> Any:
    """A blocking callable that splits once and calls a tool."""
    if context["mode"] == "planner":
        plan = {"decision": "RECURSE", "sub_tasks": ["one", "two"]} if not context["depth"] else {"decision": "EXECUTE"}
        return {"content": json.dumps(plan)}
    if context["mode"] == "synthesizer":
        return {"content": " ".join(part["content"] for part in context["parts"])}
    told = [each["content"] for each in inputs if each["role"] == "tool"]
    if told:
        return {"content": f"{context['task']} {told[0]}"}
    return {"content": "", "tool_calls": [{"name": "length", "arguments": {"text": context["task"]}}]}


@tool
def length(text: str) -> int:
    """The number of characters."""
    return len(text)


async def test_blocking_callables_and_tools_run_in_place_and_are_recorded(tmp_path: Path) -> None:
    engine = AsyncRecursiveEngine(_planner, tools=[length])
    output = await engine.solve("count", checkpoint=tmp_path / "run.json")
    assert output.content == "one 3 two 3"
    again = await engine.solve("count", checkpoint=tmp_path / "run.json", mode="replay")
    assert again.content == output.content


async def test_a_file_has_one_writer_and_a_mark_of_an_earlier_kernel_does_not_lock_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    (tmp_path / "run.json.lock").write_text("42")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(inputs: Any, context: Any) -> Any:
        begun.set()
        await go_on.wait()
        return {"content": "done"}

    engine = AsyncRecursiveEngine(slow, max_depth=1)
    run = engine.start("count", checkpoint=path)
    await begun.wait()
    with pytest.raises(CheckpointError, match="is writing it"):
        await engine.solve("something else", checkpoint=path)
    go_on.set()
    await run
    assert (await engine.solve("something else", checkpoint=path, mode="fresh")).content == "done"


async def test_the_loop_runs_between_two_blocking_calls() -> None:
    """So the tree is drawn, and a click is heard, while a run calls."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    seen = [await threads.in_daemon_thread(lambda: turns) for _ in range(3)]
    counting.cancel()
    assert seen[0] < seen[1] < seen[2]


@pytest.mark.parametrize("error", [ValueError("bad"), StopIteration("over"), SystemExit(3), KeyboardInterrupt("now")])
async def test_an_error_in_place_is_one_that_can_be_awaited(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(ValueError if isinstance(error, ValueError) else RuntimeError, match=str(error)):
        await threads.in_daemon_thread(work)


async def test_the_synchronous_engine_names_what_to_use_instead() -> None:
    with pytest.raises(ConfigurationError, match=r"await AsyncRecursiveEngine\(\.\.\.\)\.solve"):
        RecursiveEngine(_planner).solve("count")


async def test_nothing_looks_for_servers() -> None:
    assert local_servers({"ollama": "http://127.0.0.1:9/v1"}) == []


async def test_without_the_sdk_a_model_of_openai_is_refused_before_its_key_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ModelError, match="needs the package openai"):
        await AsyncRecursiveEngine("openai:gpt-5-mini").solve("count")


def test_without_regex_expressions_are_those_of_re(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regex", None)
    found = compiled("s.orm", ignore_case=True).matches("A storm, a STORM", 1.0)
    assert [match.start() for match in found] == [2, 11]
    with pytest.raises(ValueError, match="is no regular expression"):
        compiled("(")
