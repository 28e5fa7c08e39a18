"""The synchronous engine over blocking code: as parallel as the asynchronous one, wherever it is called."""

import asyncio
import inspect
import json
import threading
import time
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ConfigurationError, RecursiveEngine
from tests.support.waiting import HANG


class Blocking:
    """A callable that blocks its thread, as the client libraries of providers do.

    Leaves go on once `together` calls have been under way at the same time.
    """

    def __init__(self, *, together: int = 1, parts: int = 8) -> None:
        self.parts = parts
        self.threads: set[int] = set()
        self.active = self.peak = 0
        self._together = together
        self._changed = threading.Condition()

    def __call__(self, inputs: Any, context: dict[str, Any]) -> dict[str, Any]:
        with self._changed:
            self.active += 1
            self.peak = max(self.peak, self.active)
            self.threads.add(threading.get_ident())
            self._changed.notify_all()
            if context["depth"] == 1:
                self._changed.wait_for(lambda: self.peak >= self._together, HANG)
        time.sleep(0.001)
        with self._changed:
            self.active -= 1
        if context["mode"] == "planner":
            parts = [{"description": f"part {n}"} for n in range(self.parts)] if context["depth"] == 0 else []
            return {"content": plan(parts)}
        return {"content": "joined" if context["mode"] == "synthesizer" else "done"}


def plan(parts: list[Any]) -> str:
    return json.dumps(
        {"decision": "RECURSE" if parts else "EXECUTE", "answer": None if parts else "x", "sub_tasks": parts}
    )


def test_eight_leaves_that_block_are_under_way_at_once() -> None:
    model = Blocking(together=8)
    output = RecursiveEngine(model).solve("t")

    assert output.content == "joined"
    assert model.peak == 8


async def test_inside_a_running_loop_it_is_as_parallel() -> None:
    model = Blocking(together=8)
    RecursiveEngine(model).solve("t")

    assert model.peak == 8
    await asyncio.sleep(0)


def test_in_threads_of_yours_too() -> None:
    found: list[str] = []
    model = Blocking(together=9)
    engine = RecursiveEngine(model)
    threads = [threading.Thread(target=lambda: found.append(engine.solve("t").content)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)

    assert found == ["joined"] * 3
    assert model.peak > 8, "one engine in three threads does three things at once"


def test_what_cannot_bear_threads_is_called_one_at_a_time() -> None:
    model = Blocking()
    RecursiveEngine(model, thread_safe=False).solve("t")
    asyncio.run(AsyncRecursiveEngine(model, thread_safe=False).solve("t"))

    assert model.peak == 1


def test_a_callable_may_say_itself_that_it_cannot_bear_threads() -> None:
    model = Blocking()
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
        RecursiveEngine(Blocking(), cache="disk")  # type: ignore[arg-type]
