"""`%rlm cancel`: stop what goes on in this session."""

from __future__ import annotations

import argparse
from pathlib import Path

from IPython.core.error import UsageError

from ...runtime.run_view import RunView
from ..cell.line_parser import LineParser
from ..kernel.session import Session
from .registry import Command

__all__ = ["CANCEL"]


def _options(parser: LineParser) -> None:
    parser.add_argument("name", nargs="?", metavar="RUN", help="which; without: all that are under way")


def _cancel(session: Session, options: argparse.Namespace) -> None:
    wanted = [run for run in session.under_way() if options.name in (None, _name(run))]
    if not wanted:
        raise UsageError(f"%rlm cancel: {_nothing(session, options.name)}")
    # One that went on as another one is over; the other one is what goes on.
    for run in dict.fromkeys(run.internals.latest for run in wanted):
        # On a loop of its own, the run has ended when this returns; on the kernel's, it ends after this line.
        run.cancel()
        done = sum(node.state == "done" for node in run.tree)
        print(f"cancelled {_name(run) or run.run_id}: {done} of {len(run.tree)} nodes are done; {_kept(run)}")


def _kept(run: RunView) -> str:
    return f"saved in {run.checkpoint}" if run.checkpoint else "kept in memory only"


def _nothing(session: Session, name: str | None) -> str:
    others = [_name(run) or run.run_id for run in session.under_way()]
    if name is None or not others:
        return "no run of this session is under way"
    return f"no run named {name!r} is under way; under way: {', '.join(others)}"


def _name(run: RunView) -> str:
    return Path(run.checkpoint).stem if run.checkpoint else ""


CANCEL = Command("stop a detached run (or all); what is finished stays saved", _cancel, _options)
