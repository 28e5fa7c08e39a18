"""When a run was active, and when it was not: while it was paused, awaited an approval, or existed only as a file.

Waits for a provider are not breaks: they are part of the time that the run took.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..core.tree import Tree

__all__ = ["Break", "breaks_of", "stretches_of", "without_breaks"]

#: Start and end, in seconds since the epoch.
Break = tuple[float, float]
#: In seconds; shorter breaks would not be visible.
SHORTEST_BREAK = 1.0


def stretches_of(tree: Tree) -> list[tuple[float, float]]:
    """The periods in which at least one node worked, in order and without overlaps, in seconds since the epoch."""
    phases = [phase for node in tree for phase in node.phases if phase.kind != "wait"]
    merged: list[tuple[float, float]] = []
    for began, ended in sorted((phase.started, phase.ended) for phase in phases if phase.ended is not None):
        if merged and began <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(ended, merged[-1][1]))
        else:
            merged.append((began, ended))
    return merged


def breaks_of(tree: Tree, active_seconds: float) -> list[Break]:
    """The breaks in a run that was active for `active_seconds`, in order.

    Their total length is the time that `active_seconds` does not account for; they are the longest gaps without work
    that fit into it.
    """
    started = [node.started for node in tree if node.started is not None]
    last = max((node.ended for node in tree if node.ended is not None), default=0.0)
    idle = last - min(started, default=0.0) - active_seconds
    if idle < SHORTEST_BREAK:
        return []
    found: list[Break] = []
    # The last gap may end with the run, if that was cancelled instead of resumed.
    gaps = [(before[1], after[0]) for before, after in pairwise([*stretches_of(tree), (last, last)])]
    for began, ended in sorted(gaps, key=lambda gap: gap[0] - gap[1]):
        if SHORTEST_BREAK < ended - began < idle + SHORTEST_BREAK:
            found.append((began, ended))
            idle -= ended - began
    return sorted(found)


def without_breaks(began: float, ended: float, breaks: Sequence[Break]) -> float:
    """The seconds from `began` to `ended`, without the breaks between them."""
    left_out = sum(max(0.0, min(ended, until) - max(began, since)) for since, until in breaks)
    return ended - began - left_out
