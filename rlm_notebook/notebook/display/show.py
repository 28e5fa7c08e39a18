"""How a run is shown in a notebook: the widget with its static copy, or text."""

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

#: Seconds between two refreshments of what a saved notebook shows of a run that goes on.
REFRESH_INTERVAL = 5.0


def show(run: RunView, kind: str, *, title: str = "") -> AbstractContextManager[TreeView | None]:
    """Show a run as "widget" (with its static copy), as "text", or not at all ("none"), while the block runs.

    The block is given the widget, if there is one.
    """
    if kind == "widget":
        return _widget_view(run, title)
    return _text_view(run) if kind == "text" else nullcontext()


@contextmanager
def _text_view(run: RunView) -> Iterator[None]:
    from ...observers.text import progress_of

    # Standard output: on the other one, notebooks show a run that went well in the colours of an error.
    progress = progress_of(run, sys.stdout)
    try:
        yield
    finally:
        progress.close()
        if run.internals.latest.status in ("done", "failed"):
            # Of one that was stopped, the error says where it is.
            print(_account(run.internals.latest))


def _account(run: RunView) -> str:
    """Who was asked how often, or when; and where it is kept."""
    where = f"saved in {run.checkpoint}" if run.checkpoint else "kept in memory only"
    recorded = run.internals.recorded.tree if run.internals.recorded is not None else None
    if run.internals.reused and recorded is not None and recorded.ended is not None:
        when = datetime.fromtimestamp(recorded.ended).strftime("%Y-%m-%d %H:%M")
        return f"rlm: reused from {when}, nobody was asked; {where}"
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
    """What a saved notebook shows of a run, in an output of its own: the widget hides it while it lives.

    Refreshed now and then, so that a notebook that is saved meanwhile is not empty, and when the run ends.
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
        run.internals.follow(self._go_on)

    def _go_on(self, successor: RunView) -> None:
        """The run went on as another one: its tree takes the place of what was shown."""
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
