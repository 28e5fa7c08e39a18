"""A run in a storm: nearly a third of all requests fails, in every way that real ones do, and it comes through."""

import pytest

from tests.fault_storm import FAULTS, run

pytestmark = pytest.mark.long


@pytest.mark.parametrize("wire", ["chat", "responses"])
async def test_a_run_comes_through_a_storm_and_pays_for_nothing_twice(wire, capsys) -> None:
    """`python -m tests.fault_storm` is the large one, which also compares the time it takes with that of a calm run."""
    storm = await run(100, 0.3, wire=wire, patience=3)
    with capsys.disabled():
        print(f"\n{wire}: {storm.figures}")

    assert len(storm.output.run.tree) == 100
    assert all(node.state == "done" for node in storm.output.run.tree)
    assert "the answer to everything" in storm.output.content
    assert storm.asked_again == []
    assert len(set(storm.faults) & set(FAULTS)) > 8, "nearly every kind of fault was met"
    assert storm.too_early == []
    assert storm.share_of_rate < 1.15, "requests that overtake each other, and those that were refused, are in it"
