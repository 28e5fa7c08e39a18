"""Prompts: what is the same for all nodes comes first, what a node needs is in them, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.ports import NodeFacts, Part
from rlm_notebook.prompts import (
    PLANNER_SYSTEM_PROMPT,
    SYNTHESIZER_SYSTEM_PROMPT,
    WORKER_SYSTEM_PROMPT,
    ancestors_shown,
    planner_messages,
    planner_system_prompt,
    repair_messages,
    synthesizer_messages,
    worker_messages,
)

AGENTS = {"writer": "writes", "analyst": ""}
facts = st.builds(
    NodeFacts,
    task=st.text(),
    task_id=st.just("0.1"),
    depth=st.integers(0, 9),
    goal=st.text(),
    breadcrumbs=st.lists(st.text()).map(tuple),
    dependencies=st.lists(st.builds(Part, st.just("0.0"), st.text(), st.text()), max_size=3).map(tuple),
)


@given(facts, facts)
def test_the_first_message_is_the_same_for_all_nodes_byte_for_byte(one: NodeFacts, other: NodeFacts) -> None:
    """So that the prompt caches of providers hit."""
    for messages in (
        lambda f: planner_messages(f, planner_system_prompt(AGENTS, ["look"], "Be careful.")),
        lambda f: worker_messages(f, "Be careful."),
        lambda f: synthesizer_messages(f, "Be careful."),
    ):
        assert messages(one)[0] == messages(other)[0]
        assert messages(one)[0]["role"] == "system"


def test_the_order_in_which_agents_and_tools_were_given_does_not_matter() -> None:
    reverse = dict(reversed(AGENTS.items()))

    assert planner_system_prompt(AGENTS, ["a", "b"]) == planner_system_prompt(reverse, ["b", "a"])


@given(facts)
def test_a_prompt_holds_the_task_and_all_that_it_depends_on(given: NodeFacts) -> None:
    for messages in (planner_messages(given), worker_messages(given)):
        assert messages[1]["content"].endswith(f"# Task\n{given.task}")
        assert all(part.content in messages[1]["content"] for part in given.dependencies)


def test_a_synthesis_holds_every_part_in_the_order_of_the_plan_with_its_id() -> None:
    parts = tuple(Part(f"0.{n}", f"task {n}", f"result {n}") for n in range(12))
    content = synthesizer_messages(NodeFacts("t", parts=parts))[1]["content"]
    places = [content.index(f"## [0.{n}] task {n}\nresult {n}") for n in range(12)]

    assert places == sorted(places)


def test_of_the_way_down_the_root_and_the_last_eight_are_shown_and_long_tasks_shortened() -> None:
    shown = ancestors_shown(tuple(f"task {n}" for n in range(30)))

    assert shown == ("task 0", *(f"task {n}" for n in range(22, 30)))
    assert ancestors_shown(()) == ()
    assert len(ancestors_shown(("g" * 10_000, "a" * 10_000))[0]) < 2000
    assert len(ancestors_shown(("g" * 10_000, "a" * 10_000))[1]) < 400


def test_agents_are_offered_by_name_and_description() -> None:
    system = planner_system_prompt(AGENTS, ["search"])

    assert "- analyst: no description\n- writer: writes" in system
    assert "search" in system
    assert planner_system_prompt({}, []) == PLANNER_SYSTEM_PROMPT


def test_instructions_come_after_the_prompt_of_the_role() -> None:
    assert worker_messages(NodeFacts("t"), "Be brief.")[0]["content"] == f"{WORKER_SYSTEM_PROMPT}\n\nBe brief."
    assert synthesizer_messages(NodeFacts("t"))[0]["content"] == SYNTHESIZER_SYSTEM_PROMPT


def test_a_repair_goes_on_with_the_same_conversation() -> None:
    first = planner_messages(NodeFacts("t"))
    again = repair_messages(first, "Sure!", "there is no JSON")

    assert again[:2] == first
    assert [message["role"] for message in again[2:]] == ["assistant", "user"]
    assert "there is no JSON" in again[3]["content"]
    assert repair_messages(first, "", "it is empty")[2]["content"], "providers refuse empty messages"
