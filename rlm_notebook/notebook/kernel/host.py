"""The notebook as a host: the paths of its checkpoints, and how it displays a run.

`%load_ext` imports this module, so it imports nothing of the engine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ...checkpoints.location import Cell, FilesInUse, checkpoint_for, notebook_path, papermill_folders
from ...host.console import say
from .executed_cell import ExecutedCell

if TYPE_CHECKING:
    from ...runtime.run_view import RunView

__all__ = ["NotebookHost"]


class NotebookHost:
    """IPython, with or without a kernel behind it."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._files = FilesInUse()
        self._cells_have_ids = False
        #: The view of runs that differ from `best_view`: "widget", "static", "text" or "none".
        self.views: WeakKeyDictionary[RunView, str] = WeakKeyDictionary()
        #: In which execution of a cell an experiment was shown.
        self._rows_shown: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    @property
    def best_view(self) -> str:
        """The widget for a front end, its static copy for a kernel without one (nbclient, papermill), else text."""
        if getattr(self._shell, "kernel", None) is None:
            return "text"
        return "widget" if self._has_front_end() else "static"

    def _has_front_end(self) -> bool:
        """Whether something may show widgets: who executes a notebook without a browser sends no cell id, and runs in
        no session of a Jupyter server. A widget would only fill the notebook with its code and new ids."""
        self._cells_have_ids = self._cells_have_ids or bool(self.cell_id)
        return (
            self._cells_have_ids
            or bool(os.environ.get("JPY_SESSION_NAME"))
            or "__vsc_ipynb_file__" in self._shell.user_ns
            or os.environ.get("SERVER_SOFTWARE", "").startswith("voila")
            or "google.colab" in sys.modules
        )

    @property
    def cell(self) -> ExecutedCell:
        """The cell that runs now."""
        # The shell of Pyodide's kernel leaves that to its kernel.
        kernel = getattr(self._shell, "kernel", None)
        get_parent = getattr(self._shell, "get_parent", None) or getattr(kernel, "get_parent", None)
        parent = get_parent() if get_parent is not None else None
        return ExecutedCell(self._shell, parent if isinstance(parent, dict) else {})

    @property
    def cell_id(self) -> str:
        """The front end's id of the cell that runs now, or "" where it sends none."""
        return self.cell.id

    @property
    def variables(self) -> Mapping[str, Any]:
        """The variables of the notebook."""
        variables: Mapping[str, Any] = self._shell.user_ns
        return variables

    def checkpoint_path(
        self,
        name: str | None,
        request_key: str,
        task: str,
        *,
        model: str = "",
        options: dict[str, Any] | None = None,
        mode: str = "resume",
        keep_plan: bool = False,
    ) -> Path:
        cell = Cell(
            name=name,
            cell_id=self.cell_id,
            request_key=request_key,
            task=task,
            execution=self.cell.execution,
            model=model,
            options=options,
            keep_plan=keep_plan,
            mode=mode,
            typed=getattr(self._shell, "kernel", None) is None,
        )
        notebook, also = notebook_path(self.variables), papermill_folders(self.variables)
        path = checkpoint_for(cell, notebook, Path.cwd(), self._files, also=also, tell=print)
        self._files.used(path, cell)
        return path

    def use_named_file(self, path: Path, request_key: str) -> None:
        """Registers the file of `--checkpoint`. Raises `ConfigurationError` if another cell keeps another run there."""
        self._files.require_unused(path, Cell(name=None, cell_id=self.cell_id, request_key=request_key, task=""))

    def has_shown(self, experiment: Any) -> None:
        """The cell that runs now shows this experiment: as its value, it is not shown again."""
        self._rows_shown[experiment] = self.cell.execution

    def display_comparison(self, old: RunView, new: RunView) -> None:
        """Shows two runs side by side, if the front end shows widgets."""
        if self.best_view == "widget":
            from ..display.show import show_comparison

            show_comparison(old, new)

    def display(self, run: Any) -> None:
        from ...runtime.run_view import is_run
        from ..display.show import show_static, show_tree

        if not is_run(run):
            from ..display.show_rows import show_rows

            # An experiment: the cell that ran it has shown it.
            if self._rows_shown.get(run) != self.cell.execution:
                refresh_copy = show_rows(run, self.best_view)
                if run.status in ("running", "paused"):
                    run.at_end(refresh_copy)
            return
        view = self.views.get(run, self.best_view)
        # The latest continuation, if there is one: the run before it has ended.
        run = run.internals.latest
        if view == "widget":
            show_tree(run)
        elif view == "static":
            show_static(run)
        else:
            say(run if view == "text" else repr(run))
