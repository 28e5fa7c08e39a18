"""The position of a task in a tree of tasks: a caller may pass one in, and every node has one."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["RLMContext"]


@dataclass(frozen=True, slots=True)
class RLMContext:
    """A position in a tree: the depth (root: 0) and the tasks of the ancestors, root first.

    Pass one to `solve` to continue below an outer task: every prompt of the run shows its breadcrumbs.
    """

    task_id: str = "0"
    depth: int = 0
    breadcrumbs: tuple[str, ...] = ()

    def child(self, task: str, index: int) -> RLMContext:
        """The position of sub-task `index` (from 0) of `task`, which is at this position."""
        return replace(
            self,
            task_id=f"{self.task_id}.{index}",
            depth=self.depth + 1,
            breadcrumbs=(*self.breadcrumbs, task),
        )
