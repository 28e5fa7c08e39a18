"""The tree is the fold of its events: legal ones lead forward, illegal ones are refused and change nothing."""

import random
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.core import events
from rlm_notebook.core.events import (
    Cancelled,
    CellWritten,
    Event,
    Failed,
    Finished,
    NodeCreated,
    Planned,
    PlanStarted,
    Replied,
    Retried,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Started,
    Superseded,
    SynthesisStarted,
    Token,
    ToolCalled,
    ToolReturned,
)
from rlm_notebook.core.limits import Usage
from rlm_notebook.core.tree import TRANSITIONS, IllegalEvent, Node, NodeState, RunState, Tree, TreeHeader

RECURSE = {"decision": "RECURSE", "sub_tasks": [{"task": "a"}]}
EXECUTE = {"decision": "EXECUTE"}


ENDS = {"Failed", "Cancelled", "Superseded", "RunFinished"}


def event_of(kind: str, node: str, at: float, choose: random.Random) -> Event:
    """Some event of the kind for the node."""
    usage = Usage(choose.randrange(9), choose.randrange(9), calls=1)
    made: dict[str, Any] = {
        "NodeCreated": lambda: NodeCreated(at=at, node=f"{node}.{choose.randrange(3)}", parent=node, task="t"),
        "Planned": lambda: Planned(
            at=at,
            node=node,
            plan=choose.choice([RECURSE, EXECUTE, {"decision": "PROGRAM"}]),
            usage=usage,
            limited=choose.choice(["", "", "max_steps"]),
        ),
        "CellWritten": lambda: CellWritten(at=at, node=node, code="x", usage=usage),
        "Token": lambda: Token(at=at, node=node, text="x"),
        "ToolCalled": lambda: ToolCalled(at=at, node=node, call="c", name="f", arguments={}),
        "ToolReturned": lambda: ToolReturned(at=at, node=node, call="c", content="r"),
        "Replied": lambda: Replied(at=at, node=node, content="", calls=(CALL,), usage=usage),
        "Retried": lambda: Retried(at=at, node=node, reason="r", usage=usage),
        "Finished": lambda: Finished(at=at, node=node, content="done", usage=usage),
        "Failed": lambda: Failed(at=at, node=node, error="e"),
        "RunStarted": lambda: RunStarted(at=at, run_id="r", task="t"),
        "RunFinished": lambda: RunFinished(at=at, status=choose.choice(["done", "failed", "cancelled"])),
    }
    return made[kind]() if kind in made else getattr(events, kind)(at=at, node=node)


#: What ends a node or the run is rare, so that trees become more than a root.
KINDS = [kind for kind in sorted(events.KINDS) for _ in range(1 if kind in ENDS else 8)]


CALL = {"id": "c", "name": "f", "arguments": {}}


def state_of(tree: Tree) -> Any:
    """Everything that is visible of a tree."""
    return list(tree), list(tree.walk()), tree.usage, tree.status, tree.error, tree.started, tree.ended, tree.run_id


def random_history(seed: int, length: int = 120) -> tuple[Tree, list[Event], list[Event]]:
    """A tree after random events, the legal ones among them, and those that were refused (without a trace)."""
    choose, tree, legal, refused = random.Random(seed), Tree(), [], []
    for at in range(length):
        nodes = [node.id for node in tree] or ["0"]
        event = event_of(choose.choice(KINDS), choose.choice([*nodes, "0.9"]), float(at), choose)
        if len(tree) == 0 and choose.random() < 0.5:
            event = NodeCreated(at=float(at), node="0", parent=None, task="root")
        before = state_of(tree)
        try:
            tree.apply(event)
        except IllegalEvent:
            refused.append(event)
            unchanged = state_of(tree) == before
            assert unchanged, f"{event} was refused, but changed the tree"
        else:
            legal.append(event)
    return tree, legal, refused


@given(st.integers(0, 10_000))
def test_a_refused_event_leaves_the_tree_as_it_was(seed: int) -> None:
    _, legal, refused = random_history(seed)

    assert legal
    assert refused


@given(st.integers(0, 10_000))
def test_the_same_events_give_the_same_tree(seed: int) -> None:
    tree, legal, _ = random_history(seed)
    again = Tree()
    for event in legal:
        again.apply(events.from_json(events.to_json(event)))

    assert state_of(again) == state_of(tree)


@given(st.integers(0, 10_000))
def test_the_usage_of_a_tree_is_that_of_its_nodes(seed: int) -> None:
    tree, _, _ = random_history(seed)

    assert tree.usage == sum((node.usage for node in tree), Usage())


@given(st.integers(0, 10_000))
def test_every_node_hangs_below_its_parent(seed: int) -> None:
    tree, _, _ = random_history(seed)

    for node in tree:
        assert (node.parent or "") == node.id.rpartition(".")[0]
        assert node.parent is None or node in tree.children(node.parent)
        assert node.depth == len(tree.ancestors(node.id))
    assert {node.id for node in tree.walk()} == {node.id for node in tree}


@given(st.integers(0, 10_000))
def test_phases_of_a_node_follow_each_other_and_end_with_it(seed: int) -> None:
    tree, _, _ = random_history(seed)

    for node in tree:
        times = [time for phase in node.phases for time in (phase.started, phase.ended) if time is not None]
        assert times == sorted(times)
        assert all(phase.ended is not None for phase in node.phases[:-1])
        if node.state.final and node.phases:
            assert node.phases[-1].ended is not None


def test_no_state_can_be_entered_again() -> None:
    """Forward only: whatever the table allows, no way leads back to a state that was left."""
    leads = {state: {to for to in row.values() if to is not None} for state, row in TRANSITIONS.items()}

    def reachable(state: NodeState, seen: frozenset[NodeState] = frozenset()) -> set[NodeState]:
        return (leads[state] - seen) | {far for to in leads[state] - seen for far in reachable(to, seen | {to})}

    for state in NodeState:
        assert state not in reachable(state)


def test_final_states_take_no_result() -> None:
    for state in (NodeState.DONE, NodeState.FAILED, NodeState.CANCELLED, NodeState.SUPERSEDED):
        assert state.final
        assert not {"Finished", "Started", "Planned:RECURSE", "Failed", "Cancelled"} & set(TRANSITIONS[state])


def grown(*more: Event) -> Tree:
    tree = Tree()
    for event in (
        RunStarted(at=0, run_id="r", task="root"),
        NodeCreated(at=0, node="0", parent=None, task="root"),
        *more,
    ):
        tree.apply(event)
    return tree


SPLIT = (PlanStarted(at=1, node="0"), Planned(at=2, node="0", plan=RECURSE, model="m"))


def test_a_node_goes_from_pending_to_done() -> None:
    tree = grown(*SPLIT, NodeCreated(at=2, node="0.0", parent="0", task="a"))
    assert tree["0"].state is NodeState.WAITING
    tree.apply(Started(at=3, node="0.0"))
    tree.apply(Finished(at=4, node="0.0", content="A"))
    tree.apply(SynthesisStarted(at=4, node="0"))
    tree.apply(Finished(at=6, node="0", content="whole", model="m"))

    assert [(phase.kind, phase.started, phase.ended) for phase in tree["0"].phases] == [
        ("plan", 1, 2),
        ("wait", 2, 4),
        ("synthesize", 4, 6),
    ]
    assert (tree["0"].state, tree["0"].result, tree["0"].started, tree["0"].ended) == (NodeState.DONE, "whole", 1, 6)
    assert (tree["0.0"].started, tree["0.0"].ended) == (3, 4)


def test_a_plan_that_a_limit_cut_is_executed_and_remembered() -> None:
    tree = grown(PlanStarted(at=1, node="0"), Planned(at=2, node="0", plan=RECURSE, limited="max_steps"))

    assert tree["0"].decision == "EXECUTE"
    assert tree["0"].plan == RECURSE
    with pytest.raises(IllegalEvent, match="is waiting"):
        tree.apply(SynthesisStarted(at=3, node="0"))
    tree.apply(Started(at=3, node="0"))
    assert tree["0"].state is NodeState.RUNNING


def phases_of(tree: Tree, node: str = "0") -> list[tuple[str, float, float | None]]:
    return [(phase.kind, phase.started, phase.ended) for phase in tree[node].phases]


def test_a_retry_is_a_failed_phase_and_one_more_attempt_that_begins_when_its_turn_comes() -> None:
    tree = grown(PlanStarted(at=1, node="0"), Retried(at=2, node="0", reason="bad JSON", usage=Usage(5, calls=1)))

    assert phases_of(tree) == [("failed", 1, 2), ("wait", 2, None)]
    assert not tree["0"].at_work
    tree.apply(PlanStarted(at=7, node="0"))
    assert phases_of(tree) == [("failed", 1, 2), ("wait", 2, 7), ("plan", 7, None)]
    assert tree["0"].at_work
    assert (tree["0"].attempts, tree["0"].started) == (2, 1)
    assert tree.usage == Usage(5, calls=1)


def test_a_task_that_is_to_be_executed_waits_until_its_turn_comes() -> None:
    tree = grown(PlanStarted(at=1, node="0"), Planned(at=2, node="0", plan=EXECUTE))
    assert tree["0"].state is NodeState.WAITING
    for event in (
        SynthesisStarted(at=3, node="0"),
        NodeCreated(at=3, node="0.0", parent="0", task="none of its plan"),
    ):
        with pytest.raises(IllegalEvent, match="is waiting"):
            tree.apply(event)
    tree.apply(Started(at=5, node="0"))
    tree.apply(Finished(at=6, node="0", content="A"))

    assert phases_of(tree) == [("plan", 1, 2), ("wait", 2, 5), ("execute", 5, 6)]


def test_a_task_that_waits_for_its_parts_is_not_executed() -> None:
    with pytest.raises(IllegalEvent, match="is waiting: Started"):
        grown(*SPLIT, Started(at=3, node="0"))


def test_a_turn_that_is_free_is_no_wait() -> None:
    tree = grown(PlanStarted(at=1, node="0"), Planned(at=2, node="0", plan=EXECUTE), Started(at=2.001, node="0"))

    assert phases_of(tree) == [("plan", 1, 2), ("execute", 2.001, None)]


@pytest.mark.parametrize(
    ("ends", "phases"),
    [(2.0001, [("execute", 1, 2.0001)]), (9, [("execute", 1, 2), ("wait", 2, 9)])],
    ids=["at once", "after somebody approved of it"],
)
def test_a_plan_that_came_with_the_answer_was_the_work(ends: float, phases: list[Any]) -> None:
    tree = grown(PlanStarted(at=1, node="0"), Planned(at=2, node="0", plan=EXECUTE | {"answer": "A"}))
    tree.apply(Finished(at=ends, node="0", content="A"))

    assert phases_of(tree) == phases


def test_an_answer_of_another_agent_is_not_that_of_the_plan() -> None:
    tree = grown(PlanStarted(at=1, node="0"), Planned(at=2, node="0", plan=EXECUTE | {"answer": None}))
    tree.apply(Finished(at=2.0001, node="0", content="A"))

    assert phases_of(tree)[0] == ("plan", 1, 2)


def test_between_the_rounds_of_its_tools_a_node_waits_for_its_turn() -> None:
    tree = grown(
        Started(at=1, node="0"),
        ToolCalled(at=2, node="0", call="a", name="f", arguments={}),
        ToolCalled(at=2, node="0", call="b", name="g", arguments={}),
        ToolReturned(at=3, node="0", call="a", content="A"),
    )
    assert tree["0"].at_work
    tree.apply(ToolReturned(at=4, node="0", call="b", content="B"))
    assert not tree["0"].at_work
    tree.apply(Started(at=8, node="0"))
    tree.apply(Finished(at=9, node="0", content="A"))

    assert phases_of(tree) == [("execute", 1, 4), ("wait", 4, 8), ("execute", 8, 9)]


def test_who_fails_while_it_waits_has_not_failed_at_work() -> None:
    tree = grown(*SPLIT, Failed(at=9, node="0", error="its parts failed"))

    assert phases_of(tree) == [("plan", 1, 2), ("wait", 2, 9)]


def test_a_log_without_later_calls_counts_as_work_throughout() -> None:
    """As earlier versions wrote it: without events for a second attempt, or for a round after a tool call."""
    tree = grown(
        PlanStarted(at=1, node="0"),
        Retried(at=2, node="0", reason="bad JSON"),
        Planned(at=3, node="0", plan=EXECUTE),
        Started(at=3, node="0"),
        ToolCalled(at=4, node="0", call="a", name="f", arguments={}),
        ToolReturned(at=5, node="0", call="a", content="A"),
        Retried(at=6, node="0", reason="503"),
        ToolCalled(at=7, node="0", call="b", name="f", arguments={}),
        ToolReturned(at=8, node="0", call="b", content="B"),
        Finished(at=9, node="0", content="A"),
    )

    assert phases_of(tree) == [("failed", 1, 2), ("plan", 2, 3), ("execute", 3, 5), ("failed", 5, 6), ("execute", 6, 9)]


def test_what_a_tool_returned_stands_with_its_call() -> None:
    tree = grown(
        Started(at=1, node="0"),
        ToolCalled(at=1, node="0", call="a", name="f", arguments={"x": 1}),
        ToolCalled(at=1, node="0", call="b", name="g", arguments={}),
        ToolReturned(at=2, node="0", call="a", content="A", ok=False),
    )
    first, second = tree["0"].tool_calls

    assert (first.content, first.ok, first.ended) == ("A", False, 2)
    assert (second.content, second.ended) == (None, None)


@pytest.mark.parametrize(
    ("node", "parent"), [("0.0", "0.1"), ("1", None), ("0.0", None), ("00", "0"), ("0.0.0", "0"), ("", None)]
)
def test_an_id_is_the_path_below_the_parent(node: str, parent: str | None) -> None:
    with pytest.raises(IllegalEvent):
        grown(*SPLIT, NodeCreated(at=3, node=node, parent=parent, task="x"))


def test_a_node_comes_once_and_only_below_one_that_splits() -> None:
    tree = grown()
    with pytest.raises(IllegalEvent, match="exists"):
        tree.apply(NodeCreated(at=1, node="0", parent=None, task="again"))
    with pytest.raises(IllegalEvent, match="pending"):
        tree.apply(NodeCreated(at=1, node="0.0", parent="0", task="too early"))
    tree.apply(PlanStarted(at=1, node="0"))
    tree.apply(NodeCreated(at=1, node="0.0", parent="0", task="while the plan streams in"))
    assert [child.id for child in tree.children("0")] == ["0.0"]


def test_an_event_for_an_unknown_node_is_refused() -> None:
    with pytest.raises(IllegalEvent, match="does not exist"):
        grown(Started(at=1, node="0.3"))


def test_a_run_pauses_resumes_and_ends_once() -> None:
    tree = grown(RunPaused(at=1), RunResumed(at=2), RunPaused(at=3), RunFinished(at=4, status="cancelled"))

    assert (tree.status, tree.ended) == ("cancelled", 4)
    for event in (
        RunPaused(at=5),
        RunResumed(at=5),
        RunFinished(at=5, status="done"),
        RunStarted(at=5, run_id="", task=""),
    ):
        with pytest.raises(IllegalEvent):
            tree.apply(event)


def test_an_answer_that_could_not_be_recorded_ends_the_run_as_failed() -> None:
    tree = grown(RunFinished(at=1, status="done"), RunFinished(at=1, status="failed", error="disk full"))

    assert (tree.status, tree.error) == ("failed", "disk full")


def test_cancelled_and_superseded_nodes_say_why() -> None:
    tree = grown(PlanStarted(at=1, node="0"), Cancelled(at=2, node="0", reason="the budget is spent"))
    assert (tree["0"].state, tree["0"].note) == (NodeState.CANCELLED, "the budget is spent")

    done = grown(Finished(at=1, node="0", content="x"), Superseded(at=2, node="0", reason="edited"))
    assert (done["0"].state, done["0"].note) == (NodeState.SUPERSEDED, "edited")


def test_the_critical_path_follows_the_parts_that_ended_last() -> None:
    tree = Tree.of(
        [
            Node("0", None, "root", started=0, ended=9),
            Node("0.0", "0", "quick", started=1, ended=2),
            Node("0.1", "0", "slow", started=1, ended=8),
            Node("0.2", "0", "never begun"),
            Node("0.1.0", "0.1", "last", started=2, ended=7),
        ]
    )

    assert [node.id for node in tree.critical_path()] == ["0", "0.1", "0.1.0"]
    assert Tree().critical_path() == []


def test_parts_are_listed_in_the_order_of_the_plan() -> None:
    created = [NodeCreated(at=3, node=f"0.{index}", parent="0", task=str(index)) for index in range(12)]
    tree = grown(*SPLIT, *created, Finished(at=4, node="0.11", content="first to end"))

    assert [node.id for node in tree.children("0")] == [f"0.{index}" for index in range(12)]
    assert [node.id for node in tree.walk()] == ["0", *(f"0.{index}" for index in range(12))]


@pytest.mark.parametrize("seed", range(5))
def test_the_tasks_above_a_node_are_those_of_its_ancestors(seed: int) -> None:
    tree, *_ = random_history(seed)
    nodes = list(tree)
    random.Random(seed).shuffle(nodes)
    for node in nodes:
        assert tree.tasks_above(node.id) == tuple(above.task for above in tree.ancestors(node.id))


def test_the_title_is_the_first_line_with_text() -> None:
    assert Node("0", None, "\n  \n  Compare both \nmore").title == "Compare both"
    assert Node("0.1", "0", " \n ").title == "0.1"


@pytest.mark.parametrize("call", [{}, {"id": 1, "name": "f", "arguments": {}}, {"id": "c", "name": "f"}])
def test_a_reply_with_something_among_its_calls_that_is_none_is_refused(call: dict[str, Any]) -> None:
    tree = Tree()
    for event in (NodeCreated(at=0, node="0", parent=None, task="t"), events.Started(at=0, node="0")):
        tree.apply(event)
    with pytest.raises(IllegalEvent, match="a call of a tool has"):
        tree.apply(Replied(at=1, node="0", content="", calls=(CALL, call)))


def test_a_tree_may_grow_while_its_nodes_are_read() -> None:
    tree = Tree()
    tree.apply(NodeCreated(at=0, node="0", parent=None, task="t"))
    nodes = iter(tree)
    tree.apply(events.PlanStarted(at=0, node="0"))
    tree.apply(NodeCreated(at=0, node="0.0", parent="0", task="u"))

    assert [node.id for node in nodes] == ["0"]
    assert [node.id for node in tree] == ["0", "0.0"]


def test_a_tree_prints_a_node_a_line_as_deep_as_it_stands() -> None:
    tree = grown()

    lines = str(tree).splitlines()
    assert [line.split()[0] for line in lines] == [str(node.state) for node in tree]
    assert [len(line) - len(line.lstrip()) for line in lines] == [2 * node.depth for node in tree]
    many = Tree.of(
        [Node(id="0", parent=None, task="all")]
        + [Node(id=f"0.{number}", parent="0", task="one") for number in range(500)]
    )
    assert str(many).splitlines()[-1] == "… and 101 more nodes"
    assert repr(tree) == "<Tree: 1 node, running>"


def test_nothing_of_a_run_is_changed_but_by_an_event() -> None:
    tree = Tree()
    tree.apply(RunStarted(at=1, run_id="r", execution="e", task="t", request_key="k", settings={"model": "m"}))
    header, state = tree.header, tree.state

    for name in (*(each.name for each in fields(TreeHeader)), *(each.name for each in fields(RunState))):
        with pytest.raises(AttributeError):
            setattr(tree, name, "other")
    with pytest.raises(FrozenInstanceError):
        header.run_id = "other"  # type: ignore[misc]
    assert (header, state) == (TreeHeader("r", "e", "t", "k", {"model": "m"}), RunState("running", started=1))

    tree.apply(RunPaused(at=2))
    tree.apply(RunResumed(at=3))
    tree.apply(RunFinished(at=4, status="failed", error="no"))
    assert tree.header is header
    assert tree.state == RunState("failed", "no", 1, 4)


def test_a_tree_of_other_nodes_is_otherwise_the_same() -> None:
    tree = Tree.of([Node("0", None, "t")], TreeHeader("r", task="t"), RunState("done", started=1, ended=2))
    other = tree.with_nodes([Node("0", None, "t"), Node("0.0", "0", "part")])

    assert (len(other), other.header, other.state) == (2, tree.header, tree.state)
    assert len(tree) == 1
