"""A report as Markdown, harmless to whatever renders it."""

from __future__ import annotations

from ..formulas import tamed
from ..gate import TooMuch, code_block, rewritten
from .report import Report

__all__ = ["markdown_of"]


def markdown_of(report: Report) -> str:
    """The whole document. Citations stay as they are, [0.2], and name the sections below the answer."""
    parts = [f"# {_line(report.title)}", _line(report.facts), *(f"*{_line(note)}*" for note in report.notes)]
    parts.append(_harmless(report.text) if report.text.strip() else "(There is no answer.)")
    if report.sections:
        parts.append("## Nodes that the answer cites")
    for section in report.sections:
        parts += [f"### [{section.node}] {_line(section.title)}", _line(section.facts)]
        parts.append(_harmless(section.text, shift=3))
    return "\n\n".join(filter(None, parts)) + "\n"


def _harmless(text: str, shift: int = 0) -> str:
    try:
        return rewritten(text, scale=20, shift=shift, for_people=True)
    except (TooMuch, RecursionError):
        return code_block(text, "text", longest=len(text))


def _line(text: str) -> str:
    """Plain text of one line, in which nothing is read as markup."""
    text = "".join(piece for piece, _ in tamed([(text, "")]))
    return text.translate(_ESCAPED).replace("://", r"\://")


_ESCAPED = str.maketrans({**{char: f"\\{char}" for char in "\\`*_[]#|~$!"}, "<": "&lt;", ">": "&gt;", "&": "&amp;"})
