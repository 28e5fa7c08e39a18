"""An engine: its arguments, what is refused before anything starts, and that it can be used again."""

# ruff: noqa: ASYNC240

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    ConfigurationError,
    Event,
    ModelError,
    NodeState,
    ScriptedModel,
)
from rlm_notebook.core.text import well_formed
from tests.support.trip import TRIP, endless


async def test_an_engine_keeps_nothing_of_a_run() -> None:
    engine = AsyncRecursiveEngine(endless(), max_depth=3, max_steps=7)
    first, second = await engine.solve("a"), await engine.solve("b")

    assert len(first.run.tree) == len(second.run.tree) == 7
    together = await asyncio.gather(*(engine.solve(task) for task in "cdef"))
    assert [len(output.run.tree) for output in together] == [7] * 4
    assert [output.content[0] for output in together] == ["<"] * 4 or all(output.content for output in together)


def test_an_engine_works_in_one_event_loop_after_another() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP))

    assert asyncio.run(engine.solve("trip")).content == asyncio.run(engine.solve("trip")).content


def test_replaced_leaves_the_engine_as_it_was() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(), max_depth=3)

    assert engine.replaced(max_depth=7).settings()["limits"]["max_depth"] == 7
    assert engine.settings()["limits"]["max_depth"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"on_limit": "stop"}, "on_limit='stop': expected one of 'execute', 'raise'"),
        ({"on_failure": "ignore"}, "on_failure"),
        ({"max_depth": 0}, "max_depth=0"),
        ({"max_steps": -1}, "max_steps=-1"),
        ({"agents": ["planner"]}, "agents="),
        ({"tools": [3]}, "3 is not a function"),
        ({"llm": None}, "llm=None"),
        ({"llm": 3}, "3 is no model"),
        ({"budget": 3}, "budget=3: expected Budget"),
        ({"budget": {"usd": 1}}, "budget="),
        ({"retry": 3}, "retry=3: expected RetryPolicy"),
        ({"prices": [1]}, "prices="),
        ({"observers": 3}, "observers: 3 cannot be called"),
        ({"observers": [print, 3]}, "observers: 3 cannot be called"),
        ({"temperature": "hot"}, "temperature='hot'"),
        ({"temperature": -1}, "temperature=-1"),
        ({"call_timeout": 0}, "call_timeout=0"),
        ({"default_model": 3}, "default_model=3"),
    ],
)
def test_arguments_that_cannot_work_are_refused_when_the_engine_is_made(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        AsyncRecursiveEngine(**{"llm": ScriptedModel(), **arguments})


@pytest.mark.parametrize("task", ["", "  \n", 3, None, b"text"])
async def test_what_is_no_task_is_refused_before_any_call(task: Any) -> None:
    with pytest.raises(ConfigurationError, match="task"):
        await AsyncRecursiveEngine(ScriptedModel()).solve(task)


async def test_one_observer_needs_no_list() -> None:
    told: list[Event] = []
    await AsyncRecursiveEngine(ScriptedModel(), observers=told.append).solve("t")  # type: ignore[arg-type]

    assert told


async def test_an_unknown_mode_or_checkpoint_is_refused() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel())
    with pytest.raises(ConfigurationError, match=r"context=\{\}: expected RLMContext"):
        await engine.solve("t", context={})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="output_type='int' is a text"):
        await engine.solve("t", output_type="int")
    with pytest.raises(ConfigurationError, match="mode='again'"):
        await engine.solve("t", mode="again")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="checkpoint=3"):
        await engine.solve("t", checkpoint=3)


def test_without_a_running_loop_the_error_names_the_synchronous_engine() -> None:
    with pytest.raises(ConfigurationError, match="RecursiveEngine"):
        AsyncRecursiveEngine(ScriptedModel()).start("t")


async def test_verbose_logs_the_run(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="rlm_notebook.run"):
        await AsyncRecursiveEngine(ScriptedModel(TRIP), verbose=True).solve("trip")

    assert "0.2.1" in caplog.text


async def test_texts_of_any_kind_go_through() -> None:
    odd = "half \ud83d, nul \0, \u202e reversed, ``` fence"
    output = await AsyncRecursiveEngine(ScriptedModel({"t": {"a": odd, "b": "B"}})).solve("t")

    assert output.content == f"t: {well_formed(odd)}; B"
    assert output.run.tree["0.0"].state is NodeState.DONE


@pytest.mark.parametrize("spec", ["openai:gpt-5-mini", "anthropic:claude-haiku-4-5"])
async def test_a_missing_key_is_said_before_anything_starts(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    engine = AsyncRecursiveEngine(spec)
    with pytest.raises(ModelError, match=f"{spec} needs .*_API_KEY; set it") as caught:
        engine.start("t", checkpoint=tmp_path / "run.json")

    assert caught.value.run is None
    assert list(tmp_path.iterdir()) == []


async def test_what_is_recorded_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    file = tmp_path / "run.json"
    await AsyncRecursiveEngine(ScriptedModel(TRIP, name="openai:gpt-5-mini")).solve("trip", checkpoint=file)
    kept = file.read_bytes()
    keyless = AsyncRecursiveEngine("openai:gpt-5-mini")

    assert (await keyless.solve("trip", checkpoint=file)).metadata["calls"] == 0
    assert (await keyless.solve("trip", checkpoint=file, mode="replay")).metadata["calls"] == 0
    assert "by hand" in (await keyless.edit(file, "0", result="by hand")).content
    with pytest.raises(ModelError, match="needs OPENAI_API_KEY"):
        await keyless.solve("another trip", checkpoint=file)
    with pytest.raises(ModelError, match="needs OPENAI_API_KEY"):
        await keyless.solve("trip", checkpoint=file, mode="fresh")
    assert file.read_bytes() == kept
