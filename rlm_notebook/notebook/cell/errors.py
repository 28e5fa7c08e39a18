"""The errors of a `%%rlm` cell: one line that says what to do next, in a cell that counts as failed."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError

from ...core.plain_text import without_links
from ...core.text import printable
from ...core.tree import NodeState
from ...exceptions import BudgetExceededError, LimitError, RLMError
from ...host.console import printed
from ...runtime.run_view import RunView
from .argument_types import BUDGET_OPTIONS
from .error_location import place_of

__all__ = ["RunInterrupted", "in_one_line", "interruption"]


class RunInterrupted(RLMError):
    """The cell was interrupted, or its run was cancelled; what finished is saved."""


class ShownUsageError(UsageError):
    """A `UsageError` that is shown as any error. IPython prints its own to standard error only, so that an executed
    notebook holds no error, and papermill takes it for complete."""


ShownUsageError.__name__ = ShownUsageError.__qualname__ = "UsageError"


def interruption(run: RunView, word: str) -> RunInterrupted:
    """The error of a run that was stopped: what is saved, and how to continue. `word`: "Interrupted" or "Cancelled"."""
    unfinished = [node for node in run.tree if node.state is not NodeState.DONE]
    # The paid results of unfinished nodes are reused, too.
    planned = sum(node.plan is not None and not node.limited for node in unfinished)
    looped = sum(any(use.ended is not None for use in node.tool_calls) for node in unfinished if node.rounds)
    plans = f", and the plan{'s' if planned > 1 else ''} of {planned} more" if planned else ""
    rounds = f", and what the tools of {looped} returned" if looped else ""
    done = len(run.tree) - len(unfinished)
    where = f"saved in {run.checkpoint}" if run.checkpoint else "kept in memory only (_rlm.partial())"
    saved = f"{done} of {len(run.tree)} nodes are {where}{plans}{rounds}"
    return RunInterrupted(f"{word}: {saved}; run the cell again to continue")


def in_one_line(error: Exception, shell: Any = None) -> Exception:
    """The same error, changed so that IPython shows it as one line, with the place in the user's code that raised it.

    `str(error)` is unchanged. Its causes are dropped, because IPython shows a whole traceback for an exception group.
    """
    if type(error) is UsageError:
        error = ShownUsageError(*error.args)
    option = BUDGET_OPTIONS.get(error.budget) if isinstance(error, BudgetExceededError) else None
    if isinstance(error, RunInterrupted):
        message = str(error)
    elif isinstance(error, BudgetExceededError) and option is not None:
        # The advice for a notebook instead of that for a program.
        again = f"execute the cell again with a larger {option} to continue, or use `_rlm.partial()`"
        message = f"{type(error).__name__}: {error.spent}: {again}"
    else:
        # In a cell, the run has a name.
        message = f"{type(error).__name__}: {error}".replace("error.run.partial()", "_rlm.partial()")
    # The line at which a limit was reached is of no interest.
    place = "" if isinstance(error, LimitError) else place_of(error, shell)
    line = without_links(printable(f"{message} ({place}; --debug shows the traceback)" if place else message))
    # A terminal that cannot encode the line would show nothing of the error.
    error._render_traceback_ = lambda: [printed(line)]  # type: ignore[attr-defined]
    error.__cause__ = error.__context__ = None
    return error
