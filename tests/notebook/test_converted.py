"""What nbconvert makes of a saved notebook: the tree and the answer as they were when it was saved, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nbformat
import pytest

from rlm_notebook import ScriptedModel
from tests.support.front_end import FrontEnd, without_widgets
from tests.support.waiting import until

#: With those that need Jupyter's own tools, which the README's command does not install.
pytestmark = pytest.mark.kernel

SCRIPT = {"Plan a trip": {"way": "the train for $5, or the bus for $10", "stay": r"\(n\) nights"}}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[FrontEnd]:
    without_widgets(monkeypatch)
    front_end = FrontEnd({"model": ScriptedModel(SCRIPT, latency=0.01)})
    yield front_end
    front_end.close()


def converted(outputs: Any) -> str:
    """The page of a notebook with one cell of these outputs."""
    import nbconvert

    shown = [nbformat.v4.new_output("display_data", data=dict(data)) for data in outputs]
    cell = nbformat.v4.new_code_cell("%%rlm -m model\nPlan a trip", outputs=shown)
    page, _ = nbconvert.HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    # What is below the cell's input, without the page's scripts and styles.
    return str(page[page.index("<main") :])


async def test_after_an_edit_it_is_the_edited_answer(page: FrontEnd) -> None:
    await page.run("%%rlm -m model -n trip\nPlan a trip")
    before = converted(page.outputs)
    assert "<span>$</span>5, or the bus for <span>$</span>10" in before, "prices, between which MathJax sees no formula"
    assert "$n$ nights" in before
    await page.click("edit", "0.0", result="a boat")
    after = converted(page.outputs)
    assert "a boat" in after
    assert "edited by hand" in after
    assert "bus" not in after
    assert "Loading" not in after


async def test_a_page_that_was_saved_in_mid_run_says_so(page: FrontEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    await page.run("%%rlm -m model -n trip --detach -o run\nPlan a trip")
    saved = converted(page.outputs)
    assert "running when this copy was made" in saved
    assert "run the cell again" in saved
    await until(lambda: page.last.ended)
    calls = page.names["model"].calls
    await page.run("%%rlm -m model -n trip\nPlan a trip")
    assert page.names["model"].calls == calls
    again = converted(page.outputs)
    assert "rlm done: 3 of 3 nodes" in again
    assert "running when this copy was made" not in again
    assert "$n$ nights" in again
