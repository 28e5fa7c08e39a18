"""The active time of a run: a pause does not count, a wait for a provider does."""

from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.core.tree import Node, NodeState, Phase, Tree
from rlm_notebook.views.idle_time import breaks_of, stretches_of, without_breaks


def worked(*stretches: tuple[float, float]) -> Tree:
    """A tree whose nodes were at work then."""
    root = Node("0", None, "root", state=NodeState.DONE, started=stretches[0][0], ended=max(e for _, e in stretches))
    parts = [
        Node(f"0.{at}", "0", "part", state=NodeState.DONE, started=b, ended=e, phases=(Phase("execute", b, e),))
        for at, (b, e) in enumerate(stretches)
    ]
    return Tree.of([root, *parts])


def test_a_pause_is_a_break() -> None:
    assert breaks_of(worked((0, 10), (100, 110)), 20) == [(10, 100)]


def test_a_pause_in_which_the_run_was_cancelled_is_a_break() -> None:
    root = Node("0", None, "root", state=NodeState.CANCELLED, started=0, ended=60, phases=(Phase("plan", 0, 2),))

    assert breaks_of(Tree.of([root]), 2) == [(2, 60)]


def test_a_wait_for_a_provider_is_no_break() -> None:
    assert breaks_of(worked((0, 1), (7, 8), (14, 15)), 15) == []


def test_of_both_the_pause_is_found() -> None:
    tree = worked((0, 1), (7, 8), (50, 51), (57, 58))

    assert breaks_of(tree, 58 - 42) == [(8, 50)]


def test_a_run_that_never_began_has_no_breaks() -> None:
    assert breaks_of(Tree(), 0) == []


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 50)), min_size=1, max_size=12), st.floats(0, 1100))
def test_breaks_are_times_without_work_and_no_more_than_is_not_accounted_for(
    spans: list[tuple[float, float]], active: float
) -> None:
    tree = worked(*sorted((began, began + length) for began, length in spans))
    stretches, breaks = stretches_of(tree), breaks_of(tree, active)
    first, last = stretches[0][0], stretches[-1][1]

    assert all(ended <= began or ended >= until for began, until in breaks for _, ended in stretches)
    assert sum(until - since for since, until in breaks) <= max(0.0, last - first - active) + 1
    assert without_breaks(first, last, breaks) <= last - first
