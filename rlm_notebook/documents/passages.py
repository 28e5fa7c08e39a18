"""The unit in which sources are read and cited. What belongs here knows no file and no extractor."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Passage"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a source: `source` is what it is cited as ("report.pdf", "papers/report.pdf", the name of a variable),
    `anchor` where it is there ("p.12"), "" for a source without anchors."""

    source: str
    anchor: str
    text: str

    @property
    def place(self) -> str:
        """Source and anchor as a citation has them: "report.pdf p.12"."""
        return f"{self.source} {self.anchor}" if self.anchor else self.source
