"""Recorded plans and results are found by content key, and replay to the tree that they were recorded from."""

from dataclasses import replace

from rlm_notebook.core.events import (
    Event,
    Failed,
    Finished,
    NodeCreated,
    Planned,
    PlanStarted,
    Retried,
    RunStarted,
    Started,
    SynthesisStarted,
    ToolCalled,
    ToolReturned,
)
from rlm_notebook.core.limits import Usage
from rlm_notebook.core.records import Records
from rlm_notebook.core.replay_events import created_event, end_events, plan_events, result_events
from rlm_notebook.core.tree import Node, NodeState, Phase, ToolUse, Tree

RECURSE = {"decision": "RECURSE", "sub_tasks": [{"task": "a"}]}


def grown(*more: Event) -> Tree:
    tree = Tree()
    for event in (
        RunStarted(at=0, run_id="r", task="root"),
        NodeCreated(at=0, node="0", parent=None, task="root"),
        *more,
    ):
        tree.apply(event)
    return tree


def whole() -> Tree:
    """A run with everything that can be recorded: retries, tools, a split, usage."""
    return grown(
        PlanStarted(at=1, node="0"),
        Retried(at=2, node="0", reason="no JSON", usage=Usage(1, 1, calls=1)),
        PlanStarted(at=2.5, node="0"),
        Planned(at=3, node="0", plan=RECURSE, key="pk", usage=Usage(2, 2, calls=1, cost_usd=0.5), model="m"),
        NodeCreated(at=3, node="0.0", parent="0", task="a", agent="writer", note="n"),
        Planned(at=3, node="0.0", plan={"decision": "EXECUTE"}, key="pk0", limited="max_depth"),
        Started(at=4, node="0.0"),
        Retried(at=5, node="0.0", reason="503"),
        Started(at=5, node="0.0"),
        ToolCalled(at=6, node="0.0", call="c", name="f", arguments={"x": 1}),
        ToolCalled(at=6, node="0.0", call="d", name="g", arguments={}),
        ToolReturned(at=6.5, node="0.0", call="d", content="yes"),
        ToolReturned(at=7, node="0.0", call="c", content="no", ok=False),
        Started(at=7.1, node="0.0"),
        *(ToolCalled(at=7.2, node="0.0", call=call, name="h", arguments={}, awaiting_approval=True) for call in "cd"),
        ToolCalled(at=7.5, node="0.0", call="c", name="h", arguments={}),
        ToolCalled(at=7.51, node="0.0", call="d", name="h", arguments={}),
        *(ToolReturned(at=7.6, node="0.0", call=call, content="so be it") for call in "dc"),
        Started(at=7.7, node="0.0"),
        Finished(at=8, node="0.0", content="A", key="rk0", usage=Usage(3, 3, calls=2), model="m", metadata={"k": "v"}),
        NodeCreated(at=3, node="0.1", parent="0", task="b"),
        PlanStarted(at=4, node="0.1"),
        Planned(at=6, node="0.1", plan={"decision": "EXECUTE", "answer": "B"}, key="pk1", usage=Usage(1, 1, calls=1)),
        Finished(at=6.001, node="0.1", content="B", key="rk1"),
        SynthesisStarted(at=8, node="0"),
        Finished(at=9, node="0", content="W", key="rk", usage=Usage(4, 4, calls=1, cost_usd=0.25), model="m"),
    )


def without_marks(tree: Tree) -> list[Node]:
    return [replace(node, mark="") for node in tree]


def test_a_replayed_tree_equals_the_recorded_one() -> None:
    """Times, phases, attempts, tools and usage included: so a replay changes no file."""
    tree = whole()
    again = Tree()
    again.apply(RunStarted(at=0, run_id="r", task="root"))
    for node in tree:
        for event in (created_event(node), *plan_events(node, node.id)):
            again.apply(event)
    for node in reversed(list(tree)):
        for event in end_events(node):
            again.apply(event)

    assert without_marks(again) == without_marks(tree)
    assert {node.mark for node in again} == {"replayed"}
    assert again.usage == tree.usage


def test_phases_recorded_before_waits_were_events_replay_unchanged() -> None:
    """A second attempt followed the first at once, and tools were part of the work on both sides of them."""
    phases = (Phase("failed", 1, 2), Phase("plan", 2, 3), Phase("failed", 3, 4), Phase("execute", 4, 9))
    uses = (ToolUse("c", "f", {}, 5, "C", True, 6), ToolUse("d", "f", {}, 7, "D", True, 8))
    kept = Node("0", None, "root", state=NodeState.DONE, phases=phases, tool_calls=uses, started=1, ended=9, attempts=3)
    kept = replace(kept, plan={"decision": "EXECUTE"}, decision="EXECUTE", result="A")
    again = grown(*plan_events(kept, "0"), *result_events(kept, "0"))["0"]

    assert again.phases == phases
    assert (again.started, again.ended, again.attempts) == (1, 9, 3)


def test_plans_and_results_are_found_by_key() -> None:
    records = Records.of(whole())

    assert records.plans.by_key["pk"].id == "0"
    assert {key: node.id for key, node in records.results.by_key.items()} == {"rk": "0", "rk0": "0.0", "rk1": "0.1"}


def test_an_execution_that_a_limit_forced_is_not_a_plan_to_be_reused() -> None:
    assert "pk0" not in Records.of(whole()).plans.by_key


def test_a_split_that_a_limit_prevented_is_a_plan_to_be_reused() -> None:
    tree = grown(PlanStarted(at=1, node="0"), Planned(at=2, node="0", plan=RECURSE, key="pk", limited="max_steps"))

    assert Records.of(tree).plans.by_key["pk"].plan == RECURSE


def test_a_failed_node_leaves_its_plan_but_no_result() -> None:
    tree = grown(
        PlanStarted(at=1, node="0"), Planned(at=2, node="0", plan=RECURSE, key="pk"), Failed(at=3, node="0", error="e")
    )
    records = Records.of(tree)

    assert set(records.plans.by_key) == {"pk"}
    assert not records.results
    assert not Records()


def test_a_result_from_another_node_replays_as_events_of_the_node_that_reuses_it() -> None:
    facts = list(result_events(whole()["0.0"], "0.7.1", mark="cached"))

    assert {fact.node for fact in facts} == {"0.7.1"}
    assert isinstance(facts[-1], Finished)
    assert (facts[-1].mark, facts[-1].metadata) == ("cached", {"k": "v"})
