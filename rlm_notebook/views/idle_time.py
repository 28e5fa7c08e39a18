"""When a run was worked on, and when nobody was to work: while it was paused, asked somebody, or lay in its file.

Waits for a provider are no such breaks, though nobody works in them: they are what the run took.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..core.tree import Tree

__all__ = ["Break", "breaks_of", "stretches_of", "without_breaks"]

#: From when to when, in seconds since the epoch.
Break = tuple[float, float]
#: Less than this, in seconds, nobody sees.
SHORTEST_BREAK = 1.0


def stretches_of(tree: Tree) -> list[tuple[float, float]]:
    """When some node was at work, in order and without overlaps."""
    phases = [phase for node in tree for phase in node.phases if phase.kind != "wait"]
    merged: list[tuple[float, float]] = []
    for began, ended in sorted((phase.started, phase.ended) for phase in phases if phase.ended is not None):
        if merged and began <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(ended, merged[-1][1]))
        else:
            merged.append((began, ended))
    return merged


def breaks_of(tree: Tree, active_seconds: float) -> list[Break]:
    """The breaks in a tree that was worked on for so many seconds, in order.

    How long they are together is what `active_seconds` does not account for; they are the longest times without work
    that are not longer than that.
    """
    started = [node.started for node in tree if node.started is not None]
    last = max((node.ended for node in tree if node.ended is not None), default=0.0)
    idle = last - min(started, default=0.0) - active_seconds
    if idle < SHORTEST_BREAK:
        return []
    found: list[Break] = []
    # The last one may have ended with the run, where that was cancelled instead of going on.
    gaps = [(before[1], after[0]) for before, after in pairwise([*stretches_of(tree), (last, last)])]
    for began, ended in sorted(gaps, key=lambda gap: gap[0] - gap[1]):
        if SHORTEST_BREAK < ended - began < idle + SHORTEST_BREAK:
            found.append((began, ended))
            idle -= ended - began
    return sorted(found)


def without_breaks(began: float, ended: float, breaks: Sequence[Break]) -> float:
    """The seconds from one moment to another, without the breaks between them."""
    left_out = sum(max(0.0, min(ended, until) - max(began, since)) for since, until in breaks)
    return ended - began - left_out
