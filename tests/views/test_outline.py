"""A tree as text: every node a line, nothing that could drive a terminal."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.core.limits import Usage
from rlm_notebook.core.text import duration, printable
from rlm_notebook.core.tree import Node, NodeState, Phase, ToolUse, Tree
from rlm_notebook.views.outline import SYMBOLS, outline, tokens

TREE = Tree.of(
    [
        Node("0", None, "Plan a trip", state=NodeState.WAITING, started=0.0),
        Node("0.0", "0", "Flights", state=NodeState.DONE, started=0.0, ended=1.25, mark="replayed"),
        Node("0.0.0", "0.0", "Out", state=NodeState.DONE, started=0.0, ended=61.0),
        Node("0.1", "0", "Hotel", state=NodeState.FAILED, error="no\nroom \x1b[31m"),
    ]
)


def test_a_tree_is_drawn_with_states_times_and_remarks() -> None:
    assert outline(TREE) == (
        "… Plan a trip\n├─ ✓ Flights  1.2s  reused\n│  └─ ✓ Out  1m 01s\n└─ ✗ Hotel  no room  [31m"
    )


def test_who_waits_in_the_middle_of_its_work_is_not_drawn_at_work() -> None:
    """For its next attempt, or to be allowed what it wants to do."""
    running = Node("0", None, "Send", state=NodeState.RUNNING, started=0.0, phases=(Phase("execute", 0.0),))
    ask = ToolUse("c", "send", {}, 1.0, awaiting_approval=True)
    waiting = replace(running, phases=(Phase("execute", 0.0, 1.0), Phase("wait", 1.0)), tool_calls=(ask,))

    assert outline(Tree.of([running])) == "▸ Send"
    assert outline(Tree.of([waiting])) == "… Send  waiting for you: send"


def test_the_error_of_a_sub_task_is_shown_there_and_not_once_a_level() -> None:
    tree = Tree.of(
        [
            Node("0", None, "Trip", state=NodeState.FAILED, error="node 0: 1 of 1 parts failed: [0.0] no room: at all"),
            Node("0.0", "0", "Hotel", state=NodeState.FAILED, error="node 0.0: no room: at all"),
        ]
    )

    assert outline(tree) == "✗ Trip  1 of 1 parts failed\n└─ ✗ Hotel  no room: at all"


def test_a_long_tree_says_how_much_is_left_out() -> None:
    assert outline(TREE, limit=1).splitlines()[1:] == ["… and 3 more nodes"]
    assert outline(Tree()) == "(no node yet)"


def test_a_deep_tree_can_be_drawn() -> None:
    chain = Tree.of(Node(".".join(["0"] * (n + 1)), ".".join(["0"] * n) or None, f"task {n}") for n in range(3000))

    assert len(outline(chain, limit=5000).splitlines()) == 3000


def test_every_state_has_its_sign() -> None:
    assert set(SYMBOLS) == {str(state) for state in NodeState}
    assert len(set(SYMBOLS.values())) == len(SYMBOLS)


@given(st.text(st.characters(exclude_categories=[])))
def test_no_character_of_a_text_can_drive_a_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (0, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.6, "1m 00s"),
        (185, "3m 05s"),
        (3599.7, "1h 00m"),
        (3725, "1h 02m"),
    ],
)
def test_durations_are_written_in_words(seconds: float, message: str) -> None:
    assert duration(seconds) == message


@pytest.mark.parametrize(
    ("usage", "message"),
    [
        (Usage(), "0 tokens"),
        (Usage(1200, 34), "1,234 tokens"),
        (Usage(1200, 34, cached_tokens=900), "1,234 tokens, 75% of the prompts cached"),
        (Usage(0, 34, cached_tokens=900), "34 tokens, 100% of the prompts cached"),
    ],
)
def test_the_share_of_cached_prompt_tokens_is_shown_with_the_usage(usage: Usage, message: str) -> None:
    assert tokens(usage) == message
