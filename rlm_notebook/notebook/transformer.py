"""The former place of `notebook.cell.transformer`, for code that imports it from here."""

from .cell.transformer import interpolated

__all__ = ["interpolated"]
