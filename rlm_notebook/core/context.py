"""Where a task stands: an immutable position that a caller may pass in, and that every node has."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["RLMContext"]


@dataclass(frozen=True, slots=True)
class RLMContext:
    """A position in a tree: the depth (root: 0) and the tasks of the ancestors, root first.

    Pass one to `solve` to continue below an outer task: its breadcrumbs are shown to every prompt of the run.
    """

    task_id: str = "0"
    depth: int = 0
    breadcrumbs: tuple[str, ...] = ()

    def child(self, task: str, index: int) -> RLMContext:
        """The position of the `index`-th sub-task of `task`, which stands here."""
        return replace(
            self,
            task_id=f"{self.task_id}.{index}",
            depth=self.depth + 1,
            breadcrumbs=(*self.breadcrumbs, task),
        )
