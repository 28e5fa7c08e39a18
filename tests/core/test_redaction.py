"""Redaction: texts that are left out appear nowhere, and the rest has the same shape."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.core.choices import STORES
from rlm_notebook.core.events import NodeCreated, RunStarted, to_json
from rlm_notebook.core.redaction import narrower, redacted_event, redacted_run, store_of
from rlm_notebook.core.tree import Recorded, Tree
from tests.core.test_tree import random_history

seeds = st.integers(0, 10_000)


def test_stores_go_from_the_most_to_the_least() -> None:
    assert STORES == ("full", "outputs", "hashes")
    assert narrower("outputs", "full")
    assert narrower("hashes", "outputs")
    assert not narrower("full", "full")


@given(seeds)
def test_the_tree_is_the_same_whether_events_or_nodes_are_reduced(seed: int) -> None:
    """What is known of the shape: ids, states, times, usage. So a crash and an end leave the same."""
    tree, events, _ = random_history(seed)
    for store in STORES:
        folded = Tree()
        for event in events:
            folded.apply(redacted_event(event, store))
        reduced = redacted_run(Recorded(tree), store).tree
        assert [shape(node) for node in folded] == [shape(node) for node in tree] == [shape(node) for node in reduced]
        if store != "full":
            assert [node.result for node in folded] == [node.result for node in reduced]
            assert [node.plan for node in folded] == [node.plan for node in reduced]


def shape(node: Any) -> Any:
    return (node.id, node.parent, node.state, node.decision, node.usage, node.started, node.ended, node.phases)


@given(seeds)
def test_what_is_reduced_already_stays(seed: int) -> None:
    tree, events, _ = random_history(seed)
    for store in STORES[1:]:
        for event in events:
            once = redacted_event(event, store)
            assert redacted_event(once, store) == once
        kept = redacted_run(Recorded(tree), store)
        assert store_of(kept) == store
        assert redacted_run(kept, store) is kept
        assert redacted_run(kept, "full") is kept


@pytest.mark.parametrize("store", ["outputs", "hashes"])
def test_instructions_and_schemas_of_agents_are_left_out(store: Any) -> None:
    agent = {
        "model": "m",
        "description": "PRIVATE",
        "instructions": "PRIVATE",
        "temperature": None,
        "tools": [{"name": "look", "version": "1", "schema": {"description": "PRIVATE"}}],
    }
    settings = {"model": "m", "agents": {"default": agent}, "limits": {"max_depth": 5}}
    started = RunStarted(at=0.0, run_id="r", task="PRIVATE", settings=settings)
    said = json.dumps(to_json(redacted_event(started, store)))

    assert "PRIVATE" not in said
    assert '"version": "1"' in said
    assert f'"store": "{store}"' in said


def test_tasks_of_the_same_words_have_the_same_hash() -> None:
    made = [NodeCreated(at=0.0, node="0", parent=None, task=task) for task in ("a", "a", "b")]
    one, same, other = (redacted_event(event, "hashes") for event in made)
    assert one == same != other
