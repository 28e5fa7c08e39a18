"""A notebook that is opened when its kernel is gone: by its author, and by a colleague who does not trust it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.amounts import hosts

pytestmark = pytest.mark.browser

CELLS = (
    "%load_ext rlm_notebook\nfrom rlm_notebook import ScriptedModel\n"
    'model = ScriptedModel({"Weigh the market": {"Size it": {"Europe": "12", "Asia": "80"}, "Compare": "165"}})',
    "%%rlm -m model -n demo\nWeigh the market",
)


@pytest.fixture(scope="module")
def saved(lab: Any, browser: Any) -> Path:
    """A notebook that was executed and saved, and whose kernel was shut down."""
    from .conftest import Page

    path: Path = lab.write("reopened", *CELLS)
    page = Page(browser, lab, path)
    page.run_all()
    page.status("done")
    page.idle()
    page.save()
    page.tab.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()
    return path


def copy_of(lab: Any, saved: Path, name: str) -> Path:
    """The same notebook from somebody else: its signature is not known here."""
    content = nbformat.read(saved, as_version=4)
    content.cells.append(nbformat.v4.new_markdown_cell(f"from a colleague: {name}"))
    path: Path = lab.root / f"{name}.ipynb"
    nbformat.write(content, path)
    return path


@pytest.mark.parametrize("host", hosts("notebook"))
@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
def test_the_static_tree_is_what_is_shown(lab: Any, open_notebook: Any, saved: Path, host: str, trusted: bool) -> None:
    path = saved if trusted else copy_of(lab, saved, f"untrusted_{host}")
    page = open_notebook(path, host)
    tree = page.tab.locator(".rlm-static")
    tree.wait_for(state="visible")
    is_trusted = page.tab.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.cells.get(1).trusted")
    assert is_trusted is trusted
    assert "rlm done: 5 of 5 nodes" in tree.inner_text()
    tree.locator("summary").first.click()
    assert tree.get_by_text("Europe").is_visible()
    page.tab.wait_for_timeout(1500)
    shown = page.tab.locator(".jp-Notebook").inner_text()
    assert "model not found" not in shown
    assert "Error displaying widget" not in shown
    assert page.tab.locator(".rn").count() == 0
    page.shoot(f"reopened {host} {'trusted' if trusted else 'untrusted'}")
    page.errors.clear()  # The front end itself says that the widget's model is gone.
