"""The synchronous engine: in scripts, in threads, inside running loops, interrupted."""

import asyncio
import contextlib
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    ConfigurationError,
    ExecutionError,
    ModelError,
    RecursiveEngine,
    RLMContext,
    ScriptedModel,
)
from rlm_notebook.models.scripted import Fault
from tests.support.signals import interruptible
from tests.support.waiting import HANG

TRIP = {"trip": {"flights": "at 9", "hotel": "downtown", "food": {"lunch": "soup", "dinner": "stew"}}}
ANSWER = "trip: at 9; downtown; food: soup; stew"


def test_it_solves_in_a_script() -> None:
    output = RecursiveEngine(ScriptedModel(TRIP)).solve("trip")

    assert output["content"] == ANSWER
    assert output.metadata["calls"] == 8


def test_it_can_be_used_again_and_from_several_threads() -> None:
    engine = RecursiveEngine(ScriptedModel(TRIP, latency=0.002))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(engine.solve("trip").content)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [ANSWER] * 4
    assert engine.solve("trip").content == ANSWER


async def test_it_solves_inside_a_running_loop_without_touching_it() -> None:
    loop, before = asyncio.get_running_loop(), set(threading.enumerate())
    assert RecursiveEngine(ScriptedModel(TRIP)).solve("trip").content == ANSWER

    assert asyncio.get_running_loop() is loop
    assert not set(threading.enumerate()) - before, "the thread that it was solved in has ended"


async def test_an_error_inside_a_running_loop_is_the_same_error() -> None:
    model = ScriptedModel(TRIP, faults=[Fault("hotel", error=ModelError("no room"), times=None)])
    with pytest.raises(ExecutionError, match="no room") as error:
        RecursiveEngine(model).solve("trip")

    assert error.value.run.status == "failed"


def blocking(barrier: threading.Barrier | None = None) -> Any:
    active: list[int] = [0, 0]
    lock = threading.Lock()

    def caller(inputs: Any, context: dict[str, Any]) -> dict[str, str]:
        if context["mode"] == "planner":
            parts = ["a", "b", "c"] if context["depth"] == 0 else []
            return {"content": json.dumps({"decision": "RECURSE", "sub_tasks": parts})}
        with lock:
            active[0] += 1
            active[1] = max(active)
        if barrier is not None and context["mode"] == "worker":
            barrier.wait()
        time.sleep(0.01)
        with lock:
            active[0] -= 1
        return {"content": context["task"]}

    caller.active = active  # type: ignore[attr-defined]
    return caller


def test_blocking_siblings_run_side_by_side() -> None:
    assert RecursiveEngine(blocking(threading.Barrier(3, timeout=HANG))).solve("t").content == "t"


def test_a_callable_that_bears_no_threads_is_called_one_at_a_time() -> None:
    caller = blocking()
    RecursiveEngine(caller, thread_safe=False).solve("t")

    assert caller.active[1] == 1


def test_an_engine_shows_its_model_and_limits_and_no_secret() -> None:
    engine = RecursiveEngine("http://me:secret@127.0.0.1:9/v1#tiny", max_depth=3)
    assert repr(engine) == "<RecursiveEngine http://127.0.0.1:9/v1#tiny, max_depth=3, max_steps=50>"
    assert repr(engine.async_engine).startswith("<AsyncRecursiveEngine http://127.0.0.1:9/v1#tiny, ")


def test_it_takes_the_arguments_of_the_asynchronous_engine() -> None:
    import inspect

    from rlm_notebook import AsyncRecursiveEngine

    own = dict(inspect.signature(RecursiveEngine).parameters)
    theirs = dict(inspect.signature(AsyncRecursiveEngine).parameters)
    # Nobody could approve anything while the only thread waits for the answer.
    theirs = {name: parameter for name, parameter in theirs.items() if name != "approve"}

    assert {name: p.default for name, p in own.items() if name != "retry"} == {
        name: p.default for name, p in theirs.items() if name != "retry"
    }
    assert list(inspect.signature(RecursiveEngine.solve).parameters) == list(
        inspect.signature(AsyncRecursiveEngine.solve).parameters
    )


def test_context_checkpoint_and_mode_are_passed_on(tmp_path: Path) -> None:
    engine = RecursiveEngine(model := ScriptedModel(TRIP))
    context = RLMContext(breadcrumbs=("the summer",))
    engine.solve("trip", context=context, checkpoint=tmp_path / "t.json")
    again = engine.solve("trip", context=context, checkpoint=tmp_path / "t.json", mode="replay")

    assert again.content == ANSWER
    assert model.calls == 8
    with pytest.raises(ConfigurationError):
        engine.solve("")


INTERRUPTED = """
import asyncio, signal, sys
from rlm_notebook import RecursiveEngine, ScriptedModel

async def slow(request):
    print("slow", flush=True)
    await asyncio.sleep(60)

engine = RecursiveEngine(ScriptedModel({"t": {"quick": "Q", "slow": slow}}))

def solve():
    try:
        engine.solve("t", checkpoint=sys.argv[1])
    except KeyboardInterrupt:
        print("interrupted", flush=True)

async def inside(interrupts_raise=True):
    if interrupts_raise:
        # As in a notebook, where a cell is interrupted by KeyboardInterrupt.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    solve()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    print(f"left {len(left)}", flush=True)

try:
    solve() if sys.argv[2] == "script" else asyncio.run(inside(interrupts_raise=sys.argv[2] == "cell"))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGINT")
@pytest.mark.parametrize("where", ["script", "cell", "program"])
def test_an_interrupt_cancels_the_run_keeps_what_finished_and_is_raised_again(tmp_path: Path, where: str) -> None:
    path = tmp_path / "t.json"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(path), where],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "slow\n"
        time.sleep(0.15)
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=HANG)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    assert said.startswith("interrupted")
    assert complaints == ""
    data = json.loads(path.read_text())
    assert data["status"] == "cancelled"
    assert [node["state"] for node in data["nodes"]] == ["cancelled", "done", "cancelled"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["t.json"]


async def test_an_option_of_the_engine_that_is_given_to_a_run_is_told_where_it_goes() -> None:
    from rlm_notebook import AsyncRecursiveEngine

    with pytest.raises(TypeError, match=r"start\(\) takes no approve: .*, AsyncRecursiveEngine\(..., approve=...\)"):
        AsyncRecursiveEngine("offline").start("Go", approve=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"solve\(\) takes no max_depth: it is an option of the engine"):
        RecursiveEngine("offline").solve("Go", max_depth=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"solve\(\) takes no approve"):
        await AsyncRecursiveEngine("offline").solve("Go", approve=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'aprove'; it takes task, context, checkpoint"):
        AsyncRecursiveEngine("offline").start("Go", aprove=True)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("modle", "llm"), ("model", "llm"), ("max_dept", "max_depth"), ("concurrency", "max_concurrency")],
)
def test_a_misspelt_argument_is_told_with_the_one_that_is_meant(wrong: str, meant: str) -> None:
    from rlm_notebook import AsyncRecursiveEngine

    for engine in (AsyncRecursiveEngine, RecursiveEngine):
        told = rf"^{engine.__name__}\(\) got an unexpected keyword argument '{wrong}'; did you mean {meant}=\.\.\.\?$"
        with pytest.raises(TypeError, match=told):
            engine("offline", **{wrong: 3})  # type: ignore[arg-type]
    assert list(inspect.signature(RecursiveEngine).parameters)[:2] == ["llm", "agents"], "editors show the arguments"


def test_what_was_not_awaited_is_told_so() -> None:
    async def model(inputs: object, context: object) -> dict[str, str]:
        return {"content": "ok"}

    engine, calls = RecursiveEngine(model, max_depth=1), [model(None, None) for _ in range(4)]

    with pytest.raises(ConfigurationError, match=r"a task is text, not coroutine; write `await` before it"):
        engine.solve(calls[0])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"no model but a coroutine.*pass the function itself"):
        RecursiveEngine(calls[1])
    with pytest.raises(ConfigurationError, match=r"expected a table.*; write `await` before it"):
        engine.map("{{row}}", calls[2])
    with pytest.raises(ConfigurationError, match=r"variable 'v' is of type coroutine.*; write `await` before it"):
        engine.solve("Go", variables={"v": calls[3]})
    with pytest.raises(ConfigurationError, match=r"a task is text, not int; pass the task as a string$"):
        engine.solve(3)  # type: ignore[arg-type]
    for call in calls:
        call.close()
