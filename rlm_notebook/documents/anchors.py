"""Anchors: where a passage is in its source, as text ("p.12", "§Results", "lines 41-80", "rows 1-37", "cell 3")."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["covers", "folded", "ranged", "section_anchors"]

_NUMBERED = re.compile(
    r"(?P<kind>p{1,2}|pages?|l|lines?|rows?|cells?)\.?\s*(?P<first>\d+)(?:\s*[-\u2010-\u2015]\s*(?P<last>\d+))?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_LONGEST_HEADING = 80


def ranged(unit: str, first: int, last: int) -> str:
    """The anchor of lines or rows: "line 7", "lines 7-9"."""
    return f"{unit} {first}" if first == last else f"{unit}s {first}-{last}"


def section_anchors(titles: Iterable[str]) -> list[str]:
    """An anchor for each section, in their order: "§Results", "§Results (2)"; "top" for a text before any heading."""
    found: list[str] = []
    seen: dict[str, int] = {}
    for title in titles:
        name = " ".join(title.split())[:_LONGEST_HEADING].rstrip()
        anchor = f"§{name}" if name else "top"
        seen[anchor] = seen.get(anchor, 0) + 1
        found.append(anchor if seen[anchor] == 1 else f"{anchor} ({seen[anchor]})")
    return found


def folded(anchor: str) -> str:
    """The anchor without what people write differently: case, white space, the mark before a heading."""
    return re.sub(r"\s+", "", anchor).casefold().lstrip("§#")


def covers(anchor: str, cited: str) -> bool:
    """Whether an anchor that a citation names is within that of a passage, or overlaps it: "row 17" with "rows 1-37",
    "page 12" with "p.12"."""
    if folded(anchor) == folded(cited):
        return True
    own, other = _numbers(anchor), _numbers(cited)
    if own is None or other is None:
        return False
    same = own[0] == other[0] and own[3] == other[3]
    return same and own[1] <= other[2] and other[1] <= own[2]


def _numbers(anchor: str) -> tuple[str, int, int, str] | None:
    """The kind, the first and the last number, and what follows; `None` for an anchor without numbers."""
    found = _NUMBERED.fullmatch(anchor.strip())
    if found is None or len(found["first"]) > _DIGITS or len(found["last"] or "") > _DIGITS:
        return None
    first = int(found["first"])
    return found["kind"][0].casefold(), first, int(found["last"] or first), folded(found["rest"])


#: More digits are no number of a page or a line, and take long to convert.
_DIGITS = 15
