"""An experiment as HTML and as text: how far it is, what it used, the first rows, the first errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..core.text import cut, printable
from ..views.gate import html_text
from .template import text_of

__all__ = ["html_of", "html_table", "progress_html", "progress_text", "text_table"]

#: The rows that a display shows, and the characters of a cell.
MOST_ROWS = 10
MOST_ERRORS = 3
CELL_CHARACTERS = 160
_BAR = "height:6px;border-radius:3px;background:rgba(128,128,128,.25);overflow:hidden;display:flex;max-width:40em"
_CELL = "padding:2px 10px;text-align:{align};vertical-align:top;white-space:{wrap};max-width:30em"
#: Shorter texts, such as an interval, stay on one line.
NO_WRAP = 40
_COLOURS = {"done": "#2e8b57", "reused": "#1f9ab0", "failed": "#c0392b"}


class Shown(Protocol):
    """An experiment, as far as its display reads it."""

    @property
    def summary(self) -> Mapping[str, Any]: ...
    @property
    def checkpoint(self) -> str | None: ...
    def head(self, count: int) -> tuple[list[str], list[list[Any]]]: ...
    def errors(self, count: int) -> list[tuple[int, str]]: ...


def progress_html(summary: Mapping[str, Any], note: str = "") -> str:
    """A bar with the done, reused and failed rows, and the numbers below it."""
    rows = max(1, summary["rows"])
    parts = {"reused": min(summary["reused"], summary["done"]), "failed": summary["failed"]}
    parts = {"done": summary["done"] - parts["reused"], **parts}
    bars = "".join(
        f'<span style="width:{100 * parts[name] / rows:.2f}%;background:{_COLOURS[name]}"></span>'
        for name in ("reused", "done", "failed")
        if parts[name]
    )
    text = f"{summary}" + (f" · {note}" if note else "")
    return (
        f'<div role="img" aria-label="{html_text(str(summary))}" style="{_BAR}">{bars}</div>'
        f'<div style="margin:4px 0 8px">{html_text(text)}</div>'
    )


def html_of(experiment: Shown) -> str:
    """The static display of an experiment in a notebook."""
    names, rows = experiment.head(MOST_ROWS)
    summary = experiment.summary
    parts = [progress_html(summary)]
    if rows:
        more = summary["rows"] - len(rows)
        where = f"recorded in {experiment.checkpoint}" if experiment.checkpoint else "in memory only"
        note = (f"{more:,} more rows in .frame; " if more else "") + where
        parts.append(html_table(names, rows, note))
    for row, error in experiment.errors(MOST_ERRORS):
        parts.append(f'<div style="color:#c0392b">row {row}: {html_text(cut(error, 400))}</div>')
    return "".join(parts)


def html_table(names: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "", caption: str = "") -> str:
    """A table: numbers to the right, texts to the left, a line below the head; readable in light and dark."""
    numeric = [all(isinstance(row[at], int | float | None) for row in rows) for at in range(len(names))]
    align = ["right" if is_number else "left" for is_number in numeric]
    line = "border-bottom:1px solid rgba(128,128,128,.5)"
    head = "".join(
        f'<th scope="col" style="{_CELL.format(align=side, wrap="nowrap")};{line}">{html_text(name)}</th>'
        for name, side in zip(names, align, strict=True)
    )
    body = ""
    for row in rows:
        body += "<tr>"
        for text, side in zip(map(shown, row), align, strict=True):
            wrap = "nowrap" if len(text) <= NO_WRAP and "\n" not in text else "pre-wrap"
            body += f'<td style="{_CELL.format(align=side, wrap=wrap)}">{html_text(cut(text, CELL_CHARACTERS))}</td>'
        body += "</tr>"
    title = f'<caption style="text-align:left;padding:2px 10px">{html_text(caption)}</caption>' if caption else ""
    foot = f'<div style="opacity:.75;padding:2px 10px">{html_text(note)}</div>' if note else ""
    return (
        f'<div style="overflow-x:auto"><table style="border-collapse:collapse">{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{foot}"
    )


def text_table(names: Sequence[str], rows: Sequence[Sequence[Any]], width: int = 40) -> str:
    """The same as text, in columns."""
    cells = [[printable(cut(shown(value), width)).replace("\n", " ") for value in row] for row in (names, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(names))]
    numeric = [all(isinstance(row[at], int | float | None) for row in rows) for at in range(len(names))]
    lines = [
        "  ".join(
            cell.rjust(size) if right else cell.ljust(size)
            for cell, size, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * size for size in widths), *lines[1:]])


def progress_text(summary: Mapping[str, Any]) -> str:
    """One line."""
    return f"rlm: {summary}"


def shown(value: Any) -> str:
    """A value as a cell of a table shows it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return text_of(value)
