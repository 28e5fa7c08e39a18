"""Images: no text, one passage without an anchor, and the bytes as they are."""

from __future__ import annotations

from ..extraction import Extraction, of_passages

__all__ = ["draw", "read"]


def read(content: bytes) -> Extraction:
    return of_passages([("", "")])


def draw(content: bytes, anchor: str) -> bytes:
    return content
