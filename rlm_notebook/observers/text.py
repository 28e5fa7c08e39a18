"""Progress as text: a tree that is redrawn in a terminal, elsewhere one line per finished node."""

from __future__ import annotations

import io
import shutil
import sys
from importlib.util import find_spec
from typing import IO, Protocol

from ..core.events import Event, Failed, Finished, Retried, Token
from ..core.text import printable
from ..core.usage import Usage
from ..host.console import written
from ..runtime.run_view import RunView
from ..views.idle_time import breaks_of
from ..views.outline import SYMBOLS, outline_rows, reason, shown_state
from .redraw_throttle import RedrawThrottle

__all__ = ["Progress", "TextProgress", "cache_line", "progress_of"]

#: Seconds between two redraws.
REDRAW_INTERVAL = 0.1


def cache_line(usage: Usage) -> str:
    """The hit rate of the provider's prompt cache as a line; "" if it is 0 or not reported."""
    share = usage.cache_hit_rate
    if not share:
        return ""
    return f"{usage.prompt_tokens:,} tokens of prompts, {share:.0%} of them from the provider's cache\n"


class Progress(Protocol):
    """An observer that shows a run until it is closed."""

    def close(self) -> None: ...


def progress_of(run: RunView, stream: IO[str] | None = None) -> Progress:
    """The best observer for `stream` (default: standard error): `rich` in a terminal, if it is installed."""
    # A program without a console has no standard error.
    shown_on: IO[str] = stream or sys.stderr or io.StringIO()
    if shown_on.isatty() and find_spec("rich") is not None:
        from .rich_text import RichProgress

        return RichProgress(run, shown_on)
    return TextProgress(run, shown_on)


class TextProgress:
    """Draws a run to `stream` (default: standard error) while it runs; `close` prints the final tree."""

    def __init__(self, run: RunView, stream: IO[str] | None = None) -> None:
        self._run = run
        self._stream = stream or sys.stderr or io.StringIO()
        self._live = self._stream.isatty()
        self._drawn = 0
        self._redraw = RedrawThrottle(run.internals.loop, self._draw, REDRAW_INTERVAL)
        self._closed = False
        self._stop = run.internals.watch(self)

    def __call__(self, event: Event) -> None:
        if self._live:
            if not isinstance(event, Token):
                self._redraw.changed()
        elif isinstance(event, Finished | Failed | Retried):
            node = self._run.tree[event.node]
            remark = printable(reason(node) or getattr(event, "reason", ""))
            line = f"{SYMBOLS[shown_state(node)]} [{node.id}] {printable(node.title)[:90]}"
            written(self._stream, f"{line}: {remark}\n" if remark else f"{line}\n")
            self._stream.flush()

    def close(self) -> None:
        """Stops observing and prints the whole tree."""
        if self._closed:
            return
        self._closed = True
        self._stop()
        self._redraw.stop()
        self._erase()
        written(self._stream, f"{self._run}\n{cache_line(self._run.usage)}")
        self._stream.flush()

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
        breaks = breaks_of(self._run.tree, self._run.internals.active_seconds)
        rows = list(outline_rows(self._run.tree, size.columns - 1, breaks))
        if len(rows) > size.lines - 2:
            # New nodes appear at the end; `close` prints the whole tree.
            rows = ["…", *rows[-(size.lines - 3) :]]
        self._erase()
        written(self._stream, "\n".join(rows) + "\n")
        self._stream.flush()
        self._drawn = len(rows)

    def _erase(self) -> None:
        """Moves the cursor up over the last drawing and clears it."""
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0
