"""Random sequences of executions, edits, renames and copies: what a file beside the notebook knows is not paid for."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

from rlm_notebook import AsyncRecursiveEngine
from rlm_notebook.checkpoints.json_file import JsonFile
from rlm_notebook.checkpoints.location import Cell, FilesInUse, checkpoint_for
from tests.support.amounts import few_or_many

TASKS = ("Say one", "Say two", "Say three")
OPERATIONS = ("run all", "run all", "run all", "edit", "copy a cell", "restart", "rename", "copy", "unknown")


class Folder:
    """A folder of notebooks: for each the cells (id, name, task), and the files that its kernel's session uses."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.numbers = itertools.count()
        self.with_ids = seed % 3 > 0
        self.calls = 0
        self.notebooks: dict[str, list[list[str]]] = {}
        self.sessions: dict[str, FilesInUse] = {}
        self.engine = AsyncRecursiveEngine(self.model)
        self.create([self.cell(), self.cell()])

    async def model(self, inputs: Any, context: Any) -> Any:
        self.calls += 1
        return {"content": json.dumps({"decision": "EXECUTE", "answer": f"about {context['task']}"})}

    def new_id(self) -> str:
        return f"id-{next(self.numbers)}" if self.with_ids else ""

    def cell(self) -> list[str]:
        return [self.new_id(), self.random.choice(["", "demo", "demo", "other"]), self.random.choice(TASKS)]

    def create(self, cells: list[list[str]]) -> None:
        name = f"n{next(self.numbers)}"
        (self.folder / f"{name}.ipynb").touch()
        self.notebooks[name] = [list(cell) for cell in cells]

    async def run_all(self, name: str, *, known: bool = True) -> int:
        """Runs all cells of a notebook; returns the calls. No file of another notebook that exists is changed."""
        before, calls = self.files_of_others(name), self.calls
        files = self.sessions.setdefault(name, FilesInUse())
        for cell_id, cell_name, task in self.notebooks[name] if known else self.notebooks[name][:1]:
            cell = Cell(
                name=cell_name or None,
                cell_id=cell_id if known else "",
                request_key=self.engine.request_key(task),
                task=task,
                execution=str(next(self.numbers)),
            )
            notebook = self.folder / f"{name}.ipynb" if known else None
            path = checkpoint_for(cell, notebook, self.folder, files)
            files.used(path, cell)
            output = await self.engine.solve(task, checkpoint=JsonFile(path, cell_id=cell.cell_id))
            assert str(output) == f"about {task}"
        assert not known or self.files_of_others(name) == before
        return self.calls - calls

    def files_of_others(self, name: str) -> dict[Path, bytes]:
        folders = [self.folder / f"{other}.rlm" for other in self.notebooks if other != name]
        return {path: path.read_bytes() for folder in folders for path in folder.glob("*.json")}

    async def step(self) -> None:
        operation, name = self.random.choice(OPERATIONS), self.random.choice(list(self.notebooks))
        cells = self.notebooks[name]
        if operation == "run all":
            await self.run_all(name)
            assert await self.run_all(name) == 0, "the second Run All pays for nothing"
        elif operation == "edit":
            self.random.choice(cells)[2] = self.random.choice(TASKS)
        elif operation == "copy a cell":
            cells.append([self.new_id(), *self.random.choice(cells)[1:]])
        elif operation == "restart":
            self.sessions.pop(name, None)
        elif operation == "unknown":
            await self.run_all(name, known=False)
        else:
            await self.run_all(name)
            self.create(cells)
            new = list(self.notebooks)[-1]
            if operation == "rename":
                (self.folder / f"{name}.ipynb").unlink()
                del self.notebooks[name]
            assert await self.run_all(new) == 0, f"a {operation} pays for nothing"


@few_or_many(3, 15, 60)
async def test_nothing_is_paid_for_twice(tmp_path: Path, amount: int) -> None:
    for seed in range(amount):
        place = tmp_path / str(seed)
        place.mkdir()
        folder = Folder(place, seed)
        for _ in range(10):
            await folder.step()
