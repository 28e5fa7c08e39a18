"""A small table as text and as HTML: columns, rows, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.text import printable
from .gate import html_text

__all__ = ["Table"]

#: A cell is cut here, in characters; as HTML, longer texts have room.
TEXT_WIDTH = 60
HTML_WIDTH = 2_000
_LEFT = ' style="text-align:left;vertical-align:top"'


@dataclass(frozen=True)
class Table:
    """Rows of texts below the names of columns; `note` follows it. Displays as HTML, escaped; `str()` is text, in which
    a cell has `width` characters at most."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    width: int = TEXT_WIDTH

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _lines(self) -> Iterator[str]:
        cells = [[_cut(printable(cell), self.width) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(len(row[at]) for row in cells) for at in range(len(self.columns))]
        for row in cells:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if self.note:
            yield printable(self.note)

    def _repr_html_(self) -> str:
        head = "".join(f"<th{_LEFT}>{html_text(column)}</th>" for column in self.columns)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in self.rows)
        note = f"<p>{html_text(self.note)}</p>" if self.note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def _cell(text: str) -> str:
    return f"<td{_LEFT}>{html_text(_cut(text, HTML_WIDTH))}</td>"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
