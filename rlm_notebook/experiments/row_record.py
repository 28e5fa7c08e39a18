"""What is recorded of a row of an experiment, beside its tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..core.usage import Usage

__all__ = ["RowRecord", "RowState"]

RowState = Literal["done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class RowRecord:
    """One recorded row, without its tree; its usage is over all its executions. A row that is done has an error if its
    answer says that the model cannot do the task."""

    key: str
    state: RowState
    answer: str | None
    error: str | None
    usage: Usage
    seconds: float
    #: When it ended, in seconds since 1970.
    at: float = 0.0
    value: Any = None
