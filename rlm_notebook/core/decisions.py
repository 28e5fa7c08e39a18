"""What a person decides on a plan or on tool calls that wait for approval."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Plan

__all__ = ["Approved", "Decision", "Rejected"]


@dataclass(frozen=True, slots=True)
class Approved:
    """The request is approved, with another plan if `plan` is set."""

    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request is rejected; the reason goes to the model."""

    reason: str = ""


Decision = Approved | Rejected
