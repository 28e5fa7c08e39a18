"""`%rlm cancel`: cancels the runs of this session that are under way."""

from __future__ import annotations

import argparse
from pathlib import Path

from IPython.core.error import UsageError

from ...host.console import say
from ...runtime.run_view import RunView
from ..kernel.session import Session
from .registry import Argument, Command

__all__ = ["CANCEL"]


def _cancel(session: Session, options: argparse.Namespace) -> None:
    wanted = [run for run in session.under_way() if options.name in (None, _name(run))]
    if not wanted:
        others = [_name(run) or run.run_id for run in session.under_way()]
        if options.name is None or not others:
            raise UsageError("%rlm cancel: no run of this session is under way")
        raise UsageError(f"%rlm cancel: no run named {options.name!r} is under way; under way: {', '.join(others)}")
    # A run that was continued has ended: its continuation is cancelled.
    for run in dict.fromkeys(run.internals.latest for run in wanted):
        # A run on its own loop has ended when this returns; one on the kernel's loop ends after this line.
        run.cancel()
        done = sum(node.state == "done" for node in run.tree)
        where = f"saved in {run.checkpoint}" if run.checkpoint else "kept in memory only"
        say(f"cancelled {_name(run) or run.run_id}: {done} of {len(run.tree)} nodes are done; {where}")


def _name(run: RunView) -> str:
    return Path(run.checkpoint).stem if run.checkpoint else ""


CANCEL = Command(
    "cancel a detached run (or all); finished results stay saved",
    _cancel,
    Argument("name", "the run; default: all that are under way", metavar="RUN", nargs="?"),
)
