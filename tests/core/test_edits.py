"""Edited records: no cost is added, and nothing is found that should not be."""

from dataclasses import replace

from rlm_notebook.core.edits import with_plan, with_result, with_task, without
from rlm_notebook.core.keys import result_key
from rlm_notebook.core.limits import NOTHING, Usage
from rlm_notebook.core.plan import Execute, plan_from_json
from rlm_notebook.core.records import Records
from rlm_notebook.core.tree import Node, NodeState, Phase, Recorded, Tree, unfinished

SPLIT = {"decision": "RECURSE", "sub_tasks": [{"task": "a"}, {"task": "b", "depends_on": [0]}]}
ROOT = Node("0", None, "root", state=NodeState.DONE, decision="RECURSE", plan=SPLIT, plan_key="p", result="ab")
LEAF = Node(
    "0.0",
    "0",
    "a",
    state=NodeState.DONE,
    decision="EXECUTE",
    plan={"decision": "EXECUTE"},
    plan_key="pa",
    result="A",
    result_key="ra",
    usage=Usage(calls=3),
    plan_usage=Usage(calls=1),
    reads={"table": "digest"},
    phases=(Phase("plan", 0, 1), Phase("failed", 1, 2), Phase("execute", 2, 3)),
)
FAILED = Node("0.1", "0", "b", state=NodeState.FAILED, error="no")
RECORDED = Recorded(Tree.of([ROOT, LEAF, FAILED]))


def test_an_edited_result_cost_nothing_and_read_nothing() -> None:
    node = with_result(RECORDED, LEAF, "pa", "B").tree["0.0"]

    assert (node.result, node.result_key, node.reads) == ("B", "ra", {})
    assert node.usage == node.plan_usage == Usage(calls=1)
    assert [phase.kind for phase in node.phases] == ["plan"]


def test_a_result_for_what_failed_is_found_without_parts() -> None:
    records = Records.of(with_result(RECORDED, FAILED, "pb", "B").tree)

    assert records.plans.by_key["pb"].plan == Execute().to_json()
    assert records.results.by_key[result_key("pb", "EXECUTE", [])].result == "B"


def test_an_edited_plan_cost_nothing_and_what_was_answered_is_forgotten() -> None:
    node = with_plan(RECORDED, LEAF, "pa", Execute(answer="quick")).tree["0.0"]

    assert (node.result, node.result_key, node.plan_usage) == (None, "", NOTHING)
    assert node.usage == Usage(calls=2)


def test_the_same_plan_changes_nothing() -> None:
    assert with_plan(RECORDED, LEAF, "pa", Execute()) is RECORDED


def test_a_plan_that_a_limit_made_is_replaced_by_an_equal_one_of_hand() -> None:
    limited = replace(LEAF, limited="max_steps")

    assert with_plan(Recorded(Tree.of([ROOT, limited])), limited, "pa", Execute()).tree["0.0"].limited == ""


def test_another_task_is_another_plan_of_the_parent_with_what_it_waits_for() -> None:
    edited = with_task(RECORDED, FAILED, "c").tree["0"]

    assert [(part.task, part.depends_on) for part in plan_from_json(edited.plan).sub_tasks] == [("a", ()), ("c", (0,))]
    assert edited.plan_key == "p"


def test_superseded_sub_tasks_have_no_place_in_the_plan() -> None:
    aside = replace(LEAF, state=NodeState.SUPERSEDED)
    nodes = [ROOT, aside, replace(LEAF, id="0.1"), last := replace(FAILED, id="0.2")]
    edited = with_task(Recorded(Tree.of(nodes)), last, "c").tree["0"]

    assert [part.task for part in plan_from_json(edited.plan).sub_tasks] == ["a", "c"]


def test_what_is_forgotten_is_forgotten_everywhere() -> None:
    twin, other = replace(LEAF, id="0.5"), replace(LEAF, id="0.6", plan_key="other", result_key="else")
    records = without(replace(RECORDED, earlier=(twin, other)), LEAF)
    found = Records.of((*records.earlier, *records.tree))

    assert set(found.plans.by_key) == {"p", "other"}
    assert set(found.results.by_key) == {"else"}


def test_what_is_unfinished() -> None:
    assert [node.id for node in unfinished(RECORDED.tree)] == ["0.1"]
