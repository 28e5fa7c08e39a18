"""Shows a run in a notebook: as the widget with its static copy, as the static copy alone, or as text.

A view never fails a run: what goes wrong while it is shown is logged.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ...core.error_text import described
from ...core.events import Event, RunFinished
from ...core.text import counted
from ...host.console import say
from ...runtime.run_view import RunView

__all__ = ["ShownTree", "Widget", "show", "show_comparison", "show_static", "show_tree"]

log = logging.getLogger("rlm_notebook")

#: Seconds between two updates of the static copy while a run is under way.
REFRESH_INTERVAL = 5.0


@contextmanager
def show(run: RunView, kind: str, *, title: str = "") -> Iterator[ShownTree | None]:
    """Shows a run while the block runs: as "widget" (with its static copy), "static" (the copy alone), "text", or not
    at all ("none").

    The value of the block is the shown tree, if it is a widget.
    """
    views = ExitStack()
    shown: ShownTree | None = None
    with _logged(f"the run {run.run_id} cannot be shown"):
        shown = views.enter_context(_VIEWS[kind](run, title))
    try:
        yield shown
    finally:
        with _logged(f"the end of the run {run.run_id} cannot be shown"):
            views.close()


@contextmanager
def _logged(problem: str) -> Iterator[None]:
    """Logs an exception of the block instead of raising it."""
    try:
        yield
    except Exception as error:
        log.warning("%s: %s", problem, described(error), exc_info=True)


@contextmanager
def _text_view(run: RunView, title: str) -> Iterator[None]:
    from ...observers.text import progress_of

    # Standard output: notebooks show standard error in the colours of an error.
    progress = progress_of(run, sys.stdout)
    try:
        yield
    finally:
        progress.close()
        last = run.internals.latest
        if last.status in ("done", "failed") and last.tree.root is not None:
            # The error of a run that was stopped names its file; that of one which did not begin has nothing to name.
            recorded = last.internals.recorded.tree if last.internals.recorded is not None else None
            if last.internals.reused and recorded is not None and recorded.ended is not None:
                when = datetime.fromtimestamp(recorded.ended).strftime("%Y-%m-%d %H:%M")
                calls = f"reused from {when}, no model was called"
            else:
                calls = f"{last.internals.settings.get('model')}, {counted(last.calls, 'call')}"
            say(f"rlm: {calls}; {f'saved in {last.checkpoint}' if last.checkpoint else 'kept in memory only'}")


@contextmanager
def _widget_view(run: RunView, title: str) -> Iterator[ShownTree]:
    shown = show_tree(run, title, answers=True)
    try:
        yield shown
    finally:
        shown.static.refresh()


@contextmanager
def _static_view(run: RunView, title: str) -> Iterator[None]:
    # A run that is wholly reused is shown once, as it is in the end: tools that compare outputs see no other.
    static = show_static(run, at_once=False)
    try:
        yield None
    finally:
        static.refresh()


_VIEWS: dict[str, Callable[[RunView, str], AbstractContextManager[Any]]] = {
    "widget": _widget_view,
    "static": _static_view,
    "text": _text_view,
    "none": lambda run, title: nullcontext(),
}


def show_static(run: RunView, *, at_once: bool = True) -> _StaticCopy:
    """Shows the static copy alone; not `at_once`: with the first call of the run, or when it is refreshed."""
    from IPython.display import display

    return _StaticCopy(run, display, at_once=at_once)


def show_tree(run: RunView, title: str = "", *, answers: bool = False) -> ShownTree:
    """Shows the widget and the static copy; `answers`: the answer will be shown below them."""
    from IPython.display import display

    from ..widget import TreeView

    show_now: Any = display
    view = TreeView(run, title=title, answers=answers)
    show_now(view)
    return ShownTree(view, _StaticCopy(run, show_now))


class Widget(Protocol):
    """The `TreeView` of a run in browsers, if there are any."""

    @property
    def heard(self) -> bool:
        """Whether a browser has sent a message."""
        ...

    def call(self) -> None:
        """Make every open browser send one."""
        ...


@dataclass(frozen=True)
class ShownTree:
    """A tree in a cell's outputs: the widget, and its static copy below it."""

    view: Widget
    static: _StaticCopy

    def show_again(self) -> None:
        """Display both in outputs that were cleared."""
        from IPython.display import display

        show_now: Any = display
        show_now(self.view)
        self.static.show_again()


def show_comparison(old: RunView, new: RunView) -> None:
    from IPython.display import display

    from ..widget import TreeView

    show_now: Any = display
    show_now(TreeView(new, compared_with=old))


class _StaticCopy:
    """The static copy of a run in a saved notebook: an output of its own, which a working widget hides.

    It is updated when the run ends, and before that from time to time, for a notebook that is saved meanwhile.
    """

    def __init__(self, run: RunView, display: Any, *, at_once: bool = True) -> None:
        self._display = display
        self._shown: dict[str, str] = {}
        self._output: Any = None
        self._at = time.monotonic()
        if at_once:
            self._show(run)
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
        if self._output is None and self._run.internals.fresh:
            return
        if isinstance(event, RunFinished):
            self._stop()
            self.refresh()
        elif self._output is None or time.monotonic() - self._at >= REFRESH_INTERVAL:
            self.refresh()

    def show_again(self) -> None:
        self.refresh()
        self._output.display(self._shown, raw=True)

    def refresh(self) -> None:
        self._show(self._run)

    def _show(self, run: RunView) -> None:
        from .static_tree import bundle_of

        bundle, self._at = bundle_of(run), time.monotonic()
        if bundle == self._shown:
            return
        self._shown = bundle
        if self._output is None:
            self._output = self._display(bundle, raw=True, display_id=True)
        else:
            self._output.update(bundle, raw=True)
