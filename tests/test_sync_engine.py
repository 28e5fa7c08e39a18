"""The synchronous engine over blocking code: as parallel as the asynchronous one, wherever it is called."""

import asyncio
import inspect
import json
import threading
import time
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ConfigurationError, RecursiveEngine


class Blocking:
    """A callable that blocks its thread, as the client libraries of providers do."""

    def __init__(self, seconds: float, parts: int = 8) -> None:
        self.seconds = seconds
        self.parts = parts
        self.threads: set[int] = set()
        self.active = self.peak = 0
        self._lock = threading.Lock()

    def __call__(self, inputs: Any, context: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.active += 1
            self.peak = max(self.peak, self.active)
            self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        with self._lock:
            self.active -= 1
        if context["mode"] == "planner":
            parts = [{"description": f"part {n}"} for n in range(self.parts)] if context["depth"] == 0 else []
            return {"content": plan(parts)}
        return {"content": "joined" if context["mode"] == "synthesizer" else "done"}


def plan(parts: list[Any]) -> str:
    return json.dumps(
        {"decision": "RECURSE" if parts else "EXECUTE", "answer": None if parts else "x", "sub_tasks": parts}
    )


def test_eight_leaves_of_half_a_second_take_no_four_seconds() -> None:
    model = Blocking(0.5)
    began = time.monotonic()
    output = RecursiveEngine(model).solve("t")
    took = time.monotonic() - began

    assert output.content == "joined"
    assert took < 3, f"a plan, eight leaves side by side and a synthesis took {took:.2f} s"
    assert model.peak == 8


async def test_inside_a_running_loop_it_is_as_parallel() -> None:
    model = Blocking(0.1)
    RecursiveEngine(model).solve("t")

    assert model.peak == 8
    await asyncio.sleep(0)


def test_in_threads_of_yours_too() -> None:
    found: list[str] = []
    model = Blocking(0.2)
    engine = RecursiveEngine(model)
    threads = [threading.Thread(target=lambda: found.append(engine.solve("t").content)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert found == ["joined"] * 3
    assert model.peak > 8, "one engine in three threads does three things at once"


def test_what_cannot_bear_threads_is_called_one_at_a_time() -> None:
    model = Blocking(0.01)
    RecursiveEngine(model, thread_safe=False).solve("t")
    asyncio.run(AsyncRecursiveEngine(model, thread_safe=False).solve("t"))

    assert model.peak == 1


def test_a_callable_may_say_itself_that_it_cannot_bear_threads() -> None:
    model = Blocking(0.01)
    model.thread_safe = False  # type: ignore[attr-defined]
    RecursiveEngine(model, agents={"planner": model, "other": model}).solve("t")

    assert model.peak == 1


@pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "async generator", "object"])
def test_callables_of_every_kind(kind: str) -> None:
    text = plan([])

    def function(inputs: Any, context: Any) -> Any:
        return {"content": text}

    async def coroutine(inputs: Any, context: Any) -> Any:
        return {"content": text}

    def generator(inputs: Any, context: Any) -> Any:
        yield from (text[:5], text[5:])

    async def async_generator(inputs: Any, context: Any) -> Any:
        for piece in (text[:5], text[5:]):
            yield piece

    class Object:
        async def __call__(self, inputs: Any, context: Any) -> Any:
            return {"content": text}

    kinds = {
        "function": function,
        "coroutine": coroutine,
        "generator": generator,
        "async generator": async_generator,
        "object": Object(),
    }
    assert RecursiveEngine(kinds[kind]).solve("t").content == "x"


def test_it_takes_what_the_asynchronous_one_takes() -> None:
    mine = inspect.signature(RecursiveEngine).parameters
    other = inspect.signature(AsyncRecursiveEngine).parameters

    assert set(other) - set(mine) <= {"approve"}, "whoever waits for solve cannot approve"
    assert not set(mine) - set(other)


def test_errors_of_arguments_come_when_it_is_made() -> None:
    with pytest.raises(ConfigurationError, match="cache="):
        RecursiveEngine(Blocking(0), cache="disk")  # type: ignore[arg-type]
