"""A small table as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.text import cut, pretty, printable
from .gate import html_text

__all__ = ["Table"]

#: The longest text of a cell, in characters.
TEXT_WIDTH = 60
HTML_WIDTH = 2_000
_LEFT = ' style="text-align:left;vertical-align:top"'


@dataclass(frozen=True)
class Table:
    """Rows of texts below the names of columns, followed by `note`.

    Displays as escaped HTML; `str()` is plain text, with at most `width` characters a cell.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    width: int = TEXT_WIDTH

    def __str__(self) -> str:
        cells = [[cut(printable(cell), self.width) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(len(row[at]) for row in cells) for at in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        return "\n".join([*lines, printable(self.note)] if self.note else lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th{_LEFT}>{html_text(column)}</th>" for column in self.columns)
        cells = ("".join(f"<td{_LEFT}>{html_text(cut(cell, HTML_WIDTH))}</td>" for cell in row) for row in self.rows)
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        note = f"<p>{html_text(self.note)}</p>" if self.note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"

    _repr_pretty_ = pretty
