"""Progress in a terminal with `rich`, if it is installed: the same tree, in colour."""

from __future__ import annotations

from typing import IO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..core.events import Event, Token
from ..host.console import encodable
from ..runtime.run_view import RunView
from ..views.idle_time import breaks_of
from ..views.outline import SYMBOLS, outline_rows
from .redraw_throttle import RedrawThrottle
from .text import cache_line

__all__ = ["RichProgress"]

REDRAW_INTERVAL = 0.1
_STYLES = {
    SYMBOLS["planning"]: "magenta",
    SYMBOLS["running"]: "blue",
    SYMBOLS["synthesizing"]: "cyan",
    SYMBOLS["done"]: "green",
    SYMBOLS["failed"]: "bold red",
}


class RichProgress:
    """Draws a run to a terminal while it runs; `close` prints the final tree."""

    def __init__(self, run: RunView, stream: IO[str]) -> None:
        self._run = run
        self._console = Console(file=stream)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        self._redraw = RedrawThrottle(run.internals.loop, self._draw, REDRAW_INTERVAL)
        self._stop = run.internals.watch(self)

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Token):
            self._redraw.changed()

    def close(self) -> None:
        """Stops observing and prints the whole tree."""
        self._stop()
        self._redraw.stop()
        if self._live.is_started:
            self._live.stop()
            self._console.print(self._drawing(None))
            self._console.print(encodable(cache_line(self._run.usage), self._console.encoding), end="")

    def _draw(self) -> None:
        self._live.update(self._drawing(self._console.height - 2), refresh=True)

    def _drawing(self, height: int | None) -> Text:
        """The tree, or as many of its last rows as fit: new nodes appear at the end."""
        breaks = breaks_of(self._run.tree, self._run.internals.active_seconds)
        rows = list(outline_rows(self._run.tree, self._console.width - 1, breaks))
        if height is not None and len(rows) > height:
            rows = ["…", *rows[-(height - 1) :]]
        text = encodable("\n".join(rows), self._console.encoding)
        drawing = Text(text, no_wrap=True, overflow="ellipsis")
        for symbol, style in _STYLES.items():
            drawing.highlight_words([f"{symbol} "], style=style)
        return drawing
