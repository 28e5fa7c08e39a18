"""Without `thread_safe`, blocking functions are called in the thread that waits: where their connections were made."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, RecursiveEngine
from rlm_notebook.models.callable import CallableModel
from tests.support.signals import interruptible

SPLIT = json.dumps({"decision": "RECURSE", "sub_tasks": ["one", "two"]})


class Where:
    """A blocking callable that notes the threads it is called in."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def __call__(self, inputs: Any, context: Any) -> Any:
        self.threads.add(threading.get_ident())
        if context["mode"] == "planner":
            return {"content": SPLIT if context["depth"] == 0 else '{"decision": "EXECUTE"}'}
        if context["mode"] == "worker" and context["tools"] and inputs[-1]["role"] != "tool":
            return {"content": "", "tool_calls": [{"name": "look", "arguments": {}}]}
        return {"content": inputs[-1]["content"][:20]}


def test_in_a_script_it_is_the_calling_thread() -> None:
    model = Where()
    RecursiveEngine(model, thread_safe=False, max_depth=3).solve("t")
    assert model.threads == {threading.get_ident()}


async def test_in_a_running_loop_too() -> None:
    model = Where()
    RecursiveEngine(model, thread_safe=False, max_depth=3).solve("t")
    assert model.threads == {threading.get_ident()}


def test_and_in_a_thread_of_yours() -> None:
    model, mine = Where(), []

    def work() -> None:
        mine.append(threading.get_ident())
        RecursiveEngine(model, thread_safe=False).solve("t")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert model.threads == set(mine)


@pytest.mark.parametrize("how", ["model", "attribute"])
def test_a_callable_may_say_so_itself(how: str) -> None:
    model = Where()
    if how == "attribute":
        model.thread_safe = False  # type: ignore[attr-defined]
    RecursiveEngine(CallableModel(model, thread_safe=how != "model")).solve("t")
    assert model.threads == {threading.get_ident()}


def test_others_run_in_threads_side_by_side() -> None:
    model = Where()
    RecursiveEngine(model).solve("t")
    assert threading.get_ident() not in model.threads


def test_a_connection_that_belongs_to_a_thread_can_be_used() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table answers (text)")

    def model(inputs: Any, context: Any) -> Any:
        connection.execute("insert into answers values (?)", (context["task"],))
        return {"content": "kept"}

    assert RecursiveEngine(model, max_depth=1, thread_safe=False).solve("t").content == "kept"
    assert connection.execute("select text from answers").fetchall() == [("t",)]


@pytest.mark.parametrize("running", [False, True])
def test_so_can_one_of_a_blocking_tool(running: bool) -> None:
    connection = sqlite3.connect(":memory:")

    def look() -> str:
        "Look it up."
        return str(connection.execute("select 42").fetchone()[0])

    engine = RecursiveEngine(Where(), tools=[look], max_depth=1, thread_safe=False)

    async def inside() -> str:
        return engine.solve("t").content

    assert (asyncio.run(inside()) if running else engine.solve("t").content) == "42"


def test_what_it_raises_fails_its_node_and_not_the_caller() -> None:
    def model(inputs: Any, context: Any) -> Any:
        if context["mode"] == "planner":
            return {"content": SPLIT}
        if context["task"] == "one":
            raise SystemExit(3)
        return {"content": context["task"]}

    engine = RecursiveEngine(model, max_depth=2, thread_safe=False, retry=None, on_failure="synthesize")
    output = engine.solve("t")
    assert [node.state for node in output.run.tree] == ["done", "failed", "done"]


async def test_an_engine_that_is_awaited_calls_them_one_at_a_time_beside_the_loop() -> None:
    model = Where()
    await AsyncRecursiveEngine(model, thread_safe=False).solve("t")
    assert threading.get_ident() not in model.threads


@pytest.mark.parametrize("running", [False, True], ids=["script", "running loop"])
def test_an_interrupt_ends_a_blocking_call_and_what_finished_is_kept(running: bool, tmp_path: Any) -> None:
    code = f"""
        import asyncio, json, sys, time
        from rlm_notebook import RecursiveEngine, load_run

        def model(inputs, context):
            if context["mode"] == "planner":
                return {{"content": {SPLIT!r}}}
            if context["task"] == "two":
                print("blocked", flush=True)
                time.sleep(100)
            return {{"content": "first part"}}

        engine = RecursiveEngine(model, max_depth=2, thread_safe=False)

        def work():
            engine.solve("t", checkpoint="run.json")

        async def inside():
            work()

        try:
            asyncio.run(inside()) if {running} else work()
        except KeyboardInterrupt:
            run = load_run("run.json")
            print("interrupted", run.status, run.tree["0.0"].result, run.tree["0.1"].state)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "blocked\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "interrupted cancelled first part cancelled\n", err
