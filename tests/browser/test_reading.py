"""JupyterLab and Notebook 7: details to read at length, the search, two runs side by side; narrow and zoomed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.amounts import hosts

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

AXE = Path(__file__).parents[2] / "js" / "node_modules" / "axe-core" / "axe.min.js"

MODEL = r"""
%load_ext rlm_notebook
from rlm_notebook import ScriptedModel

columns = [f"Quantity {number}" for number in range(16)]
table = "\n".join([
    "| Site | " + " | ".join(columns) + " |",
    "|---" * 17 + "|",
    *("| A site far away | " + " | ".join(f"{row * column}.25" for column in range(16)) + " |" for row in range(8)),
])
formulas = r'''### Fit

The price falls by $1 - 2^{-b}$, it costs $5 and $10, and \(\hat{b} = 0.23\):

\[ p(x) = p_0 \left(\frac{x}{x_0}\right)^{-b} \]

A link $\href{javascript:window.ran=1}{x}$ is none; see [0.1].
'''
arabic = "# ملخص\n\nبلغت الكثافة **165** في عام 2024.\n\n- أولا\n- ثانيا\n\n"
arabic += "| السنة | القيمة |\n|---|---|\n| 2025 | 172 |"
def script(wind):
    parts = {"Fit the curve": formulas, "Measure the sites": table, "Summarise in Arabic": arabic, "Wind": wind}
    return {"Energy report": parts}
model = ScriptedModel(script("The turbines turn slowly in the north."))
later = ScriptedModel(script("The turbines turn quickly in the north."))
"""
CELL = "%%rlm -m model -n demo\nEnergy report"
AGAIN = "%%rlm -m later -n later\nEnergy report"


@pytest.fixture(params=hosts("notebook"))
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(lab: Any, open_notebook: Any, name: str, host: str, *cells: str) -> Any:
    """A page whose cells were executed, with the first tree unfolded."""
    page = open_notebook(lab.write(f"{name}_{host}", MODEL, *cells), host)
    page.run_all()
    page.status("done")
    page.idle()
    shown = page.tab.locator('.rn [aria-label="Show tree"]').first
    shown.click()
    page.tab.wait_for_selector('[data-node-id="0.0"]')
    return page


def violations(page: Any) -> list[str]:
    """What axe-core finds in the tree."""
    if not page.tab.evaluate("() => 'axe' in window"):
        page.tab.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.tab.evaluate("async () => (await axe.run('.rn')).violations")
    return [f"{each['id']}: {[node['html'][:200] for node in each['nodes'][:3]]}" for each in found]


def cut_off(page: Any) -> list[str]:
    """Buttons and figures that the tree's edge cuts off, or that lie on each other."""
    found: list[str] = page.tab.evaluate(
        """() => {
            const root = document.querySelector('.rn');
            const { left, right } = root.getBoundingClientRect();
            const all = [...root.querySelectorAll('.rn-header *, .rn-toolbar *')].filter(each =>
                each.matches('button, .rn-progress, .rn-done-count, .rn-metric, input') && each.offsetParent !== null);
            const boxes = all.map(each => [each.textContent || each.className, each.getBoundingClientRect()]);
            const isOutside = ([, box]) => box.right > right + 1 || box.left < left - 1;
            const outside = boxes.filter(isOutside).map(([name]) => name);
            const onEachOther = boxes.flatMap(([name, a], index) => boxes.slice(index + 1).filter(([, b]) =>
                a.right > b.left + 1 && b.right > a.left + 1 && a.bottom > b.top + 1 && b.bottom > a.top + 1)
                .map(([other]) => `${name} on ${other}`));
            return [...outside, ...onEachOther];
        }"""
    )
    return found


def details(page: Any, node: str) -> Any:
    page.tab.locator(f'[data-node-id="{node}"] .rn-title').first.click()
    page.tab.wait_for_selector(".rn-panel .rn-markdown")
    return page.tab.locator(".rn-details").first


def test_formulas_tables_and_arabic_are_read_at_full_width_and_full_screen(
    lab: Any, open_notebook: Any, host: str
) -> None:
    page = opened(lab, open_notebook, "reading", host, CELL)
    pane = details(page, "0.0")
    page.tab.wait_for_selector(".rn-panel math mfrac")
    assert pane.locator("math").count() == 3
    assert pane.locator(".rn-tex").all_inner_texts() == [r"$\href{javascript:window.ran=1}{x}$"]
    assert "it costs $5 and $10" in pane.locator(".rn-panel").inner_text()
    assert page.tab.evaluate("() => window.ran") is None
    assert violations(page) == []

    width = pane.bounding_box()["width"]
    edge = page.tab.locator(".rn-edge").bounding_box()
    page.tab.mouse.move(edge["x"] + 5, edge["y"] + 60)
    page.tab.mouse.down()
    page.tab.mouse.move(edge["x"] - 195, edge["y"] + 60, steps=4)
    page.tab.mouse.up()
    assert pane.bounding_box()["width"] == pytest.approx(width + 200, abs=6)
    page.tab.locator(".rn-edge").press("ArrowRight")
    assert pane.bounding_box()["width"] == pytest.approx(width + 176, abs=6)

    page.tab.get_by_label("Whole width").click()
    assert pane.bounding_box()["width"] == pytest.approx(page.tab.locator(".rn").first.bounding_box()["width"], abs=4)
    page.tab.evaluate("() => document.querySelector('.rn').scrollIntoView()")
    page.shoot(f"formula {host}")
    assert violations(page) == []
    page.tab.locator(".rn-panel").press("Escape")
    pane.locator(".rn-reference", has_text="[0.1]").click()
    page.tab.wait_for_selector('.rn-details h3:has-text("Measure the sites")')
    page.tab.wait_for_selector(".rn-table td")
    assert page.tab.evaluate(
        "() => { const box = document.querySelector('.rn-table'); return box.scrollWidth > box.clientWidth + 200; }"
    )
    assert page.tab.evaluate(
        "() => document.querySelector('.rn').scrollWidth <= document.querySelector('.rn').clientWidth"
    )
    page.shoot(f"table {host}")
    assert (
        page.tab.evaluate(
            """() => [...document.querySelectorAll('.rn-row')].filter(row => {
            const label = row.querySelector('.rn-bar-label');
            return label && Math.abs(label.getBoundingClientRect().top - row.getBoundingClientRect().top) > 2;
        }).map(row => row.innerText)"""
        )
        == []
    ), "each duration stands in its row"
    assert violations(page) == []

    details(page, "0.2")
    page.tab.wait_for_selector('.rn-panel ul[dir="rtl"]')
    sides = page.tab.evaluate(
        """() => ['h3', 'p', 'li', 'td'].map(tag => {
            const style = getComputedStyle(document.querySelector(`.rn-panel ${tag}`));
            return [style.direction, style.textAlign];
        })"""
    )
    assert sides == [["rtl", "start"]] * 4
    page.tab.get_by_label("Full screen").click()
    page.tab.wait_for_selector(".rn.rn-full")
    box = page.tab.locator(".rn").first.bounding_box()
    size = page.tab.evaluate("() => [innerWidth, innerHeight]")
    assert [box["width"], box["height"]] == pytest.approx(size, abs=4)
    page.shoot(f"arabic full screen {host}")
    assert violations(page) == []
    page.tab.get_by_label("Full screen").click()
    page.tab.wait_for_selector(".rn:not(.rn-full)")


QUOTING = r"""
%load_ext rlm_notebook
from pathlib import Path
from rlm_notebook import ScriptedModel

Path("harbour.md").write_text(
    "# The Site\n\n" + "The map is old. " * 30 + "\n\n# Results\n\n" + "Nobody had asked before. " * 20
    + "The bridge was not able to carry heavy loads, as the survey of 1921 says. " + "It was closed soon after. " * 20
)
said = (
    'It failed: ⟦"The bridge was not able to carry heavy loads"|harbour.md §Results⟧, says the survey.\n\n'
    '⟦"The map is old."|harbour.md §Results⟧ And ⟦"The bridge was able to carry heavy loads"|harbour.md §Results⟧.'
)
model = ScriptedModel({"Was it safe?": said})
"""


#: Whether an element of the panel is not scrolled out of it.
IN_SIGHT = """each => {
    const [box, pane] = [each, each.closest('.rn-panel')].map(one => one.getBoundingClientRect());
    return box.top >= pane.top - 1 && box.bottom <= pane.bottom + 1;
}"""


@pytest.mark.parametrize("host", hosts("lab"))
def test_a_click_on_a_citation_shows_the_passage_in_its_surroundings(lab: Any, open_notebook: Any, host: str) -> None:
    asked = "%%rlm -m model -n quotes --max-depth 1 --source harbour.md\nWas it safe?"
    page = open_notebook(lab.write(f"quotes_{host}", QUOTING, asked), host)
    page.run_all()
    page.status("done")
    page.idle()
    # The answer below the tree has footnotes.
    below = page.tab.locator(".jp-RenderedMarkdown", has_text="heavy loads").last.inner_text()
    assert "“The bridge was not able to carry heavy loads”¹" in below
    assert "¹ harbour.md §Results, verified" in below
    page.tab.locator('.rn [aria-label="Show tree"]').first.click()
    pane = details(page, "0")
    citations = pane.locator(".rn-panel .rn-quote .rn-reference")
    citations.nth(2).wait_for()
    assert citations.count() == 3
    assert violations(page) == []
    page.shoot(f"citations {host} light")

    citations.first.click()
    passage = pane.locator('.rn-cited[data-state="verified"]')
    passage.locator("mark").wait_for()
    assert passage.locator("mark").inner_text() == "The bridge was not able to carry heavy loads"
    shown = passage.inner_text()
    assert "harbour.md §Results" in shown
    assert "Nobody had asked before." in shown
    assert "as the survey of 1921 says" in shown
    assert passage.evaluate("each => each === document.activeElement")
    assert passage.locator("mark").evaluate(IN_SIGHT)
    assert [each.get_attribute("data-state") for each in pane.locator(".rn-cited").all()] == [
        "verified",
        "moved",
        "altered",
    ]
    assert "harbour.md §The Site" in pane.locator('.rn-cited[data-state="moved"]').inner_text()
    assert violations(page) == []
    page.shoot(f"passage {host} light")

    # With the keyboard alone: to the tab of the answer, to its third citation, and to that passage.
    page.tab.locator('.rn [role="tab"]', has_text="Quotes").press("ArrowLeft")
    third = citations.nth(2)
    third.focus()
    third.press("Enter")
    altered = pane.locator('.rn-cited[data-state="altered"]')
    altered.locator("mark").wait_for()
    assert altered.evaluate("each => each === document.activeElement")
    assert altered.locator("mark").evaluate(IN_SIGHT)
    page.tab.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.tab.wait_for_selector('.rn[data-theme="dark"]')
    assert violations(page) == []
    page.shoot(f"passage {host} dark")


def test_the_search_finds_words_in_whole_outputs_and_ids_and_says_where(
    lab: Any, open_notebook: Any, host: str
) -> None:
    page = opened(lab, open_notebook, "search", host, CELL)
    rows = page.tab.locator(".rn-rows [data-node-id]")
    assert page.tab.locator('[data-node-id="0.3"] .rn-id').inner_text() == "0.3"
    field = page.tab.get_by_label("Search nodes")
    field.fill("SLOWLY turbines")
    page.tab.wait_for_selector('[data-node-id="0.3"] .rn-hit mark')
    assert page.tab.locator('[data-node-id="0.3"] .rn-hit b').inner_text() == "output"
    assert page.tab.locator('[data-node-id="0.0"]').count() == 0
    details(page, "0.3")
    page.tab.wait_for_selector(".rn-panel mark")
    assert {text.lower() for text in page.tab.locator(".rn-panel mark").all_inner_texts()} == {"turbines", "slowly"}
    page.shoot(f"search {host}")
    assert violations(page) == []

    field.fill("[0.2]")
    page.tab.wait_for_selector('[data-node-id="0.2"]')
    assert page.tab.locator('[data-node-id="0.3"]').count() == 0
    field.fill("zebra")
    page.tab.wait_for_selector(".rn-nothing:has-text('No node has “zebra” in its title, output, prompt or id.')")
    assert violations(page) == []
    field.press("Escape")
    page.tab.wait_for_selector('[data-node-id="0.3"]')
    assert rows.count() == 5
    assert page.tab.evaluate("() => document.activeElement.getAttribute('role')") == "row"
    assert page.tab.locator(".jp-CodeCell").count() == 2, "no key reached the notebook"


def test_two_runs_are_compared_side_by_side(lab: Any, open_notebook: Any, host: str) -> None:
    page = opened(lab, open_notebook, "compare", host, CELL, AGAIN, "%rlm diff demo later")
    page.tab.locator(".jp-CodeCell").nth(3).scroll_into_view_if_needed()
    output = page.output(3)
    output.locator(".rn-pairs").wait_for()
    assert output.locator(".rn-pairs tbody tr").count() == 2, "the root and what differs"
    assert output.locator(".rn-compare [role=status] b").inner_text() == "2 changed, 0 reused"
    output.locator('.rn-changed button:has-text("Wind")').click()
    output.locator("ins").wait_for()
    assert (output.locator("del").inner_text(), output.locator("ins").inner_text()) == ("slowly", "quickly")
    assert "result changed" in page.tab.locator(".jp-CodeCell").nth(3).inner_text(), "the text form stays below"
    page.shoot(f"compare {host}")
    assert violations(page) == []

    page.tab.locator(".jp-CodeCell").nth(2).scroll_into_view_if_needed()
    second = page.output(2)
    second.locator('[aria-label="Show tree"]').click()
    second.get_by_role("button", name="Compare").click()
    second.locator(".rn-pairs").wait_for()
    assert second.locator("select").input_value() == "demo"


@pytest.mark.parametrize("width", [600, 853])
@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_a_narrow_or_zoomed_notebook_keeps_progress_count_and_cost(
    lab: Any, open_notebook: Any, width: int, theme: str
) -> None:
    lab.theme(f"JupyterLab {theme}")
    try:
        page = opened(lab, open_notebook, f"narrow_{theme}_{width}", "lab", CELL)
        page.command("application:toggle-left-area")
        page.tab.set_viewport_size({"width": width, "height": 700 if width == 853 else 1000})
        page.tab.wait_for_function("width => document.querySelector('.rn').clientWidth < width", arg=width)
        details(page, "0.0")
        for name in (".rn-progress", ".rn-done-count", ".rn-metric"):
            assert page.tab.locator(f".rn {name}").first.is_visible(), name
        assert cut_off(page) == []
        page.shoot(f"{theme} {width}")
        assert violations(page) == []
    finally:
        lab.theme("JupyterLab Light")
