"""Times of a run as the browser draws them."""

from __future__ import annotations

from ...core.tree import Tree
from ...views.idle_time import Break, breaks_of

__all__ = ["Timeline"]


class Timeline:
    """Times of a run in seconds since an origin.

    The origin is the start of this execution. If the whole run was reused, it is the start of the recorded execution,
    and the breaks in which no work was due are left out.
    """

    def __init__(self, origin: float) -> None:
        self.origin = origin
        self._idle: list[Break] = []

    @classmethod
    def of_recorded(cls, tree: Tree, active_seconds: float, otherwise: float) -> Timeline:
        """The timeline of a finished tree; `otherwise` is the origin of one without phases."""
        began = [phase.started for node in tree for phase in node.phases if phase.kind != "wait"]
        timeline = cls(min(began, default=otherwise))
        timeline.leave_out(breaks_of(tree, active_seconds))
        return timeline

    def leave_out(self, breaks: list[Break]) -> None:
        """Removes these intervals from the timeline: no work was due in them."""
        self._idle = breaks

    def since(self, moment: float | None) -> float | None:
        if moment is None:
            return None
        if not self._idle:
            return round(max(0.0, moment - self.origin), 3)
        skipped = sum(min(ended, moment) - began for began, ended in self._idle if began < moment)
        return round(max(0.0, moment - self.origin - skipped), 3)

    def end_of(self, tree: Tree) -> float:
        """The last moment at which a node ended."""
        ended = [node.ended for node in tree if node.ended is not None]
        return self.since(max(ended, default=self.origin)) or 0.0
