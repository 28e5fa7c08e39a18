"""A notebook is executed without a front end, opened, renamed, copied: what it knows is used, and nobody pays twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import HANG

pytestmark = pytest.mark.browser

MODEL = """\
%load_ext rlm_notebook
import json, os
async def llm(inputs, context):
    with open("{log}", "a") as lines:
        lines.write(context["mode"] + " " + context["task"] + "\\n")
    if context["mode"] == "planner":
        parts = ["one", "two"] if context["depth"] == 0 else []
        return {{"content": json.dumps({{"decision": "RECURSE" if parts else "EXECUTE", "sub_tasks": parts}})}}
    return {{"content": "fine"}}"""
RENAME = "name => window.jupyterapp.shell.currentWidget.context.rename(name)"
#: What the front end says of a saved tree whose kernel was restarted or shut down, at a moment of its own choice.
GONE = "widget model not found"
SHUT_DOWN = "() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()"
RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"


class Story:
    """One notebook with two cells of one name, and how often its model was called."""

    def __init__(self, lab: Any, name: str) -> None:
        self.lab = lab
        self.log = Path(lab.root, f"{name}.log")
        cells = [f"%%rlm -m llm -n {name}\n{task}" for task in ("Weigh the market.", "Weigh the shop.")]
        # The last cell marks the end of an execution.
        self.path = lab.write(name, MODEL.format(log=self.log), *cells, "print('executed', os.getpid())")

    @property
    def calls(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def execute(self) -> None:
        """As a colleague does who has no front end."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("RLM_", "JPY_"))}
        command = [sys.executable, "-m", "jupyter", "execute", "--inplace", self.path.name]
        subprocess.run(command, cwd=self.lab.root, check=True, env=environment, timeout=HANG, capture_output=True)

    def run_in(self, page: Any) -> str:
        """Runs all cells anew; returns what is below them."""
        page.tab.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        page.run_all()
        page.output(3).get_by_text("executed").wait_for()
        page.idle()
        return "\n".join(page.output(index).inner_text() for index in (1, 2))

    def files(self, name: str) -> list[str]:
        return sorted(path.name for path in Path(self.lab.root, f"{name}.rlm").glob("*"))


def test_executed_opened_and_executed_again(lab: Any, open_notebook: Any) -> None:
    story = Story(lab, "executed")
    story.execute()
    paid = story.calls
    assert paid == 12
    page = open_notebook(story.path)
    shown = story.run_in(page)
    page.shoot("adopted")
    assert "is moved to executed.rlm/executed.json" in shown
    assert story.files("executed") == ["executed-2.json", "executed.json"]
    page.save()
    story.execute()
    assert "is moved" not in story.run_in(page)
    assert story.calls == paid


def test_renamed_restarted_closed_and_copied(lab: Any, open_notebook: Any) -> None:
    story = Story(lab, "draft")
    page = open_notebook(story.path)
    page.expected.append(GONE)
    shown = story.run_in(page)
    paid = story.calls
    assert paid == 12
    assert "draft.rlm/draft.json holds another run, which is kept; this one is draft-2.json" in shown
    assert page.output(2).locator(".rn-heading b").inner_text() == "draft-2"
    page.tab.evaluate(RENAME, "final.ipynb")
    story.run_in(page)
    assert story.files("draft") == ["draft-2.json", "draft.json"], "the kernel does not know the new name yet"
    page.tab.evaluate(RESTART)
    page.ready()
    shown = story.run_in(page)
    page.shoot("renamed")
    assert "draft.rlm/draft.json, whose notebook is gone, is moved to final.rlm/draft.json" in shown
    assert story.files("final") == ["draft-2.json", "draft.json"]
    assert not Path(lab.root, "draft.rlm").exists()
    page.save()
    page.tab.evaluate(SHUT_DOWN)
    renamed = Path(lab.root, "final.ipynb")
    page = open_notebook(renamed)
    page.expected.append(GONE)
    assert "is moved" not in story.run_in(page)

    copy = Path(lab.root, "copy.ipynb")
    copy.write_bytes(renamed.read_bytes())
    before = {path: path.read_bytes() for path in Path(lab.root, "final.rlm").iterdir()}
    page = open_notebook(copy)
    page.expected.append(GONE)
    shown = story.run_in(page)
    assert "final.rlm/draft.json, which answers this cell, too, is copied to copy.rlm/draft.json" in shown
    assert story.calls == paid
    page.tab.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.model.cells.get(1)"
        ".sharedModel.setSource('%%rlm -m llm -n draft\\nWeigh another market.')"
    )
    story.run_in(page)
    assert story.calls > paid
    assert {path: path.read_bytes() for path in Path(lab.root, "final.rlm").iterdir()} == before
