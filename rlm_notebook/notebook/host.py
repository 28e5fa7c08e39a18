"""The notebook as a host: where its files go, and how a run is shown in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..run import Run
from .paths import Cell, checkpoint_for, notebook_path

__all__ = ["NotebookHost", "View", "show"]


class NotebookHost:
    """IPython, with or without a kernel behind it."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    @property
    def has_kernel(self) -> bool:
        """A front end that can show widgets may be listening; a terminal has none."""
        return getattr(self._shell, "kernel", None) is not None

    @property
    def cell_id(self) -> str:
        """The front end's id of the cell that runs now, or "" where it sends none."""
        get_parent = getattr(self._shell, "get_parent", None)
        parent = get_parent() if get_parent is not None else None
        metadata = parent.get("metadata") if isinstance(parent, dict) else None
        return str(metadata.get("cellId") or "") if isinstance(metadata, dict) else ""

    def checkpoint_path(self, name: str | None, request_key: str, task: str) -> Path:
        cell = Cell(name=name, cell_id=self.cell_id, request_key=request_key, task=task)
        return checkpoint_for(cell, notebook_path(self._shell.user_ns), Path.cwd())

    def display(self, run: Run) -> None:
        show(run, "widget" if self.has_kernel else "text")


class View:
    """How one run is shown; `close` leaves what stays."""

    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close


def show(run: Run, kind: str, *, title: str = "", notice: str = "") -> View:
    """Show a run as "widget" (with its static copy), as "text", or not at all ("none")."""
    if kind == "none":
        return View(lambda: None)
    if kind == "text":
        return _text_view(run)
    return _widget_view(run, title, notice)


def _text_view(run: Run) -> View:
    from ..observers.text import TextProgress

    progress = TextProgress(run)
    return View(progress.close)


def _widget_view(run: Run, title: str, notice: str) -> View:
    from IPython.display import display

    from .snapshot import bundle_of
    from .widget import TreeView

    display(TreeView(run, title=title, notice=notice))
    # A separate output: the widget hides it while it lives, and it is what a saved notebook shows afterwards.
    static = display(bundle_of(run), raw=True, display_id=True)
    return View(lambda: static.update(bundle_of(run), raw=True))
