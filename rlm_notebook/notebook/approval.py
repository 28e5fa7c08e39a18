"""`--approve`: plans wait for somebody who sees them; where nobody does, the run stops, saved, instead of waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..run import Run
from ..types import Output
from .failure import RunInterrupted

if TYPE_CHECKING:
    from .widget import TreeView

__all__ = ["approved"]

#: How long a plan waits for a sign of somebody who could approve it, in seconds.
PATIENCE = 10.0
_GLANCE = 0.25


async def approved(run: Run, view: TreeView | None) -> Output:
    """The result of a run whose plans are approved while it goes on: in the widget, or by `_rlm.approve(...)`.

    Where a plan waits and no browser shows the widget, the run is stopped as paused, and `RunInterrupted` raised.
    """
    result, alone = asyncio.ensure_future(_result(run)), asyncio.ensure_future(_alone(run, view))
    try:
        await asyncio.wait({result, alone}, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        waiting = ", ".join(run.latest.awaiting)
        await run.latest.suspend()
        raise _paused(run.latest, waiting)
    finally:
        for task in (result, alone):
            task.cancel()
        await asyncio.gather(result, alone, return_exceptions=True)


async def _result(run: Run) -> Output:
    return await run


async def _alone(run: Run, view: TreeView | None) -> None:
    """Ends when plans have waited so long without a sign of anybody; a browser that has spoken may take its time."""
    waiting, waited = frozenset[str](), 0.0
    while waited < PATIENCE:
        await asyncio.sleep(_GLANCE)
        before, waiting = waiting, frozenset(run.latest.awaiting)
        if view is not None and waiting and not view.heard:
            view.call()
        seen = view is not None and view.heard
        waited = waited + _GLANCE if waiting and waiting == before and not seen else 0.0


def _paused(run: Run, waiting: str) -> RunInterrupted:
    where = f"saved in {run.checkpoint}" if run.checkpoint else "lost: it was kept in memory only"
    return RunInterrupted(
        f"Paused: the plan of node {waiting} waits for approval, and no widget answered within {PATIENCE:g} s; "
        f"it is {where}. Run the cell where its widget shows (JupyterLab, Notebook), or without --approve"
    )
