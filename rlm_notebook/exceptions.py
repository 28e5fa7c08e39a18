"""Everything that can go wrong, as one tree.

    RLMError
    +-- ConfigurationError (also a ValueError)   the call is wrong: fix an argument, an option, a name
    +-- ExecutionError                           a node failed: `.node`, `.causes`
    |   +-- ModelError                           the provider: `.status`, `.retry_after`, `.retryable`, `.fatal`
    |   +-- PlanError                            the planner never gave a usable plan
    |   |   +-- InvalidJSONError                 ... because what it wrote is not JSON
    |   +-- ToolError                            a tool: `ToolError(fatal=True)` ends the node
    +-- LimitError                               a limit that you set was reached; what finished is kept
    |   +-- RecursionDepthError
    |   +-- MaxStepsError
    |   +-- BudgetExceededError
    +-- CheckpointError                          the JSON beside the notebook cannot be read or written
        +-- ReplayError                          replaying, and something was not recorded

Every message says what was attempted, what was wrong and what to do next. An error that ended a run carries it as
`.run`, so that `error.run.partial()` gives what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.limits import Usage

__all__ = [
    "BudgetExceededError",
    "CheckpointError",
    "ConfigurationError",
    "ExecutionError",
    "InvalidJSONError",
    "LimitError",
    "MaxStepsError",
    "ModelError",
    "PlanError",
    "RLMError",
    "RecursionDepthError",
    "ReplayError",
    "ToolError",
]


class RLMError(Exception):
    """Any error of this package; `.run` is the run that it ended, if one did."""

    run: Any = None


class ConfigurationError(RLMError, ValueError):
    """The call is wrong; nothing was sent to a model."""


class ExecutionError(RLMError):
    """A node failed. `.node` is its id, `.causes` are the errors of its parts, in the plan's order."""

    def __init__(self, message: str, *, node: str | None = None, causes: Sequence[BaseException] = ()) -> None:
        super().__init__(message)
        self.node = node
        self.causes = tuple(causes)


class ModelError(ExecutionError):
    """The provider refused, failed or could not be reached.

    `.status` is the HTTP status if there was one, `.retry_after` the seconds that the provider asked to wait.
    `.retryable`: the same request may succeed later. `.fatal`: no request of this run can succeed (a wrong key, an
    exhausted quota), so the run stops at once instead of failing node by node. `.usage`: what the provider says that
    the failed attempt used, or `None`.
    """

    def __init__(
        self,
        message: str,
        *,
        node: str | None = None,
        causes: Sequence[BaseException] = (),
        status: int | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
        fatal: bool = False,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message, node=node, causes=causes)
        self.status = status
        self.retry_after = retry_after
        self.retryable = retryable
        self.fatal = fatal
        self.usage = usage


class PlanError(ExecutionError):
    """The planner gave no usable plan, although it was told each time what was wrong."""


class InvalidJSONError(PlanError):
    """What the planner wrote holds no JSON object."""


class ToolError(ExecutionError):
    """A tool failed. Raise it with `fatal=True` in a tool to end the node; else the model is told and may go on."""

    def __init__(
        self, message: str, *, node: str | None = None, causes: Sequence[BaseException] = (), fatal: bool = False
    ) -> None:
        super().__init__(message, node=node, causes=causes)
        self.fatal = fatal


class LimitError(RLMError):
    """A limit was reached. Finished nodes are kept: raise the limit and run again."""


class RecursionDepthError(LimitError):
    """A plan goes deeper than `max_depth` (only with `on_limit="raise"`)."""


class MaxStepsError(LimitError):
    """A plan needs more nodes than `max_steps` (only with `on_limit="raise"`)."""


class BudgetExceededError(LimitError):
    """The run's budget is spent; `.run.partial()` is the best answer so far.

    `.budget` says which part of it, "seconds" or "calls", say, and `.spent` how it stands.
    """

    budget: str = ""
    spent: str = ""


class CheckpointError(RLMError):
    """A checkpoint cannot be read or written; no file was changed."""


class ReplayError(CheckpointError):
    """Replaying, and the recorded run does not answer what was asked."""
