"""The unit in which sources are read and cited. What belongs here knows no file and no extractor."""

from __future__ import annotations

from dataclasses import dataclass

from .anchors import covers

__all__ = ["Passage"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a source: `source` is what it is cited as ("report.pdf", "papers/report.pdf", the name of a variable),
    `anchor` where it is there ("p.12"), "" for a source without anchors.

    Passages of a source follow each other without gaps, so a sentence may begin in one and end in the next.
    """

    source: str
    anchor: str
    text: str

    @property
    def place(self) -> str:
        """Source and anchor as a citation has them: "report.pdf p.12"."""
        return f"{self.source} {self.anchor}" if self.anchor else self.source

    def covers(self, anchor: str) -> bool:
        """Whether a cited anchor is that of this passage, or overlaps it: "row 17" with "rows 1-37"."""
        return covers(self.anchor, anchor)
