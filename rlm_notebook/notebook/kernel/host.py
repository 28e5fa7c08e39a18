"""The notebook as a host: the paths of its checkpoints, and how it displays a run.

`%load_ext` imports this module, so it imports nothing of the engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ...checkpoints.location import Cell, FilesInUse, checkpoint_for, notebook_path

if TYPE_CHECKING:
    from ...runtime.run_view import RunView

__all__ = ["NotebookHost"]


class NotebookHost:
    """IPython, with or without a kernel behind it."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._files = FilesInUse()
        #: The view of runs that differ from `best_view`: "widget", "text" or "none".
        self.views: WeakKeyDictionary[RunView, str] = WeakKeyDictionary()

    @property
    def best_view(self) -> str:
        """The widget with a kernel, because its front end may show widgets; text in a terminal."""
        return "widget" if getattr(self._shell, "kernel", None) is not None else "text"

    @property
    def cell_id(self) -> str:
        """The front end's id of the cell that runs now, or "" where it sends none."""
        return str(self._parent("metadata").get("cellId") or "")

    def checkpoint_path(self, name: str | None, request_key: str, task: str) -> Path:
        cell = Cell(
            name=name,
            cell_id=self.cell_id,
            request_key=request_key,
            task=task,
            execution=str(self._parent("header").get("msg_id") or ""),
        )
        path = checkpoint_for(cell, notebook_path(self._shell.user_ns), Path.cwd(), self._files)
        self._files.used(path, cell)
        return path

    def _parent(self, part: str) -> dict[str, Any]:
        """A part of the message that runs the current cell."""
        get_parent = getattr(self._shell, "get_parent", None)
        parent = get_parent() if get_parent is not None else None
        found = parent.get(part) if isinstance(parent, dict) else None
        return found if isinstance(found, dict) else {}

    def display(self, run: RunView) -> None:
        from ..display.show import show_tree

        view = self.views.get(run, self.best_view)
        # The latest continuation, if there is one: the run before it has ended.
        run = run.internals.latest
        if view == "widget":
            show_tree(run)
        else:
            print(run if view == "text" else repr(run))
