"""`--approve`, and tools that require it: what waits for somebody who sees it stops, saved, where nobody does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...runtime.run import Run
from ...runtime.run_view import RunView
from ...types import Output
from .errors import RunInterrupted

if TYPE_CHECKING:
    from ..widget import TreeView

__all__ = ["approved"]

#: How long a plan, or a call of a tool, waits for a sign of somebody who could approve it, in seconds.
PATIENCE = 10.0
_GLANCE = 0.25


async def approved(run: Run, view: TreeView | None) -> Output:
    """The result of a run in which plans or tools are approved while it goes on: in the widget, or by
    `_rlm.approve(...)`.

    Where one waits and no browser shows the widget, the run is stopped as paused, and `RunInterrupted` raised.
    """
    result, alone = asyncio.ensure_future(_result(run)), asyncio.ensure_future(_alone(run, view))
    try:
        await asyncio.wait({result, alone}, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        waiting = _waiting(run.internals.latest)
        await run.internals.latest.internals.suspend()
        raise _paused(run.internals.latest, waiting, plans=bool(run.internals.configuration.approve))
    finally:
        for task in (result, alone):
            task.cancel()
        await asyncio.gather(result, alone, return_exceptions=True)


async def _result(run: RunView) -> Output:
    return await run


async def _alone(run: RunView, view: TreeView | None) -> None:
    """Ends when something has waited so long without a sign of anybody; a browser that has spoken may take its time."""
    waiting, waited = frozenset[str](), 0.0
    while waited < PATIENCE:
        await asyncio.sleep(_GLANCE)
        before, waiting = waiting, frozenset(run.internals.latest.awaiting)
        if view is not None and waiting and not view.heard:
            view.call()
        seen = view is not None and view.heard
        waited = waited + _GLANCE if waiting and waiting == before and not seen else 0.0


def _waiting(run: RunView) -> str:
    """What waits, in words: plans, or calls of tools."""
    tools = [use.name for node in run.awaiting for use in run.tree[node].tool_calls if use.ended is None]
    nodes = ", ".join(run.awaiting)
    return f"{', '.join(dict.fromkeys(tools))} of node {nodes}" if tools else f"the plan of node {nodes}"


def _paused(run: RunView, waiting: str, *, plans: bool) -> RunInterrupted:
    where = f"saved in {run.checkpoint}" if run.checkpoint else "lost: it was kept in memory only"
    without = ", or without --approve" if plans else ""
    return RunInterrupted(
        f"Paused: {waiting} waits for approval, and no widget answered within {PATIENCE:g} s; "
        f"it is {where}. Run the cell where its widget shows (JupyterLab, Notebook){without}"
    )
