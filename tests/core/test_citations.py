"""Citations: an answer names the results that its statements are based on, also after it moves in the tree."""

from dataclasses import replace
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ModelError, ScriptedModel
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.core.citations import moved, placeless, sources_in
from rlm_notebook.core.plan import PlannedTask, Recurse
from rlm_notebook.core.tree import Node
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Reply, Request


def test_references_are_read_in_order_once_and_only_where_they_exist() -> None:
    nodes = {"0", "0.1", "0.1.2", "0.10"}

    assert sources_in("See [0.10], [0.1.2] and [0.10]; not [0.7], [1.2], [0.1 ] or 0.1.", nodes.__contains__) == [
        "0.10",
        "0.1.2",
    ]


def test_references_move_with_the_node_they_are_below() -> None:
    text = "[0.1] [0.1.0] [0.10] [0.2] [0]"

    assert moved(text, [("0.1", "0.3")]) == "[0.3] [0.3.0] [0.10] [0.2] [0]"
    assert moved(text, [("0.1", "0.2"), ("0.2", "0.1")]) == "[0.2] [0.2.0] [0.10] [0.1] [0]", "each moves once"
    assert moved(text, [("0.1", "0.1")]) == text
    assert placeless("[0.1.0] of [0.1], not [0.10]", "0.1") == placeless("[0.4.0] of [0.4], not [0.10]", "0.4")


def cited(request: Request) -> Any:
    """Each synthesis cites the sub-tasks that it is based on."""
    if request.mode == "synthesizer":
        return " ".join(f"{part.content} [{part.id}]" for part in request.facts.parts) + " [0.99]"
    return None


TREE = {"t": ["a", "b"], "b": ["b1", "b2"]}


def splitting(tree: dict[str, list[str]]) -> Any:
    def script(request: Request) -> Any:
        if request.mode == "planner" and request.facts.task in tree:
            return {"decision": "RECURSE", "sub_tasks": tree[request.facts.task]}
        return cited(request)

    return script


async def test_sources_are_listed_with_the_answer() -> None:
    output = await AsyncRecursiveEngine(ScriptedModel(splitting(TREE))).solve("t")

    assert output.metadata["sources"] == ["0.0", "0.1.0", "0.1.1", "0.1"]
    assert output.run.tree["0.1"].metadata["sources"] == ["0.1.0", "0.1.1"]
    assert "sources" not in output.run.tree["0.0"].metadata


async def solved_again(script: Any, other: Any) -> tuple[Any, ScriptedModel]:
    """A run whose last synthesis fails; then the root is planned again, as `other` states."""
    journal = MemoryJournal()
    fails = Fault("^t$", error=ModelError("no"), mode="synthesizer")
    with pytest.raises(ModelError):
        await AsyncRecursiveEngine(ScriptedModel(script, faults=[fails])).solve("t", checkpoint=journal)
    recorded = journal.read()
    assert recorded is not None
    recorded.tree._nodes["0"] = Node("0", None, "t")
    model = ScriptedModel(other)
    return await AsyncRecursiveEngine(model).solve("t", checkpoint=journal), model


async def test_an_answer_that_is_recalled_elsewhere_refers_to_where_its_parts_are_now() -> None:
    deep = {"t": ["a", "b"], "b": ["b1", "b2"], "b2": ["deep", "deeper"]}
    output, model = await solved_again(splitting(deep), splitting({**deep, "t": ["new", "also new", "b", "a"]}))
    b = output.run.tree["0.2"]

    assert (b.task, b.mark) == ("b", "replayed")
    assert b.result == (
        "answer to: b1 [0.2.0] answer to: deep [0.2.1.0] answer to: deeper [0.2.1.1] [0.99] [0.2.1] [0.99]"
    )
    assert b.metadata["sources"] == ["0.2.0", "0.2.1.0", "0.2.1.1", "0.2.1"]
    assert set(output.metadata["sources"]) == {"0.0", "0.1", "0.2", "0.3", *b.metadata["sources"]}
    assert {r.facts.task for r in model.requests} == {"t", "new", "also new"}, "nothing was done again for moving"


async def test_the_answer_of_a_leaf_is_not_touched_when_it_moves() -> None:
    def script(*parts: str) -> Any:
        plan = {"decision": "RECURSE", "sub_tasks": list(parts)}
        return lambda r: (
            plan if r.facts.task == "t" and r.mode == "planner" else "x = [0.0]" if r.facts.task == "code" else None
        )

    output, _ = await solved_again(script("code"), script("new", "code"))
    leaf = output.run.tree["0.1"]

    assert (leaf.result, leaf.mark) == ("x = [0.0]", "replayed")


async def test_a_node_whose_first_plan_was_superseded_keeps_its_references_when_it_moves() -> None:
    """Its sub-tasks are numbered after the superseded ones; at the new place they are numbered from 0."""
    broken = '{"decision": "RECURSE", "sub_tasks": ["wrong", "b1", 7'

    def first(request: Request) -> Any:
        if request.mode == "planner" and request.facts.task == "b" and len(request.messages) == 2:
            return Reply(broken)
        return splitting(TREE)(request)

    journal = MemoryJournal()
    fails = Fault("^t$", error=ModelError("no"), mode="synthesizer")
    model = ScriptedModel(first, stream=True, chunk=5, latency=0.02, faults=[fails])
    with pytest.raises(ModelError):
        await AsyncRecursiveEngine(model).solve("t", checkpoint=journal)
    recorded = journal.read()
    assert recorded is not None
    old = recorded.tree["0.1"]
    assert old.result is not None
    assert "[0.1.0]" not in old.result, "the parts that were put aside came first"
    recorded.tree._nodes["0"] = Node("0", None, "t")
    recorded.tree._nodes["0.1"] = replace(
        old, plan=Recurse(sub_tasks=(PlannedTask(task="b1"), PlannedTask(task="b2"))).to_json()
    )
    output = await AsyncRecursiveEngine(ScriptedModel(splitting({**TREE, "t": ["b", "a"]}))).solve(
        "t", checkpoint=journal
    )

    assert output.run.tree["0.0"].mark == "replayed"
    assert output.run.tree["0.0"].result == "answer to: b1 [0.0.0] answer to: b2 [0.0.1] [0.99]"


async def test_an_answer_without_references_lists_none() -> None:
    output = await AsyncRecursiveEngine(ScriptedModel({"t": ["a", "b"]})).solve("t")

    assert "sources" not in output.metadata
