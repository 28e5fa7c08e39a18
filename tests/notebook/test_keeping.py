"""What a cell keeps, and what it keeps to: `--store` and `--keep-plan`."""

# ruff: noqa: ASYNC240 - a test may block
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import ScriptedModel

FILE = Path("notebook.rlm/trip.json")


@pytest.fixture
def model(shell: Any) -> ScriptedModel:
    shell.names["model"] = made = ScriptedModel({"a secret trip": {"one": "private"}, "a secret tripp": {"two": "2"}})
    return made


@pytest.mark.parametrize(
    ("store", "held"), [("full", {"secret", "private"}), ("outputs", {"private"}), ("hashes", set())]
)
async def test_the_file_holds_what_was_chosen(shell: Any, model: Any, store: str, held: set[str]) -> None:
    output = await shell.value(f"%%rlm -m model -q -n trip --store {store}\na secret trip")
    assert "private" in str(output)
    text = FILE.read_text()
    assert {word for word in ("private",) if word in text} == held & {"private"}
    assert ("private" in text) == (store != "hashes")
    if store == "hashes":
        assert "secret" not in text


async def test_a_recorded_plan_is_kept_to(shell: Any, model: ScriptedModel) -> None:
    await shell.value("%%rlm -m model -q -n trip\na secret tripp")
    await shell.value("%%rlm -m model -q -n trip --keep-plan\na secret trip")
    assert [node.task for node in shell.names["_rlm"].tree] == ["a secret trip", "two"]
    assert [r.facts.task for r in model.requests if r.mode == "planner" and r.facts.depth == 0] == ["a secret tripp"]
