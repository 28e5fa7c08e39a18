"""A front end in this process: one notebook with one `%%rlm` cell, whose outputs are kept as JupyterLab keeps them."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

from rlm_notebook.notebook.widget import TreeView
from rlm_notebook.notebook.widget.commands import execute
from rlm_notebook.runtime.run_view import RunView

from .waiting import until

__all__ = ["FrontEnd"]


class _Publisher(DisplayPublisher):
    """Collects what is displayed, by display id; `clear_output(wait=True)` clears with the next output."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.outputs: list[tuple[str, Mapping[str, Any]]] = []
        self.parent_header: dict[str, Any] = {"msg_id": "1"}
        self._clears = False

    def set_parent(self, parent: Mapping[str, Any]) -> None:
        self.parent_header = dict(parent["header"])

    def publish(self, data: Any, metadata: Any = None, **options: Any) -> None:
        identity = str((options.get("transient") or {}).get("display_id") or "")
        if options.get("update"):
            self.outputs = [(each, data if each == identity else shown) for each, shown in self.outputs]
            return
        self.outputs = [] if self._clears else self.outputs
        self._clears = False
        self.outputs.append((identity, data))

    def clear_output(self, wait: bool = False) -> None:
        self._clears = True


class FrontEnd:
    """A kernel with the extension, and a page that sends cell ids; `close` ends the kernel.

    `names` are the variables of the notebook.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        InteractiveShell.clear_instance()
        self.shell: Any = InteractiveShell.instance(display_pub_class=_Publisher)
        # A kernel, as far as the extension looks: it has a front end that sends cell ids.
        self.shell.kernel = object()
        self.shell.get_parent = lambda: {"header": {"msg_id": "1"}, "metadata": {"cellId": "cell-1"}}
        self.shell.run_line_magic("load_ext", "rlm_notebook")
        self.shell.user_ns.update(names)
        self.names: dict[str, Any] = self.shell.user_ns

    def close(self) -> None:
        self.shell.run_line_magic("unload_ext", "rlm_notebook")
        self.shell.history_manager.end_session()
        atexit.unregister(self.shell.atexit_operations)
        thread = getattr(self.shell.history_manager, "save_thread", None)
        if thread is not None:
            atexit.unregister(thread.stop)
            thread.stop()
        InteractiveShell.clear_instance()

    async def run(self, code: str) -> ExecutionResult:
        """Executes the cell: its outputs replace those before."""
        publisher = self.shell.display_pub
        publisher.outputs = []
        result: ExecutionResult = await self.shell.run_cell_async(
            code, transformed_cell=self.shell.transform_cell(code), store_history=True
        )
        if (error := result.error_in_exec or result.error_before_exec) is not None:
            publisher.outputs.append(("", {"text/plain": str(error), "error": True}))
        return result

    @property
    def last(self) -> RunView:
        """The run that the cell shows."""
        run: RunView = self.names["_rlm"]
        return run.internals.latest

    async def click(self, op: str, node: str | None = None, **arguments: Any) -> None:
        """A command from the tree; returns when the run that it starts has ended, and its outputs have arrived."""
        before = self.last
        execute(before, op, node, arguments)
        await until(lambda: self.last is not before and self.last.ended)
        await self.settled()

    async def settled(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    @property
    def outputs(self) -> list[Mapping[str, Any]]:
        return [data for _, data in self.shell.display_pub.outputs]

    @property
    def answer(self) -> Mapping[str, Any]:
        """What is below the tree and its static copy: one output."""
        (shown,) = self.outputs[2:]
        return shown

    @property
    def static(self) -> str:
        return str(self.outputs[1]["text/plain"])


def without_widgets(monkeypatch: Any) -> None:
    """Trees send nothing: there is no browser that reads it."""
    monkeypatch.setattr(TreeView, "send", lambda view, content, buffers=None: None)


def folder_of(notebook: Path) -> Path:
    return notebook.with_suffix(".rlm")
