"""The errors of this package, as one tree.

    RLMError
    +-- ConfigurationError (also a ValueError)   the call is wrong: fix an argument, an option, a name
    +-- ExecutionError                           a node failed: `.node`, `.causes`
    |   +-- ModelError                           the provider: `.status`, `.retry_after`, `.retryable`, `.fatal`
    |   +-- PlanError                            the planner gave no usable plan
    |   |   +-- InvalidJSONError                 ... because its reply is not JSON
    |   +-- ToolError                            a tool: `ToolError(fatal=True)` ends the node
    +-- LimitError                               a limit that you set was reached; finished nodes stay recorded
    |   +-- RecursionDepthError
    |   +-- MaxStepsError
    |   +-- BudgetExceededError
    +-- CheckpointError                          the JSON beside the notebook cannot be read or written
        +-- ReplayError                          a replay needs something that was not recorded

Every message states what was attempted, what was wrong and what to do next. An error that ended a run carries it as
`.run`, so that `error.run.partial()` gives the best answer so far.

All of them can be pickled and deep-copied, so that a worker process can raise them: with type, text and attributes, and
without the live run. A cause that cannot be pickled is replaced by its text.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

from .core.error_text import described, encodable
from .core.pickling import is_portable, portable_type
from .core.plain_text import terminal_text
from .core.usage import Usage

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
    """Any error of this package; `.run` is the run that it ended, or `None`."""

    run: Any = None

    def __str__(self) -> str:
        """The message without control characters: it may quote models and servers."""
        return terminal_text(encodable(super().__str__()))

    # The methods of `Exception` would call the class with `args`, but subclasses have other parameters.
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
    """An error of this class, created without its `__init__`: `__setstate__` fills in the attributes."""
    return kind.__new__(kind, *args)


def _portable(value: Any) -> Any:
    """The value, with text in place of everything in it that cannot be pickled."""
    if isinstance(value, tuple | list):
        return type(value)(map(_portable, value)) if type(value) in (tuple, list) else list(map(_portable, value))
    if isinstance(value, RLMError) or is_portable(value):
        # An `RLMError` handles its own causes; pickling it here would repeat that once for each level above.
        return value
    return RLMError(described(value)) if isinstance(value, BaseException) else object.__repr__(value)


def _deeply(value: Any, memo: dict[int, Any]) -> Any:
    """A deep copy; values that cannot be copied, such as errors of other libraries, are shared."""
    if isinstance(value, tuple):
        return tuple(_deeply(item, memo) for item in value)
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        return value


def _chain(error: BaseException) -> list[BaseException]:
    """The causes of an error, which `pickle` leaves out; up to the first `RLMError`, which holds the rest itself."""
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
    """An argument, an option or a name is wrong; nothing was sent to a model."""


class ExecutionError(RLMError):
    """A node failed. `.node` is its id, `.causes` are the errors of its sub-tasks, in the plan's order."""

    def __init__(self, message: str, *, node: str | None = None, causes: Sequence[BaseException] = ()) -> None:
        super().__init__(message)
        self.node = node
        self.causes = tuple(causes)


class ModelError(ExecutionError):
    """The provider refused the request, failed or could not be reached.

    `.status` is the HTTP status or `None`, `.retry_after` the provider's requested delay in seconds or `None`.
    `.retryable`: the same request may succeed later. `.fatal`: no request of this run can succeed (a wrong key, an
    exhausted quota), so the run ends at once instead of failing node by node. `.usage`: the usage of the failed attempt
    as the provider reports it, or `None`.
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
    """The planner gave no usable plan in any attempt, although each repair request described the problem."""


class InvalidJSONError(PlanError):
    """The planner's reply contains no JSON object."""


class ToolError(ExecutionError):
    """A tool failed. Raised in a tool with `fatal=True` it ends the node; otherwise the model gets it as the result.

    `.partial` is the text that the model wrote beside its tool calls, if it used up its tool rounds.
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
    """A limit was reached. Finished nodes stay recorded: raise the limit and run again."""


class RecursionDepthError(LimitError):
    """A plan goes deeper than `max_depth` (only with `on_limit="raise"`)."""


class MaxStepsError(LimitError):
    """A plan needs more nodes than `max_steps` (only with `on_limit="raise"`)."""


class BudgetExceededError(LimitError):
    """The run's budget is spent; `.run.partial()` is the best answer so far.

    `.budget` names the exceeded amount ("usd", "tokens", "seconds" or "calls"), `.spent` states how much is used.
    """

    budget: str = ""
    spent: str = ""


class CheckpointError(RLMError):
    """A checkpoint cannot be read or written; no file was changed."""


class ReplayError(CheckpointError):
    """A replay needs a plan or a result that the recorded run does not have."""
