"""Two trees compared: by what nodes are, not by where they stand."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel, Usage
from rlm_notebook.core.tree import Node, NodeState, Phase, Tree
from rlm_notebook.views.diff import MOST_LINES, difference, pairs_of

DONE = NodeState.DONE
ROOT = Node("0", None, "trip", state=DONE, result="all")
FLIGHTS = Node("0.0", "0", "flights", state=DONE, result="at 9")
HOTEL = Node("0.1", "0", "hotel", state=DONE, result="downtown")


def tree(*nodes: Node) -> Tree:
    return Tree.of([ROOT, *nodes])


def at(node: Node, place: str) -> Node:
    return replace(node, id=place)


def test_equal_trees_differ_in_nothing() -> None:
    same = difference(tree(FLIGHTS, HOTEL), tree(FLIGHTS, HOTEL))

    assert not same
    assert str(same) == "the same nodes; +0.0000 dollars, +0.0s of work"


def test_nodes_that_changed_places_are_the_same_nodes() -> None:
    assert not difference(tree(FLIGHTS, HOTEL), tree(at(HOTEL, "0.0"), at(FLIGHTS, "0.1")))


def test_what_came_what_went_and_what_is_otherwise() -> None:
    food = Node("0.0", "0", "food", state=DONE, result="soup")
    found = difference(tree(FLIGHTS, HOTEL), tree(food, at(replace(FLIGHTS, result="at 10"), "0.1"), at(HOTEL, "0.2")))

    assert [node.task for node in found.added] == ["food"]
    assert [(change.old.id, change.new.id, change.what) for change in found.changed] == [("0.0", "0.1", ("result",))]
    assert [node.task for node in difference(tree(FLIGHTS, HOTEL), tree(FLIGHTS)).removed] == ["hotel"]


def test_another_task_at_the_same_place_is_a_change_and_its_parts_are_compared() -> None:
    part = Node("0.1.0", "0.1", "rooms", state=DONE, result="2")
    found = difference(tree(FLIGHTS, HOTEL, part), tree(FLIGHTS, replace(HOTEL, task="hostel"), part))

    assert [(change.new.id, change.what) for change in found.changed] == [("0.1", ("task",))]
    assert not found.added + found.removed


def test_parts_of_what_came_came_too() -> None:
    part = Node("0.1.0", "0.1", "rooms", state=DONE, result="2")

    assert [node.id for node in difference(tree(FLIGHTS), tree(FLIGHTS, HOTEL, part)).added] == ["0.1", "0.1.0"]


def test_twins_are_matched_one_to_one() -> None:
    found = difference(tree(FLIGHTS), tree(FLIGHTS, at(FLIGHTS, "0.1")))

    assert [node.id for node in found.added] == ["0.1"]


def test_thoughts_of_a_planner_make_no_other_plan_but_a_decision_does() -> None:
    def planned(**plan: object) -> Tree:
        return tree(replace(FLIGHTS, plan={"decision": "EXECUTE", **plan}))

    assert not difference(planned(thoughts="a"), planned(thoughts="b"))
    assert difference(planned(), planned(decision="RECURSE")).changed[0].what == ("plan",)


def test_superseded_nodes_are_not_compared() -> None:
    assert not difference(tree(FLIGHTS, replace(HOTEL, state=NodeState.SUPERSEDED)), tree(FLIGHTS))


def test_it_reads_as_lines_with_cost_and_time() -> None:
    failed = replace(
        HOTEL,
        state=NodeState.FAILED,
        result=None,
        usage=Usage(calls=1, cost_usd=0.25),
        phases=(Phase("execute", 1.0, 3.5), Phase("wait", 3.5, 9.0)),
    )
    assert str(difference(tree(FLIGHTS, HOTEL), tree(failed))).splitlines() == [
        "1 changed, 0 added, 1 removed; +0.2500 dollars, +2.5s of work",
        "~ [0.1] hotel: state, result changed (done → failed)",
        "- [0.0] flights",
    ]


def test_next_to_nothing_is_not_less() -> None:
    took = replace(HOTEL, phases=(Phase("execute", 1.0, 1.001),))

    assert str(difference(tree(took), tree(HOTEL))) == "the same nodes; +0.0000 dollars, +0.0s of work"


def test_an_unknown_price_makes_the_cost_unknown() -> None:
    found = difference(tree(), tree(replace(HOTEL, usage=Usage(cost_usd=None))))

    assert found.cost_usd is None
    assert "cost unknown" in str(found)


def test_a_long_difference_is_counted_at_its_end() -> None:
    many = [Node(f"0.{n}", "0", f"part {n}") for n in range(MOST_LINES + 3)]

    assert str(difference(tree(), tree(*many))).endswith("… and 3 more")


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_every_node_is_in_both_or_added_or_removed(old: list[str], new: list[str]) -> None:
    first = tree(*(Node(f"0.{n}", "0", task) for n, task in enumerate(old)))
    second = tree(*(Node(f"0.{n}", "0", task) for n, task in enumerate(new)))
    there, back = difference(first, second), difference(second, first)

    assert len(first) - len(there.removed) == len(second) - len(there.added)
    assert sorted(node.task for node in there.added) == sorted(node.task for node in back.removed)


async def test_runs_can_be_compared() -> None:
    runs = [AsyncRecursiveEngine(ScriptedModel({"trip": {"flights": said}})).start("trip") for said in ("9", "10")]
    for run in runs:
        await run

    assert [(change.new.task, change.what) for change in runs[0].diff(runs[1]).changed] == [
        ("trip", ("result",)),
        ("flights", ("result",)),
    ]


def test_pairs_list_every_node_of_both_trees_once_in_the_order_of_the_new_one() -> None:
    food, rooms = (
        Node("0.2", "0", "food", state=DONE, result="soup"),
        Node("0.1.0", "0.1", "rooms", state=DONE, result="2"),
    )
    found = pairs_of(tree(FLIGHTS, HOTEL, rooms), tree(at(replace(HOTEL, result="centre"), "0.0"), food))

    assert [(pair.old and pair.old.task, pair.new and pair.new.task, pair.depth, pair.what) for pair in found] == [
        ("trip", "trip", 0, ()),
        ("hotel", "hotel", 1, ("result",)),
        ("rooms", None, 2, ()),
        (None, "food", 1, ()),
        ("flights", None, 1, ()),
    ]
    assert pairs_of(Tree(), Tree()) == []
