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

All of them can be pickled and deep-copied, so that they come out of a worker process: with type, text and facts, and
without the live run. Of what they were caused by, what has no such form is kept as text.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from .core.error_text import described, encodable
from .core.pickling import is_portable, portable_type
from .core.plain_text import terminal_text

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

    def __str__(self) -> str:
        """The message, which may quote models and servers, without what could drive a terminal."""
        return terminal_text(encodable(super().__str__()))

    # What `Exception` has for these calls the class with `args`, which is not what a subclass takes.
    def __copy__(self) -> Self:
        copied = self.__class__.__new__(self.__class__, *self.args)
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = memo[id(self)] = self.__class__.__new__(self.__class__, *self.args)
        copied.__dict__.update((name, _deeply(value, memo)) for name, value in self.__dict__.items() if name != "run")
        copied.__cause__, copied.__suppress_context__ = self.__cause__, self.__suppress_context__
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {name: _portable(value) for name, value in self.__dict__.items() if name != "run"}
        made = (portable_type(type(self), RLMError), *map(_portable, self.args))
        return _blank, made, {**facts, _CAUSES: _chain(self)}

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        facts = dict(state or {})
        causes = facts.pop(_CAUSES, ())
        self.__dict__.update(facts)
        error: BaseException = self
        for cause in causes:
            error.__cause__ = cause
            error = cause


_CAUSES = "__causes__"


def _blank(kind: type[RLMError], *args: Any) -> RLMError:
    """An error of this class that was not made as its class would have it: its facts follow."""
    return kind.__new__(kind, *args)


def _portable(value: Any) -> Any:
    """The value, or as text what of it cannot be pickled."""
    if isinstance(value, tuple | list):
        return type(value)(map(_portable, value)) if type(value) in (tuple, list) else list(map(_portable, value))
    if isinstance(value, RLMError) or is_portable(value):
        # An error of ours sees to its own causes; to try it here would try them once for each level above.
        return value
    return RLMError(described(value)) if isinstance(value, BaseException) else object.__repr__(value)


def _deeply(value: Any, memo: dict[int, Any]) -> Any:
    """A deep copy; what has none, as errors of other libraries, is shared."""
    if isinstance(value, tuple):
        return tuple(_deeply(item, memo) for item in value)
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        return value


def _chain(error: BaseException) -> list[BaseException]:
    """What it was raised from, and what that was: `pickle` leaves this out. An `RLMError` has the rest of it itself."""
    causes: list[BaseException] = []
    seen = {id(error)}
    while len(causes) < _LONGEST_CHAIN:
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or id(cause) in seen:
            break
        seen.add(id(cause))
        causes.append(_portable(cause))
        if isinstance(cause, RLMError):
            break
        error = cause
    return causes


_LONGEST_CHAIN = 20


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
    """A tool failed. Raise it with `fatal=True` in a tool to end the node; else the model is told and may go on.

    `.partial` is what the model had written beside its calls, where it used up its rounds of them.
    """

    def __init__(
        self,
        message: str,
        *,
        node: str | None = None,
        causes: Sequence[BaseException] = (),
        fatal: bool = False,
        partial: str = "",
    ) -> None:
        super().__init__(message, node=node, causes=causes)
        self.fatal = fatal
        self.partial = partial


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
