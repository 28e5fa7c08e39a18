"""Shows a run in a notebook: as the widget with its static copy, or as text."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...core.events import Event, RunFinished
from ...runtime.run_view import RunView

if TYPE_CHECKING:
    from ..widget import TreeView

__all__ = ["show", "show_tree"]

#: Seconds between two updates of the static copy while a run is under way.
REFRESH_INTERVAL = 5.0


def show(run: RunView, kind: str, *, title: str = "") -> AbstractContextManager[TreeView | None]:
    """Shows a run as "widget" (with its static copy), as "text", or not at all ("none"), while the block runs.

    The value of the block is the widget, if there is one.
    """
    if kind == "widget":
        return _widget_view(run, title)
    return _text_view(run) if kind == "text" else nullcontext()


@contextmanager
def _text_view(run: RunView) -> Iterator[None]:
    from ...observers.text import progress_of

    # Standard output: notebooks show standard error in the colours of an error.
    progress = progress_of(run, sys.stdout)
    try:
        yield
    finally:
        progress.close()
        if run.internals.latest.status in ("done", "failed"):
            # The error of a run that was stopped names its file.
            print(_summary(run.internals.latest))


def _summary(run: RunView) -> str:
    """One line: the model and the number of calls, or when the reused result was recorded; and the file."""
    where = f"saved in {run.checkpoint}" if run.checkpoint else "kept in memory only"
    recorded = run.internals.recorded.tree if run.internals.recorded is not None else None
    if run.internals.reused and recorded is not None and recorded.ended is not None:
        when = datetime.fromtimestamp(recorded.ended).strftime("%Y-%m-%d %H:%M")
        return f"rlm: reused from {when}, no model was called; {where}"
    calls = f"{run.calls} {'call' if run.calls == 1 else 'calls'}"
    return f"rlm: {run.internals.settings.get('model')}, {calls}; {where}"


@contextmanager
def _widget_view(run: RunView, title: str) -> Iterator[TreeView]:
    view, static = show_tree(run, title)
    try:
        yield view
    finally:
        static.refresh()


def show_tree(run: RunView, title: str = "") -> tuple[TreeView, _StaticCopy]:
    from IPython.display import display

    from ..widget import TreeView

    show_now: Any = display
    view = TreeView(run, title=title)
    show_now(view)
    return view, _StaticCopy(run, show_now)


class _StaticCopy:
    """The static copy of a run in a saved notebook: an output of its own, which a working widget hides.

    It is updated when the run ends, and before that from time to time, for a notebook that is saved meanwhile.
    """

    def __init__(self, run: RunView, display: Any) -> None:
        from .static_tree import bundle_of

        self._bundle_of = bundle_of
        self._shown = bundle_of(run)
        self._at = time.monotonic()
        self._output = display(self._shown, raw=True, display_id=True)
        self._watch(run)

    def _watch(self, run: RunView) -> None:
        self._run = run
        self._stop = run.internals.watch(self._note)
        run.internals.follow(self._continue_with)

    def _continue_with(self, successor: RunView) -> None:
        """Shows the run that continues this one."""
        self._stop()
        self._watch(successor)
        self.refresh()

    def _note(self, event: Event) -> None:
        if isinstance(event, RunFinished):
            self._stop()
            self.refresh()
        elif time.monotonic() - self._at >= REFRESH_INTERVAL:
            self.refresh()

    def refresh(self) -> None:
        bundle, self._at = self._bundle_of(self._run), time.monotonic()
        if bundle != self._shown:
            self._shown = bundle
            self._output.update(bundle, raw=True)
