"""`--approve` and tools that require approval: a run that waits is stopped and saved if no browser shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ...runtime.approvals import ApprovalRequest
from ...runtime.run_view import RunView
from ...types import Output
from ..display.show import Widget
from .errors import RunInterrupted

__all__ = ["approved"]

#: Seconds that a plan or tool call waits for a browser that could approve it.
PATIENCE = 10.0
_POLL_INTERVAL = 0.25


async def approved(run: RunView, view: Widget | None) -> Output:
    """The result of a run whose plans or tool calls are approved in the widget or by `_rlm.approve(...)`.

    If one waits and no browser shows the widget, the run is stopped as paused, and `RunInterrupted` is raised.
    """
    result, alone = asyncio.ensure_future(_result(run)), asyncio.ensure_future(_until_unattended(run, view))
    try:
        await asyncio.wait({result, alone}, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        waiting = run.internals.latest.awaiting
        await run.internals.latest.internals.suspend()
        raise _paused(run.internals.latest, waiting, plans=bool(run.internals.settings.get("approve")))
    finally:
        for task in (result, alone):
            task.cancel()
        await asyncio.gather(result, alone, return_exceptions=True)


async def _result(run: RunView) -> Output:
    return await run


async def _until_unattended(run: RunView, view: Widget | None) -> None:
    """Returns when an approval has waited for `PATIENCE` seconds and no browser has sent a message."""
    waiting, waited = frozenset[str](), 0.0
    while waited < PATIENCE:
        await asyncio.sleep(_POLL_INTERVAL)
        before, waiting = waiting, frozenset(request.id for request in run.internals.latest.awaiting)
        if view is not None and waiting and not view.heard:
            view.call()
        seen = view is not None and view.heard
        waited = waited + _POLL_INTERVAL if waiting and waiting == before and not seen else 0.0


def _paused(run: RunView, waiting: Sequence[ApprovalRequest], *, plans: bool) -> RunInterrupted:
    tools = dict.fromkeys(call.name for request in waiting for call in request.calls)
    nodes = ", ".join(request.node for request in waiting)
    what = f"{', '.join(tools)} of node {nodes}" if tools else f"the plan of node {nodes}"
    where = f"saved in {run.checkpoint}" if run.checkpoint else "lost: it was in memory only"
    first = waiting[0].node if waiting else "0"
    without = " Or run it without --approve." if plans else ""
    return RunInterrupted(
        f"Paused: {what} waits for approval, and no widget answered within {PATIENCE:g} s; it is {where}. To decide in "
        f"the tree, run the cell where its widget shows (JupyterLab, Notebook). To decide here, run it with --detach: "
        f'_rlm.awaiting shows what waits, _rlm.approve({first!r}) or _rlm.reject({first!r}, "reason") decides, '
        f"await _rlm gives the answer.{without}"
    )
