"""The answer of a run as a report, for documents and for pages that run no script."""

from __future__ import annotations

from ...runtime.run_view import RunView
from ...views.export.report import Report, report_of
from ..widget.rows import settings_of

__all__ = ["report_of_run"]


def report_of_run(run: RunView) -> Report:
    """The answer of a run, or what there is of it, with the nodes that it cites."""
    settings = settings_of(run)
    return report_of(
        run.tree,
        run.partial().content,
        title=str(settings.get("title") or ""),
        model=str(settings.get("model") or ""),
        seconds=run.internals.active_seconds,
    )
