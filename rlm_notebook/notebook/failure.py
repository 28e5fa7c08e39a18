"""How a `%%rlm` cell fails: one line that says what to do, and a cell that counts as failed."""

from __future__ import annotations

from typing import Any

from ..core.outline import printable
from ..core.tree import NodeState
from ..exceptions import RLMError
from ..run import Run
from .blame import place_of

__all__ = ["RunInterrupted", "in_one_line", "interruption"]


class RunInterrupted(RLMError):
    """The cell was interrupted, or its run was cancelled; what finished is saved."""


def interruption(run: Run, word: str) -> RunInterrupted:
    """What is left of a run that was stopped, and how it goes on; `word` says who stopped it."""
    done = sum(node.state is NodeState.DONE for node in run.tree)
    where = f"saved in {run.checkpoint}" if run.checkpoint else "kept in memory only (_rlm.partial())"
    return RunInterrupted(f"{word}: {done} of {len(run.tree)} nodes are {where}; run the cell again to continue")


def in_one_line(error: Exception, shell: Any = None) -> Exception:
    """The same error, which IPython then shows as one line, with the place in the reader's own code if it came from
    there; its text stays whole.

    What it came from is dropped: IPython shows the whole traceback of whatever has an exception group behind it.
    """
    said = str(error) if isinstance(error, RunInterrupted) else f"{type(error).__name__}: {error}"
    place = place_of(error, shell)
    line = printable(f"{said} ({place}; --debug shows the traceback)" if place else said)
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
    error.__cause__ = error.__context__ = None
    return error
