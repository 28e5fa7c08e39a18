"""A live run and a loaded one are the same to their reader: the same names, kinds of values and errors."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    ConfigurationError,
    ExecutionError,
    ModelError,
    Run,
    ScriptedModel,
    load_run,
)
from rlm_notebook.models.scripted import Fault
from rlm_notebook.runtime.run_view import RunInternals, RunView, is_run

TRIP = {"trip": {"flights": "at 9", "food": {"lunch": "soup", "dinner": "stew"}}}
#: What a user may rely on, and `internals`; a name more is a promise more.
NAMES = {
    *("run_id", "task", "tree", "status", "ended", "output", "error", "usage", "calls", "checkpoint"),
    *(
        "changed",
        "notes",
        "awaiting",
        "reject",
        "events",
        "partial",
        "trace",
        "diff",
        "to_frame",
        "to_html",
        "to_mermaid",
    ),
    *("cancel", "pause", "resume", "approve", "edit", "retry", "synthesize_anyway", "baseline"),
    "internals",
}


async def ended(path: Path, **faults: Any) -> Run:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP, **faults), retry=None).start("trip", checkpoint=path)
    try:
        await run
    except ExecutionError:
        assert faults
    return run


def public(value: object) -> set[str]:
    return {name for name in dir(value) if not name.startswith("_")}


async def test_a_run_has_the_names_that_are_promised_and_no_more(tmp_path: Path) -> None:
    run = await ended(tmp_path / "run.json")

    assert public(run) == NAMES
    assert len(NAMES) <= 30


async def test_a_loaded_run_has_every_name_of_a_live_one(tmp_path: Path) -> None:
    live = await ended(tmp_path / "run.json")
    loaded = load_run(tmp_path / "run.json")

    assert public(loaded) == NAMES | {"path", "recorded", "store"}
    asked = {name for name in dir(RunInternals) if not name.startswith("_")}
    assert asked <= public(live.internals)
    assert asked <= public(loaded.internals)
    for name in NAMES:
        mine, theirs = getattr(type(live), name, None), getattr(type(loaded), name, None)
        if inspect.isfunction(mine):
            assert list(inspect.signature(mine).parameters) == list(inspect.signature(theirs).parameters), name


FACTS: dict[str, Callable[[RunView], Any]] = {
    "run_id": lambda run: run.run_id,
    "task": lambda run: run.task,
    "nodes": lambda run: [(node.id, node.state, node.result) for node in run.tree],
    "status": lambda run: run.status,
    "ended": lambda run: run.ended,
    "output": lambda run: str(run.output),
    "usage": lambda run: run.usage,
    "checkpoint": lambda run: run.checkpoint,
    "changed": lambda run: run.changed,
    "notes": lambda run: run.notes,
    "awaiting": lambda run: list(run.awaiting),
    "partial": lambda run: str(run.partial()),
    "partial_run_id": lambda run: run.partial().metadata["run_id"],
    "trace": lambda run: run.trace(),
    "mermaid": lambda run: run.to_mermaid(),
    "diff": lambda run: str(run.diff(run)),
    "text": str,
    "error": lambda run: type(run.error).__base__ if run.error is not None else None,
    "request_key": lambda run: run.internals.request_key,
    "budget": lambda run: run.internals.budget,
    "active_seconds": lambda run: round(run.internals.active_seconds, 6),
    "finished": lambda run: run.internals.finished,
    "at_rest": lambda run: run.internals.at_rest,
    "latest": lambda run: run.internals.latest is run,
}


@pytest.mark.parametrize("fact", FACTS)
async def test_a_loaded_run_reads_as_the_live_one(fact: str, tmp_path: Path) -> None:
    live = await ended(tmp_path / "run.json")

    assert FACTS[fact](load_run(tmp_path / "run.json")) == FACTS[fact](live)


@pytest.mark.parametrize("fact", sorted(FACTS.keys() - {"error"}))
async def test_so_it_is_of_a_run_that_failed(fact: str, tmp_path: Path) -> None:
    live = await ended(tmp_path / "run.json", faults=[Fault("^dinner$", error=ModelError("no stew"), times=None)])
    loaded = load_run(tmp_path / "run.json")

    assert FACTS[fact](loaded) == FACTS[fact](live)
    assert isinstance(live.error, ExecutionError)
    assert isinstance(loaded.error, ExecutionError)


CONTROLS: dict[str, Callable[[RunView], Any]] = {
    "cancel": lambda run: run.cancel(),
    "cancel a node": lambda run: run.cancel("0.1"),
    "cancel no node": lambda run: run.cancel("0.9"),
    "pause": lambda run: run.pause(),
    "resume": lambda run: run.resume(),
    "approve": lambda run: run.approve("0"),
    "reject": lambda run: run.reject("0", "too long"),
}


@pytest.mark.parametrize("control", CONTROLS)
async def test_control_of_a_loaded_run_does_what_it_does_to_one_that_has_ended(control: str, tmp_path: Path) -> None:
    live = await ended(tmp_path / "run.json")

    async def outcome(run: RunView) -> Any:
        try:
            result = CONTROLS[control](run)
            return await result if result is not None else None
        except ConfigurationError as error:
            return type(error), re.split("[:;]", str(error))[0]

    kind, loaded_kind = await outcome(live), await outcome(load_run(tmp_path / "run.json"))
    assert loaded_kind == kind
    assert (kind is None) == (control in ("cancel", "pause", "resume"))


async def test_methods_that_continue_a_loaded_run_name_the_alternative(tmp_path: Path) -> None:
    await ended(tmp_path / "run.json")
    loaded = load_run(tmp_path / "run.json")

    with pytest.raises(ConfigurationError, match=r"AsyncRecursiveEngine\(\.\.\.\)\.baseline\(run\)"):
        loaded.baseline()
    for act in (loaded.internals.forked, loaded.internals.again, lambda: loaded.internals.continue_as(lambda: loaded)):
        with pytest.raises(ConfigurationError, match="execute its cell again"):
            act()


async def test_a_value_of_a_notebook_is_known_to_be_a_run_without_a_look_at_its_attributes(tmp_path: Path) -> None:
    class Foreign:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("touched")

    live = await ended(tmp_path / "run.json")
    assert is_run(live)
    assert is_run(load_run(tmp_path / "run.json"))
    assert not any(map(is_run, (Foreign(), SimpleNamespace(tree=1), Run, None, "run")))
