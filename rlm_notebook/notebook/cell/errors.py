"""How a `%%rlm` cell fails: one line that says what to do, and a cell that counts as failed."""

from __future__ import annotations

from typing import Any, cast

from ...core.plain_text import without_links
from ...core.text import printable
from ...core.tree import NodeState
from ...exceptions import BudgetExceededError, LimitError, RLMError
from ...runtime.run_view import RunView
from .argument_types import BUDGET_OPTIONS
from .error_location import place_of

__all__ = ["RunInterrupted", "in_one_line", "interruption"]


class RunInterrupted(RLMError):
    """The cell was interrupted, or its run was cancelled; what finished is saved."""


def interruption(run: RunView, word: str) -> RunInterrupted:
    """What is left of a run that was stopped, and how it goes on; `word` says who stopped it."""
    done = sum(node.state is NodeState.DONE for node in run.tree)
    where = f"saved in {run.checkpoint}" if run.checkpoint else "kept in memory only (_rlm.partial())"
    kept = f"{done} of {len(run.tree)} nodes are {where}{_kept_beside(run)}"
    return RunInterrupted(f"{word}: {kept}; run the cell again to continue")


def _kept_beside(run: RunView) -> str:
    """What was paid for of nodes that are not done, and is not paid for again."""
    unfinished = [node for node in run.tree if node.state is not NodeState.DONE]
    planned = sum(node.plan is not None and not node.limited for node in unfinished)
    talks = sum(any(use.ended is not None for use in node.tool_calls) for node in unfinished if node.rounds)
    plans = f"the plan{'s' if planned > 1 else ''} of {planned} more" if planned else ""
    rounds = f"what the tools of {talks} returned" if talks else ""
    return "".join(f", and {kept}" for kept in (plans, rounds) if kept)


def _said(error: Exception) -> str:
    """The message, with what a reader of a notebook can do in place of what a program can."""
    option = BUDGET_OPTIONS.get(error.budget) if isinstance(error, BudgetExceededError) else None
    if option is None:
        return str(error)
    spent = cast(BudgetExceededError, error).spent
    return f"{spent}: execute the cell again with a larger {option} to go on, or take `_rlm.partial()`"


def in_one_line(error: Exception, shell: Any = None) -> Exception:
    """The same error, which IPython then shows as one line, with the place in the reader's own code if it came from
    there; its text stays whole.

    What it came from is dropped: IPython shows the whole traceback of whatever has an exception group behind it.
    """
    said = str(error) if isinstance(error, RunInterrupted) else f"{type(error).__name__}: {_said(error)}"
    # A limit was reached wherever the run just was: that is no place to look at.
    place = "" if isinstance(error, LimitError) else place_of(error, shell)
    line = without_links(printable(f"{said} ({place}; --debug shows the traceback)" if place else said))
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
    error.__cause__ = error.__context__ = None
    return error
