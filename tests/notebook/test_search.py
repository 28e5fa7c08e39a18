"""The search of the widget: what is found where, in whole outputs and prompts, without holding the event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, RecursiveEngine, Run, ScriptedModel
from rlm_notebook.notebook.widget import TreeView
from rlm_notebook.notebook.widget.feed import Feed
from rlm_notebook.notebook.widget.search import Hit, searched_words

SCRIPT = {
    "Report on the sea": {
        "Measure the depth": "The ocean is **deep**: 11 km, and\nthe floor is cold.",
        "Count the fish": "Many, see [0.0] for the depth.",
    }
}


@pytest.fixture(scope="module")
def run() -> Run:
    run = RecursiveEngine(ScriptedModel(SCRIPT)).solve("Report on the sea").run
    assert run is not None
    return run


def hits(run: Run, *words: str) -> list[Hit]:
    return [hit for hit in Feed(run).search(searched_words(list(words))) if hit is not None]


def places(run: Run, *words: str) -> dict[str, str]:
    return {node: field for node, field, _ in hits(run, *words)}


def test_words_are_found_in_any_order_and_case(run: Run) -> None:
    assert places(run, "COLD", "ocean") == {"0": "output", "0.0": "output"}
    assert places(run, "measure", "cold") == {"0": "output", "0.0": "title"}, "one word is in the title"
    assert places(run, "sea")["0.1"] == "prompt", "the prompt has the tasks above"
    assert places(run, "zebra") == {}


def test_a_hit_shows_what_surrounds_the_word(run: Run) -> None:
    found = {node: excerpt for node, _, excerpt in hits(run, "floor")}
    assert found["0.0"] == "…*deep**: 11 km, and the floor is cold."


def test_a_title_comes_before_what_repeats_it(run: Run) -> None:
    found = places(run, "measure")
    assert found["0.0"] == "title"
    assert found["0"] == "plan"


def test_an_id_finds_its_node_and_in_brackets_also_who_names_it(run: Run) -> None:
    assert {node for node, field in places(run, "0.1").items() if field == "id"} == {"0.1"}
    assert places(run, "[0.0]")["0.0"] == "id"
    assert places(run, "[0.0]")["0.1"] == "output"


def test_words_of_a_hostile_request_are_dropped_or_cut() -> None:
    assert searched_words(["A", "a", "", 3, None, {"x": 1}, "B" * 1000]) == ["a", "b" * 400]
    assert searched_words("abc") == []
    assert len(searched_words([str(number) for number in range(1000)])) == 20


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(
        TreeView, "send", lambda self, content, buffers=None: messages.append({**content, "buffers": buffers or []})
    )
    return messages


async def found(sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers, once the last search is complete."""
    for _ in range(1000):
        await asyncio.sleep(0)
        if any(message["t"] == "found" and message["done"] for message in sent):
            break
    return [message for message in sent if message["t"] == "found"]


async def test_the_loop_goes_on_between_the_parts_of_an_answer(
    sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_notebook.notebook.widget.SEARCH_SLICE", 0)
    run = AsyncRecursiveEngine(ScriptedModel(SCRIPT)).start("Report on the sea")
    await run
    view = TreeView(run)
    view._handle_custom_msg({"t": "find", "req": 7, "c": "page", "words": ["sea"]}, [])
    answers = await found(sent)
    assert len(answers) >= 3, "one for each node"
    assert [answer["done"] for answer in answers] == [False] * (len(answers) - 1) + [True]
    assert {answer["req"] for answer in answers} == {7}
    assert {hit[0] for answer in answers for hit in answer["hits"]} == {"0", "0.0", "0.1"}


async def test_a_page_that_searches_anew_ends_its_search_before(
    sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_notebook.notebook.widget.SEARCH_SLICE", 0)
    run = AsyncRecursiveEngine(ScriptedModel(SCRIPT)).start("Report on the sea")
    await run
    view = TreeView(run)
    for request, word in enumerate(["sea", "fish"]):
        view._handle_custom_msg({"t": "find", "req": request, "c": "page", "words": [word]}, [])
    answers = await found(sent)
    assert all(not answer["done"] for answer in answers if answer["req"] == 0)
    assert view._searches == {}


def test_a_run_without_a_loop_is_searched_at_once(run: Run, sent: list[dict[str, Any]], tmp_path: Any) -> None:
    from rlm_notebook import load_run

    path = tmp_path / "run.json"
    RecursiveEngine(ScriptedModel(SCRIPT)).solve("Report on the sea", checkpoint=path)
    TreeView(load_run(path))._handle_custom_msg({"t": "find", "req": 1, "c": "page", "words": ["cold"]}, [])
    (answer,) = [message for message in sent if message["t"] == "found"]
    assert answer["done"]
    assert "0.0" in {hit[0] for hit in answer["hits"]}
