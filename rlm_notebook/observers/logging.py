"""Events as log records, for `verbose=True` and for servers that collect logs."""

from __future__ import annotations

import logging

from ..core.events import Event, Failed, Retried, Token
from ..core.text import printable

__all__ = ["LoggingObserver"]

log = logging.getLogger("rlm_notebook.run")


class LoggingObserver:
    """Logs each event except tokens: failures and retries at level WARNING, the others at INFO."""

    def __init__(self) -> None:
        if not log.hasHandlers():
            # `verbose=True` in a program without logging configuration: log to standard error.
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(message)s"))
            log.addHandler(handler)
        if not log.isEnabledFor(logging.INFO):
            log.setLevel(logging.INFO)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Token):
            return
        level = logging.WARNING if isinstance(event, Failed | Retried) else logging.INFO
        text = getattr(event, "error", "") or getattr(event, "reason", "") or getattr(event, "task", "")
        remark = f": {printable(text)[:120]}" if text else ""
        log.log(level, "%-8s %s%s", event.node or "run", type(event).__name__, remark)
