"""A run that has ended, as another engine continues it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..core.limits import Limits
from ..core.tree import Recorded, Tree
from ..solver.run import NodeSource
from .config import RunRequest

__all__ = ["EndedRun"]


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run as another engine continues it: what was requested, what is recorded, and that engine's limits and keys."""

    job: RunRequest
    recorded: Recorded
    limits: Limits
    key: Callable[[NodeSource, str], str]

    @property
    def tree(self) -> Tree:
        return self.recorded.tree

    @property
    def run_id(self) -> str:
        return self.tree.run_id

    @property
    def task(self) -> str:
        return self.job.task

    def snapshot(self) -> Recorded:
        return self.recorded

    def key_of(self, node_id: str) -> str:
        """The plan key of a node."""
        return self.key(self, node_id)
