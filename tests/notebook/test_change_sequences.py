"""Whatever is done in a tree and in its notebook, in any order: what the cell shows, what its variables hold, what is
on disk, what executing it again gives and what a reader of the saved file sees are the same, and no recorded call is
made twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, RLMError, load_run
from rlm_notebook.core.choices import RunMode
from rlm_notebook.core.tree import NodeState
from rlm_notebook.notebook.display.static_tree import bundle_of
from rlm_notebook.runtime.run_view import RunView
from tests.support.front_end import FrontEnd, folder_of, without_widgets
from tests.support.waiting import until

TASK = "Plan a trip"
CELL = f"%%rlm -m model -n trip --max-depth 3 -o found\n{TASK}"
PLANS = {TASK: ["way", "stay"], "stay": ["bed", "food"], "Plan a cruise": ["ship", "bed"]}
MOST_STEPS = 9


class Model:
    """Answers with a text of its own each time; some tasks fail as long as they are in `broken`.

    `again` are requests that may be made another time: their last reply was an error, or a person asked for it.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.nodes: dict[str, set[str]] = {}
        self.again: Counter[str] = Counter()
        self.broken: set[str] = set()
        self.twice: list[str] = []
        self.calls = 0

    async def __call__(self, inputs: list[dict[str, Any]], context: dict[str, Any]) -> dict[str, Any]:
        mode, task = context["mode"], context["task"]
        request = f"{mode} {task} {[message['content'] for message in inputs]}"
        self.calls += 1
        if self.asked[request] and not self.again[request]:
            self.twice.append(f"{mode} of {context['task_id']} {task!r}")
        self.again[request] = max(0, self.again[request] - 1)
        self.asked[request] += 1
        self.nodes.setdefault(context["task_id"], set()).add(request)
        await asyncio.sleep(0)
        if task in self.broken:
            self.again[request] += 1
            raise ValueError(f"418 for {task}")
        if mode == "planner":
            parts = PLANS.get(task)
            plan = {"decision": "RECURSE", "sub_tasks": parts} if parts else {"decision": "EXECUTE"}
            return {"content": json.dumps(plan)}
        if mode == "synthesizer":
            return {"content": f"<{', '.join(part['content'] for part in context['parts'])}>"}
        return {"content": f"{task}{self.asked[request]}"}


class Walk:
    """One sequence of steps, drawn by `chance`."""

    def __init__(self, folder: Path, chance: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.chance, self.monkeypatch = folder, chance, monkeypatch
        self.model = Model()
        self.notebook = folder / "trip.ipynb"
        self.steps: list[str] = []
        self.page: FrontEnd | None = None
        #: The folders of notebooks that were copied, with what they held then.
        self.originals: list[tuple[Path, dict[str, bytes]]] = []

    async def walk(self) -> None:
        try:
            await self.execute()
            for _ in range(self.chance.randint(2, MOST_STEPS)):
                name = self.chance.choice(STEPS)
                self.steps.append(name)
                await getattr(self, name)()
                await self.check()
        except BaseException as error:
            error.add_note(f"after {self.steps}")
            raise
        finally:
            if self.page is not None:
                self.page.close()

    # -- steps -----------------------------------------------------------------------------------------------------

    async def execute(self) -> None:
        if self.page is None:
            self.notebook.touch()
            self.monkeypatch.setenv("RLM_NOTEBOOK_PATH", str(self.notebook))
            self.page = FrontEnd({"model": self.model})
        await self.page.run(CELL)
        await self.page.settled()

    async def restart(self) -> None:
        self._page.close()
        self.page = None
        await self.execute()

    async def edit(self) -> None:
        node = self.chance.choice([node for node in self.run.tree if node.state is not NodeState.SUPERSEDED])
        part = self.chance.choice(["result", "result", "task", "plan"])
        value: Any = self.chance.choice(["by hand", "by another hand"])
        if part == "task":
            value = self.chance.choice([TASK, "Plan a cruise"] if node.parent is None else ["way", "bed", "boat"])
        elif part == "plan":
            value = self.chance.choice([{"decision": "EXECUTE"}, {"decision": "RECURSE", "sub_tasks": ["bed", "boat"]}])
        self.steps[-1] += f" {part} of {node.id}: {value}"
        await self._click("edit", node.id, **{part: value})

    async def retry(self) -> None:
        node = self.chance.choice([None, *self.run.tree])
        if node is not None and node.state is NodeState.DONE:
            # Nodes with equal keys have one answer: all of them are computed again.
            for other in self.run.tree:
                if other.id == node.id or other.plan_key == node.plan_key:
                    self.model.again.update(self.model.nodes.get(other.id, set()))
        self.steps[-1] += f" {node.id if node is not None else 'all'}"
        await self._click("retry", node.id if node is not None else None)

    async def answer(self) -> None:
        await self._click("answer")

    async def undo(self) -> None:
        await self._click("undo")

    async def restore(self) -> None:
        before = self.run
        number = self.chance.randint(1, 3)
        self.steps[-1] += f" {number}"
        outputs = list(self._page.shell.display_pub.outputs)
        with_versions = (folder_of(self.notebook) / f"trip.{number}.json").exists()
        self._page.shell.run_line_magic("rlm", f"restore trip {number}") if with_versions else None
        assert len(self._page.shell.display_pub.outputs) == len(outputs)
        if with_versions:
            await until(lambda: self.run is not before and self.run.ended)
            await self._page.settled()

    async def rename(self) -> None:
        """Renames the notebook, whose kernel goes on; its runs follow when the cell is executed."""
        renamed = self.notebook.with_stem(f"trip{len(self.steps)}")
        self.notebook.rename(renamed)
        await self._opened(renamed)

    async def copy(self) -> None:
        """Copies the notebook and goes on with the copy, which never writes into the files of the original."""
        self.originals.append((folder_of(self.notebook), _contents(folder_of(self.notebook))))
        copied = self.notebook.with_stem(f"copy{len(self.steps)}")
        shutil.copyfile(self.notebook, copied)
        self._page.close()
        self.page = None
        await self._opened(copied)

    async def clone(self) -> None:
        """Goes on in a clone of the notebook and its files at another path."""
        folder = folder_of(self.notebook)
        self.originals.append((folder, _contents(folder)))
        place = self.folder / f"clone{len(self.steps)}"
        shutil.copytree(folder, place / folder.name)
        self._page.close()
        self.page = None
        await self._opened(Path(shutil.copy(self.notebook, place)))

    async def _opened(self, notebook: Path) -> None:
        calls = self.model.calls
        finished = load_run(folder_of(self.notebook) / "trip.json").status == "done"
        self.notebook = notebook
        self.monkeypatch.setenv("RLM_NOTEBOOK_PATH", str(notebook))
        await self.execute()
        assert self.model.calls == calls or not finished

    async def break_or_mend(self) -> None:
        self.model.broken ^= {self.chance.choice(["way", "bed", "food", "boat"])}
        self.steps[-1] += f": broken are {sorted(self.model.broken)}"

    async def _click(self, op: str, node: str | None = None, **arguments: Any) -> None:
        try:
            await self._page.click(op, node, **arguments)
        except RLMError as error:
            self.steps[-1] += f" (refused: {error})"

    # -- what has to be true -----------------------------------------------------------------------------------------

    async def check(self) -> None:
        assert self.model.twice == []
        assert all(_contents(folder) == held for folder, held in self.originals)
        page, run = self._page, self.run
        path = folder_of(self.notebook) / "trip.json"
        saved = load_run(path)
        shown = page.answer
        # With the version that it shows, by which a page knows whether the tree shows the same.
        assert dict(page.outputs[1]) == bundle_of(saved)
        assert run.status == saved.status
        assert self.names_of(run) == self.names_of(saved)
        if saved.status == "done":
            answer = str(saved.output)
            assert "error" not in shown
            assert (shown["text/plain"], str(page.names["found"]), str(run.output)) == (answer, answer, answer)
            assert str(page.names["Out"][max(page.names["Out"])]) == answer
            assert await self.again(path, "resume") == (answer, 0)
            assert await self.again(path, "replay") == (answer, 0)
        else:
            assert "418" in shown["text/plain"]

    async def again(self, path: Path, mode: RunMode) -> tuple[str, int]:
        """What somebody else gets who executes the cell, with copies of the files; and with how many calls."""
        copy = self.folder / "elsewhere"
        shutil.copytree(path.parent, copy)
        calls = self.model.calls
        engine = AsyncRecursiveEngine(self.model, max_depth=3, max_steps=50)
        output = await engine.start(TASK, checkpoint=copy / path.name, mode=mode, versioned=True)
        shutil.rmtree(copy)
        return str(output), self.model.calls - calls

    @staticmethod
    def names_of(run: RunView) -> list[tuple[str, str, str | None, str]]:
        living = (node for node in run.tree if node.state is not NodeState.SUPERSEDED)
        return sorted((node.id, node.task, node.result, node.edited) for node in living)

    @property
    def run(self) -> RunView:
        return self._page.last

    @property
    def _page(self) -> FrontEnd:
        assert self.page is not None
        return self.page


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


STEPS = [
    *("execute", "edit", "edit", "edit", "retry", "answer", "undo", "undo", "restore", "break_or_mend"),
    *("restart", "rename", "copy", "clone"),
]
#: Each test tries so many sequences, each drawn by its number.
BLOCK = 10
SEQUENCES = int(os.environ.get("RLM_CHANGE_SEQUENCES", "50"))


def tried(numbers: range, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_widgets(monkeypatch)
    for number in numbers:
        (place := folder / str(number)).mkdir()
        try:
            asyncio.run(Walk(place, random.Random(number), monkeypatch).walk())
        except BaseException as error:
            error.add_note(f"sequence {number}")
            raise
        shutil.rmtree(place)


def test_all_tell_the_same_after_any_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried(range(3), tmp_path, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, SEQUENCES, BLOCK))
def test_all_tell_the_same_after_many(first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried(range(first, min(first + BLOCK, SEQUENCES)), tmp_path, monkeypatch)
