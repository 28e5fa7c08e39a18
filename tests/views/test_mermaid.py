"""A tree as a flowchart: every node a box, and no title that leaves it."""

import re

from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.core.tree import Node, NodeState, Tree
from rlm_notebook.views.mermaid import MOST_NODES, mermaid

TREE = Tree.of(
    [
        Node("0", None, "Plan a trip", state=NodeState.WAITING),
        Node("0.0", "0", "Flights", state=NodeState.DONE),
        Node("0.1", "0", 'say "no"]; click', state=NodeState.FAILED, depends_on=("0.0",)),
    ]
)
BOX = re.compile(r'  n[0-9_]+\["[^"\[\]<>`;&]*(#\d+;[^"\[\]<>`;&]*)*"\](:::[a-z]+)?')


def test_boxes_arrows_and_what_waits_for_what() -> None:
    assert mermaid(TREE).splitlines()[:7] == [
        "flowchart TD",
        '  n0["… Plan a trip"]',
        '  n0_0["✓ Flights"]:::done',
        '  n0_1["✗ say #34;no#34;#93;#59; click"]:::failed',
        "  n0 --> n0_0",
        "  n0 --> n0_1",
        "  n0_0 -.-> n0_1",
    ]


@given(st.text(st.characters(exclude_categories=[])))
def test_no_title_leaves_its_box(title: str) -> None:
    drawn = mermaid(Tree.of([Node("0", None, title)])).split("\n")

    assert BOX.fullmatch(drawn[1])
    assert drawn[2].startswith("  classDef")


def test_a_large_tree_is_drawn_from_the_root_and_the_rest_is_counted() -> None:
    wide = [Node("0", None, "root"), *(Node(f"0.{n}", "0", f"part {n}") for n in range(300))]
    drawn = mermaid(Tree.of([*wide, Node("0.0.0", "0.0", "a detail")]))

    assert drawn.count('["· ') == MOST_NODES
    assert "… and 102 more nodes" in drawn
    assert "a detail" not in drawn


def test_every_arrow_leads_to_a_box_that_is_drawn() -> None:
    nodes = [Node("0", None, "root"), *(Node(f"0.{n}", "0", "part", depends_on=("0.299",)) for n in range(300))]
    drawn = mermaid(Tree.of(nodes))

    assert set(re.findall(r"n0[_0-9]*", drawn.partition("-->")[2])) <= set(re.findall(r"(n0[_0-9]*)\[", drawn))


def test_nothing_at_all_is_a_flowchart_too() -> None:
    assert mermaid(Tree()).startswith("flowchart TD\n")


async def test_a_run_can_be_drawn() -> None:
    run = AsyncRecursiveEngine(ScriptedModel({"trip": {"flights": "at 9"}})).start("trip")
    await run

    assert run.to_mermaid() == mermaid(run.tree)
    assert '["✓ flights"]' in run.to_mermaid()
