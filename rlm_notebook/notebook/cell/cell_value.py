"""What an execution of a cell gave to the notebook: its value, the variable of `-o`, `Out`, and the answer below the
tree. They stay equal to the run in the cell's file, also when the run is changed in the tree after the cell has ended.

Theory of operation
===================
A cell's run may continue as another one: an edit, a retry, a restored version. The tree and the static copy follow by
themselves; a `CellValue` follows with everything else. When the continuation has an answer, that becomes the value of
the variables, as far as they still hold the answer before it, and the display below the tree is updated by its id. An
`execute_result` has no such id, so with a front end, which can change a cell later, the value of a cell displays itself
as `display_data`.

A cell that failed ends with an error, which no message can remove alone. When a retry has an answer, the outputs of the
cell are cleared and shown again: tree, static copy, answer. When a change fails, the display below the tree says so in
place of the answer, which no longer is that of the tree; the variables keep the answer before it, and the text says
that, too.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ...core.error_text import described, error_text
from ...core.text import printable
from ...host.credentials import without_keys
from ...runtime.run_view import RunView
from ...types import Output
from ..kernel.session import Session
from .options import CellOptions
from .type_option import type_named

if TYPE_CHECKING:
    from ..display.show import ShownTree

__all__ = ["CellValue"]

log = logging.getLogger("rlm_notebook")


class CellValue:
    """The value of one execution of a cell, which follows the cell's run; `tree` is its view, if there is one."""

    def __init__(self, session: Session, options: CellOptions, run: RunView) -> None:
        self.tree: ShownTree | None = None
        self._session = session
        self._options = options
        self._shell = session.shell
        self._cell = session.host.cell
        #: Whether outputs can be changed after the cell has ended.
        self._updatable = session.host.best_view == "widget"
        self._count = self._shell.displayhook.prompt_count
        #: The present value: the answer, or the run itself for `--detach`.
        self.value: Any = None
        self._display: Any = None
        self._ended = False
        self._error_below = False
        #: Keeps the tasks that wait for continuations alive.
        self._waiting: set[asyncio.Task[None]] = set()
        run.internals.follow(self._continued)

    # -- while the cell runs ---------------------------------------------------------------------------------------

    def returned(self, value: Any) -> None:
        """The cell has ended with this value, which is about to be displayed."""
        self.value, self._ended = value, True
        if self._options.out:
            self._session.variables[self._options.out] = value
        if self._updatable and isinstance(value, Output):
            self._session.shown_next = self

    def failed(self) -> None:
        """The cell has ended with an error, which is shown below the tree."""
        self._ended = self._error_below = True

    def show(self, instead: dict[str, str] | None = None) -> None:
        """Display the answer, or a MIME bundle in its place, so that it can be updated."""
        from IPython.display import DisplayHandle

        self._display = DisplayHandle()
        self._display.display(self.value if instead is None else instead, raw=instead is not None)

    # -- afterwards ------------------------------------------------------------------------------------------------

    def _continued(self, successor: RunView) -> None:
        successor.internals.follow(self._continued)
        if self.value is not None and not isinstance(self.value, Output):
            # `--detach`: the value is the run.
            self._replace_in_variables(successor)
            return
        task = asyncio.get_running_loop().create_task(self._follow(successor))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _follow(self, run: RunView) -> None:
        output, problem = None, ""
        try:
            output = await run
        except asyncio.CancelledError:
            problem = "it was cancelled"
        except Exception as error:
            problem = printable(without_keys(error_text(error)))
        if not self._ended or run.internals.successor is not None:
            # The cell itself returns the answer, or a later continuation gives another one.
            return
        try:
            if output is None:
                self._show_failure(problem)
                return
            output.format = self._options.format or output.format
            self._replace_in_variables(output)
            if self._error_below:
                self._replace_error()
            elif self._display is not None:
                self._display.update(self.value)
            if self._options.type:
                self._session.tables.show(type_named(self._options.type, self._session.variables))
        except Exception as error:
            # A view never fails a run.
            log.warning("the answer below the tree cannot be updated: %s", described(error), exc_info=True)

    def _replace_in_variables(self, value: Any) -> None:
        """Variables that hold the value before this one hold it now, and those that would, had the cell not failed."""
        names, before = self._session.variables, self.value
        self.value = value
        for name in (self._options.out or "", f"_{self._count}"):
            if not name:
                continue
            if before is None or names.get(name, before) is before:
                names[name] = value
        history = names.get("Out")
        if isinstance(history, dict):
            history[self._count] = value
        for name in ("_", "__", "___") if before is not None else ():
            if names.get(name) is before:
                names[name] = value
                setattr(self._shell.displayhook, name, value)

    def _show_failure(self, problem: str) -> None:
        kept = [name for name in (self._options.out, f"Out[{self._count}]") if name and self.value is not None]
        still = f"{' and '.join(kept)} still hold the answer before it. " if kept else ""
        undo = "Undo goes back, and " if kept else ""
        text = (
            f"rlm: the last change in the tree above gave no answer: {problem}\n"
            f"{still}In the tree, {undo}Retry computes what is missing."
        )
        shown = {"text/plain": text}
        if self._error_below:
            self._replace_error(shown)
        elif self._display is not None:
            self._display.update(shown, raw=True)

    def _replace_error(self, instead: dict[str, str] | None = None) -> None:
        """The error goes with all outputs of the cell; then everything but it is shown again."""
        with self._cell.outputs(clear=self._updatable):
            if self._updatable and self.tree is not None:
                self.tree.show_again()
            self.show(instead)
        self._error_below = False
