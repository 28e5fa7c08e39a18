"""The view of an experiment or a study: an anywidget that sends rows to browsers, and shows the tree of the open one.

Messages from a browser may arrive on any thread; each is handled on the experiment's event loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from ...core.error_text import described
from ...exceptions import RLMError
from ...experiments.live import LiveRows, Watched
from . import TreeView

__all__ = ["RowsView"]

log = logging.getLogger("rlm_notebook")

_BUNDLE = Path(__file__).parents[2] / "static" / "experiment.js"
#: Seconds between two updates at least, and the share of the time that they may take (summing up many rows takes long).
INTERVAL = 0.25
SHARE = 0.05
#: The rows of one message.
MOST_SENT = 2_000


class RowsView(anywidget.AnyWidget):
    """The live table of an experiment; several browsers may show it at once.

    `box` is what is displayed: the table, and below it the tree of the open row.
    """

    _esm = _BUNDLE
    _id = traitlets.Unicode("").tag(sync=True)
    _head = traitlets.Dict().tag(sync=True)
    _open = traitlets.Int(-1).tag(sync=True)
    theme = traitlets.Unicode("auto").tag(sync=True)

    def __init__(self, experiment: Watched) -> None:
        self._experiment = experiment
        self._rows = LiveRows(experiment)
        super().__init__(_id=secrets.token_hex(8), _head=self._current_head())
        self.box = ipywidgets.VBox([self])
        self.on_msg(self._received)
        self._on_loop(self._tick)

    @property
    def id(self) -> str:
        """The mark of the static copy beside it."""
        return str(self._id)

    def __repr__(self) -> str:
        return "RowsView()"

    def _current_head(self) -> dict[str, Any]:
        return {**self._rows.head(), "canRetry": self._can_act}

    @property
    def _can_act(self) -> bool:
        loop = self._experiment.internals.loop
        return self._experiment.can_run_again and loop is not None and loop.is_running()

    def _on_loop(self, action: Callable[..., None], *values: Any) -> None:
        """Runs `action` on the experiment's loop; if that does not run, no row changes, and it runs here."""
        loop = self._experiment.internals.loop
        if loop is not None and loop.is_running():
            loop.call_soon_threadsafe(action, *values)
        else:
            action(*values)

    # -- to the browser ------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Send what has changed, now and as long as rows run."""
        began = time.perf_counter()
        try:
            under_way = self._experiment.status in ("running", "paused")
            # At the end, rows that did not run have another state, too.
            self._send_rows(self._rows.changed() if under_way else self._rows.all())
            self._head = self._current_head()
        except Exception as error:
            # A view never fails an experiment.
            log.warning("the rows of an experiment cannot be shown: %s", described(error), exc_info=True)
            return
        if under_way:
            seconds = max(INTERVAL, (time.perf_counter() - began) / SHARE)
            asyncio.get_running_loop().call_later(seconds, self._tick)

    def _send_rows(self, rows: list[Any], *, reset: bool = False) -> None:
        for begin in range(0, len(rows), MOST_SENT):
            self.send({"t": "rows", "rows": rows[begin : begin + MOST_SENT], "reset": reset and begin == 0})

    # -- from the browser ----------------------------------------------------------------------------------------

    def _received(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if isinstance(message, dict):
            self._on_loop(self._answer, message)

    def _answer(self, message: dict[str, Any]) -> None:
        try:
            match message.get("t"):
                case "sync":
                    self._send_rows(self._rows.all(), reset=True)
                    self._head = self._current_head()
                case "open":
                    self._open_row(message.get("row"))
                case "pause":
                    self._experiment.pause()
                    self._head = self._current_head()
                case "resume":
                    self._experiment.resume()
                    self._head = self._current_head()
                case "cancel":
                    self._experiment.internals.request_cancel()
                case "retry" if self._can_act:
                    self._experiment.internals.again()
                    self._tick()
        except RLMError as error:
            self.send({"t": "error", "error": str(error)})

    def _open_row(self, row: Any) -> None:
        """Show the tree of a row below the table, or none."""
        if not isinstance(row, int) or isinstance(row, bool):
            self._open, self.box.children = -1, (self,)
            return
        live = self._experiment.live_run(row)
        tree = TreeView(
            live if live is not None else self._experiment.run(row), title=self._experiment.title_of(row), unfolded=True
        )
        before = self.box.children[1:]
        self._open, self.box.children = row, (self, tree)
        for each in before:
            each.close()
        self.send({"t": "opened"})
