"""The former place of `notebook.cell.line_parser`, for code that imports it from here."""

from .cell.line_parser import words_of

__all__ = ["words_of"]
