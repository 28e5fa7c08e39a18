"""The state of an experiment in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..core.text import counted

__all__ = ["Summary"]


@dataclass(frozen=True)
class Summary(Mapping[str, Any]):
    """The state of an experiment in numbers, also as a mapping; `str()` is a sentence.

    `reused` rows were recorded before; `equal` rows have the task of an earlier row and share its result; `calls` are
    of this execution, `tokens` and `cost_usd` of all executions (`None`: a price is unknown); `seconds` of this one.
    `note` says why it stopped early. Of the rows that are done, `refused` have an answer that says that the model
    cannot do the task, as those of the offline model.
    """

    status: str
    rows: int
    done: int
    failed: int
    pending: int
    reused: int
    equal: int
    calls: int
    tokens: int
    cost_usd: float | None
    seconds: float
    note: str = ""
    refused: int = 0

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return (each.name for each in fields(self))

    def __len__(self) -> int:
        return len(fields(self))

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def __str__(self) -> str:
        parts = [f"{self.done} of {self.rows} rows done"]
        for count, word in ((self.failed, "failed"), (self.pending, "not run")):
            if count:
                parts.append(f"{count} {word}")
        if self.reused:
            parts.append(f"{self.reused} reused")
        parts.append(counted(self.calls, "call"))
        if self.tokens:
            parts.append(counted(self.tokens, "token"))
        if self.cost_usd:
            parts.append(f"{self.cost_usd:.4g} dollars")
        elif self.cost_usd is None:
            parts.append("cost unknown")
        parts.append(f"{self.seconds:.1f} s")
        if self.refused:
            parts[-1] += f"; in {self.refused} of the answers the model says that it cannot do this"
        return ", ".join(parts) + (f". It stopped: {self.note}" if self.note else "")
