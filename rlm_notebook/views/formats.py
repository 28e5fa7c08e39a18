"""The forms in which an answer can be shown; apart from what shows them, so that options can name them at no cost."""

from __future__ import annotations

from typing import Literal

__all__ = ["FORMATS", "Format"]

Format = Literal["markdown", "text", "json", "code"]
FORMATS: tuple[Format, ...] = ("markdown", "text", "json", "code")
